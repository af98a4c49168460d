"""Reservations in executions, and budgets with their counters; an attempt of a request is one row."""

import sqlalchemy as sa
from alembic import op

revision = "0017_money"
down_revision = "0016_price_inputs"

BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TIME = sa.DateTime(timezone=True)
# Lines of a batch were all attempt 1, and a client may have given one id to several requests.
RENUMBER = """
UPDATE executions SET attempt = numbered.number FROM (
    SELECT id, row_number() OVER (PARTITION BY request_id ORDER BY attempt, created_at, id) AS number
    FROM executions WHERE request_id IN (
        SELECT request_id FROM executions GROUP BY request_id, attempt HAVING count(*) > 1
    )
) AS numbered WHERE numbered.id = executions.id
"""


def upgrade() -> None:
    counters = sa.ARRAY(sa.BigInteger).with_variant(sa.JSON(none_as_null=True), "sqlite")
    for column in (
        sa.Column("est_ticks", sa.BigInteger),
        sa.Column("held_ticks", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("counters", counters),
        sa.Column("resolution", sa.Text),
        sa.Column("intent_seq", sa.BigInteger),
        sa.Column("settled_by", sa.Text),
        sa.Column("settle_seq", sa.BigInteger),
    ):
        op.add_column("executions", column)
    op.execute(RENUMBER)
    op.create_index("ux_executions_attempt", "executions", ["request_id", "attempt"], unique=True)
    op.drop_index("ix_executions_request_id", "executions")
    op.create_table(
        "budgets",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("node_key", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("limit_ticks", sa.BigInteger, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("warn_percent", sa.BigInteger, nullable=False),
        sa.Column("raise_ticks", sa.BigInteger, nullable=False),
        sa.Column("raise_until", TIME),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.UniqueConstraint("tenant_id", "node", "node_key", "period", name="uq_budgets_node"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "budget_counters",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("budget_id", sa.BigInteger, nullable=False),
        sa.Column("node_key", sa.Text, nullable=False),
        sa.Column("period_start", TIME, nullable=False),
        sa.Column("limit_ticks", sa.BigInteger, nullable=False),
        sa.Column("raise_ticks", sa.BigInteger, nullable=False),
        sa.Column("raise_until", TIME),
        sa.Column("blocks", sa.Boolean, nullable=False),
        sa.Column("spent_ticks", sa.BigInteger, nullable=False),
        sa.Column("reserved_ticks", sa.BigInteger, nullable=False),
        sa.Column("opening_ticks", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("budget_id", "node_key", "period_start", name="uq_budget_counters_period"),
        sqlite_autoincrement=True,
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "budget_alerts",
        sa.Column("counter_id", sa.BigInteger, primary_key=True),
        sa.Column("percent", sa.BigInteger, primary_key=True),
        sa.Column("used_ticks", sa.BigInteger, nullable=False),
        sa.Column("at", TIME, nullable=False),
    )
