"""Rows of runs as messages, and back."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Utc
from genai_spine.store.runs.news import Change
from genai_spine.store.runs.tables import PRIORITIES, run_results, runs
from genai_spine.v1 import run_pb2 as pb

# Columns whose text a message has under the same name, or under another one.
TEXTS = {
    **{name: name for name in ("tenant_id", "principal", "kind", "name", "status", "lane", "provider")},
    "id": "run_id",
    "root_run_id": "root_run_id",
    "executor_id": "worker_id",
    "progress_message": "progress_message",
}
OPTIONAL_TEXTS = (
    *("project_id", "idempotency_key", "correlation_id", "parent_run_id", "retry_of_run_id", "schedule_id"),
)
TIMES = {
    "created_at": "create_time",
    "started_at": "start_time",
    "ended_at": "end_time",
    "ready_at": "next_attempt_time",
}
_READERS: dict[type, Callable[[Any], Any]] = {
    sa.JSON: json.loads,
    sa.Boolean: bool,
    Utc: lambda value: datetime.fromisoformat(value).replace(tzinfo=UTC) if isinstance(value, str) else value,
}
LISTED = tuple(
    column for column in runs.c if column.name not in ("work", "response", "permissions", "request_hash")
)

# A run with its answer, wherever that is kept.
WHOLE = sa.select(
    *(column for column in runs.c if column.name != "response"),
    sa.func.coalesce(runs.c.response, run_results.c.response).label("response"),
).select_from(runs.outerjoin(run_results, run_results.c.run_id == runs.c.id))
MAX_IN_ROW = 256 << 10  # bytes of an answer in the run's row; claims and scans read no larger ones

_READ: dict[str, Callable[[Any], Any]] = {
    column.name: _READERS[type(column.type)] for column in runs.c if type(column.type) in _READERS
}


def values_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Row of runs that a driver has read, as SQLAlchemy would give it."""
    values = {column.name: row[column.name] for column in runs.c}
    return values | {name: read(values[name]) for name, read in _READ.items() if values[name] is not None}


def answer_in_row(answer: bytes | None) -> bytes | None:
    """Value of a run's column for its answer; keep_apart() writes a large one."""
    return None if answer is None or len(answer) > MAX_IN_ROW else answer


async def keep_apart(change: Change, run_id: str, attempt: int, answer: bytes | None) -> None:
    """Writes an attempt's large answer, in the place of that of an attempt before."""
    if attempt > 1:
        await change.execute(sa.delete(run_results).where(run_results.c.run_id == run_id))
    if answer is not None and len(answer) > MAX_IN_ROW:
        await change.execute(sa.insert(run_results).values(run_id=run_id, response=answer))


def stamp(message: Timestamp, value: datetime | None) -> None:
    """Writes a time into a message's field; None leaves it unset."""
    if value is not None:
        message.FromDatetime(value)


def moment(message: Any, field: str) -> datetime | None:
    """Time of a message's field; None: it is unset."""
    return getattr(message, field).ToDatetime(UTC) if message.HasField(field) else None


def parsed(kind: type[Message], value: bytes | None) -> Any:
    """Message of stored bytes; None where there are none."""
    return None if value is None else kind.FromString(value)


def run_of(row: Any) -> pb.Run:
    """Run of a row, with what of it was read; its cost and items are somebody else's."""
    run = pb.Run(
        attempt=row["attempt"],
        priority=PRIORITIES[row["priority"]],
        progress=row["progress"],
        last_sequence=row["last_sequence"],
        is_cancelling=row["cancel_mode"] is not None and row["ended_at"] is None,
        options=pb.RunOptions.FromString(row["options"]),
        error=parsed(pb.RunError, row["error"]),
    )
    for column, field in TEXTS.items():
        setattr(run, field, row[column] or "")
    for name in OPTIONAL_TEXTS:
        if row[name] is not None:
            setattr(run, name, row[name])
    for column, field in TIMES.items():
        if row[column] is not None:
            getattr(run, field).FromDatetime(row[column])
    if "work" in row:
        run.work.ParseFromString(row["work"])
        if row["response"] is not None:
            run.response.ParseFromString(row["response"])
    run.waiting_reason = _waiting(row)
    _add_times(run)
    run.tags.update({"kind": run.kind, "name": run.name, **row["metadata"]})
    return run


def _add_times(run: pb.Run) -> None:
    """Adds how long a run has taken until now, and how long it will take at that pace."""
    if not run.HasField("start_time"):
        return
    end = moment(run, "end_time") or datetime.now(UTC)
    seconds = max(0.0, (end - run.start_time.ToDatetime(UTC)).total_seconds())
    run.duration_seconds = seconds
    if run.status == "running" and 0 < run.progress < 1:
        run.eta.FromTimedelta(timedelta(seconds=seconds * (1 - run.progress) / run.progress))


def row_of(run: pb.Run) -> dict[str, Any]:
    """Row of a new run that waits: its status is queued, or pending where it has a time or is held."""
    options = run.options
    row: dict[str, Any] = {column: getattr(run, field) for column, field in TEXTS.items()}
    row |= {name: getattr(run, name) if run.HasField(name) else None for name in OPTIONAL_TEXTS}
    is_queued = run.status == "queued"
    return row | {
        "executor_id": None,
        "work": run.work.SerializeToString(),
        "options": options.SerializeToString(),
        "priority": PRIORITIES.index(run.priority),
        "attempt": run.attempt,
        "trigger_source": options.trigger_source,
        "metadata": dict(options.metadata),
        "is_held": options.hold,
        "created_at": Now(),
        "ready_at": moment(options, "not_before"),
        "queued_at": Now() if is_queued else None,
        "deadline_at": moment(options, "deadline"),
        "progress": 0.0,
        "progress_message": "",
    }


def _waiting(row: Any) -> str:
    """Why a run does not run yet; whether a worker is there for a queued one, its lane's readers say."""
    if row["status"] == "queued":
        return "BUSY"
    if row["status"] != "pending":
        return ""
    if row["is_held"]:
        return "APPROVAL"
    return "RETRY" if row["error"] is not None else "NOT_BEFORE"
