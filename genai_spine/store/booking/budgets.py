"""Budgets and their counters: configuration, periods, and what is spent and reserved."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.store.booking.extensions import LIMIT, Extensions
from genai_spine.store.database import Database, Now
from genai_spine.store.tables import budget_alerts, budget_counters, budgets, executions
from genai_spine.v1.budget_pb2 import (
    BUDGET_PERIOD_DAILY,
    BUDGET_PERIOD_MONTHLY,
    BUDGET_PERIOD_WEEKLY,
    BUDGET_POLICY_WARN,
    Budget,
    BudgetCounter,
    BudgetNode,
    BudgetPeriod,
    BudgetPolicy,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NODE_COLUMNS = {
    "PROJECT": "project_id",
    "KEY": "api_key_id",
    "END_USER": "user_id",
    "RUN": "run_id",
}
CounterKey = tuple[int, str, datetime]  # budget, node and start of the period

_budget, _counter = budgets.c, budget_counters.c


def period_start(period: int, at: datetime) -> datetime:
    """First moment of the period that a time is in; UTC, weeks begin on Monday."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == BUDGET_PERIOD_DAILY:
        return day
    if period == BUDGET_PERIOD_WEEKLY:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == BUDGET_PERIOD_MONTHLY else EPOCH


class BudgetRows:
    """Tables budgets, budget_counters and budget_alerts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changing = asyncio.Lock()
        self.extensions = Extensions(database)  # of reservations

    async def revision(self) -> int:
        """Number of the newest change of any budget; 0: there never was one."""
        async with self._database.connect() as connection:
            return int((await connection.execute(sa.select(sa.func.max(_budget.revision)))).scalar() or 0)

    async def find(self, tenant_id: str | None = None) -> list[Budget]:
        """Budgets of a tenant, or of all, in the order in which they were made."""
        query = sa.select(budgets).order_by(_budget.id)
        if tenant_id is not None:
            query = query.where(_budget.tenant_id == tenant_id)
        async with self._database.connect() as connection:
            return [_message(row) for row in (await connection.execute(query)).mappings()]

    async def upsert(self, budget: Budget) -> Budget:
        """Makes a budget, or changes the one of its tenant, node and period, with the counters that run.

        Its id, revision and create_time are given. A lowered limit counts at the next reservation.
        """
        values = _values(budget)
        named = [
            getattr(_budget, name) == values[name] for name in ("tenant_id", "node", "node_key", "period")
        ]
        async with self._changing, self._database.begin() as connection:
            revision = sa.select(sa.func.coalesce(sa.func.max(_budget.revision), 0) + 1).scalar_subquery()
            known = (
                await connection.execute(
                    sa.update(budgets).where(*named).values(**values, revision=revision).returning(_budget.id)
                )
            ).scalar()
            if known is None:
                row = {**values, "revision": revision, "created_at": Now()}
                known = (
                    await connection.execute(sa.insert(budgets).values(row).returning(_budget.id))
                ).scalar()
            copies = {name: values[name] for name in ("limit_ticks", "raise_ticks", "raise_until")}
            copies["blocks"] = values["enabled"] and budget.policy != BUDGET_POLICY_WARN
            locked = sa.select(_counter.id).where(_counter.budget_id == known).order_by(_counter.id)
            await connection.execute(locked.with_for_update())
            change = sa.update(budget_counters).where(_counter.budget_id == known)
            await connection.execute(change.values(copies))
            stored = await connection.execute(sa.select(budgets).where(_budget.id == known))
            return _message(stored.mappings().one())

    async def delete(self, id: int) -> bool:
        """Whether the budget was there. Its counters stay: calls that run are charged to them."""
        async with self._changing, self._database.begin() as connection:
            # The newest change is told by the highest revision, so another row has to carry it.
            newest = sa.select(sa.func.max(_budget.revision) + 1).scalar_subquery()
            await connection.execute(sa.update(budgets).where(_budget.id != id).values(revision=newest))
            gone = (await connection.execute(sa.delete(budgets).where(_budget.id == id))).rowcount == 1
            blocked = sa.update(budget_counters).where(_counter.budget_id == id)
            await connection.execute(blocked.values(blocks=sa.false()))
        return gone

    async def open_counters(self, keys: Iterable[CounterKey]) -> dict[CounterKey, int]:
        """Ids of counters, made where they are missing; of a budget that is gone there is none.

        One that is made in the middle of its period begins with what the period's rows have cost, and is
        entered into those that are not settled.
        """
        found: dict[CounterKey, int] = {}
        for key in sorted(set(keys)):  # in one order, so that two processes do not wait for each other
            async with self._database.begin_in_turn() as connection:
                query = sa.select(budgets).where(_budget.id == key[0])
                inserted = await connection.execute(self._insert(key))
                id = (await connection.execute(_with_key(sa.select(_counter.id), key))).scalar()
                if id is None:
                    continue
                found[key] = id
                budget = (await connection.execute(query)).mappings().one_or_none()
                if inserted.rowcount == 1 and budget is not None and budget["created_at"] > key[2]:
                    await self._begin_with_rows(connection, id, budget, key)
        return found

    def _insert(self, key: CounterKey) -> sa.Insert:
        budget_id, node_key, start = key
        columns = [_budget.id, _budget.limit_ticks, _budget.raise_ticks, _budget.raise_until]
        blocks = sa.and_(_budget.enabled, _budget.policy != "WARN")
        zero, node = sa.literal(0, sa.BigInteger), sa.literal(node_key, sa.Text)
        opening = sa.literal(start, _counter.period_start.type)
        names = (
            *("budget_id", "limit_ticks", "raise_ticks", "raise_until", "blocks", "node_key"),
            *("period_start", "spent_ticks", "reserved_ticks", "opening_ticks"),
        )
        source = sa.select(*columns, blocks, node, opening, zero, zero, zero).where(_budget.id == budget_id)
        return self._database.insert_new(budget_counters, names, source)

    async def _begin_with_rows(
        self, connection: AsyncConnection, id: int, budget: Any, key: CounterKey
    ) -> None:
        row = executions.c
        within = (*_of_node(budget, key[1]), row.created_at >= key[2])
        is_open = row.state.in_(("PENDING", "LOST"))
        entered = (
            sa.func.json_insert(sa.func.coalesce(row.counters, sa.text("'[]'")), "$[#]", id)
            if self._database.dialect == "sqlite"
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

    async def counters(self, budget_ids: Sequence[int], at: datetime) -> list[BudgetCounter]:
        """Counters of budgets in the periods that a time is in."""
        starts = {period_start(period, at) for period in BudgetPeriod.values() if period}
        query = sa.select(budget_counters, LIMIT.label("most")).where(
            _counter.budget_id.in_(budget_ids), _counter.period_start.in_(starts)
        )
        async with self._database.connect() as connection:
            rows = (await connection.execute(query.order_by(_counter.id))).mappings().all()
        return [_counter_message(row) for row in rows]

    async def alert(self, counter_id: int, percent: int, used_ticks: int) -> bool:
        """Whether it is the first time that the counter passed this percentage."""
        row = {"counter_id": counter_id, "percent": percent, "used_ticks": used_ticks, "at": Now()}
        async with self._database.begin_in_turn() as connection:
            return (await connection.execute(self._database.insert_once(budget_alerts, row))).rowcount == 1


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
    elif node != "TENANT":
        yield getattr(row, NODE_COLUMNS[node]) == node_key


def _values(budget: Budget) -> dict[str, Any]:
    until = budget.raise_end_time.ToDatetime(UTC) if budget.HasField("raise_end_time") else None
    return {
        "tenant_id": budget.tenant_id,
        "node": BudgetNode.Name(budget.node).removeprefix("BUDGET_NODE_"),
        "node_key": budget.node_key,
        "period": BudgetPeriod.Name(budget.period).removeprefix("BUDGET_PERIOD_"),
        "limit_ticks": budget.limit_ticks,
        "policy": BudgetPolicy.Name(budget.policy).removeprefix("BUDGET_POLICY_"),
        "warn_percent": budget.warn_percent,
        "raise_ticks": budget.raise_ticks,
        "raise_until": until,
        "enabled": budget.enabled,
    }


def _message(row: Any) -> Budget:
    budget = Budget(
        node=f"BUDGET_NODE_{row['node']}",
        period=f"BUDGET_PERIOD_{row['period']}",
        policy=f"BUDGET_POLICY_{row['policy']}",
    )
    for name in ("id", "tenant_id", "node_key", "limit_ticks", "warn_percent", "raise_ticks", "enabled"):
        setattr(budget, name, row[name])
    budget.revision = row["revision"]
    budget.create_time.FromDatetime(row["created_at"])
    if row["raise_until"] is not None:
        budget.raise_end_time.FromDatetime(row["raise_until"])
    return budget


def _counter_message(row: Any) -> BudgetCounter:
    counter = BudgetCounter(limit_ticks=row["most"])
    for name in ("id", "budget_id", "node_key", "spent_ticks", "reserved_ticks"):
        setattr(counter, name, row[name])
    counter.period_start_time.FromDatetime(row["period_start"])
    return counter
