"""Orphans: running runs whose process makes them no more, and their takeover by another one.

A process makes runs while it has a live lease and its row among the workers. That is read from the database
again and again, never told once, so that a takeover cannot be missed. A lease that has expired is never
renewed, so whoever takes a run over is the only one that owns it.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select, update

from genai_spine.store.database import Database, Now
from genai_spine.store.runs.events import EXECUTOR, WORKER, PendingEvent, event_row, write_rows
from genai_spine.store.runs.news import Change, changing
from genai_spine.store.runs.tables import run_workers, runs, stands
from genai_spine.store.runs.transitions import NOBODY
from genai_spine.store.tables import leases

_live = (
    select(run_workers.c.server_id)
    .join(leases, leases.c.server_id == run_workers.c.server_id)
    .where(leases.c.lease_until > Now())
)


@dataclass(frozen=True, slots=True)
class Served:
    """Lanes of a worker: those that it names, or all but those that others name."""

    lanes: Collection[str]
    is_all_but: bool = False

    def serves(self, lane: str) -> bool:
        """Whether runs of the lane are its own."""
        return (lane in self.lanes) != self.is_all_but

    @property
    def condition(self) -> ColumnElement[bool]:
        """The same of a row."""
        found = runs.c.lane.in_(list(self.lanes))
        return ~found if self.is_all_but else found


@dataclass(frozen=True, slots=True)
class Orphan:
    """Running run that nobody makes."""

    run_id: str
    attempt: int
    executor_id: str  # process that made it
    recoveries: int  # takeovers before this one


class Orphans:
    """Running runs without a living process."""

    def __init__(self, database: Database, most: int) -> None:
        """most: takeovers of an attempt; a run that needs another one has failed."""
        self._database = database
        self._most = most

    async def take(self, executor_id: str, served: Served, limit: int) -> list[Orphan]:
        """Makes a process the owner of up to so many orphans, each with its events.

        One whose takeovers are used up is taken so that it can be failed.
        """
        columns = runs.c
        lost = (stands("running"), columns.executor_id.not_in(_live), served.condition)
        query = (
            select(columns.id, columns.attempt, columns.executor_id, columns.recoveries)
            .where(*lost)
            .order_by(columns.started_at, columns.id)
            .limit(limit)
        )
        async with self._database.glance() as connection:  # which is all, nearly always
            if not (await connection.execute(query.limit(1))).first():
                return []
        async with changing(self._database) as change:
            found = await change.execute(query.with_for_update(skip_locked=True))
            orphans = [Orphan(*row) for row in found]
            return [one for one in orphans if await self._own(change, one, executor_id)]

    async def mine(self, executor_id: str) -> list[Orphan]:
        """Running runs of a process, by the database."""
        columns = runs.c
        query = select(columns.id, columns.attempt, columns.executor_id, columns.recoveries).where(
            stands("running"), columns.executor_id == executor_id
        )
        async with self._database.glance() as connection:
            return [Orphan(*row) for row in await connection.execute(query)]

    async def running(self, run_ids: Collection[str]) -> set[str]:
        """Of some runs, those that run."""
        query = select(runs.c.id).where(runs.c.id.in_(list(run_ids)), stands("running"))
        async with self._database.connect() as connection:
            return set((await connection.execute(query)).scalars())

    async def restart(self, orphan: Orphan, executor_id: str) -> bool:
        """Counts a takeover by the process that has the run already, and has lost its work.

        False: the run has ended by now.
        """
        async with changing(self._database) as change:
            return await self._own(change, orphan, executor_id)

    def is_used_up(self, orphan: Orphan, executor_id: str) -> bool:
        """Whether the takeover of an orphan is one too many."""
        return orphan.recoveries >= self._most and _counts(orphan, executor_id)

    async def _own(self, change: Change, orphan: Orphan, executor_id: str) -> bool:
        columns = runs.c
        events = [PendingEvent("orphan_detected", {"previous_worker": orphan.executor_id}, EXECUTOR)]
        if not self.is_used_up(orphan, executor_id):
            events.append(PendingEvent("started", {"worker": executor_id, "attempt": orphan.attempt}, WORKER))
            events.append(PendingEvent("reconciled", {"outcome": "taken over"}, EXECUTOR))
        moved = await change.execute(
            update(runs)
            .where(columns.id == orphan.run_id, stands("running"), columns.executor_id == orphan.executor_id)
            .values(
                executor_id=executor_id,
                recoveries=columns.recoveries + (1 if _counts(orphan, executor_id) else 0),
                last_sequence=columns.last_sequence + len(events),
            )
            .returning(columns.last_sequence, columns.options)
        )
        found = moved.one_or_none()
        if found is None:
            return False
        first = found.last_sequence - len(events) + 1
        rows = [event_row(orphan.run_id, first + place, event) for place, event in enumerate(events)]
        await write_rows(change, rows, {orphan.run_id: found.options})
        return True


def _counts(orphan: Orphan, executor_id: str) -> bool:
    """Whether a takeover counts: not of a run that was left on purpose, and not by the process itself that
    lost its lease, and lives on as <id>.1.

    That it lost the work of a run under the very same id counts.
    """
    was, now = orphan.executor_id, executor_id
    if was == NOBODY:
        return False
    return was == now or was.partition(".")[0] != now.partition(".")[0]
