"""Tables of usage: sums of the ledger by hour and by day, and the hours whose sums are out of date.

Triggers of the table executions write usage_changes, in the transaction that settles or changes a row; so no
writer of the ledger can forget it. Each adds a row of its own: an entry that is shared would have to be
locked, or could be deleted by who has not seen the change.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from genai_spine.store.database import Utc
from genai_spine.store.tables import executions, metadata

# Column of the rollup -> column of executions. What a row does not have is an empty text.
DIMENSIONS = {
    "tenant_id": "tenant_id",
    "project_id": "project_id",
    "api_key_id": "api_key_id",
    "provider": "provider",
    "model": "model",
    "operation": "operation",
    "capability": "capability",
    "prompt_id": "prompt_id",
    "user_id": "user_id",
    "labels": "cost_labels",  # JSON object, its keys sorted
}
BUCKETS = (
    *("uncached_input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"),
    *("audio_input_tokens", "image_input_tokens", "visible_output_tokens", "reasoning_tokens"),
    "audio_output_tokens",
)
ROW = executions.c
# Settled rows that count as estimated; media without tokens has no provenance.
_ESTIMATED = ("PARTIAL_STREAM", "ESTIMATED", "UNKNOWN")
_is_estimated = sa.or_(
    sa.func.coalesce(ROW.input_provenance, "").in_(_ESTIMATED),
    sa.func.coalesce(ROW.output_provenance, "").in_(_ESTIMATED),
)
# Column of the rollup -> what each settled row of the ledger adds to it.
MEASURES: dict[str, sa.ColumnElement[Any]] = {
    "request_count": sa.literal_column("1"),
    "succeeded_count": sa.case((ROW.state == "SUCCEEDED", 1), else_=0),
    "unpriced_count": sa.case((ROW.price_known, 0), else_=1),
    "input_tokens": ROW.input_tokens,
    "output_tokens": ROW.output_tokens,
    **{name: ROW[name] for name in BUCKETS},
    "cost_ticks": ROW.cost_ticks,
    "estimated_ticks": sa.case((_is_estimated, ROW.cost_ticks), else_=0),
    "discarded_ticks": sa.case((ROW.wasted, ROW.cost_ticks), else_=0),
    "latency_ms": ROW.latency_ms,
}

# What the calls of one hour that have these things in common used and cost.
usage_rollup = sa.Table(
    "usage_rollup",
    metadata,
    sa.Column("hour", Utc, nullable=False),  # in which they began
    sa.Column("day", Utc, nullable=False),  # first moment of its day
    *(sa.Column(name, sa.Text, nullable=False) for name in DIMENSIONS),
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in MEASURES),
    sa.Index("ix_usage_rollup_tenant", "tenant_id", "day"),
    sa.Index("ix_usage_rollup_day", "day", "hour"),
)


def _by_day(name: str, dimensions: Iterable[str]) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        sa.Column("day", Utc, nullable=False),  # its first moment
        *(sa.Column(name, sa.Text, nullable=False) for name in dimensions),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in MEASURES),
        sa.Index(f"ix_{name}_tenant", "tenant_id", "day"),
        sa.Index(f"ix_{name}_day", "day"),
    )


# The same by day, and by day for questions about few of these things: fewer rows, the answer sooner.
FEW_DIMENSIONS = ("tenant_id", "project_id", "api_key_id", "provider", "model", "operation", "capability")
usage_rollup_days = _by_day("usage_rollup_days", DIMENSIONS)
usage_rollup_models = _by_day("usage_rollup_models", FEW_DIMENSIONS)

# Hours with settled rows that usage_rollup does not have, or has as they were before.
usage_changes = sa.Table(
    "usage_changes",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("hour", Utc, nullable=False),
    sa.Column("next_hour", Utc, nullable=False),
    sa.Column("day", Utc, nullable=False),
    sa.Index("ix_usage_changes_hour", "hour"),
)

# One row; who rolls up locks it.
usage_rollup_state = sa.Table(
    "usage_rollup_state",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("rolled_at", Utc),
)

# All tenants together; operators know this table from the older service.
daily_costs = sa.Table(
    "daily_costs",
    metadata,
    sa.Column("date", sa.Date, primary_key=True),  # UTC
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("total_input_tokens", sa.BigInteger, nullable=False),
    sa.Column("total_output_tokens", sa.BigInteger, nullable=False),
    sa.Column("total_cost_usd", sa.Double, nullable=False),  # total_cost_ticks / 1e10
    sa.Column("request_count", sa.BigInteger, nullable=False),
    sa.Column("total_cost_ticks", sa.BigInteger, nullable=False),  # 1e-10 USD
    sa.Column("cost_estimated_ticks", sa.BigInteger, nullable=False),
)


class Hour(FunctionElement[Any]):
    """First moment of the hour, UTC, that a time is in."""

    type = Utc()
    inherit_cache = True


@compiles(Hour, "postgresql")
def _postgresql_hour(element: Hour, compiler: Any, **kw: Any) -> str:
    return f"date_trunc('hour', {compiler.process(element.clauses, **kw)}, 'UTC')"


@compiles(Hour, "sqlite")
def _sqlite_hour(element: Hour, compiler: Any, **kw: Any) -> str:
    return f"(substr({compiler.process(element.clauses, **kw)}, 1, 13) || ':00:00.000000')"


class Day(FunctionElement[str]):
    """Day of a time, UTC, as YYYY-MM-DD."""

    type = sa.Text()
    inherit_cache = True


@compiles(Day, "postgresql")
def _postgresql_day(element: Day, compiler: Any, **kw: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **kw)} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"


@compiles(Day, "sqlite")
def _sqlite_day(element: Day, compiler: Any, **kw: Any) -> str:
    return f"substr({compiler.process(element.clauses, **kw)}, 1, 10)"


class LabelValue(FunctionElement[str]):
    """Value of a cost label in a text that is a JSON object of texts, or empty; NULL: it has none."""

    type = sa.Text()
    inherit_cache = True

    def __init__(self, labels: sa.ColumnElement[str], key: str) -> None:
        super().__init__(labels, sa.literal(key, sa.Text))


@compiles(LabelValue, "postgresql")
def _postgresql_label(element: LabelValue, compiler: Any, **kw: Any) -> str:
    labels, key = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"(CAST(nullif({labels}, '') AS json) ->> {key})"


@compiles(LabelValue, "sqlite")
def _sqlite_label(element: LabelValue, compiler: Any, **kw: Any) -> str:
    labels, key = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"json_extract(nullif({labels}, ''), '$.\"' || {key} || '\"')"


def dimension(name: str) -> sa.ColumnElement[str]:
    """Dimension of the rollup as the ledger has it; empty where it has none."""
    column = ROW[DIMENSIONS[name]]
    text = sa.cast(column, sa.Text) if name == "labels" else column
    return sa.func.coalesce(text, "")


def summed(column: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """Sum as a whole number; PostgreSQL would make a decimal number of it."""
    return sa.cast(sa.func.coalesce(sa.func.sum(column), 0), sa.BigInteger)
