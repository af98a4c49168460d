"""Commits of plain runs: their submissions, claims and ends, many of a kind in one transaction.

Plain is a run of one row and its events. Items, budgets of their own, retries and webhooks come with rows and
conditions of their own: RunRows.add() and Transitions write those.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import asyncpg

from genai_spine.call import uuid7
from genai_spine.store.database import Database
from genai_spine.store.runs.events import WORKER, PendingEvent, event_row
from genai_spine.store.runs.news import END, QUEUE, WEBHOOKS, RunNews, payload_of
from genai_spine.store.runs.plain import statements
from genai_spine.store.runs.plain.group_commit import GroupCommit
from genai_spine.store.runs.plain.limits import UNLIMITED, Key, Limited
from genai_spine.store.runs.rows import values_of
from genai_spine.store.webhooks.outbox import webhook_row

Row = Mapping[str, Any]


class Submission(NamedTuple):
    """New run: its row but for the database's times, and its first events."""

    row: Row
    events: Sequence[Row]


class Completion(NamedTuple):
    """End of a run of a single call, which its owner has made at the first attempt."""

    run_id: str
    attempt: int
    executor_id: str
    response: bytes
    step: Row


class Picked(NamedTuple):
    """Runs that are claimed: the first ones of a lane, class and tenant, or some by their ids."""

    first: tuple[str, int, str, int] | None = None  # lane, priority, tenant, and how many
    ids: Sequence[str] = ()
    limited: Limited = UNLIMITED  # of those by their ids

    @property
    def most(self) -> int:
        """How many there can be."""
        return len(self.ids) if self.first is None else self.first[3]


_of: WeakKeyDictionary[Database, "RunCommits"] = WeakKeyDictionary()


class RunCommits:
    """Commits of one process."""

    @classmethod
    def of(cls, database: Database) -> "RunCommits":
        """The one of a database in this process."""
        if database not in _of:
            _of[database] = cls(database)
        return _of[database]

    def __init__(self, database: Database) -> None:
        self._database = database
        self._news = RunNews.of(database)
        self._submissions = GroupCommit(self._submit)
        self._completions = GroupCommit(self._complete)

    async def submit(self, submission: Submission) -> bool:
        """Writes a run with its events; False: its tenant has a run with its idempotency key."""
        return await self._submissions.add(submission)

    async def complete(self, completion: Completion) -> bool:
        """running to completed, with its step; False: the process does not make the run any more."""
        return await self._completions.add(completion)

    async def claim(self, executor_id: str, picked: Picked) -> list[Row]:
        """Rows of those that wait still: they run from now on. has_budget: whether a run has its own one."""
        event_ids = [uuid7() for _ in range(picked.most)]

        def on_sqlite(connection: sqlite3.Connection) -> list[Row]:
            ids = picked.ids
            if picked.first is not None:
                ids = [row[0] for row in connection.execute(statements.PICK, picked.first).fetchall()]
            elif picked.limited.limits:
                running = connection.execute(statements.COUNT_RUNNING).fetchall()
                ids = picked.limited.within(ids, _counted(running))
            taken = [row for id in ids for row in _claimed(connection, executor_id, id)]
            events = [_started(row, id) for row, id in zip(taken, event_ids, strict=False)]
            connection.executemany(
                statements.LOG_ONE, [self._values(one, statements.EVENT) for one in events]
            )
            connection.executemany(statements.TELL_ONE, _webhooks(taken, events))
            return taken

        async def on_postgresql(connection: asyncpg.Connection) -> list[Row]:
            self._news.own_pids.add(connection.get_server_pid())
            statement: str = statements.CLAIM_THESE
            which: Sequence[Any] = ([*picked.ids],)
            if picked.first is not None:
                statement, which = statements.CLAIM_FIRST, picked.first
            async with connection.transaction():
                if picked.limited.limits:
                    await connection.execute(statements.LOCK_LIMITS, picked.limited.locks)
                    running = await connection.fetch(statements.COUNT_RUNNING)
                    which = (picked.limited.within(picked.ids, _counted(running)),)
                found = await connection.fetch(statement, executor_id, event_ids, WORKER, *which)
                taken: list[Row] = [values_of(row) | {"has_budget": row["has_budget"]} for row in found]
                events = [_started(one, row["event_id"]) for one, row in zip(taken, found, strict=True)]
                if told := _webhooks(taken, events):
                    await connection.executemany(statements.TELL, told)
                    await connection.execute(statements.NOTIFY, WEBHOOKS)
            return taken

        taken = await self._database.write_durably(on_sqlite, on_postgresql, 2 * picked.most)
        if taken:
            self._news.tell(payload_of({row["id"] for row in taken}))
        return taken

    async def _submit(self, some: Sequence[Submission]) -> list[bool]:
        given = sorted(some, key=_place)  # in one order, so that two processes do not wait for each other
        rows = [self._values(one.row, statements.RUN) for one in given]
        events = [self._values(event, statements.EVENT) for one in given for event in one.events]
        topics = {one.row["id"] for one in given}
        payload = payload_of(topics | {QUEUE for one in given if one.row["status"] == "queued"})

        def on_sqlite(connection: sqlite3.Connection) -> set[str]:
            new = set()
            for one, row in zip(given, rows, strict=True):
                if connection.execute(statements.SUBMIT_ONE, (*row, one.row["status"])).rowcount:
                    new.add(one.row["id"])
            connection.executemany(statements.LOG_ONE, [event for event in events if event[0] in new])
            return new

        async def on_postgresql(connection: asyncpg.Connection) -> set[str]:
            self._news.own_pids.add(connection.get_server_pid())
            found = await connection.fetch(statements.SUBMIT, payload, *_columns(rows), *_columns(events))
            return {row[0] for row in found}

        new = await self._database.write_durably(on_sqlite, on_postgresql, 3 * len(rows))
        self._news.tell(payload)
        return [one.row["id"] in new for one in some]

    async def _complete(self, some: Sequence[Completion]) -> list[bool]:
        steps = [self._values(one.step, statements.STEP) for one in some]
        payload = payload_of({topic for one in some for topic in (one.run_id, END + one.run_id)})

        def on_sqlite(connection: sqlite3.Connection) -> set[str]:
            ended = set()
            for one, step in zip(some, steps, strict=True):
                values = (one.response, one.run_id, one.attempt, one.executor_id)
                for sequence, seconds in connection.execute(statements.COMPLETE_ONE, values).fetchall():
                    ended.add(one.run_id)
                    data = {"duration_seconds": round(max(0.0, seconds), 3)}
                    event = event_row(one.run_id, sequence, PendingEvent("completed", data))
                    connection.execute(statements.LOG_ONE, self._values(event, statements.EVENT))
                    connection.execute(statements.STEP_ONE, step)
                    connection.execute(statements.FORGET_ANSWERS_ONE, values[1:2])
            return ended

        async def on_postgresql(connection: asyncpg.Connection) -> set[str]:
            self._news.own_pids.add(connection.get_server_pid())
            ends = _columns([(*one[:4], uuid7()) for one in some])
            found = await connection.fetch(statements.COMPLETE, payload, *ends, WORKER, *_columns(steps))
            return {row[0] for row in found}

        ended = await self._database.write_durably(on_sqlite, on_postgresql, 3 * len(some))
        self._news.tell(payload)
        return [one.run_id in ended for one in some]

    def _values(self, row: Row, names: Sequence[str]) -> tuple[Any, ...]:
        """Values of a row as the drivers take them."""
        return tuple(self._value(row[name]) for name in names)

    def _value(self, value: Any) -> Any:
        if isinstance(value, datetime):
            return self._database.time(value)
        return json.dumps(value) if isinstance(value, dict | list) else value


def _columns(rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Arrays of rows, one a column."""
    return list(zip(*rows, strict=True))


def _place(submission: Submission) -> tuple[str, str]:
    row = submission.row
    return row["tenant_id"], row["idempotency_key"] or ""


def _counted(rows: Sequence[Any]) -> Counter[Key]:
    """Running runs by what they count for."""
    return Counter({(column, value): count for column, value, count in rows})


def _claimed(connection: sqlite3.Connection, executor_id: str, run_id: str) -> list[Row]:
    cursor = connection.execute(statements.CLAIM_ONE, (executor_id, run_id))
    names = [column[0] for column in cursor.description]
    rows = [values_of(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]
    [has_budget] = connection.execute(statements.HAS_BUDGET_ONE, (run_id,)).fetchone()
    return [row | {"has_budget": bool(has_budget)} for row in rows]


def _started(row: Row, event_id: str) -> Row:
    data = {"worker": row["executor_id"], "attempt": row["attempt"]}
    event = event_row(row["id"], row["last_sequence"], PendingEvent("started", data))
    return event | {"event_id": event_id}


def _webhooks(taken: Sequence[Row], events: Sequence[Row]) -> list[tuple[Any, ...]]:
    """Rows of the webhooks that are told that runs have started."""
    rows = [webhook_row(event, row) for event, row in zip(events, taken, strict=True)]
    return [tuple(row[name] for name in statements.WEBHOOK) for row in rows if row is not None]
