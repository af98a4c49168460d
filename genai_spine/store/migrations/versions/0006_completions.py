"""Answers that are kept for callers who went away."""

import sqlalchemy as sa
from alembic import op

revision = "0006_completions"
down_revision = "0005_response_cache"


def upgrade() -> None:
    op.create_table(
        "completions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("execution_id", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("server_id", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.Column("error_reason", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("error_metadata", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_completions_request_id", "completions", ["request_id"])
    op.create_index("ix_completions_expires_at", "completions", ["expires_at"])
