"""Vectors and words of chunks, found in either database: what both of them can do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from genai_spine.errors import CollectionNotFound, EmbeddingMismatch
from genai_spine.store.database import Database
from genai_spine.store.rag.collections import StoredCollection, locked
from genai_spine.store.rag.documents import known_hashes
from genai_spine.store.rag.tables import rag_collections

Vector = Any  # numpy's array of float32, of length 1


class Hit(NamedTuple):
    """Chunk that was found, and how well it fits: a cosine, or the rank of its words."""

    chunk_id: int
    score: float


@dataclass(frozen=True, slots=True)
class Scope:
    """Part of a collection that is searched. document_ids: None: all of it."""

    collection: StoredCollection
    document_ids: Sequence[str] | None = None


class ChunkSearch(Protocol):
    """Search in the vectors and words of chunks."""

    async def nearest(self, scope: Scope, vector: Vector, size: int) -> list[Hit]:
        """Chunks whose vectors are nearest by the cosine, the nearest first."""
        ...

    async def cosines(self, scope: Scope, vector: Vector, chunk_ids: Sequence[int]) -> dict[int, float]:
        """Cosines of some chunks."""
        ...

    async def with_words(self, scope: Scope, words: Sequence[str], size: int) -> list[Hit]:
        """Chunks that have one of some words, the best first."""
        ...


class VectorRows:
    """Table of vectors, of which a collection has one a content."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, collection_id: str, hashes: Sequence[bytes]) -> set[bytes]:
        """Contents of which a collection has vectors, among some."""
        async with self._database.connect() as connection:
            return await known_hashes(connection, collection_id, hashes)

    async def add(self, stored: StoredCollection, hashes: Sequence[bytes], vectors: Vector) -> None:
        """Keeps vectors, a row of a matrix each; those that are there stay.

        Errors: CollectionNotFound, EmbeddingMismatch.
        """
        length = int(vectors.shape[1])
        async with self._database.begin_write() as connection:
            known = await locked(connection, stored.id)
            if known not in (0, length):
                name = stored.collection.name
                raise EmbeddingMismatch(collection=name, expected=known, got=length)
            if not known:
                this = sa.update(rag_collections).where(rag_collections.c.id == stored.id)
                await connection.execute(this.values(dimensions=length))
            rows = [
                {"collection": stored.id, "hash": hash, **self._written(vector)}
                for hash, vector in zip(hashes, vectors, strict=True)
            ]
            try:
                await connection.execute(self._insert, rows)
            except IntegrityError:  # it was deleted meanwhile
                raise CollectionNotFound(collection=stored.collection.name) from None

    @property
    def _insert(self) -> sa.TextClause:
        if self._database.dialect == "sqlite":
            return sa.text(
                "INSERT INTO rag_vectors (collection_id, content_hash, vector) "
                "VALUES (:collection, :hash, :vector) ON CONFLICT DO NOTHING"
            )
        return sa.text(
            "INSERT INTO rag_vectors (collection_id, content_hash, dimensions, vector) VALUES "
            "(:collection, :hash, :length, CAST(CAST(:vector AS text) AS halfvec)) ON CONFLICT DO NOTHING"
        )

    def _written(self, vector: Vector) -> dict[str, Any]:
        if self._database.dialect == "sqlite":
            return {"vector": vector.astype("<f4").tobytes()}
        return {"vector": written(vector), "length": len(vector)}


def written(vector: Vector) -> str:
    """Vector as pgvector reads it; six digits are more than a halfvec has."""
    return "[" + ",".join([f"{value:.6g}" for value in vector.tolist()]) + "]"
