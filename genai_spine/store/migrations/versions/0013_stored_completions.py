"""Answers that are stored because their requests said so."""

import sqlalchemy as sa
from alembic import op

revision = "0013_stored_completions"
down_revision = "0012_warnings"


def upgrade() -> None:
    op.create_table(
        "stored_completions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("requested_model", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("execution_id", sa.Text),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("messages", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("body_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    index = "ix_stored_completions_created_at"
    op.create_index(index, "stored_completions", ["tenant", "created_at", "id"])
    op.create_index("ix_stored_completions_expires_at", "stored_completions", ["expires_at"])
