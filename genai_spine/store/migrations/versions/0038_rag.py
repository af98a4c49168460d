"""Collections of documents, and their chunks; vectors and words are made by search_tables.upgrade()."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from genai_spine.store.database import Utc

revision = "0038_rag"
down_revision = "0034_run_providers"

BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _columns(names: str, kind: Any) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False) for name in names.split()]


def upgrade() -> None:
    op.create_table(
        "rag_collections",
        sa.Column("id", sa.Text, primary_key=True),
        *_columns("tenant_id name", sa.Text),
        sa.Column("run_id", sa.Text),
        sa.Column("body", sa.LargeBinary, nullable=False),
        *_columns("dimensions document_count chunk_count revision content_revision", sa.BigInteger),
        *_columns("created_by", sa.Text),
        *_columns("created_at updated_at", Utc),
    )
    op.create_index("uq_rag_collections_name", "rag_collections", ["tenant_id", "name"], unique=True)
    collection = sa.ForeignKey("rag_collections.id", ondelete="CASCADE")
    op.create_table(
        "rag_documents",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("collection_id", sa.Text, collection, nullable=False),
        *_columns("name title media_type", sa.Text),
        *_columns("metadata", sa.JSON),
        *_columns("size_bytes", sa.BigInteger),
        *_columns("sha256", sa.Text),
        *_columns("character_count", sa.BigInteger),
        sa.Column("page_count", sa.BigInteger),
        sa.Column("page_starts", sa.JSON, nullable=False),
        *_columns("empty_pages chunk_count", sa.BigInteger),
        sa.Column("chunking", sa.LargeBinary, nullable=False),
        *_columns("created_at updated_at", Utc),
    )
    op.create_index("uq_rag_documents_name", "rag_documents", ["collection_id", "name"], unique=True)
    op.create_table(
        "rag_chunks",
        sa.Column("id", BIG_ID, primary_key=True, autoincrement=True),
        *_columns("collection_id", sa.Text),
        sa.Column(
            "document_id", sa.Text, sa.ForeignKey("rag_documents.id", ondelete="CASCADE"), nullable=False
        ),
        *_columns("number", sa.BigInteger),
        *_columns("scope headings text speaker", sa.Text),
        *_columns("token_count", sa.BigInteger),
        sa.Column("first_page", sa.BigInteger),
        sa.Column("last_page", sa.BigInteger),
        *_columns("start_offset end_offset", sa.BigInteger),
        *_columns("content_hash", sa.LargeBinary),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_rag_chunks_number", "rag_chunks", ["document_id", "number"], unique=True)
    op.create_index("ix_rag_chunks_content", "rag_chunks", ["collection_id", "content_hash"])
