"""Request log as an option of a key; index of the calls whose repeats by SDKs are found by their body."""

import sqlalchemy as sa
from alembic import op

revision = "0024_access"
down_revision = "0020_request_log"

OF_BODIES = sa.text("substr(key, 1, 5) = 'auto:'")


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("request_log", sa.Boolean))
    op.create_index(
        "ix_idempotent_calls_bodies",
        "idempotent_calls",
        ["tenant_id", "principal", "request_hash", "created_at"],
        sqlite_where=OF_BODIES,
        postgresql_where=OF_BODIES,
    )
