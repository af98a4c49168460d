"""OpenAI's JSON of answers: vectors as numbers and packed."""

import base64
import math
from array import array

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.openai_api import responses
from genai_spine.v1 import completion_service_pb2 as pb

VECTORS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20)


def written(values: list[float], *, as_base64: bool) -> object:
    response = pb.CreateEmbeddingsResponse(embeddings=[pb.Embedding(values=values)])
    answer = msgspec.json.decode(responses.embeddings(response, as_base64=as_base64))
    return answer["data"][0]["embedding"]


@given(VECTORS)
def test_numbers_lead_back_to_each_float(values: list[float]) -> None:
    found = written(values, as_base64=False)
    assert isinstance(found, list)
    assert array("f", found).tolist() == values


@given(VECTORS)
def test_packed_vectors_are_the_same(values: list[float]) -> None:
    packed = base64.b64decode(str(written(values, as_base64=True)))
    assert array("f", packed).tolist() == values


def test_what_json_has_no_number_for_is_null() -> None:
    assert written([math.nan, 0.5, math.inf], as_base64=False) == [None, 0.5, None]
