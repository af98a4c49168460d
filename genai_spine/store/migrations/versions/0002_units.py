"""Columns for what a call consumed besides tokens, and whether its answer was thrown away."""

import sqlalchemy as sa
from alembic import op

revision = "0002_units"
down_revision = "0001_executions"


def upgrade() -> None:
    for name in ("audio_ms", "characters", "images"):
        op.add_column("executions", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    wasted = sa.Column("wasted", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("executions", wasted)
