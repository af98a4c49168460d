"""Tables of vectors and words, which each of the databases has in its own way.

SQLite: float32 blobs, and the full-text index FTS5, which triggers keep (https://www.sqlite.org/fts5.html,
2026-11-30). PostgreSQL: the type halfvec of pgvector with HNSW indexes, one for each usual length, which an
index must know (https://github.com/pgvector/pgvector, 0.8.5, 2026-11-30), and tsvector with a GIN index.
"""

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

# Lengths of vectors with an index of their own; others are compared one by one.
INDEXED_DIMENSIONS = (256, 384, 512, 768, 1024, 1536, 2048, 3072)
LANGUAGE = "english"  # whose word stems are indexed; words of other languages are mostly left as they are
TABLES = ("rag_vectors", "rag_words")  # names begin with these, also those that FTS5 makes for itself

ON_SQLITE = (
    """CREATE TABLE IF NOT EXISTS rag_vectors (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        collection_id TEXT NOT NULL REFERENCES rag_collections (id) ON DELETE CASCADE,
        content_hash BLOB NOT NULL,
        vector BLOB NOT NULL)""",
    "CREATE UNIQUE INDEX IF NOT EXISTS uq_rag_vectors ON rag_vectors (collection_id, content_hash)",
    """CREATE VIRTUAL TABLE IF NOT EXISTS rag_words USING fts5 (
        scope, headings, text, content = 'rag_chunks', content_rowid = 'id',
        tokenize = 'porter unicode61 remove_diacritics 2')""",
    """CREATE TRIGGER IF NOT EXISTS rag_words_added AFTER INSERT ON rag_chunks BEGIN
        INSERT INTO rag_words (rowid, scope, headings, text)
        VALUES (new.id, new.scope, new.headings, new.text);
    END""",
    """CREATE TRIGGER IF NOT EXISTS rag_words_deleted AFTER DELETE ON rag_chunks BEGIN
        INSERT INTO rag_words (rag_words, rowid, scope, headings, text)
        VALUES ('delete', old.id, old.scope, old.headings, old.text);
    END""",
)
ON_POSTGRESQL = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    """CREATE TABLE IF NOT EXISTS rag_vectors (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        collection_id TEXT NOT NULL REFERENCES rag_collections (id) ON DELETE CASCADE,
        content_hash BYTEA NOT NULL,
        dimensions INTEGER NOT NULL,
        vector HALFVEC NOT NULL)""",
    "CREATE UNIQUE INDEX IF NOT EXISTS uq_rag_vectors ON rag_vectors (collection_id, content_hash)",
    *(
        f"""CREATE INDEX IF NOT EXISTS ix_rag_vectors_{length} ON rag_vectors
        USING hnsw ((vector::halfvec({length})) halfvec_cosine_ops) WHERE dimensions = {length}"""
        for length in INDEXED_DIMENSIONS
    ),
    """CREATE TABLE IF NOT EXISTS rag_words (
        chunk_id BIGINT PRIMARY KEY REFERENCES rag_chunks (id) ON DELETE CASCADE,
        words TSVECTOR NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS ix_rag_words ON rag_words USING gin (words)",
)

log = structlog.get_logger()


async def upgrade(connection: AsyncConnection) -> None:
    """Makes what is not there yet, also where an older migration could not: the extension came later."""
    if connection.dialect.name == "sqlite":
        for statement in ON_SQLITE:
            await connection.exec_driver_sql(statement)
        return
    try:
        async with connection.begin_nested():
            for statement in ON_POSTGRESQL:
                await connection.exec_driver_sql(statement)
    except sa.exc.DBAPIError as error:  # it is not installed, or this role may not make it
        log.warning("no_vector_store", cause=f"{type(error.orig).__name__}: {error.orig}"[:200])


def scope_of(collection_id: str) -> str:
    """Collection's id as one word of an index."""
    return collection_id.replace("-", "")
