"""Reasoning state of session messages, which their providers want back."""

import sqlalchemy as sa
from alembic import op

revision = "0011_reasoning_state"
down_revision = "0010_session_etags"


def upgrade() -> None:
    op.add_column("session_messages", sa.Column("reasoning_state", sa.Text))
