"""Extensions of reservations: more is reserved for a call that runs and costs more than was expected."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlalchemy as sa

from genai_spine.store.booking.entries import Level, Refusal
from genai_spine.store.booking.reservations import RunReservation
from genai_spine.store.budgets.tables import run_reservations
from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.tables import budget_counters, executions
from genai_spine.v1.execution_pb2 import Execution

_row, _counter = executions.c, budget_counters.c
# Limit of a counter, with what it is raised by now.
LIMIT = _counter.limit_ticks + sa.case((_counter.raise_until > Now(), _counter.raise_ticks), else_=0)


class Connection(Protocol):
    """Transaction."""

    async def execute(self, statement: Any) -> Any:
        """Result of a statement."""
        ...


class _NoRoom(Exception):
    """End of a transaction in which a counter has no room."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"counter {refusal.counter}")
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Extension:
    """Outcome of an extension. levels: of its counters afterwards; none where the call runs no more."""

    levels: dict[int, Level] = field(default_factory=dict)
    refusal: Refusal | None = None  # nothing was reserved


class Extensions:
    """Reservations of calls that run."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def extend(self, execution: Execution, ticks: int, guarded: Sequence[int]) -> Extension:
        """Reserves more for a call, in all of its counters; nothing for one that runs no more.

        guarded: those of its counters that refuse it where they have no room; nothing is reserved then.
        Rows are locked as a settlement locks them: the reservation of its run, the call's, then counters in
        the order of ids.
        """
        more = {"est_ticks": _row.est_ticks + ticks, "held_ticks": _row.held_ticks + ticks}
        runs = sa.update(executions).where(_row.id == execution.id, _row.state == "PENDING").values(more)
        try:
            async with self._database.begin_write() as connection:
                held = await _reservation(connection, execution.run_id)
                if (await connection.execute(runs)).rowcount == 0:
                    return Extension()
                counters = {*execution.budget_counters, *(held.counters if held else ())}
                levels = await locked_levels(connection, counters)
                if held is not None:
                    levels |= await _draw(connection, held, ticks, levels)
                _check(levels, guarded, ticks)
                levels = {id: levels[id] for id in execution.budget_counters if id in levels}
                reserve = sa.update(budget_counters).where(_counter.id.in_(list(levels)))
                await connection.execute(reserve.values(reserved_ticks=_counter.reserved_ticks + ticks))
        except _NoRoom as full:
            return Extension(refusal=full.refusal)
        return Extension({id: level.with_more(ticks) for id, level in levels.items()})


async def _reservation(connection: Connection, run_id: str) -> RunReservation | None:
    """Reservation of a run, which is locked now."""
    if not run_id:
        return None
    query = sa.select(run_reservations).where(run_reservations.c.run_id == run_id).with_for_update()
    row = (await connection.execute(query)).first()
    return None if row is None else RunReservation(run_id, frozenset(row.counters), row.left_ticks)


async def _draw(
    connection: Connection, held: RunReservation, ticks: int, levels: dict[int, Level]
) -> dict[int, Level]:
    """Takes ticks out of what a run holds, as far as they are there; levels of its counters afterwards."""
    drawn = held.take(ticks)
    of_run = run_reservations.c.run_id == held.run_id
    await connection.execute(sa.update(run_reservations).where(of_run).values(left_ticks=held.left))
    change = sa.update(budget_counters).where(_counter.id.in_(list(held.counters)))
    await connection.execute(change.values(reserved_ticks=_counter.reserved_ticks - drawn))
    return {id: level.with_more(-drawn) for id, level in levels.items() if id in held.counters}


def _check(levels: dict[int, Level], guarded: Iterable[int], ticks: int) -> None:
    """Raises _NoRoom for the first guarded counter without room."""
    for id in guarded:
        level = levels.get(id)
        if level is not None and level.blocks and ticks > level.room:
            raise _NoRoom(Refusal(id, level))


async def locked_levels(connection: Connection, ids: Iterable[int]) -> dict[int, Level]:
    """Levels of counters, which are locked now."""
    used = _counter.spent_ticks + _counter.reserved_ticks
    query = sa.select(_counter.id, used, LIMIT, _counter.blocks).where(_counter.id.in_(list(ids)))
    rows = await connection.execute(query.order_by(_counter.id).with_for_update())
    return {id: Level(at, limit, blocks) for id, at, limit, blocks in rows}
