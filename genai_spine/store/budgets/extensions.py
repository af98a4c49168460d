"""Extensions of reservations: more is reserved for a call that runs and costs more than was expected."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.store.booking.entries import Level, Refusal
from genai_spine.store.database import Database, Now
from genai_spine.store.tables import budget_counters, executions
from genai_spine.v1.execution_pb2 import Execution

_row, _counter = executions.c, budget_counters.c
# Limit of a counter, with what it is raised by now.
LIMIT = _counter.limit_ticks + sa.case((_counter.raise_until > Now(), _counter.raise_ticks), else_=0)


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
        Rows are locked as a settlement locks them: the call's, then its counters in the order of ids.
        """
        more = {"est_ticks": _row.est_ticks + ticks, "held_ticks": _row.held_ticks + ticks}
        runs = sa.update(executions).where(_row.id == execution.id, _row.state == "PENDING").values(more)
        try:
            async with self._database.begin_in_turn() as connection:
                if (await connection.execute(runs)).rowcount == 0:
                    return Extension()
                levels = await _levels(connection, execution.budget_counters)
                _check(levels, guarded, ticks)
                reserve = sa.update(budget_counters).where(_counter.id.in_(list(levels)))
                await connection.execute(reserve.values(reserved_ticks=_counter.reserved_ticks + ticks))
        except _NoRoom as full:
            return Extension(refusal=full.refusal)
        return Extension({id: level.with_more(ticks) for id, level in levels.items()})


def _check(levels: dict[int, Level], guarded: Iterable[int], ticks: int) -> None:
    """Raises _NoRoom for the first guarded counter without room."""
    for id in guarded:
        level = levels.get(id)
        if level is not None and level.blocks and ticks > level.room:
            raise _NoRoom(Refusal(id, level))


async def _levels(connection: AsyncConnection, ids: Iterable[int]) -> dict[int, Level]:
    """Levels of counters, which are locked now."""
    used = _counter.spent_ticks + _counter.reserved_ticks
    query = sa.select(_counter.id, used, LIMIT, _counter.blocks).where(_counter.id.in_(list(ids)))
    rows = await connection.execute(query.order_by(_counter.id).with_for_update())
    return {id: Level(at, limit, blocks) for id, at, limit, blocks in rows}
