"""Embeddings wire format: the request written, the vectors read.

Wire facts: as in `adapter`. Packed vectors are base64 of float32, little-endian.
"""

from array import array
from base64 import b64decode
from binascii import a2b_base64
from sys import byteorder

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from genai_spine.providers.base import further_fields
from genai_spine.providers.http.client import HttpClient
from genai_spine.providers.openai import chat_answer
from genai_spine.v1 import completion_service_pb2 as pb


def write(
    request: pb.CreateEmbeddingsRequest, model: str, *, base64: bool, inputs: bytes | None = None
) -> bytes:
    """base64: the endpoint packs vectors, which is a quarter of the bytes. inputs: as they came, in JSON."""
    body = further_fields(request)
    body["model"], body["input"] = model, _inputs(request) if inputs is None else Raw(inputs)
    body["encoding_format"] = "base64" if base64 else "float"
    if request.HasField("dimensions"):
        body["dimensions"] = request.dimensions
    if request.HasField("user"):
        body["user"] = request.user
    return msgspec.json.encode(body)


def _inputs(request: pb.CreateEmbeddingsRequest) -> list[str | list[int]]:
    return [entry.text if entry.HasField("text") else list(entry.tokens.tokens) for entry in request.inputs]


def read(
    http: HttpClient, body: bytes, request: pb.CreateEmbeddingsRequest, model: str
) -> pb.CreateEmbeddingsResponse:
    answer = http.decode(body, EMBEDDINGS)
    if len(answer.data) != len(request.inputs):
        raise http.unusable(
            "missing_embeddings", f"{len(answer.data)} embeddings for {len(request.inputs)} inputs"
        )
    response = pb.CreateEmbeddingsResponse(model=answer.model or model)
    # Some upstreams leave the index out, or repeat it; the order is the inputs' all the same.
    for index, entry in enumerate(sorted(answer.data, key=lambda entry: entry.index)):
        response.embeddings.add(index=index, values=_vector(http, entry.embedding))
    _add_usage(http, answer.usage, response)
    return response


def pass_on(
    http: HttpClient, body: bytes, request: pb.CreateEmbeddingsRequest, *, base64: bool
) -> tuple[pb.CreateEmbeddingsResponse, bytes] | None:
    """Answer without vectors, and those as they came in JSON, in the form that the caller wants.

    None: there is more to the answer, or less, so that it is to be read. Errors: ProviderError.
    """
    try:
        answer = PLAIN.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    is_vector = _is_base64 if base64 else _is_numbers
    if len(answer.data) != len(request.inputs) or not answer.model:
        return None
    vectors = []
    for index, entry in enumerate(answer.data):
        vector = bytes(entry.embedding)
        if entry.index != index or not is_vector(vector):
            return None
        vectors.append(b'{"object":"embedding","index":%d,"embedding":%b}' % (index, vector))
    response = pb.CreateEmbeddingsResponse(model=answer.model)
    _add_usage(http, answer.usage, response)
    return response, b",".join(vectors)


def _is_base64(vector: bytes) -> bool:
    """Whether it is a JSON text of packed float32."""
    try:
        size = len(a2b_base64(vector[1:-1], strict_mode=True))
    except ValueError:
        return False
    return vector.startswith(b'"') and size > 0 and size % 4 == 0


def _is_numbers(vector: bytes) -> bool:
    """Whether a JSON value is a list of numbers: nothing else has brackets, and no other sign than these."""
    return vector.startswith(b"[") and vector.translate(None, NUMBERS) == b"[]"


def _add_usage(http: HttpClient, usage: Raw | UnsetType, response: pb.CreateEmbeddingsResponse) -> None:
    """Adds what the answer says of its usage, where it says something."""
    reported = b"" if usage is UNSET else bytes(usage)
    if reported.startswith(b"{"):
        counts = chat_answer.usage(http.decode(reported, chat_answer.USAGE))
        if counts.total_tokens:
            counts.reported_json = reported.decode("utf-8", "replace")
            response.usage.CopyFrom(counts)


def _vector(http: HttpClient, embedding: list[float] | str) -> "list[float] | array[float]":
    """Vector of a list or of packed float32. Raises ProviderError."""
    if isinstance(embedding, list):
        return embedding
    vector = array("f")
    try:
        vector.frombytes(b64decode(embedding, validate=True))
    except ValueError as error:
        raise http.unusable("invalid_base64", f"an embedding is not base64: {error}") from error
    if byteorder == "big":
        vector.byteswap()
    return vector


class _Embedding(Struct):
    """Vector of one input."""

    embedding: list[float] | str
    index: int = 0


class _Embeddings(Struct):
    """Answer of /embeddings."""

    data: list[_Embedding]
    model: str = ""
    usage: Raw | UnsetType = UNSET


EMBEDDINGS = msgspec.json.Decoder(_Embeddings)


class _PlainVector(Struct, forbid_unknown_fields=True):
    """Vector as it came."""

    embedding: Raw
    index: int
    object: str = ""


class _Plain(Struct, forbid_unknown_fields=True):
    """Answer of /embeddings that has nothing but what every such answer has."""

    data: list[_PlainVector]
    model: str
    usage: Raw
    object: str = ""
    id: str | None = None
    created: int | None = None


PLAIN = msgspec.json.Decoder(_Plain)
NUMBERS = b"0123456789+-.eE, \t\r\n"
