"""Reservations of runs: money that a run holds in the counters of budgets until its calls need it.

`left_ticks` is the run's estimate less what its calls hold and have cost; as far as it is above 0, the
counters hold it. A call takes what it reserves from there first, and gives back what it did not cost.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

IDS_PER_QUERY = 500  # on SQLite
READ = "SELECT run_id, counters, left_ticks FROM run_reservations WHERE run_id IN ({marks})"
LOCK = (
    "SELECT run_id, counters, left_ticks FROM run_reservations WHERE run_id = ANY($1::text[])"
    " ORDER BY run_id FOR UPDATE"
)
CHANGE = "UPDATE run_reservations SET left_ticks = {left} WHERE run_id = {id}"
LOCK_COUNTERS = "SELECT id FROM budget_counters WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE"
HOLD_MORE = "UPDATE budget_counters SET reserved_ticks = reserved_ticks + $2 WHERE id = ANY($1::bigint[])"
# What rows hold and have cost; they are locked before their counters.
LOCK_ROWS = (
    "SELECT id, held_ticks, cost_ticks, counters FROM executions WHERE id = ANY($1::text[])"
    " ORDER BY id FOR UPDATE"
)


@dataclass(slots=True)
class RunReservation:
    """Reservation of one run."""

    run_id: str
    counters: frozenset[int]
    left: int  # below 0 where the calls need more than the estimate

    def take(self, ticks: int) -> int:
        """Ticks that it holds less, because a call of the run needs so many."""
        before = max(0, self.left)
        self.left -= ticks
        return before - max(0, self.left)

    def give(self, ticks: int) -> int:
        """Ticks that it holds more, because a call of the run did not need so many."""
        return -self.take(-ticks)


Reservations = Mapping[str, RunReservation]  # by run id


def read(connection: sqlite3.Connection, run_ids: Iterable[str]) -> Reservations:
    """Reservations of runs, in a transaction that writes."""
    ids, found = sorted({*run_ids}), {}
    for start in range(0, len(ids), IDS_PER_QUERY):
        some = ids[start : start + IDS_PER_QUERY]
        for row in connection.execute(READ.format(marks=", ".join("?" * len(some))), some):
            found[row[0]] = _reservation(row)
    return found


def write(connection: sqlite3.Connection, reservations: Reservations) -> None:
    """Writes how much is left of each."""
    rows = [(one.left, one.run_id) for one in reservations.values()]
    connection.executemany(CHANGE.format(left="?", id="?"), rows)


async def lock(connection: asyncpg.Connection, run_ids: Iterable[str]) -> Reservations:
    """Reservations of runs, locked before any row or counter."""
    return {row[0]: _reservation(row) for row in await connection.fetch(LOCK, sorted({*run_ids}))}


async def save(connection: asyncpg.Connection, reservations: Reservations) -> None:
    """Writes how much is left of each, as write() does on SQLite."""
    rows = [(one.left, one.run_id) for one in reservations.values()]
    await connection.executemany(CHANGE.format(left="$1", id="$2"), rows)


def _reservation(row: Any) -> RunReservation:
    counters = json.loads(row[1]) if isinstance(row[1], str) else row[1]
    return RunReservation(row[0], frozenset(counters), row[2])
