"""Calls with an idempotency key, and the messages of their streams."""

import sqlalchemy as sa
from alembic import op

revision = "0018_idempotency"
down_revision = "0017_money"


def upgrade() -> None:
    op.create_table(
        "idempotent_calls",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("call_id", sa.BigInteger, nullable=False, unique=True),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("request_hash", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("server_id", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("headers", sa.Text),
        sa.Column("body", sa.LargeBinary),
        sa.Column("completion_id", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("last_seq", sa.BigInteger),
        sa.Column("followed_until", sa.DateTime(timezone=True)),
        sa.Column("blocks_until", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "principal", "key"),
    )
    op.create_index("ix_idempotent_calls_expires_at", "idempotent_calls", ["expires_at"])
    ended = sa.text("blocks_until IS NOT NULL")
    op.create_index(
        "ix_idempotent_calls_blocks_until",
        "idempotent_calls",
        ["blocks_until"],
        sqlite_where=ended,
        postgresql_where=ended,
    )
    op.create_table(
        "stream_blocks",
        sa.Column("call_id", sa.BigInteger, nullable=False),
        sa.Column("first_seq", sa.BigInteger, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("call_id", "first_seq"),
        sqlite_with_rowid=False,
    )
