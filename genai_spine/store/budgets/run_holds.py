"""Reservations of runs: made with the run, in one transaction, and given back with its end.

Calls draw on them while the run lasts (`store/booking/reservations.py`). Locked are the reservation first,
then counters in the order of their ids.
"""

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa

from genai_spine.store.booking.entries import Refusal
from genai_spine.store.budgets.extensions import Connection, locked_levels
from genai_spine.store.budgets.tables import run_reservations
from genai_spine.store.tables import budget_counters

_counter, _held = budget_counters.c, run_reservations.c


class RunHold(NamedTuple):
    """Reservation of a run that is not written yet."""

    ticks: int
    counters: tuple[int, ...]  # those of wide budgets first


class HoldRefused(Exception):
    """A budget that blocks has no room for a run's reservation."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"counter {refusal.counter}")
        self.refusal = refusal


async def reserve(connection: Connection, run_id: str, hold: RunHold) -> None:
    """Writes a reservation. Raises HoldRefused, with the narrowest counter that has no room."""
    levels = await locked_levels(connection, hold.counters)
    for id in reversed(hold.counters):
        level = levels.get(id)
        if level is not None and level.blocks and hold.ticks > level.room:
            raise HoldRefused(Refusal(id, level))
    row = {"run_id": run_id, "counters": list(hold.counters), "left_ticks": hold.ticks}
    await connection.execute(sa.insert(run_reservations).values(row))
    await _change(connection, hold.counters, hold.ticks)


async def release(connection: Connection, run_id: str) -> None:
    """Gives back what a run that has ended still holds; nothing where it has no reservation."""
    gone = sa.delete(run_reservations).where(_held.run_id == run_id)
    row = (await connection.execute(gone.returning(_held.counters, _held.left_ticks))).first()
    if row is not None and row.left_ticks > 0:
        await locked_levels(connection, row.counters)
        await _change(connection, row.counters, -row.left_ticks)


async def _change(connection: Connection, ids: Iterable[int], ticks: int) -> None:
    change = sa.update(budget_counters).where(_counter.id.in_(list(ids)))
    await connection.execute(change.values(reserved_ticks=_counter.reserved_ticks + ticks))
