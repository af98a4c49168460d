"""Executor: makes one attempt of a run, from its row to its end."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from genai_spine.billing.ledger.ledger import watched
from genai_spine.call import Call, Principal
from genai_spine.errors import ServiceUnavailable, SpineError
from genai_spine.runs import failures, names
from genai_spine.runs.context import (
    Handler,
    OwnerLost,
    RunContext,
    RunFailed,
    Stopped,
    content_hash,
    labels_of,
)
from genai_spine.runs.events import EventWriter
from genai_spine.store.runs.events import PendingEvent
from genai_spine.store.runs.runs import RunRows
from genai_spine.store.runs.steps import StepRows
from genai_spine.store.runs.transitions import Failure, Owner, Transitions
from genai_spine.v1 import run_pb2 as pb
from genai_spine.v1.work_pb2 import WorkResponse

RETRY_WRITE_S = 0.5  # before the end of a run is written again

log = structlog.get_logger()
Combinator = Callable[[RunContext], Awaitable[WorkResponse]]


class AttemptEnded(Exception):
    """The end of the attempt is written already."""


@dataclass(slots=True)
class RunningRun:
    """Run that this process makes."""

    owner: Owner
    task: asyncio.Task[Any]
    cancel_mode: str = ""  # set once somebody asked for it
    cancel_reason: str = ""

    def cancel(self, mode: str, reason: str) -> None:
        """Stops the work: at once, or before its next step."""
        if self.cancel_mode == "immediate" or self.cancel_mode == mode:
            return
        self.cancel_mode, self.cancel_reason = mode, reason
        if mode == "immediate":
            self.task.cancel()


@dataclass(slots=True)
class RunExecutor:
    """Attempts of runs in this process."""

    rows: RunRows
    transitions: Transitions
    steps: StepRows
    writer: EventWriter
    handlers: Mapping[str, Handler] = field(default_factory=dict)  # by the member of Work
    combinators: Mapping[str, Combinator] = field(default_factory=dict)  # by the member: batch
    lane: str = "cpu"  # that provider calls are booked on
    running: dict[str, RunningRun] = field(default_factory=dict)  # by run id
    claimed: dict[str, pb.Run] = field(default_factory=dict)  # as their claims read them, by run id
    completed: int = 0
    failed: int = 0

    async def execute(self, owner: Owner) -> None:
        """Makes an attempt of a run, and writes how it ended. Errors: none; OwnerLost is logged."""
        task = asyncio.current_task()
        assert task is not None
        if owner.run_id in self.running:  # one at a time, whoever asks
            return
        entry = self.running[owner.run_id] = RunningRun(owner, task)
        try:
            run = self.claimed.pop(owner.run_id, None)
            if run is None:
                run = await self._patiently(lambda: self.rows.get(owner.run_id))
            if run is not None and run.status == "running" and run.worker_id == owner.executor_id:
                await self._attempt(run, entry)
        except AttemptEnded:
            return
        except OwnerLost:
            log.warning("run_owner_lost", run_id=owner.run_id, attempt=owner.attempt)
        finally:
            self.running.pop(owner.run_id, None)

    async def _attempt(self, run: pb.Run, entry: RunningRun) -> None:
        try:
            async with asyncio.timeout(_remaining_s(run)) as limit:
                response, steps = await self._answer(run, entry)
        except asyncio.CancelledError:
            if not entry.cancel_mode:  # the process stops, or lost its lease: somebody else takes over
                raise
            entry.task.uncancel()
            await self._end(entry, lambda: self.transitions.cancel_running(entry.owner, entry.cancel_reason))
            return
        except Stopped as stopped:
            left = None if stopped.response is None else stopped.response.SerializeToString()
            reason = entry.cancel_reason
            await self._end(entry, lambda: self.transitions.cancel_running(entry.owner, reason, left))
            return
        except RunFailed as failed:
            await self._fail(entry, failed.failure)
            return
        except TimeoutError:
            if not limit.expired():
                raise
            error = failures.timed_out(None if run.options.HasField("deadline") else _timeout_s(run))
            events = [PendingEvent("timed_out", {"reason": error.message})]
            await self._fail(entry, Failure(error, events))
            return
        except SpineError as error:
            await self._fail(entry, failures.failure(run, failures.error_of(error), error.retry_after_s))
            return
        except (OwnerLost, AttemptEnded):
            raise
        except Exception:
            log.exception("run_failed", run_id=run.run_id, run_name=run.name)
            await self._fail(entry, Failure(failures.INTERNAL))
            return
        self.completed += 1
        await self._end(entry, lambda: self.transitions.complete(entry.owner, response, steps))

    async def _answer(self, run: pb.Run, entry: RunningRun) -> tuple[WorkResponse, list[dict[str, Any]]]:
        """Answer of the work, and the step that it was where it is a single call."""
        member = run.work.WhichOneof("request") or ""
        context = RunContext(
            run, entry.owner, self._call(run), self.steps, self.writer, lambda: bool(entry.cancel_mode)
        )
        if (combine := self.combinators.get(member)) is not None:
            return await combine(context), []
        if (handler := self.handlers.get(member)) is None:
            await self._fail(entry, Failure(failures.missing_handler(run.name)))
            raise AttemptEnded
        request = names.request_of(run.work)
        step_id = f"{content_hash(request).hex()[:32]}.0"
        call, started = context.call, datetime.now(UTC)
        call.step_id, call.cost_labels = step_id, labels_of(call, request)
        with watched() as rows:
            answer = await handler(request, call, context.write(step_id, run.attempt))
        response = WorkResponse()
        getattr(response, member).CopyFrom(answer)
        step = {"step_id": step_id, "name": run.name, "type": member, "ordinal": 1, "status": "completed"}
        step |= {"attempt": run.attempt, "started_at": started, "execution_ids": list(rows)}
        return response, [step]

    async def _fail(self, entry: RunningRun, failure: Failure) -> None:
        self.failed += 1
        await self._end(entry, lambda: self.transitions.fail(entry.owner, failure))

    async def _end(self, entry: RunningRun, write: Callable[[], Awaitable[bool]]) -> None:
        """Writes the end of an attempt, as often as it takes; a lost lease ends that. Raises OwnerLost."""
        await self._patiently(lambda: self.writer.flush(entry.owner.run_id))
        if not await self._patiently(write):
            raise OwnerLost

    async def _patiently(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Result of a database's work, which is repeated while the database is away."""
        while True:
            try:
                return await work()
            except ServiceUnavailable:
                await asyncio.sleep(RETRY_WRITE_S)

    def _call(self, run: pb.Run) -> Call:
        """Call on behalf of who submitted the run."""
        principal = Principal(
            name=run.principal,
            tenant_id=run.tenant_id,
            project_id=run.project_id if run.HasField("project_id") else None,
        )
        remaining_s = _remaining_s(run)
        return Call(
            principal=principal,
            lane=self.lane,
            correlation_id=run.correlation_id if run.HasField("correlation_id") else None,
            cost_labels=dict(run.options.cost_labels),
            deadline=None if remaining_s is None else time.monotonic() + remaining_s,
            run_id=run.run_id,
        )


def _timeout_s(run: pb.Run) -> float | None:
    options = run.options
    return options.timeout.ToTimedelta().total_seconds() if options.HasField("timeout") else None


def _remaining_s(run: pb.Run) -> float | None:
    """Seconds that an attempt has, by its timeout and the run's deadline; None: no limit."""
    limits = [] if (timeout_s := _timeout_s(run)) is None else [timeout_s]
    if run.options.HasField("deadline"):
        deadline = run.options.deadline.ToDatetime(UTC)
        limits.append((deadline - datetime.now(UTC)).total_seconds())
    return max(0.0, min(limits)) if limits else None
