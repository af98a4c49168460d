"""Search in SQLite: a matrix in memory for the vectors, FTS5 with BM25 for the words."""

from collections.abc import Callable, Sequence

import sqlalchemy as sa

from genai_spine.store.database import Database
from genai_spine.store.rag.matrices import Matrices
from genai_spine.store.rag.search_tables import scope_of
from genai_spine.store.rag.tables import rag_chunks
from genai_spine.store.rag.vectors import Hit, Scope, Vector

IDS_AT_ONCE = 500
# CROSS JOIN: the order of the tables is ours; the planner would read all vectors of the collection.
OF_VECTORS = (
    "SELECT v.id, c.id FROM rag_vectors v CROSS JOIN rag_chunks c ON c.collection_id = v.collection_id "
    "AND c.content_hash = v.content_hash WHERE v.id IN :ids"
)
OF_CHUNKS = (
    "SELECT v.id, c.id FROM rag_chunks c CROSS JOIN rag_vectors v ON v.collection_id = c.collection_id "
    "AND v.content_hash = c.content_hash WHERE c.id IN :ids"
)
OF_DOCUMENTS = OF_CHUNKS.replace("c.id IN", "c.document_id IN")
WORDS = (
    "SELECT w.rowid, w.rank FROM rag_words w WHERE rag_words MATCH :query "
    "AND w.rank MATCH 'bm25(0.0, 1.0, 1.0)' ORDER BY w.rank LIMIT :size"
)
WORDS_OF_SOME = (
    "SELECT w.rowid, w.rank FROM rag_words w JOIN rag_chunks c ON c.id = w.rowid "
    "WHERE rag_words MATCH :query AND w.rank MATCH 'bm25(0.0, 1.0, 1.0)' AND c.document_id IN :documents "
    "ORDER BY w.rank LIMIT :size"
)


class SqliteSearch:
    """Search in the chunks of SQLite."""

    def __init__(self, database: Database, limit_bytes: Callable[[], int]) -> None:
        """limit_bytes: of the vectors that are kept in memory."""
        self._database = database
        self._matrices = Matrices(database, limit_bytes)

    async def nearest(self, scope: Scope, vector: Vector, size: int) -> list[Hit]:
        """Chunks whose vectors are nearest by the cosine, the nearest first."""
        among = None
        if scope.document_ids is not None:
            among = list(await self._chunks(OF_DOCUMENTS, scope.document_ids))
        best = await self._matrices.best(scope.collection, vector, size, among)
        chunks = await self._chunks(OF_VECTORS, [id for id, _ in best])
        if scope.document_ids is not None:  # another document may have the same text
            own = await self._documents(scope.document_ids, [one for some in chunks.values() for one in some])
            chunks = {id: [one for one in some if one in own] for id, some in chunks.items()}
        found = [Hit(chunk, score) for id, score in best for chunk in chunks.get(id, ())]
        return found[:size]

    async def cosines(self, scope: Scope, vector: Vector, chunk_ids: Sequence[int]) -> dict[int, float]:
        """Cosines of some chunks."""
        chunks = await self._chunks(OF_CHUNKS, chunk_ids)
        best = await self._matrices.best(scope.collection, vector, len(chunks), list(chunks))
        return {chunk: score for id, score in best for chunk in chunks[id]}

    async def with_words(self, scope: Scope, words: Sequence[str], size: int) -> list[Hit]:
        """Chunks that have one of some words, the best first by BM25."""
        if not words:
            return []
        any_of = " OR ".join(_quoted(word) for word in words)
        own = _quoted(scope_of(scope.collection.id))
        values = {"query": f"{{scope}} : {own} AND {{headings text}} : ({any_of})", "size": size}
        statement = sa.text(WORDS)
        if scope.document_ids is not None:
            statement = sa.text(WORDS_OF_SOME).bindparams(sa.bindparam("documents", expanding=True))
            values["documents"] = list(scope.document_ids)
        async with self._database.connect() as connection:
            return [Hit(row[0], -row[1]) for row in await connection.execute(statement, values)]

    async def _chunks(self, query: str, ids: Sequence[int] | Sequence[str]) -> dict[int, list[int]]:
        """Ids of chunks by those of their vectors, of some ids."""
        statement = sa.text(query).bindparams(sa.bindparam("ids", expanding=True))
        found: dict[int, list[int]] = {}
        async with self._database.connect() as connection:
            for start in range(0, len(ids), IDS_AT_ONCE):
                values = {"ids": list(ids[start : start + IDS_AT_ONCE])}
                for vector_id, chunk_id in await connection.execute(statement, values):
                    found.setdefault(vector_id, []).append(chunk_id)
        return found

    async def _documents(self, document_ids: Sequence[str], chunk_ids: Sequence[int]) -> set[int]:
        """Chunks of some documents, among some."""
        columns, found = rag_chunks.c, set()
        async with self._database.connect() as connection:
            for start in range(0, len(chunk_ids), IDS_AT_ONCE):
                some = chunk_ids[start : start + IDS_AT_ONCE]
                query = sa.select(columns.id, columns.document_id).where(columns.id.in_(some))
                found |= {row[0] for row in await connection.execute(query) if row[1] in set(document_ids)}
        return found


def _quoted(word: str) -> str:
    """Word of a caller as FTS5 takes it literally: nothing in it is an operator."""
    return '"' + word.replace('"', '""') + '"'
