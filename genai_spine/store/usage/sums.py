"""Sums of usage for readers: from the rollup where it is up to date, from the ledger where it is not.

One statement reads both and the entries that say which is which, so an answer is that of one moment: each
settled call counts once, the last one too.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from genai_spine.store.database import Database
from genai_spine.store.tables import executions
from genai_spine.store.usage.tables import (
    DIMENSIONS,
    FEW_DIMENSIONS,
    MEASURES,
    ROW,
    Day,
    LabelValue,
    dimension,
    summed,
    usage_changes,
    usage_rollup,
    usage_rollup_days,
    usage_rollup_models,
)

# Of calls whose number is small: these are read in the ledger alone, which has an index for each.
LEDGER_ONLY = ("run_id", "correlation_id", "session_id")
LABEL = "label:"  # before the key of a cost label
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """Calls that are added up: of a tenant, begun in [start, end), both first moments of a day."""

    tenant: str
    start: datetime
    end: datetime
    equal: Mapping[str, str] = field(default_factory=dict)  # column -> value
    labels: Mapping[str, str] = field(default_factory=dict)
    is_service_wide: bool = False  # calls of all tenants

    def columns(self, by: Sequence[str]) -> set[str]:
        """Columns that the question, asked by these, is about."""
        named = {"labels" if name.startswith(LABEL) else name for name in by if name != "day"}
        return named | set(self.equal) | ({"labels"} if self.labels else set())


class UsageSums:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def by(self, question: Question, *names: str) -> list[tuple[Key, Mapping[str, int]]]:
        """Sums of MEASURES by the columns that are named, `day` or label:KEY; in the order of the keys."""
        async with self._database.connect() as connection:
            rows = (await connection.execute(_statement(question, names))).mappings().all()
        return [_entry(row, len(names)) for row in rows]

    async def stream(self, question: Question, *names: str) -> AsyncGenerator[tuple[Key, Mapping[str, int]]]:
        """The same, read piece by piece."""
        statement = _statement(question, names)
        async with (
            self._database.begin() as connection,
            connection.stream(statement) as rows,
        ):  # a cursor needs a transaction
            async for row in rows.mappings():
                yield _entry(row, len(names))


def _entry(row: sa.RowMapping, keys: int) -> tuple[Key, Mapping[str, int]]:
    return tuple(row[f"key_{place}"] for place in range(keys)), {name: row[name] for name in MEASURES}


def _statement(question: Question, names: Sequence[str]) -> Any:
    columns = question.columns(names)
    if columns & set(LEDGER_ONLY):
        parts = [_of_ledger(question, names)]
    else:
        days = usage_rollup_models if columns <= set(FEW_DIMENSIONS) else usage_rollup_days
        changed = sa.select(usage_changes.c.day)
        parts = [
            _of_rollup(question, names, days.c).where(days.c.day.not_in(changed)),
            _of_hours(question, names).where(usage_rollup.c.day.in_(changed)),
            _of_changed_hours(question, names),
        ]
    found = sa.union_all(*parts).subquery()
    keys = [found.c[f"key_{place}"] for place in range(len(names))]
    sums = [summed(found.c[name]).label(name) for name in MEASURES]
    return sa.select(*keys, *sums).group_by(*keys).order_by(*keys)


def _of_hours(question: Question, names: Sequence[str]) -> Any:
    """From the hours' sums, of hours that are up to date; days are read where all of their hours are."""
    table = usage_rollup.c
    changed = sa.select(usage_changes.c.hour)
    return _of_rollup(question, names, table).where(table.hour.not_in(changed))


def _of_rollup(question: Question, names: Sequence[str], table: Any) -> Any:
    def column(name: str) -> sa.ColumnElement[str]:
        return table[name]  # type: ignore[no-any-return]

    keys = _keys(names, Day(table.day), column)
    sums = [summed(table[name]).label(name) for name in MEASURES]
    query: Any = sa.select(*keys, *sums).where(
        *_of_tenant(question, table.tenant_id), table.day >= question.start, table.day < question.end
    )
    return query.where(*_filters(question, column)).group_by(*_places(keys))


def _of_changed_hours(question: Question, names: Sequence[str]) -> Any:
    entry = usage_changes.c
    hours = sa.select(entry.hour, entry.next_hour).distinct().subquery()
    within = sa.and_(ROW.created_at >= hours.c.hour, ROW.created_at < hours.c.next_hour)
    return _of_ledger(question, names).join_from(hours, executions, within)


def _of_ledger(question: Question, names: Sequence[str]) -> Any:
    def column(name: str) -> sa.ColumnElement[str]:
        return dimension(name) if name in DIMENSIONS else sa.func.coalesce(ROW[name], "")

    keys = _keys(names, Day(ROW.created_at), column)
    sums = [summed(measure).label(name) for name, measure in MEASURES.items()]
    query: Any = sa.select(*keys, *sums).where(
        *_of_tenant(question, ROW.tenant_id),
        ROW.created_at >= question.start,
        ROW.created_at < question.end,
        ROW.state != "PENDING",
    )
    by_index = [ROW[name] == value for name, value in question.equal.items() if name in LEDGER_ONLY]
    return query.where(*by_index, *_filters(question, column)).group_by(*_places(keys))


def _keys(
    names: Sequence[str], day: sa.ColumnElement[str], column: Callable[[str], sa.ColumnElement[str]]
) -> list[sa.ColumnElement[str]]:
    found: list[sa.ColumnElement[str]] = []
    for place, name in enumerate(names):
        if name == "day":
            key = day
        elif name.startswith(LABEL):
            key = sa.func.coalesce(LabelValue(column("labels"), name.removeprefix(LABEL)), "")
        else:
            key = column(name)
        found.append(key.label(f"key_{place}"))
    return found


def _places(keys: Sequence[Any]) -> list[sa.ColumnElement[Any]]:
    """Keys by their places in the list of columns; by none, everything is one group."""
    return [sa.literal_column(str(place + 1)) for place in range(len(keys))]


def _of_tenant(question: Question, column: Any) -> list[sa.ColumnElement[bool]]:
    return [] if question.is_service_wide else [column == question.tenant]


def _filters(
    question: Question, column: Callable[[str], sa.ColumnElement[str]]
) -> list[sa.ColumnElement[bool]]:
    equal = [column(name) == value for name, value in question.equal.items() if name not in LEDGER_ONLY]
    labels = [LabelValue(column("labels"), key) == value for key, value in question.labels.items()]
    return equal + labels
