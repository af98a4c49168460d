"""Reservations of runs: what a run with an estimate holds in the counters of budgets."""

import sqlalchemy as sa
from alembic import op

revision = "0029_run_reservations"
down_revision = "0027_budget_retention"

COUNTERS = sa.ARRAY(sa.BigInteger).with_variant(sa.JSON(none_as_null=True), "sqlite")


def upgrade() -> None:
    op.create_table(
        "run_reservations",
        sa.Column("run_id", sa.Text, primary_key=True),
        sa.Column("counters", COUNTERS, nullable=False),
        sa.Column("left_ticks", sa.BigInteger, nullable=False),
    )
