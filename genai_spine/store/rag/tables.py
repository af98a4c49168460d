"""Tables of retrieval: collections, documents and chunks; vectors and words are in search_tables.

Columns that only one of the databases can have, vectors and indexes of words, are kept apart from these, so
that a PostgreSQL without the extension pgvector has all but them.
"""

import sqlalchemy as sa

from genai_spine.store.database import Utc
from genai_spine.store.tables import metadata

BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite numbers rows by INTEGER alone

rag_collections = sa.Table(
    "rag_collections",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text),  # that it is deleted behind; null: it is kept
    sa.Column("body", sa.LargeBinary, nullable=False),  # Collection: what the caller set
    sa.Column("dimensions", sa.BigInteger, nullable=False),  # of its vectors; 0: it has none yet
    sa.Column("document_count", sa.BigInteger, nullable=False),
    sa.Column("chunk_count", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),  # counts changes of the settings: the etag
    sa.Column("content_revision", sa.BigInteger, nullable=False),  # counts changes of documents
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("updated_at", Utc, nullable=False),
    sa.Index("uq_rag_collections_name", "tenant_id", "name", unique=True),
)

rag_documents = sa.Table(
    "rag_documents",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column(
        "collection_id", sa.Text, sa.ForeignKey("rag_collections.id", ondelete="CASCADE"), nullable=False
    ),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("media_type", sa.Text, nullable=False),
    sa.Column("metadata", sa.JSON, nullable=False),  # texts by their keys
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),  # of the content, hexadecimal
    sa.Column("character_count", sa.BigInteger, nullable=False),
    sa.Column("page_count", sa.BigInteger),
    sa.Column("page_starts", sa.JSON, nullable=False),  # characters before each page
    sa.Column("empty_pages", sa.BigInteger, nullable=False),
    sa.Column("chunk_count", sa.BigInteger, nullable=False),
    sa.Column("chunking", sa.LargeBinary, nullable=False),  # RagChunking
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("updated_at", Utc, nullable=False),
    sa.Index("uq_rag_documents_name", "collection_id", "name", unique=True),
)

rag_chunks = sa.Table(
    "rag_chunks",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True, autoincrement=True),
    sa.Column("collection_id", sa.Text, nullable=False),
    sa.Column("document_id", sa.Text, sa.ForeignKey("rag_documents.id", ondelete="CASCADE"), nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),  # within the document, from 0
    sa.Column("scope", sa.Text, nullable=False),  # the collection's id as one word, for indexes of words
    sa.Column("headings", sa.Text, nullable=False),  # above the chunk, a line each
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("speaker", sa.Text, nullable=False),
    sa.Column("token_count", sa.BigInteger, nullable=False),
    sa.Column("first_page", sa.BigInteger),
    sa.Column("last_page", sa.BigInteger),
    sa.Column("start_offset", sa.BigInteger, nullable=False),  # characters of the document's text
    sa.Column("end_offset", sa.BigInteger, nullable=False),
    sa.Column("content_hash", sa.LargeBinary, nullable=False),  # SHA-256 of what is embedded
    sa.Index("uq_rag_chunks_number", "document_id", "number", unique=True),
    sa.Index("ix_rag_chunks_content", "collection_id", "content_hash"),
    sqlite_autoincrement=True,
)
