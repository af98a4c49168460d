"""Embeddings wire format: the request written, the vectors read.

Wire facts: as in `adapter`. Packed vectors are base64 of float32, little-endian.
"""

from array import array
from base64 import b64decode
from sys import byteorder

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from genai_spine.providers.base import further_fields
from genai_spine.providers.http.client import HttpClient
from genai_spine.providers.openai import chat_answer
from genai_spine.v1 import completion_service_pb2 as pb


def write(request: pb.CreateEmbeddingsRequest, model: str, *, base64: bool) -> bytes:
    """base64: the endpoint packs vectors, which is a quarter of the bytes."""
    body = further_fields(request)
    inputs = [entry.text if entry.HasField("text") else list(entry.tokens.tokens) for entry in request.inputs]
    body |= {"model": model, "input": inputs}
    body["encoding_format"] = "base64" if base64 else "float"
    if request.HasField("dimensions"):
        body["dimensions"] = request.dimensions
    if request.HasField("user"):
        body["user"] = request.user
    return msgspec.json.encode(body)


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
    reported = b"" if answer.usage is UNSET else bytes(answer.usage)
    if reported.startswith(b"{"):
        counts = chat_answer.usage(http.decode(reported, chat_answer.USAGE))
        if counts.total_tokens:
            counts.reported_json = reported.decode("utf-8", "replace")
            response.usage.CopyFrom(counts)
    return response


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
