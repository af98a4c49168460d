"""Budgets that come from settings, and alerts as an outbox: what a webhook is to be told, and when."""

import sqlalchemy as sa
from alembic import op

revision = "0021_budgets"
down_revision = "0020_request_log"

TIME = sa.DateTime(timezone=True)
PENDING = sa.text("state = 'PENDING'")


def upgrade() -> None:
    op.add_column(
        "budgets", sa.Column("from_settings", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.create_index("ix_budget_counters_period", "budget_counters", ["budget_id", "period_start", "id"])
    # Its primary key grows, which SQLite cannot change in place.
    op.execute(
        "CREATE TABLE budget_alerts_before AS"
        " SELECT a.counter_id, a.percent, c.limit_ticks, a.used_ticks, a.at"
        " FROM budget_alerts a JOIN budget_counters c ON c.id = a.counter_id"
    )
    op.drop_table("budget_alerts")
    op.create_table(
        "budget_alerts",
        sa.Column("counter_id", sa.BigInteger, nullable=False),
        sa.Column("percent", sa.BigInteger, nullable=False),
        sa.Column("limit_ticks", sa.BigInteger, nullable=False),
        sa.Column("used_ticks", sa.BigInteger, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("id", sa.Text),
        sa.Column("event", sa.JSON(none_as_null=True)),
        sa.Column("state", sa.Text),
        sa.Column("attempts", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("next_attempt_at", TIME),
        sa.PrimaryKeyConstraint("counter_id", "percent", "limit_ticks"),
    )
    op.execute(
        "INSERT INTO budget_alerts (counter_id, percent, limit_ticks, used_ticks, at)"
        " SELECT counter_id, percent, limit_ticks, used_ticks, at FROM budget_alerts_before"
    )
    op.drop_table("budget_alerts_before")
    op.create_index(
        "ix_budget_alerts_pending",
        "budget_alerts",
        ["next_attempt_at"],
        sqlite_where=PENDING,
        postgresql_where=PENDING,
    )
