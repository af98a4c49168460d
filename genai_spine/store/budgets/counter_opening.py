"""New counters of budgets: each begins with what its period has cost before it was made."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.store.budgets.messages import PERIOD
from genai_spine.store.budgets.periods import period_end
from genai_spine.store.database import Database
from genai_spine.store.runs.tables import runs
from genai_spine.store.tables import budget_counters, budgets, executions
from genai_spine.v1.budget_pb2 import BudgetPeriod

NODE_COLUMNS = {
    "PROJECT": "project_id",
    "KEY": "api_key_id",
    "END_USER": "user_id",
}
CounterKey = tuple[int, str, datetime]  # budget, node and start of the period

_budget, _counter = budgets.c, budget_counters.c


async def opened(
    database: Database, connection: AsyncConnection, key: CounterKey, kept: timedelta
) -> int | None:
    """Id of a counter, which is made where it is missing; None: its budget is gone.

    kept: how long it stays after its period.
    """
    query = sa.select(budgets).where(_budget.id == key[0])
    inserted = await connection.execute(_insert(database, key, kept))
    id: int | None = (await connection.execute(_with_key(sa.select(_counter.id), key))).scalar()
    if id is None or inserted.rowcount != 1:
        return id
    budget = (await connection.execute(query)).mappings().one_or_none()
    if budget is not None and budget["created_at"] > key[2]:
        await _begin_with_rows(database.dialect, connection, id, [*_of_node(budget, key[1])], key[2])
    return id


def _insert(database: Database, key: CounterKey, kept: timedelta) -> sa.Insert:
    budget_id, node_key, start = key
    columns = [_budget.id, _budget.limit_ticks, _budget.raise_ticks, _budget.raise_until]
    blocks = sa.and_(_budget.enabled, _budget.policy != "WARN")
    zero, node = sa.literal(0, sa.BigInteger), sa.literal(node_key, sa.Text)
    opening = sa.literal(start, _counter.period_start.type)
    names = (
        *("budget_id", "limit_ticks", "raise_ticks", "raise_until", "blocks", "node_key"),
        *("period_start", "spent_ticks", "reserved_ticks", "opening_ticks", "expires_at"),
    )
    end = _expires_at(start, kept)
    source = sa.select(*columns, blocks, node, opening, zero, zero, zero, end).where(_budget.id == budget_id)
    return database.insert_new(budget_counters, names, source)


def _expires_at(start: datetime, kept: timedelta) -> sa.ColumnElement[datetime | None]:
    """End of a counter, of each kind of period that its budget may have; NULL: of TOTAL."""
    type, ends = _counter.expires_at.type, {}
    for name, period in BudgetPeriod.items():
        if (end := period_end(period, start)) is not None:
            ends[name.removeprefix(PERIOD)] = sa.literal(end + kept, type)
    return sa.case(ends, value=_budget.period, else_=sa.null())


async def _begin_with_rows(
    dialect: str, connection: AsyncConnection, id: int, of_node: list[Any], start: datetime
) -> None:
    """Gives a counter what executions of its node have cost and hold, and enters it into the open ones."""
    row = executions.c
    within = (*of_node, row.created_at >= start)
    is_open = row.state.in_(("PENDING", "LOST"))
    entered = (
        sa.func.json_insert(sa.func.coalesce(row.counters, sa.text("'[]'")), "$[#]", id)
        if dialect == "sqlite"
        else sa.func.array_append(row.counters, sa.cast(id, sa.BigInteger))
    )
    locked = sa.select(row.id).where(*within, is_open).order_by(row.id)  # in the order of settlements
    await connection.execute(locked.with_for_update())
    held = await connection.execute(
        sa.update(executions)
        .where(*within, is_open)
        .values(counters=entered)
        .returning(row.cost_ticks, row.held_ticks)
    )
    cost, reserved = (sum(numbers) for numbers in zip((0, 0), *held.all(), strict=True))
    settled = sa.select(sa.func.coalesce(sa.func.sum(row.cost_ticks), 0)).where(*within, ~is_open)
    opening = int((await connection.execute(settled)).scalar_one())
    change = sa.update(budget_counters).where(_counter.id == id)
    await connection.execute(
        change.values(
            spent_ticks=_counter.spent_ticks + opening + cost,
            reserved_ticks=_counter.reserved_ticks + reserved,
            opening_ticks=opening,
        )
    )


def _with_key(query: sa.Select[Any], key: CounterKey) -> sa.Select[Any]:
    budget_id, node_key, start = key
    same = (_counter.budget_id == budget_id, _counter.node_key == node_key)
    return query.where(*same, _counter.period_start == start)


def _of_node(budget: Any, node_key: str) -> Iterator[sa.ColumnElement[bool]]:
    """Conditions of the executions that a budget counts for one of its nodes."""
    row, node = executions.c, budget["node"]
    yield row.tenant_id == (node_key if node == "TENANT" else budget["tenant_id"])
    if node == "LABEL":
        name, _, value = node_key.partition("=")
        yield row.cost_labels[name].as_string() == value
    elif node == "RUN":
        yield row.run_id.in_(_with_children(node_key))
    elif node != "TENANT":
        yield getattr(row, NODE_COLUMNS[node]) == node_key


def _with_children(run_id: str) -> sa.Select[Any]:
    """Ids of a run and of all runs below it."""
    tree = sa.select(sa.literal(run_id, sa.Text).label("id")).cte("tree", recursive=True)
    tree = tree.union(sa.select(runs.c.id).join(tree, runs.c.parent_run_id == tree.c.id))
    return sa.select(tree.c.id)
