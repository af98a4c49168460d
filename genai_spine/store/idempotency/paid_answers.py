"""Answers of runs' calls, written with the settlements that say what they cost: whoever takes a run over
finds both or neither, and pays for no call twice.

A process that does not make the run any more writes none: its run is made by another one. The guard locks
nothing; an answer that slips past it is deleted with its run.
"""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import delete, select

from genai_spine.store.booking.entries import Entry
from genai_spine.store.booking.execution_rows import execution_of
from genai_spine.store.database import Database
from genai_spine.store.runs.news import Change
from genai_spine.store.runs.tables import run_answers
from genai_spine.store.tables import executions
from genai_spine.v1.execution_pb2 import Execution

COLUMNS = ("run_id", "execution_id", "step_id", "request_hash", "response")
_INSERT = f"INSERT INTO run_answers ({', '.join(COLUMNS)})"
WRITE_ONE = (
    f"{_INSERT} SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM runs WHERE id = ?1 AND attempt = ?6"
    " AND executor_id = ?7 AND status = 'running') ON CONFLICT DO NOTHING"
)
TYPES = ("text", "text", "text", "bytea", "bytea", "bigint", "text")  # of the values of an answer


def write(connection: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """Writes the answers of settlements that have one, in their transaction."""
    for entry in entries:
        if entry.answer is not None:
            connection.execute(WRITE_ONE, _values(entry))


def with_answers(first: int) -> str:
    """Part of PostgreSQL's statement of settlements, of which w are written.

    first: number of the first of its arguments, an array for each of TYPES.
    """
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(TYPES, first))
    return (
        f", a AS ({_INSERT} SELECT {', '.join(f'x.{name}' for name in COLUMNS)}"
        f" FROM unnest({arrays}) AS x({', '.join(COLUMNS)}, made, maker)"
        " JOIN w ON w.id = x.execution_id JOIN runs r ON r.id = x.run_id AND r.attempt = x.made"
        " AND r.executor_id = x.maker AND r.status = 'running' ON CONFLICT DO NOTHING)"
    )


def arguments(entries: Iterable[Entry]) -> Sequence[Any]:
    """Arguments of that part."""
    return list(zip(*(_values(entry) for entry in entries if entry.answer is not None), strict=True))


def _values(entry: Entry) -> tuple[Any, ...]:
    answer = entry.answer
    assert answer is not None
    run = (answer.run_id, entry.id, answer.step_id, answer.request_hash, answer.body)
    return *run, answer.attempt, answer.executor_id


class StoredAnswer(NamedTuple):
    """Answer of a call, and the ledger's row of that."""

    step_id: str
    request_hash: bytes
    response: bytes
    execution: Execution


class RunAnswers:
    """Table of answers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_run(self, run_id: str) -> list[StoredAnswer]:
        """Answers that a run has, in the order in which their calls were begun."""
        columns = run_answers.c
        query = (
            select(executions, columns.request_hash, columns.response)
            .join(executions, executions.c.id == columns.execution_id)
            .where(columns.run_id == run_id)
            .order_by(executions.c.created_at, columns.execution_id)
        )
        async with self._database.connect() as connection:
            return [
                StoredAnswer(row["step_id"], row["request_hash"], row["response"], execution_of(row))
                for row in (await connection.execute(query)).mappings()
            ]


async def forget(change: Change, run_id: str, *, of_steps: Collection[str] | None = None) -> None:
    """Deletes answers of a run, whose results say all by now. of_steps: None: those of all."""
    these = delete(run_answers).where(run_answers.c.run_id == run_id)
    await change.execute(
        these if of_steps is None else these.where(run_answers.c.step_id.in_(list(of_steps)))
    )
