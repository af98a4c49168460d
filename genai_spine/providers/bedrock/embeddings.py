"""Embeddings by Bedrock's InvokeModel: each maker has a body of its own, and a count in a header.

Shapes, 2026-11-28:
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html and
.../model-parameters-embed.html, model-parameters-embed-v4.html (Cohere).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from genai_spine.errors import UnsupportedOption
from genai_spine.providers.base import further_fields
from genai_spine.providers.wire_types import MAX_TOKEN_COUNT
from genai_spine.v1 import completion_service_pb2 as pb

MAX_CONCURRENT_CALLS = 8  # calls for one request, where each takes one text
MAX_COHERE_TEXTS = 96  # in one call
COUNT_HEADER = "x-amzn-bedrock-input-token-count"

Count = Annotated[int, Meta(ge=0, le=MAX_TOKEN_COUNT)]


class Titan(Struct, rename="camel"):
    """Answer of Amazon's models: one vector, and the count of input tokens."""

    embedding: list[float]
    input_text_token_count: Count | None = None


class ByType(Struct):
    """Vectors by their type; `float` is the one that is asked for."""

    float: list[list[float]]


class Cohere(Struct):
    """Answer of Cohere's models: one vector for each text."""

    embeddings: list[list[float]] | ByType  # by type when embedding_types were asked for


TITAN = msgspec.json.Decoder(Titan)
COHERE = msgspec.json.Decoder(Cohere)


def is_cohere(model: str) -> bool:
    """Whether the model takes Cohere's body, which holds several texts."""
    return "cohere." in model


def batches(request: pb.CreateEmbeddingsRequest, provider: str) -> list[Sequence[str]]:
    """The texts of each call. Errors: UnsupportedOption."""
    if any(entry.HasField("tokens") for entry in request.inputs):
        raise UnsupportedOption(field="inputs", provider=provider, option="inputs of token ids")
    fixed = "titan-embed-text-v1" in request.model or "cohere.embed-english" in request.model
    if request.HasField("dimensions") and (fixed or "cohere.embed-multilingual" in request.model):
        option = f"dimensions with the model {request.model}"
        raise UnsupportedOption(field="dimensions", provider=provider, option=option)
    texts = [entry.text for entry in request.inputs]
    size = MAX_COHERE_TEXTS if is_cohere(request.model) else 1
    return [texts[at : at + size] for at in range(0, len(texts), size)]


def write(request: pb.CreateEmbeddingsRequest, texts: Sequence[str]) -> bytes:
    """The body of one call, the caller's own fields (normalize, input_type, truncate) among it."""
    cohere = is_cohere(request.model)
    body: dict[str, Any] = {"input_type": "search_document"} if cohere else {}
    body |= further_fields(request)
    body |= {"texts": texts} if cohere else {"inputText": texts[0]}
    if request.HasField("dimensions"):
        body["output_dimension" if cohere else "dimensions"] = request.dimensions
    return msgspec.json.encode(body)


def tokens(headers: Mapping[str, str], in_body: int | None = None) -> int | None:
    """Input tokens of one call, of the body or else of a header; None: it does not say."""
    in_header = headers.get(COUNT_HEADER, "")
    if in_body is None and in_header.isascii() and in_header.isdigit():
        return min(int(in_header), MAX_TOKEN_COUNT)
    return in_body
