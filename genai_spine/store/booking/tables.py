"""Tables of the ledger's hash chain. Operators query them, so names stay. Times are UTC."""

import sqlalchemy as sa

from genai_spine.store.database import Utc
from genai_spine.store.tables import metadata

# One row per commit of a process: the versions of rows that it wrote, sealed.
ledger_batches = sa.Table(
    "ledger_batches",
    metadata,
    sa.Column("server_id", sa.Text, primary_key=True),  # name of the chain: the first id of its process
    sa.Column("seq", sa.BigInteger, primary_key=True),  # from 1, without gaps
    sa.Column("hash", sa.LargeBinary, nullable=False),  # keyed BLAKE2b-256
    sa.Column("versions", sa.LargeBinary, nullable=False),  # MessagePack: [[kind, id, digest, seq], ...]
    sa.Column("at", Utc, nullable=False),  # by the database's clock
    sqlite_with_rowid=False,
)

# Settlements that others took the place of.
ledger_amendments = sa.Table(
    "ledger_amendments",
    metadata,
    sa.Column("execution_id", sa.Text, primary_key=True),
    sa.Column("settled_by", sa.Text, primary_key=True),  # this and the next: as the row had them
    sa.Column("settle_seq", sa.BigInteger, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),  # why it was replaced: LATE, RERATED or RESOLVED
    sa.Column("old_json", sa.Text, nullable=False),  # object: columns and their values
    sa.Column("at", Utc, nullable=False),
)

# One row per process that writes a chain.
ledger_chains = sa.Table(
    "ledger_chains",
    metadata,
    sa.Column("server_id", sa.Text, primary_key=True),
    sa.Column("started_at", Utc, nullable=False),
    sa.Column("ended_by", sa.Text),  # the chain that lists its end; NULL: its process lives, or just died
    sa.Index(
        "ix_ledger_chains_open",
        "server_id",
        sqlite_where=sa.text("ended_by IS NULL"),
        postgresql_where=sa.text("ended_by IS NULL"),
    ),
)
