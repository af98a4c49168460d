"""Budgets and their counters: configuration, and what is spent and reserved."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.errors import BudgetNotFound, EtagMismatch
from genai_spine.store.access import audit
from genai_spine.store.access.audit import SealedEntry
from genai_spine.store.budgets import counter_opening
from genai_spine.store.budgets.counter_opening import CounterKey
from genai_spine.store.budgets.extensions import LIMIT, Extensions
from genai_spine.store.budgets.messages import NODE, PERIOD, budget_of, budget_values, counter_of
from genai_spine.store.budgets.periods import period_start
from genai_spine.store.database import Database, Now
from genai_spine.store.sweeper import delete_expired
from genai_spine.store.tables import budget_counters, budgets
from genai_spine.v1.budget_pb2 import BUDGET_POLICY_WARN, Budget, BudgetCounter, BudgetNode, BudgetPeriod
from genai_spine.v1.budget_service_pb2 import ListBudgetsRequest

NAMED_BY = ("tenant_id", "node", "node_key", "period")  # no two budgets have the same of all of them

_budget, _counter = budgets.c, budget_counters.c
_of_one_run = sa.and_(_budget.node == "RUN", _budget.node_key != "*")


class Revision(NamedTuple):
    """State of all budgets: every change of one changes it, and it never comes back."""

    newest: int
    last_id: int
    budgets: int


class BudgetRows:
    """Tables budgets and budget_counters."""

    def __init__(self, database: Database, *, counters_days: int = 400) -> None:
        """counters_days: that a counter is kept after its period, or of TOTAL after its budget."""
        self._database = database
        self._kept = timedelta(days=counters_days)
        self.extensions = Extensions(database)  # of reservations

    async def revision(self) -> Revision:
        """State of all budgets but those of single runs, to be compared with a later one."""
        newest, last = sa.func.max(_budget.revision), sa.func.max(_budget.id)
        query = sa.select(sa.func.coalesce(newest, 0), sa.func.coalesce(last, 0), sa.func.count())
        async with self._database.glance() as connection:
            return Revision(*(await connection.execute(query.where(~_of_one_run))).one())

    async def in_force(self) -> list[Budget]:
        """Enabled budgets of all tenants, in the order in which they were made, but those of single runs."""
        query = sa.select(budgets).where(_budget.enabled, ~_of_one_run).order_by(_budget.id)
        async with self._database.connect() as connection:
            return [budget_of(row) for row in (await connection.execute(query)).mappings()]

    async def of_runs(self, tenant_id: str, run_ids: Sequence[str]) -> tuple[Budget, ...]:
        """Budgets of single runs, in the order in which they were made."""
        named = (_budget.node == "RUN", _budget.node_key.in_(list(run_ids)))
        query = sa.select(budgets).where(_budget.tenant_id == tenant_id, *named).order_by(_budget.id)
        async with self._database.connect() as connection:
            return tuple(budget_of(row) for row in (await connection.execute(query)).mappings())

    async def find(self, tenant_id: str | None = None) -> list[Budget]:
        """Budgets of a tenant, or of all, in the order in which they were made."""
        query = sa.select(budgets).order_by(_budget.id)
        if tenant_id is not None:
            query = query.where(_budget.tenant_id == tenant_id)
        async with self._database.connect() as connection:
            return [budget_of(row) for row in (await connection.execute(query)).mappings()]

    async def page(self, request: ListBudgetsRequest, tenant_id: str, size: int, after: int) -> list[Budget]:
        """Budgets of a tenant that the request's filters let through, behind an id, by their ids.

        Those of single runs only where the request names their node: they are many.
        """
        query = sa.select(budgets).where(_budget.tenant_id == tenant_id, _budget.id > after)
        if not request.node and not request.HasField("node_key"):
            query = query.where(~_of_one_run)
        if request.node:
            query = query.where(_budget.node == BudgetNode.Name(request.node).removeprefix(NODE))
        if request.HasField("node_key"):
            query = query.where(_budget.node_key == request.node_key)
        async with self._database.connect() as connection:
            found = await connection.execute(query.order_by(_budget.id).limit(size))
            return [budget_of(row) for row in found.mappings()]

    async def get(self, id: int) -> Budget:
        """Budget by its id. Errors: BudgetNotFound."""
        async with self._database.connect() as connection:
            found = await connection.execute(sa.select(budgets).where(_budget.id == id))
            row = found.mappings().one_or_none()
        if row is None:
            raise BudgetNotFound(budget=str(id))
        return budget_of(row)

    async def named(self, budget: Budget) -> Budget | None:
        """Budget of the same tenant, node, node_key and period; None: there is none."""
        async with self._database.connect() as connection:
            found = await connection.execute(sa.select(budgets).where(*_named(budget_values(budget))))
            row = found.mappings().one_or_none()
        return None if row is None else budget_of(row)

    async def upsert(
        self, budget: Budget, entry: SealedEntry | None = None, seen: int | None = None
    ) -> Budget:
        """Makes a budget, or changes the one of its tenant, node, node_key and period, with its counters.

        Its id, revision and create_time are given. A lowered limit counts at the next reservation. entry: of
        the audit log, in the same transaction. seen: revision that it must have still; 0: there must be none.
        Errors: EtagMismatch.
        """
        values = budget_values(budget)
        async with self._database.begin_change(budgets) as connection:
            found = await connection.execute(sa.select(_budget.id, _budget.revision).where(*_named(values)))
            id, revision = found.one_or_none() or (None, 0)
            if seen is not None and seen != revision:
                raise EtagMismatch(resource="budget", etag=str(revision))
            newest = sa.select(sa.func.coalesce(sa.func.max(_budget.revision), 0) + 1).scalar_subquery()
            row = {**values, "revision": newest}
            if id is None:
                insert = sa.insert(budgets).values(**row, created_at=Now())
                id = (await connection.execute(insert.returning(_budget.id))).scalar_one()
            else:
                await connection.execute(sa.update(budgets).where(_budget.id == id).values(row))
            copies = {name: values[name] for name in ("limit_ticks", "raise_ticks", "raise_until")}
            copies["blocks"] = values["enabled"] and budget.policy != BUDGET_POLICY_WARN
            await _change_counters(connection, id, copies)
            if entry is not None:
                await audit.add(connection, entry)
            stored = await connection.execute(sa.select(budgets).where(_budget.id == id))
            return budget_of(stored.mappings().one())

    async def delete(self, id: int, entry: SealedEntry | None = None, seen: int | None = None) -> bool:
        """Whether the budget was there. Its counters stay for a time: calls that run are charged to them.

        entry and seen: as of upsert(). Errors: EtagMismatch.
        """
        async with self._database.begin_change(budgets) as connection:
            found = await connection.execute(sa.select(_budget.revision).where(_budget.id == id))
            revision = found.scalar()
            if revision is None:
                return False
            if seen is not None and seen != revision:
                raise EtagMismatch(resource=f"budget '{id}'", etag=str(revision))
            await connection.execute(sa.delete(budgets).where(_budget.id == id))
            end = sa.func.coalesce(_counter.expires_at, Now(self._kept.total_seconds()))
            await _change_counters(connection, id, {"blocks": sa.false(), "expires_at": end})
            if entry is not None:
                await audit.add(connection, entry)
        return True

    async def open_counters(self, keys: Iterable[CounterKey]) -> dict[CounterKey, int]:
        """Ids of counters, made where they are missing; of a budget that is gone there is none.

        One that is made in the middle of its period begins with what the period's rows have cost, and is
        entered into those that are not settled.
        """
        found: dict[CounterKey, int] = {}
        for key in sorted(set(keys)):  # in one order, so that two processes do not wait for each other
            async with self._database.begin_in_turn() as connection:
                id = await counter_opening.opened(self._database, connection, key, self._kept)
            if id is not None:
                found[key] = id
        return found

    async def counters(
        self, budget_ids: Sequence[int], at: datetime, *, size: int | None = None, after: int = 0
    ) -> list[BudgetCounter]:
        """Counters of budgets in the periods that a time is in, behind an id, by their ids. size: so many."""
        query = _counted().where(_counter.budget_id.in_(budget_ids), _counter.id > after, _runs(at))
        async with self._database.connect() as connection:
            rows = await connection.execute(query.order_by(_counter.id).limit(size))
            return [counter_of(row) for row in rows.mappings()]

    async def fullest(self, budget_ids: Sequence[int], at: datetime) -> dict[int, BudgetCounter]:
        """Of each budget the counter with the most spent and reserved in the period that a time is in."""
        used = (_counter.spent_ticks + _counter.reserved_ticks).desc()
        place = sa.func.row_number().over(partition_by=_counter.budget_id, order_by=(used, _counter.id))
        query = _counted().where(_counter.budget_id.in_(budget_ids), _runs(at))
        ranked = query.add_columns(place.label("place")).subquery()
        async with self._database.connect() as connection:
            rows = await connection.execute(sa.select(ranked).where(ranked.c.place == 1))
            return {row["budget_id"]: counter_of(row) for row in rows.mappings()}

    async def sweep(self) -> int:
        """Number of counters deleted because they are kept no longer; at most sweeper.BATCH_SIZE."""
        return await delete_expired(self._database, budget_counters)


def _named(values: dict[str, Any]) -> list[sa.ColumnElement[bool]]:
    return [getattr(_budget, name) == values[name] for name in NAMED_BY]


def _counted() -> sa.Select[Any]:
    """Counters, each with its budget's period and its limit of now."""
    query = sa.select(budget_counters, LIMIT.label("most"), _budget.period)
    return query.join(budgets, _budget.id == _counter.budget_id)


def _runs(at: datetime) -> sa.ColumnElement[bool]:
    """Condition of counters whose budget's period the time is in."""
    return sa.or_(
        *(
            sa.and_(
                _budget.period == name.removeprefix(PERIOD),
                _counter.period_start == period_start(period, at),
            )
            for name, period in BudgetPeriod.items()
            if period
        )
    )


async def _change_counters(connection: AsyncConnection, budget_id: int, values: dict[str, Any]) -> None:
    """Changes a budget's counters, which are locked in the order of their ids."""
    locked = sa.select(_counter.id).where(_counter.budget_id == budget_id).order_by(_counter.id)
    await connection.execute(locked.with_for_update())
    change = sa.update(budget_counters).where(_counter.budget_id == budget_id)
    await connection.execute(change.values(values))
