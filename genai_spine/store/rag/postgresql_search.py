"""Search in PostgreSQL: pgvector's HNSW with iterative scans for the vectors, tsvector for the words."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from genai_spine.store.database import Database
from genai_spine.store.rag.search_tables import INDEXED_DIMENSIONS, LANGUAGE, scope_of
from genai_spine.store.rag.vectors import Hit, Scope, Vector, written

# A scan of the index goes on until enough of this collection was found, and not with the nearest of all
# collections alone, of which perhaps none is this one's (pgvector 0.8, README "Iterative Index Scans",
# 2026-11-30).
BY_INDEX = {"hnsw.iterative_scan": "strict_order", "hnsw.ef_search": "40"}
MAX_SEARCHED = 1000  # ef_search takes no more
MAX_MATCHES = 20_000  # chunks whose words are compared; of common words any so many
EXACTLY = {"enable_indexscan": "off"}
# From its sixth execution on PostgreSQL would plan a statement for any values at all, which takes a hundred
# times as long as for these (PostgreSQL 18, 2026-12-01).
FOR_THESE_VALUES = {"plan_cache_mode": "force_custom_plan"}


class PostgresqlSearch:
    """Search in the chunks of PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def nearest(self, scope: Scope, vector: Vector, size: int) -> list[Hit]:
        """Chunks whose vectors are nearest by the cosine, the nearest first.

        An iterative scan ends after some 20,000 rows of other collections; then all of this one are compared.
        """
        found = await self._nearest(scope, vector, size, is_exact=False)
        if len(found) < size and len(found) < scope.collection.collection.chunk_count:
            found = await self._nearest(scope, vector, size, is_exact=True)
        return found

    async def cosines(self, scope: Scope, vector: Vector, chunk_ids: Sequence[int]) -> dict[int, float]:
        """Cosines of some chunks."""
        kind = f"halfvec({len(vector)})"
        statement = sa.text(
            f"SELECT c.id, 1 - (v.vector::{kind} <=> CAST(CAST(:vector AS text) AS {kind})) "
            "FROM rag_chunks c JOIN rag_vectors v ON v.collection_id = c.collection_id "
            "AND v.content_hash = c.content_hash WHERE c.id = ANY(CAST(:ids AS bigint[]))"
        )
        values = {"vector": written(vector), "ids": list(chunk_ids)}
        async with self._database.connect() as connection:
            return {row[0]: float(row[1]) for row in await connection.execute(statement, values)}

    async def with_words(self, scope: Scope, words: Sequence[str], size: int) -> list[Hit]:
        """Chunks that have one of some words, the best first: by the sum of how rare their words are.

        That is BM25 without lengths; PostgreSQL's own ranks know nothing of how rare a word is.
        """
        if not words:
            return []
        values: dict[str, Any] = {f"word{place}": word for place, word in enumerate(words)}
        values |= {"own": scope_of(scope.collection.id), "size": size}
        values["total"] = float(scope.collection.collection.chunk_count)
        joined = of_some = ""
        if scope.document_ids is not None:
            joined = "JOIN rag_chunks c ON c.id = w.chunk_id"
            of_some = "AND c.document_id = ANY(CAST(:documents AS text[]))"
            values["documents"] = list(scope.document_ids)
        statement = sa.text(_words_statement(len(words), joined, of_some))
        return await self._hits(statement, values, {})

    async def _nearest(self, scope: Scope, vector: Vector, size: int, *, is_exact: bool) -> list[Hit]:
        length = len(vector)
        kind = f"halfvec({length})"
        of_some = ""
        values: dict[str, Any] = {"own": scope.collection.id, "vector": written(vector), "size": size}
        if scope.document_ids is not None:
            of_some = "AND c.document_id = ANY(CAST(:documents AS text[]))"
            values["documents"] = list(scope.document_ids)
        # The length is a literal: the planner takes a partial index only for what it can prove.
        statement = sa.text(
            "SELECT c.id, 1 - n.distance FROM (SELECT v.collection_id, v.content_hash, "
            f"v.vector::{kind} <=> CAST(CAST(:vector AS text) AS {kind}) AS distance FROM rag_vectors v "
            f"WHERE v.collection_id = :own AND v.dimensions = {length} AND EXISTS (SELECT 1 FROM rag_chunks "
            f"c WHERE c.collection_id = v.collection_id AND c.content_hash = v.content_hash {of_some}) "
            "ORDER BY distance LIMIT :size) n JOIN rag_chunks c ON c.collection_id = n.collection_id "
            f"AND c.content_hash = n.content_hash {of_some} ORDER BY n.distance, c.id LIMIT :size"
        )
        settings = EXACTLY if is_exact else {}
        if not is_exact and length in INDEXED_DIMENSIONS:
            settings = BY_INDEX | {"hnsw.ef_search": str(min(MAX_SEARCHED, max(40, size)))}
        return await self._hits(statement, values, settings)

    async def _hits(
        self, statement: sa.TextClause, values: Mapping[str, Any], settings: Mapping[str, str]
    ) -> list[Hit]:
        """Hits of a statement that is made with some settings."""
        given = {**FOR_THESE_VALUES, **settings}
        local = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in given.items())
        async with self._database.begin() as connection:
            await connection.exec_driver_sql(f"SELECT {local}")
            return [Hit(row[0], float(row[1])) for row in await connection.execute(statement, values)]


def _words_statement(count: int, joined: str, of_some: str) -> str:
    """Statement that finds so many words, of all documents or some."""
    places = range(count)
    queries = ", ".join(
        f"plainto_tsquery('{LANGUAGE}', CAST(:word{place} AS text)) AS q{place}" for place in places
    )
    any_of = " || ".join(f"q.q{place}" for place in places)
    has = [f"CASE WHEN m.words @@ q.q{place} THEN 1 ELSE 0 END" for place in places]
    counts = ", ".join(f"sum({one})::float8 AS n{place}" for place, one in zip(places, has, strict=True))
    idf = " + ".join(
        f"{one} * ln(1 + greatest(0.5, :total - d.n{place} + 0.5) / (d.n{place} + 0.5))"
        for place, one in zip(places, has, strict=True)
    )
    own = "quote_literal(:own)::tsquery"
    return (
        f"WITH q AS MATERIALIZED (SELECT {queries}), m AS MATERIALIZED (SELECT w.chunk_id, w.words "
        f"FROM q, rag_words w {joined} WHERE w.words @@ ({own} && ({any_of})) {of_some} "
        f"LIMIT {MAX_MATCHES}), d AS (SELECT {counts} FROM m, q) SELECT m.chunk_id, {idf} AS score "
        "FROM m, q, d ORDER BY score DESC, m.chunk_id LIMIT :size"
    )
