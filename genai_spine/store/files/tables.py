"""Tables of files that are kept here: their content in pieces, shared by equal files of a tenant."""

import sqlalchemy as sa

from genai_spine.store.database import Utc
from genai_spine.store.tables import metadata

blobs = sa.Table(
    "blobs",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("sha256", sa.LargeBinary, primary_key=True),
    sa.Column("piece", sa.BigInteger, primary_key=True),  # from 0; each but the last one has PIECE_BYTES
    sa.Column("data", sa.LargeBinary, nullable=False),
)

stored_files = sa.Table(
    "stored_files",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # file-..., as OpenAI's
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("filename", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("expires_at", Utc),
    sa.Index("ix_stored_files_tenant", "tenant_id", "created_at", "id"),
    sa.Index("ix_stored_files_content", "tenant_id", "sha256"),
    sa.Index(
        "ix_stored_files_expiry",
        "expires_at",
        sqlite_where=sa.text("expires_at IS NOT NULL"),
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    ),
)
