"""Vectors of texts by a collection's model: of length 1, so that their product is the cosine."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from genai_spine.call import Call
from genai_spine.errors import EmbeddingMismatch, ProviderError
from genai_spine.store.rag.collections import StoredCollection
from genai_spine.v1 import completion_service_pb2 as pb

MAX_BATCH = 64  # texts a call
MAX_BATCH_TOKENS = 100_000  # a call; OpenAI takes 300,000 (API reference, embeddings, 2026-11-30)

Embed = Callable[[pb.CreateEmbeddingsRequest, Call], Awaitable[pb.CreateEmbeddingsResponse]]


def batch_size(stored: StoredCollection) -> int:
    """Chunks that are embedded in one call: as many for each call, so that a repeat makes the same ones."""
    return max(1, min(MAX_BATCH, MAX_BATCH_TOKENS // stored.collection.chunking.max_tokens))


def request_of(
    stored: StoredCollection, texts: Sequence[str], cost_labels: Mapping[str, str]
) -> pb.CreateEmbeddingsRequest:
    """Request to a collection's model."""
    settings = stored.collection
    request = pb.CreateEmbeddingsRequest(
        model=settings.embedding_model,
        inputs=[pb.EmbeddingInput(text=text) for text in texts],
        cost_labels=cost_labels,
    )
    if settings.embedding_provider:
        request.provider = settings.embedding_provider
    if settings.HasField("dimensions"):
        request.dimensions = settings.dimensions
    return request


def vectors_of(response: pb.CreateEmbeddingsResponse, count: int, stored: StoredCollection) -> Any:
    """Matrix of float32 whose rows are the vectors in the order of the texts.

    Errors: ProviderError (not as many as texts, or no vectors), EmbeddingMismatch.
    """
    import numpy as np  # here: the server's start is measured

    found = sorted(response.embeddings, key=lambda one: one.index)
    lengths = {len(one.values) for one in found}
    if len(found) != count or len(lengths) != 1 or 0 in lengths:
        problem = f"{len(found)} vectors came for {count} texts"
        raise ProviderError(provider=response.provider, provider_message=problem)
    matrix = np.array([one.values for one in found], np.float32)
    if stored.dimensions not in (0, matrix.shape[1]):
        name = stored.collection.name
        raise EmbeddingMismatch(collection=name, expected=stored.dimensions, got=matrix.shape[1])
    if not np.isfinite(matrix).all():
        raise ProviderError(provider=response.provider, provider_message="a vector holds no number")
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix / np.where(norms == 0, 1, norms)


def embedded_text(headings: Sequence[str], text: str) -> str:
    """Text of a chunk as it is embedded: below the headings that say what it is about."""
    return f"{' > '.join(headings)}\n\n{text}" if headings else text


def content_hash(text: str) -> bytes:
    """SHA-256 of what is embedded: equal texts of a collection have one vector."""
    return sha256(text.encode("utf-8", "replace")).digest()
