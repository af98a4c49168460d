"""Files that are kept here, and their content in pieces."""

import sqlalchemy as sa
from alembic import op

revision = "0026_files"
down_revision = "0025_runs"

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("sha256", sa.LargeBinary, primary_key=True),
        sa.Column("piece", sa.BigInteger, primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "stored_files",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME),
    )
    op.create_index("ix_stored_files_tenant", "stored_files", ["tenant_id", "created_at", "id"])
    op.create_index("ix_stored_files_content", "stored_files", ["tenant_id", "sha256"])
    expires = sa.text("expires_at IS NOT NULL")
    op.create_index(
        "ix_stored_files_expiry",
        "stored_files",
        ["expires_at"],
        sqlite_where=expires,
        postgresql_where=expires,
    )
