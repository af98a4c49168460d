"""Costs in full: for what and for whom, and whether the price of a session's messages was known."""

import sqlalchemy as sa
from alembic import op

revision = "0009_costs"
down_revision = "0008_prompts"


def upgrade() -> None:
    op.add_column("executions", sa.Column("principal", sa.Text))
    op.add_column("executions", sa.Column("cost_labels", sa.JSON(none_as_null=True)))
    for name in ("total_price_known", "summary_price_known"):
        op.add_column("sessions", _flag(name, sa.true()))
    op.add_column("session_messages", _flag("price_known", sa.true()))
    op.add_column("session_messages", _flag("is_free", sa.false()))
    op.add_column("session_messages", sa.Column("price_book", sa.Text))
    op.create_table(
        "batch_labels",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("batch_id", sa.Text, primary_key=True),
        sa.Column("cost_labels", sa.JSON(none_as_null=True), nullable=False),
    )


def _flag(name: str, default: sa.ColumnElement[bool]) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=default)
