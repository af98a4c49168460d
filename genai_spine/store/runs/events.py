"""Event log of runs: append-only, numbered 1, 2, 3 ... within a run; and the text that steps write."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

from google.protobuf import json_format
from sqlalchemy import ColumnElement, bindparam, insert, select, update

from genai_spine.call import uuid7
from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.runs.news import END, Change, Output, changing
from genai_spine.store.runs.plain.text import WrittenText, write_text
from genai_spine.store.runs.tables import run_events, run_output, runs
from genai_spine.store.webhooks.outbox import ENDS, enqueue
from genai_spine.v1 import run_pb2 as pb

DISPATCHER, EXECUTOR, WORKER = "dispatcher", "executor", "worker"

_next = (
    update(runs)
    .where(runs.c.id == bindparam("run"))
    .values(last_sequence=runs.c.last_sequence + bindparam("count"))
    .returning(runs.c.last_sequence, runs.c.options)
)
_next_of_owner = _next.where(
    runs.c.attempt == bindparam("number"),
    runs.c.executor_id == bindparam("executor"),
    runs.c.status == "running",
)
_progress = (
    update(runs)
    .where(runs.c.id == bindparam("run"), runs.c.progress <= bindparam("progress"))
    .values(progress=bindparam("progress"), progress_message=bindparam("message"))
)


@dataclass(frozen=True, slots=True)
class Owner:
    """Process that makes an attempt of a run."""

    run_id: str
    attempt: int
    executor_id: str

    @property
    def holds(self) -> list[ColumnElement[bool]]:
        """Conditions that hold while it is this process that makes the run."""
        columns = runs.c
        return [
            columns.id == self.run_id,
            columns.attempt == self.attempt,
            columns.executor_id == self.executor_id,
            columns.status == "running",
        ]


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """Event that has no number yet."""

    event_type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    source: str = WORKER
    id: str = field(default_factory=uuid7, compare=False)  # equal for each try to write it


async def append(change: Change, run_id: str, *events: PendingEvent) -> None:
    """Appends events to a run's log, in the transaction of what they say.

    An event of a pipeline's progress is also where the run stands; it never falls.
    """
    change.topics.add(run_id)
    if not events:
        return
    found = await change.execute(_next, {"run": run_id, "count": len(events)})
    await _write_numbered(change, run_id, events, found.one())


async def _append_of(change: Change, owner: Owner, events: Sequence[PendingEvent], *, again: bool) -> None:
    """Appends events of a process; nothing where it does not make the run any more.

    again: an earlier try may have been committed, and nobody heard of it. What that wrote is left out.
    """
    change.topics.add(owner.run_id)
    if again:  # the lock waits for that try, if it is still to be committed
        held = select(runs.c.id).where(*owner.holds).with_for_update()
        if (await change.execute(held)).first() is None:
            return
        ids = [event.id for event in events]
        columns = run_events.c
        query = select(columns.event_id).where(columns.run_id == owner.run_id, columns.event_id.in_(ids))
        written = set((await change.execute(query)).scalars())
        events = [event for event in events if event.id not in written]
    if not events:
        return
    values = {"run": owner.run_id, "number": owner.attempt, "executor": owner.executor_id}
    found = (await change.execute(_next_of_owner, {**values, "count": len(events)})).first()
    if found is None:
        return
    await _write_numbered(change, owner.run_id, events, found)
    if (last := _last(events, "progress")) is not None:
        await change.execute(_progress, {"run": owner.run_id, **last.data})


async def _write_numbered(change: Change, run_id: str, events: Sequence[PendingEvent], head: Any) -> None:
    """Writes events behind the others. head: last sequence and options of the run's row."""
    first = head.last_sequence - len(events) + 1
    rows = [event_row(run_id, first + place, event) for place, event in enumerate(events)]
    await write_rows(change, rows, {run_id: head.options})
    if (last := _last(events, "progress.update")) is not None:
        stands = {"progress": last.data["percent"] / 100.0, "message": last.data["message"]}
        await change.execute(_progress, {"run": run_id, **stands})


async def write_rows(change: Change, rows: Sequence[Mapping[str, Any]], options: Mapping[str, bytes]) -> None:
    """Writes events of runs, and who is to be told of them. options: of the runs, by their ids."""
    if not rows:
        return
    await change.execute(insert(run_events).values(at=Now()), rows)
    for run_id, some in groupby(rows, itemgetter("run_id")):
        events = list(some)
        change.topics.add(run_id)
        if any(event["event_type"] in ENDS for event in events):
            change.topics.add(END + run_id)
        await enqueue(change, options[run_id], events)


def event_row(run_id: str, sequence: int, event: PendingEvent) -> dict[str, Any]:
    """Row of an event, but for its time; whoever writes it has taken the number from the run's row."""
    return {
        "run_id": run_id,
        "sequence": sequence,
        "event_id": event.id,
        "event_type": event.event_type,
        "data": dict(event.data),
        "source": event.source,
    }


class EventRows:
    """Events and output of runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self,
        events: Mapping[Owner, Sequence[PendingEvent]],
        output: Mapping[Owner, Sequence[Output]],
        again: Collection[Owner] = (),
    ) -> None:
        """Writes output of several runs, and then appends events, each in one transaction.

        What a process has that does not make its run any more is left out. An event of progress is also
        where its run stands; it never falls. again: those whose events an earlier try may have written.
        """
        if texts := [_written(owner, piece) for owner, several in output.items() for piece in several]:
            await write_text(self._database, texts)
        if not events:
            return
        async with changing(self._database) as change:
            for owner in sorted(events, key=attrgetter("run_id")):  # so that two writers do not deadlock
                await _append_of(change, owner, events[owner], again=owner in again)

    async def after(self, run_id: str, sequence: int, limit: int) -> list[pb.RunEvent]:
        """Events of a run behind a sequence number, in their order."""
        query = (
            select(run_events)
            .where(run_events.c.run_id == run_id, run_events.c.sequence > sequence)
            .order_by(run_events.c.sequence)
            .limit(limit)
        )
        async with self._database.connect() as connection:
            return [_event(row) for row in (await connection.execute(query)).mappings()]

    async def newest(self, run_id: str, event_type: str) -> pb.RunEvent | None:
        """The newest event of a type that a run has."""
        query = (
            select(run_events)
            .where(run_events.c.run_id == run_id, run_events.c.event_type == event_type)
            .order_by(run_events.c.sequence.desc())
            .limit(1)
        )
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else _event(row)

    async def types(self, run_id: str, wanted: Sequence[str]) -> set[str]:
        """Types of events that a run has, of those that are asked for."""
        columns = run_events.c
        query = select(columns.event_type).where(columns.run_id == run_id, columns.event_type.in_(wanted))
        async with self._database.connect() as connection:
            return set((await connection.execute(query.distinct())).scalars())

    async def output(self, run_id: str) -> list[Output]:
        """Text of a run's steps until now, in the order of steps, attempts and places."""
        columns = run_output.c
        query = (
            select(columns.step_id, columns.begun, columns.place, columns.text)
            .where(columns.run_id == run_id)
            .order_by(columns.step_id, columns.begun, columns.place)
        )
        async with self._database.connect() as connection:
            return [Output(*row) for row in await connection.execute(query)]


def _written(owner: Owner, piece: Output) -> WrittenText:
    return WrittenText(owner.run_id, owner.attempt, owner.executor_id, piece)


def _last(events: Sequence[PendingEvent], event_type: str) -> PendingEvent | None:
    return next((event for event in reversed(events) if event.event_type == event_type), None)


def _event(row: Any) -> pb.RunEvent:
    event = pb.RunEvent(
        event_id=row["event_id"],
        run_id=row["run_id"],
        sequence=row["sequence"],
        event_type=row["event_type"],
        source=row["source"],
    )
    at: datetime = row["at"]
    event.timestamp.FromDatetime(at)
    json_format.ParseDict(row["data"], event.data)
    return event
