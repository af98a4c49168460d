"""How often a session was changed, which is its etag."""

import sqlalchemy as sa
from alembic import op

revision = "0010_session_etags"
down_revision = "0009_costs"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"))
