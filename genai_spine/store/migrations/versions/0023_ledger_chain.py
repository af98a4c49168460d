"""Hash chain of the ledger: batches of what was written, and settlements that others took the place of."""

import sqlalchemy as sa
from alembic import op

revision = "0023_ledger_chain"
down_revision = "0022_limits"

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "ledger_batches",
        sa.Column("server_id", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("versions", sa.LargeBinary, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ledger_amendments",
        sa.Column("execution_id", sa.Text, primary_key=True),
        sa.Column("settled_by", sa.Text, primary_key=True),
        sa.Column("settle_seq", sa.BigInteger, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("old_json", sa.Text, nullable=False),
        sa.Column("at", TIME, nullable=False),
    )
    op.create_table(
        "ledger_chains",
        sa.Column("server_id", sa.Text, primary_key=True),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("ended_by", sa.Text),
    )
    is_open = sa.text("ended_by IS NULL")
    op.create_index(
        "ix_ledger_chains_open",
        "ledger_chains",
        ["server_id"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
