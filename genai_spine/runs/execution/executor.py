"""Executor: makes one attempt of a run, from its row to its end."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog
from google.rpc import code_pb2

from genai_spine.billing.ledger.ledger import watched
from genai_spine.call import Call
from genai_spine.errors import SpineError
from genai_spine.runs import names
from genai_spine.runs.events import EventWriter
from genai_spine.runs.execution import failures
from genai_spine.runs.execution.callers import RunCallers, remaining_s
from genai_spine.runs.execution.context import (
    Handler,
    Left,
    OwnerLost,
    RunContext,
    RunFailed,
    Stopped,
    content_hash,
    labels_of,
    patiently,
)
from genai_spine.runs.execution.paid_answers import RunPaidAnswers
from genai_spine.store.idempotency.paid_answers import RunAnswers
from genai_spine.store.runs.events import Owner
from genai_spine.store.runs.runs import RunRows, Submitter
from genai_spine.store.runs.steps import StepRows
from genai_spine.store.runs.transitions import Failure, Transitions
from genai_spine.v1 import run_pb2 as pb
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.work_pb2 import WorkResponse

TIMER_S = 0.05  # a timer may be early by that much

log = structlog.get_logger()
Combinator = Callable[[RunContext], Awaitable[WorkResponse]]


class UnknownWork(Exception):
    """Work that this worker does not know how to do."""


@dataclass(slots=True)
class RunningRun:
    """Run that this process makes."""

    owner: Owner
    task: asyncio.Task[Any]
    cancel_mode: str = ""  # set once somebody asked for it
    cancel_reason: str = ""
    is_ending: bool = False  # the work is done, and its end is being written
    is_waiting: bool = False  # it does nothing but wait, perhaps for hours
    calls: Mapping[str, Execution] = field(default_factory=dict)  # of providers, of a single-call run

    def wait(self, is_waiting: bool) -> None:
        """Says whether the work does nothing but wait from now on."""
        self.is_waiting = is_waiting

    def cancel(self, mode: str, reason: str) -> None:
        """Stops the work: at once, or before its next step. An end that is being written stays one."""
        if self.is_ending or self.cancel_mode in ("immediate", mode):
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
    answers: RunAnswers
    writer: EventWriter
    callers: RunCallers
    handlers: Mapping[str, Handler] = field(default_factory=dict)  # by the member of Work
    combinators: Mapping[str, Combinator] = field(default_factory=dict)  # by the member: batch
    running: dict[str, RunningRun] = field(default_factory=dict)  # by run id
    claimed: dict[str, tuple[pb.Run, Submitter]] = field(default_factory=dict)  # as claims read them, by id
    taken_over: set[str] = field(default_factory=set)  # runs that begin here in the middle
    is_leaving: bool = False  # its process retires: runs of several steps are left to others between two
    completed: int = 0
    failed: int = 0

    async def is_combined(self, run_id: str) -> bool:
        """Whether a run is made of parts that a combinator puts together; its row is kept for execute()."""
        if run_id not in self.claimed:
            found = await patiently(lambda: self.rows.with_submitter(run_id))
            if found is None:
                return False
            self.claimed[run_id] = found
        return self.claimed[run_id][0].work.WhichOneof("request") in self.combinators

    async def execute(self, owner: Owner, *, is_first: bool = False) -> None:
        """Makes an attempt of a run, and writes how it ended. Errors: none; OwnerLost is logged.

        is_first: nobody can have begun the run before.
        """
        task = asyncio.current_task()
        assert task is not None
        if owner.run_id in self.running:  # one at a time, whoever asks
            return
        entry = self.running[owner.run_id] = RunningRun(owner, task)
        try:
            try:
                if owner.run_id in self.taken_over:
                    await self._resume_cancel(entry)
                found = self.claimed.pop(owner.run_id, None)
                if found is None:
                    found = await patiently(lambda: self.rows.with_submitter(owner.run_id))
                if found is not None and _is_of(owner, found[0]):
                    await self._attempt(found, entry, is_first=is_first and owner.attempt == 1)
            except asyncio.CancelledError:
                if not entry.cancel_mode:  # the process stops, or lost its lease: somebody else takes over
                    raise
                task.uncancel()
                await self._cancelled(entry, None)
        except OwnerLost:
            log.warning("run_owner_lost", run_id=owner.run_id, attempt=owner.attempt)
        finally:
            if self.running.get(owner.run_id) is entry:
                del self.running[owner.run_id]

    async def _resume_cancel(self, entry: RunningRun) -> None:
        """Cancels a run that was taken over, where whoever made it before was asked to and died."""
        owner = entry.owner
        self.taken_over.discard(owner.run_id)
        asked = await patiently(lambda: self.transitions.cancelling(owner.executor_id))
        if owner.run_id in asked:
            entry.cancel(*asked[owner.run_id])

    async def _attempt(self, of: tuple[pb.Run, Submitter], entry: RunningRun, *, is_first: bool) -> None:
        run, submitter = of
        left_s = remaining_s(run)
        until = None if left_s is None else time.monotonic() + left_s
        try:
            async with asyncio.timeout(left_s) as limit:
                call = await patiently(lambda: self.callers.call(run, submitter))
                call.paid_answers = await self._paid(entry.owner, is_first=is_first)
                response, steps = await self._answer(run, call, entry)
            if (size := response.ByteSize()) > failures.MAX_ANSWER_BYTES:
                raise RunFailed(failures.too_large(size))
        except Stopped as stopped:
            await self._cancelled(entry, stopped.response)
        except Left:
            await self._leave(entry)
        except RunFailed as failed:
            await self._fail(entry, failed.failure)
        except TimeoutError:
            if not limit.expired():
                raise
            await self._fail(entry, failures.timed_out(run))
        except UnknownWork:
            await self._fail(entry, Failure(failures.missing_handler(run.name)))
        except SpineError as error:
            await self._fail(entry, self._failure(run, entry, error, until))
        except OwnerLost:
            raise
        except Exception:
            log.exception("run_failed", run_id=run.run_id, run_name=run.name)
            await self._fail(entry, Failure(failures.INTERNAL))
        else:
            await self._end(
                entry, lambda: self.transitions.complete(entry.owner, response, steps, run.options)
            )
            self.completed += 1

    def _failure(self, run: pb.Run, entry: RunningRun, error: SpineError, until: float | None) -> Failure:
        """Failure of a run by an error of its work. until: end of the attempt's time, on time.monotonic()."""
        is_late = until is not None and time.monotonic() >= until - TIMER_S
        if is_late and error.code == code_pb2.DEADLINE_EXCEEDED:  # inference has seen it first
            return failures.timed_out(run)
        return failures.failure(run, error, was_sent=bool(entry.calls))

    async def _paid(self, owner: Owner, *, is_first: bool) -> RunPaidAnswers:
        """Answers that the run has paid for, in an attempt or a process before this one."""
        paid = RunPaidAnswers(owner)
        if not is_first:
            paid.add(await patiently(lambda: self.answers.of_run(owner.run_id)))
        return paid

    async def _answer(
        self, run: pb.Run, call: Call, entry: RunningRun
    ) -> tuple[WorkResponse, list[dict[str, Any]]]:
        """Answer of the work, and the step that it was where it is a single call."""
        member = run.work.WhichOneof("request") or ""
        context = RunContext(
            run,
            entry.owner,
            call,
            self.steps,
            self.writer,
            is_stopping=lambda: bool(entry.cancel_mode),
            is_leaving=lambda: self.is_leaving,
            stop_reason=lambda: entry.cancel_reason,
            waits=entry.wait,
        )
        if (combine := self.combinators.get(member)) is not None:
            return await combine(context), []
        if (handler := self.handlers.get(member)) is None:
            raise UnknownWork
        request = names.request_of(run.work)
        step_id = f"{content_hash(request).hex()[:32]}.0"
        started = datetime.now(UTC)
        call.step_id, call.cost_labels = step_id, labels_of(call, request)
        with watched() as rows:
            entry.calls = rows
            answer = await handler(request, call, context.write(step_id, run.attempt))
        response = WorkResponse()
        getattr(response, member).CopyFrom(answer)
        step = {"step_id": step_id, "name": run.name, "type": member, "ordinal": 1, "status": "completed"}
        step |= {"attempt": run.attempt, "started_at": started, "execution_ids": list(rows)}
        return response, [step]

    async def _leave(self, entry: RunningRun) -> None:
        """Leaves a run to another process; for the engine it ends as one whose process stops."""
        await patiently(lambda: self.writer.flush(entry.owner))
        await patiently(lambda: self.transitions.leave(entry.owner))
        log.info("run_left", run_id=entry.owner.run_id)
        raise asyncio.CancelledError

    async def _fail(self, entry: RunningRun, failure: Failure) -> None:
        await self._end(entry, lambda: self.transitions.fail(entry.owner, failure))
        self.failed += 1

    async def _cancelled(self, entry: RunningRun, response: WorkResponse | None) -> None:
        """Writes that the run is cancelled. response: what there is of an answer."""
        stored = None if response is None else response.SerializeToString()
        reason = entry.cancel_reason
        await self._end(entry, lambda: self.transitions.cancel_running(entry.owner, reason, stored))

    async def _end(self, entry: RunningRun, write: Callable[[], Awaitable[bool]]) -> None:
        """Writes the end of an attempt, as often as it takes; a lost lease ends that. Raises OwnerLost."""
        entry.is_ending = True
        await patiently(lambda: self.writer.flush(entry.owner))
        if not await patiently(write):
            raise OwnerLost


def _is_of(owner: Owner, run: pb.Run) -> bool:
    """Whether the process makes this attempt of the run."""
    is_same = (run.worker_id, run.attempt) == (owner.executor_id, owner.attempt)
    return is_same and run.status == "running"
