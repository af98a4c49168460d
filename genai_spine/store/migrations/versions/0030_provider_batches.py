"""Batches of providers that the items of runs were sent in."""

import sqlalchemy as sa
from alembic import op

revision = "0030_provider_batches"
down_revision = "0029_run_reservations"

TIME = sa.DateTime(timezone=True)
SENT = sa.text("batch_id IS NOT NULL")
OPEN = sa.text("state <> 'ended' AND state <> 'dropped'")


def upgrade() -> None:
    op.create_table(
        "run_provider_batches",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("part", sa.BigInteger, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("item_count", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("batch_id", sa.Text),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("sent_at", TIME),
        sa.Column("looked_at", TIME, nullable=False),
        sa.UniqueConstraint("run_id", "part", name="uq_run_provider_batches_part"),
    )
    op.create_index(
        "uq_run_provider_batches_batch",
        "run_provider_batches",
        ["provider", "batch_id"],
        unique=True,
        sqlite_where=SENT,
        postgresql_where=SENT,
    )
    op.create_index(
        "ix_run_provider_batches_open",
        "run_provider_batches",
        ["run_id"],
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
