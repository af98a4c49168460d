"""Moves of runs from one status to another, each with its events in one transaction.

A move out of running is guarded by the process and the attempt that make the run, so that a process that was
thought dead changes nothing any more. What is not legal the database refuses by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, null, select, update

from genai_spine.call import uuid7
from genai_spine.store.budgets import run_holds
from genai_spine.store.database import Database, Now
from genai_spine.store.idempotency import paid_answers
from genai_spine.store.runs.events import DISPATCHER, Owner, PendingEvent, append, event_row, write_rows
from genai_spine.store.runs.news import CANCEL, ORPHANS, QUEUE, Change, changing
from genai_spine.store.runs.plain.commits import Completion, RunCommits
from genai_spine.store.runs.rows import MAX_IN_ROW, answer_in_row, keep_apart
from genai_spine.store.runs.tables import dead_letters, run_items, run_steps, runs
from genai_spine.v1 import run_pb2 as pb
from genai_spine.v1.work_pb2 import WorkResponse

NOBODY = ""  # in the place of the process that makes a run: the one before has left it to others
MAX_EXPIRED = 200  # waiting runs whose deadline has passed, in one transaction
EXPIRED = pb.RunError(
    type="timeout", message="its deadline passed while it waited", category="TIMEOUT", is_retryable=False
)


@dataclass(frozen=True, slots=True)
class Failure:
    """How an attempt failed, and what follows."""

    error: pb.RunError
    events: Sequence[PendingEvent] = ()  # before that of the failure
    response: bytes | None = None  # what there is of an answer
    retry_delay_s: float | None = None  # None: no retry follows
    is_final: bool = False  # its retries are used up: it goes to the dead letters


class Transitions:
    """Moves of runs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._commits = RunCommits.of(database)

    async def complete(
        self,
        owner: Owner,
        response: WorkResponse,
        steps: Sequence[Mapping[str, Any]],
        options: pb.RunOptions | None = None,
    ) -> bool:
        """running to completed; False: the process does not make the run any more.

        steps: rows of steps that end with it. options: of the run; None: they are not known.
        """
        answer = response.SerializeToString()
        is_first = len(steps) == 1 and owner.attempt == 1 and len(answer) <= MAX_IN_ROW
        if is_first and options is not None and _is_plain(options):
            row = {"run_id": owner.run_id, **steps[0]}
            return await self._commits.complete(Completion(owner.run_id, 1, owner.executor_id, answer, row))
        values = {"status": "completed", "response": answer, "progress": 1.0}
        values["error"] = null()  # of an attempt before
        events = _artifact(owner.run_id, response, len(answer))
        values["last_sequence"] = runs.c.last_sequence + len(events) + 1
        async with changing(self._database) as change:
            ended = await self._end(change, owner, values)
            if ended is None:
                return False
            if steps:
                rows = [{"run_id": owner.run_id, **step} for step in steps]
                await change.execute(insert(run_steps).values(ended_at=Now()), rows)
            seconds = max(0.0, (datetime.now(UTC) - ended.started_at).total_seconds())
            events.append(PendingEvent("completed", {"duration_seconds": round(seconds, 3)}))
            first = ended.last_sequence - len(events) + 1
            logged = [event_row(owner.run_id, first + place, event) for place, event in enumerate(events)]
            await write_rows(change, logged, {owner.run_id: ended.options})
            await paid_answers.forget(change, owner.run_id)
            if owner.attempt > 1:
                await self._resolve_letter(change, owner.run_id)
            if pb.RunOptions.FromString(ended.options).HasField("estimate_usd"):
                await run_holds.release(change, owner.run_id)
        return True

    async def fail(self, owner: Owner, failure: Failure) -> bool:
        """running to failed, and on to pending for a retry or to dead_lettered, in one transaction.

        No retry follows where somebody asked to cancel the run: it is cancelled. False: the process does not
        make the run any more.
        """
        error = failure.error
        values = {"status": "failed", "error": error.SerializeToString(), "response": failure.response}
        async with changing(self._database) as change:
            if failure.retry_delay_s is not None and await self._is_asked(change, owner):
                return await self._cancel(change, owner, {**values, "status": "cancelled"}, None)
            if await self._end(change, owner, values) is None:
                return False
            data = {"error": error.message, "error_type": error.type}
            await append(change, owner.run_id, *failure.events, PendingEvent("failed", data))
            if failure.retry_delay_s is not None:
                await self._retry(change, owner, failure.retry_delay_s)
            elif failure.is_final:  # a replay goes on with the items that are left
                await self._bury(change, owner, error)
            else:
                await self._leave_parts(change, owner.run_id)
            if failure.retry_delay_s is None:
                await run_holds.release(change, owner.run_id)
        return True

    async def cancel_running(self, owner: Owner, reason: str, response: bytes | None = None) -> bool:
        """running to cancelled."""
        async with changing(self._database) as change:
            return await self._cancel(change, owner, {"status": "cancelled", "response": response}, reason)

    async def leave(self, owner: Owner) -> bool:
        """Leaves a run to whoever takes it over; it stays running. False: it is not its own any more."""
        async with changing(self._database) as change:
            left = await change.execute(update(runs).where(*owner.holds).values(executor_id=NOBODY))
            change.topics.add(ORPHANS)
            return bool(left.rowcount)

    async def leave_all(self, executor_id: str) -> int:
        """Leaves all runs of a process that stops; how many."""
        columns = runs.c
        async with changing(self._database) as change:
            mine = update(runs).where(columns.executor_id == executor_id, columns.status == "running")
            left = await change.execute(mine.values(executor_id=NOBODY))
            if left.rowcount:
                change.topics.add(ORPHANS)
            return int(left.rowcount)

    async def expire(self) -> int:
        """Fails runs that still wait when their deadline passes; returns how many.

        Their error type is timeout. A pending run cannot fail: it is queued first, in the same transaction.
        """
        columns = runs.c
        due = (
            select(columns.id, columns.status, columns.attempt)
            .where(
                columns.deadline_at <= Now(),
                columns.ended_at.is_(None),
                columns.status.in_(("pending", "queued")),
            )
            .order_by(columns.deadline_at)
            .limit(MAX_EXPIRED)
        )
        async with self._database.glance() as connection:
            if (await connection.execute(due.limit(1))).first() is None:
                return 0
        async with changing(self._database) as change:
            found = (await change.execute(due.with_for_update(skip_locked=True))).all()
            for run_id, status, attempt in found:
                await self._expire(change, run_id, attempt, is_pending=status == "pending")
        return len(found)

    async def _expire(self, change: Change, run_id: str, attempt: int, *, is_pending: bool) -> None:
        this, events = update(runs).where(runs.c.id == run_id), []
        if is_pending:
            await change.execute(this.values(status="queued", queued_at=Now()))
            events = [PendingEvent("queued", {"external_ref": f"{run_id}.{attempt}"}, DISPATCHER)]
        values = {"status": "failed", "error": EXPIRED.SerializeToString(), "ended_at": Now()}
        await change.execute(this.values(values))
        said = {"error": EXPIRED.message, "error_type": EXPIRED.type}
        events.append(PendingEvent("timed_out", {"reason": EXPIRED.message}, DISPATCHER))
        await append(change, run_id, *events, PendingEvent("failed", said, DISPATCHER))
        await self._leave_parts(change, run_id)
        await run_holds.release(change, run_id)

    async def waiting_of_key(self, tenant_id: str, key_id: str) -> list[str]:
        """Ids of runs of a key that wait."""
        columns = runs.c
        waits = columns.status.in_(("pending", "queued"))
        query = select(columns.id).where(columns.tenant_id == tenant_id, columns.api_key_id == key_id, waits)
        async with self._database.connect() as connection:
            return list((await connection.execute(query)).scalars())

    async def cancel_waiting(self, run_id: str, reason: str) -> bool:
        """pending or queued to cancelled; False: it does not wait any more."""
        waits = (runs.c.id == run_id, runs.c.status.in_(("pending", "queued")))
        values = {"status": "cancelled", "ended_at": Now(), "cancel_reason": reason}
        async with changing(self._database) as change:
            moved = await change.execute(update(runs).where(*waits).values(values))
            if moved.rowcount:
                await append(change, run_id, PendingEvent("cancelled", {"reason": reason}, DISPATCHER))
                await self._leave_parts(change, run_id)
                await run_holds.release(change, run_id)
        return bool(moved.rowcount)

    async def ask_to_cancel(self, run_id: str, mode: str, reason: str) -> bool:
        """Marks a running run, whose process ends it; False: it does not run."""
        runs_now = (runs.c.id == run_id, runs.c.status == "running")
        async with changing(self._database) as change:
            marked = await change.execute(
                update(runs).where(*runs_now).values(cancel_mode=mode, cancel_reason=reason)
            )
            change.topics.add(CANCEL)
        return bool(marked.rowcount)

    async def cancelling(self, executor_id: str) -> dict[str, tuple[str, str]]:
        """Running runs of a process that somebody asked to cancel, with mode and reason."""
        columns = runs.c
        query = select(columns.id, columns.cancel_mode, columns.cancel_reason).where(
            columns.executor_id == executor_id,
            columns.cancel_mode.is_not(None),
            columns.ended_at.is_(None),
            columns.status == "running",
        )
        async with self._database.connect() as connection:
            found = await connection.execute(query)
            return {run_id: (mode, reason or "") for run_id, mode, reason in found}

    async def approve(self, run_id: str) -> bool:
        """Lets a held run start; False: it is not held."""
        held = (runs.c.id == run_id, runs.c.status == "pending", runs.c.is_held)
        async with changing(self._database) as change:
            moved = await change.execute(update(runs).where(*held).values(is_held=False))
            if moved.rowcount:
                await append(change, run_id, PendingEvent("approved", {}, DISPATCHER))
                change.topics.add(QUEUE)
        return bool(moved.rowcount)

    async def _cancel(self, change: Change, owner: Owner, values: dict[str, Any], reason: str | None) -> bool:
        """running to cancelled; False: the process does not make the run any more.

        reason: None: that of whoever asked.
        """
        ended = await self._end(change, owner, values)
        if ended is None:
            return False
        said = {"reason": ended.cancel_reason or "" if reason is None else reason}
        await append(change, owner.run_id, PendingEvent("cancelled", said))
        await self._leave_parts(change, owner.run_id)
        await run_holds.release(change, owner.run_id)
        return True

    async def _is_asked(self, change: Change, owner: Owner) -> bool:
        """Whether somebody asked to cancel the run, which stays locked."""
        asked = select(runs.c.id).where(*owner.holds, runs.c.cancel_mode.is_not(None))
        return (await change.execute(asked.with_for_update())).first() is not None

    async def _end(self, change: Change, owner: Owner, values: dict[str, Any]) -> Any:
        """Row of the run that ends: its start, last sequence, options, and why it was to be cancelled.

        None: the process does not make it any more.
        """
        answer = values["response"]
        moved = await change.execute(
            update(runs)
            .where(*owner.holds)
            .values(values | {"response": answer_in_row(answer), "ended_at": Now()})
            .returning(runs.c.started_at, runs.c.last_sequence, runs.c.options, runs.c.cancel_reason)
        )
        ended = moved.one_or_none()
        if ended is not None:
            await keep_apart(change, owner.run_id, owner.attempt, answer)
        return ended

    async def _retry(self, change: Change, owner: Owner, delay_s: float) -> None:
        """failed to pending, with the next attempt."""
        await change.execute(update(runs).where(runs.c.id == owner.run_id).values(reopened(delay_s)))
        data = {"delay": round(delay_s, 3), "attempt": owner.attempt + 1}
        await append(change, owner.run_id, PendingEvent("retry_scheduled", data))
        change.topics.add(QUEUE)

    async def _bury(self, change: Change, owner: Owner, error: pb.RunError) -> None:
        """failed to dead_lettered, with an entry among the dead letters."""
        moved = await change.execute(
            update(runs)
            .where(runs.c.id == owner.run_id)
            .values(status="dead_lettered")
            .returning(runs.c.tenant_id, runs.c.name)
        )
        tenant_id, name = moved.one()
        letter = {"run_id": owner.run_id, "tenant_id": tenant_id, "name": name}
        letter |= {"id": uuid7(), "error": error.SerializeToString()}
        row = letter | {"replay_count": 0, "created_at": Now()}
        inserted = await change.execute(self._database.insert_once(dead_letters, row))
        if not inserted.rowcount:  # it was replayed, and failed again
            values = {"error": letter["error"], "resolved_at": null(), "resolved_by": null()}
            same = dead_letters.c.run_id == owner.run_id
            await change.execute(update(dead_letters).where(same).values(values))
        await append(change, owner.run_id, PendingEvent("dead_lettered", {"error": error.message}))

    async def _resolve_letter(self, change: Change, run_id: str) -> None:
        """The entry of a run that a replay has completed."""
        columns = dead_letters.c
        await change.execute(
            update(dead_letters)
            .where(columns.run_id == run_id, columns.resolved_at.is_(None))
            .values(resolved_at=Now(), resolved_by="replay")
        )

    async def _leave_parts(self, change: Change, run_id: str) -> None:
        """Items of a batch that will not be begun any more, and answers that nobody asks for."""
        await paid_answers.forget(change, run_id)
        columns = run_items.c
        await change.execute(
            update(run_items)
            .where(columns.run_id == run_id, columns.status.in_(("pending", "running")))
            .values(status="skipped")
        )


def reopened(delay_s: float) -> dict[str, Any]:
    """Values of a run that waits again, for its next attempt."""
    return {
        "status": "pending",
        "attempt": runs.c.attempt + 1,
        "ready_at": Now(delay_s),
        "ended_at": null(),
        "executor_id": null(),
        "cancel_mode": null(),
        "cancel_reason": null(),
        "recoveries": 0,
    }


def _is_plain(options: pb.RunOptions) -> bool:
    """Whether a run ends without rows beside its own: nobody is told by a webhook, and it holds no money."""
    return not options.HasField("webhook") and not options.HasField("estimate_usd")


def _artifact(run_id: str, response: WorkResponse, size_bytes: int) -> list[PendingEvent]:
    """Event of an answer that is kept apart from its run; empty: it is not."""
    if size_bytes <= MAX_IN_ROW:
        return []
    kind = response.WhichOneof("response") or ""
    data = {"object_key": f"runs/{run_id}/response", "type": kind, "size_bytes": size_bytes}
    return [PendingEvent("artifact_ready", data)]
