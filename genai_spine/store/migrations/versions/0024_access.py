"""Request log as an option of a key; indexes of calls that SDKs repeat, and of answers that are stored."""

import sqlalchemy as sa
from alembic import op

revision = "0024_access"
down_revision = "0023_ledger_chain"

OF_BODIES = sa.text("substr(key, 1, 5) = 'auto:'")

STORED = sa.text("substr(provider_response_id, 1, 5) = 'resp_'")


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("request_log", sa.Boolean))
    op.create_index(
        "ix_idempotent_calls_bodies",
        "idempotent_calls",
        ["tenant_id", "principal", "request_hash", "created_at"],
        sqlite_where=OF_BODIES,
        postgresql_where=OF_BODIES,
    )
    op.create_index(
        "ix_executions_stored_answers",
        "executions",
        ["provider_response_id"],
        sqlite_where=STORED,
        postgresql_where=STORED,
    )
