"""Rate limits of keys and tenants, and what is counted for them."""

import sqlalchemy as sa
from alembic import op

revision = "0022_limits"
down_revision = "0021_budgets"

BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
NUMBERS = ("minute", "requests", "tokens", "earlier_requests", "earlier_tokens", "running")


def upgrade() -> None:
    for table in ("tenants", "api_keys"):
        op.add_column(table, sa.Column("limits", sa.JSON(none_as_null=True)))
    op.create_table(
        "rate_counters",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("subject", sa.Text, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in NUMBERS),
        sa.UniqueConstraint("subject", name="uq_rate_counters_subject"),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "rate_calls",
        sa.Column("execution_id", sa.Text, primary_key=True),
        sa.Column("minute", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column(
            "counters",
            sa.ARRAY(sa.BigInteger).with_variant(sa.JSON(none_as_null=True), "sqlite"),
            nullable=False,
        ),
    )
