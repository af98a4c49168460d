"""Counters of budgets expire after their period; alerts are found by their age."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

from genai_spine.store.database import Utc

revision = "0027_budget_retention"
down_revision = "0026_files"

EXPIRES = sa.text("expires_at IS NOT NULL")
KEPT = timedelta(days=400)  # the default of GENAI_BUDGET_COUNTERS_DAYS
DAYS = {"DAILY": 1, "WEEKLY": 7, "MONTHLY": 31}  # of a period, at most
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # start of TOTAL

_budgets = sa.table("budgets", sa.column("id"), sa.column("period"))
_counters = sa.table(
    "budget_counters", sa.column("budget_id"), sa.column("period_start", Utc), sa.column("expires_at", Utc)
)


def upgrade() -> None:
    op.add_column("budget_counters", sa.Column("expires_at", Utc))
    _expire()
    op.create_index(
        "ix_budget_counters_expires_at",
        "budget_counters",
        ["expires_at"],
        sqlite_where=EXPIRES,
        postgresql_where=EXPIRES,
    )
    op.create_index("ix_budget_alerts_at", "budget_alerts", ["at"])


def _expire() -> None:
    """Gives the counters that are there their end, all of one period's start at once."""
    connection, counter = op.get_bind(), _counters.c
    period = sa.select(_budgets.c.period).where(_budgets.c.id == counter.budget_id).scalar_subquery()
    kind = sa.func.coalesce(period, "MONTHLY")  # of a budget that is gone
    found = connection.execute(sa.select(counter.period_start, kind).distinct()).all()
    for start, name in found:
        if name != "TOTAL":
            begins = datetime.now(UTC) if start == EPOCH else start
            change = sa.update(_counters).where(counter.period_start == start, kind == name)
            connection.execute(change.values(expires_at=begins + timedelta(days=DAYS[name]) + KEPT))
