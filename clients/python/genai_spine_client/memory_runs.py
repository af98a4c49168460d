"""Runs in memory: a double of `spine.runs` for tests of code that submits runs. No server, and nothing lasts.

    runs = MemoryRuns()

    @runs.task("summarize")
    async def summarize(params, context):
        context.progress(0.5, "half")
        return {"summary": params["content"][:10]}

Names, states, events, idempotency keys and errors are those of the service. Work begins at once, whatever its
priority, lane and times say, and a retry follows without a delay.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from inspect import isawaitable
from typing import Any, Self
from uuid import uuid4

from betterproto2 import Message
from grpclib.const import Status

from genai_spine_client.dispatcher import Dispatcher
from genai_spine_client.errors import Conflict, NotFound, RateLimited, SpineError, TimedOut, Unavailable
from genai_spine_client.gen.genai_spine.v1 import (
    CreateRunRequest,
    ErrorReason,
    Run,
    RunError,
    RunEvent,
    RunOptions,
    WorkResponse,
)
from genai_spine_client.gen.google.protobuf import Struct

PREFIX = "genai."
RETRIED = (RateLimited, Unavailable)
MAX_RETRIES = 3  # where the options say nothing
Handler = Callable[[dict[str, Any], "Context"], Any]  # sync or async


@dataclass(slots=True)
class Context:
    """Context of a run's handler."""

    run_id: str
    attempt: int
    _report: Callable[[float, str], None]

    def progress(self, share: float, message: str = "") -> None:
        """Reports how much of the work is done, 0 to 1; it never falls."""
        self._report(share, message)


@dataclass(slots=True)
class _Record:
    """Run with its log and its task."""

    run: Run
    params: dict[str, Any]
    log: list[RunEvent] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)  # another one with each change
    task: "asyncio.Task[None] | None" = None

    @property
    def has_ended(self) -> bool:
        return self.run.end_time is not None

    def event(self, event_type: str, **data: Any) -> None:
        """Appends an event, and wakes whoever waits."""
        run, now = self.run, datetime.now(UTC)
        run.last_sequence += 1
        event = RunEvent(
            event_id=str(uuid4()), run_id=run.run_id, sequence=run.last_sequence, event_type=event_type
        )
        event.timestamp, event.data = now, Struct.from_dict(data)
        self.log.append(event)
        self.told.set()
        self.told = asyncio.Event()

    def end(self, status: str, **data: Any) -> None:
        """Last move of the run."""
        self.run.status, self.run.end_time = status, datetime.now(UTC)
        self.event(status, **data)


class MemoryRuns(Dispatcher):
    """Runs of one test, made by handlers that it registers. All on one event loop."""

    def __init__(self) -> None:
        self._handlers: dict[tuple[str, str], Handler] = {}
        self._records: dict[str, _Record] = {}  # in the order of their submission

    def register(self, kind: str, name: str, handler: Handler) -> None:
        """Registers what does the work of a name, in the place of what did it before."""
        self._handlers[_key(kind, name)] = handler

    def unregister(self, kind: str, name: str) -> None:
        """Forgets what does the work of a name."""
        self._handlers.pop(_key(kind, name), None)

    def has(self, kind: str, name: str) -> bool:
        """Whether a name is registered."""
        return _key(kind, name) in self._handlers

    def task(self, name: str) -> Callable[[Handler], Handler]:
        """Registers a function as a task."""
        return self._decorator("task", name)

    def workflow(self, name: str) -> Callable[[Handler], Handler]:
        """Registers a function as a workflow."""
        return self._decorator("workflow", name)

    def pipeline(self, name: str) -> Callable[[Handler], Handler]:
        """Registers a function as a pipeline."""
        return self._decorator("pipeline", name)

    def step(self, name: str) -> Callable[[Handler], Handler]:
        """Registers a function as a step."""
        return self._decorator("step", name)

    async def get(self, run_id: str) -> Run | None:
        record = self._records.get(run_id)
        return None if record is None else deepcopy(record.run)

    async def list(self, *, limit: int | None = None, **filters: Any) -> AsyncIterator[Run]:
        wanted = dict(filters)
        if name := wanted.get("name"):
            wanted["name"] = PREFIX + name.removeprefix(PREFIX)
        runs = [one.run for one in reversed(self._records.values())]
        found = [run for run in runs if all(getattr(run, key) == value for key, value in wanted.items())]
        for run in found[:limit]:
            yield deepcopy(run)

    async def get_events(self, run_id: str) -> Sequence[RunEvent]:
        return deepcopy(self._found(run_id).log)

    async def get_children(self, run_id: str) -> Sequence[Run]:
        children = (one.run for one in self._records.values() if one.run.parent_run_id == run_id)
        return [deepcopy(run) for run in children]

    async def wait(self, run_id: str, timeout_s: float | None = None) -> Run:
        record = self._found(run_id)
        try:
            async with asyncio.timeout(timeout_s):
                while not record.has_ended:
                    await record.told.wait()
        except TimeoutError:
            message = f"run {run_id} is {record.run.status} after {timeout_s or 0:g} s, and goes on"
            raise TimedOut(message, ErrorReason.DEADLINE_EXCEEDED, Status.DEADLINE_EXCEEDED) from None
        return deepcopy(record.run)

    async def cancel(self, run_id: str, reason: str | None = None, mode: str | None = None) -> bool:
        record = self._records.get(run_id)
        if record is None or record.has_ended:
            return False
        if record.task is not None:
            record.task.cancel()
        record.end("cancelled", reason=reason or "")
        for child in await self.get_children(run_id):
            await self.cancel(child.run_id, reason, mode)
        return True

    async def retry(self, run_id: str) -> Run:
        record = self._found(run_id)
        failed = record.run
        if failed.status not in ("failed", "dead_lettered"):
            message = f"run {run_id} is {failed.status}: only failed and dead-lettered runs are retried"
            raise SpineError(message, ErrorReason.RUN_STATE, Status.FAILED_PRECONDITION)
        options = deepcopy(failed.options) or RunOptions()
        options.idempotency_key, options.trigger_source = None, "retry"
        made = self._submitted(failed.kind, failed.name, record.params, options)
        made.retry_of_run_id, made.attempt = run_id, failed.attempt + 1
        record.event("retried", new_run_id=made.run_id)
        return deepcopy(made)

    async def events(
        self, run_id: str, after: int = 0, *, include_output: bool = True
    ) -> AsyncGenerator[RunEvent]:
        record = self._found(run_id)
        while True:
            told = record.told
            for event in record.log[after:]:
                after = event.sequence
                yield deepcopy(event)
            if record.has_ended and after == record.run.last_sequence:
                return
            if told is record.told:
                await told.wait()

    async def close(self) -> None:
        """Ends all that runs."""
        tasks = [record.task for record in self._records.values() if record.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _create(self, request: CreateRunRequest) -> Run:
        kind, name, params = _named(request)
        if _key(kind, name) not in self._handlers:
            known = ", ".join(f"{kind} {PREFIX}{name}" for kind, name in sorted(self._handlers)) or "none"
            message = f"no {kind} '{name}'; there are: {known}"
            raise NotFound(message, ErrorReason.WORK_NOT_FOUND, Status.NOT_FOUND)
        options = request.options or RunOptions()
        if options.parent_run_id:
            self._found(options.parent_run_id)
        if (found := self._of_key(options.idempotency_key)) is not None:
            if (found.run.kind, found.run.name, found.params) != (kind, name, params):
                message = f"the key '{options.idempotency_key}' belongs to other work"
                raise Conflict(message, ErrorReason.IDEMPOTENCY_KEY_REUSED, Status.ALREADY_EXISTS)
            existing = deepcopy(found.run)
            existing.is_existing = True
            return existing
        return deepcopy(self._submitted(kind, name, params, options))

    def _submitted(self, kind: str, name: str, params: dict[str, Any], options: RunOptions) -> Run:
        run = Run(run_id=str(uuid4()), kind=kind, name=name, status="queued", attempt=1, options=options)
        run.create_time, run.idempotency_key = datetime.now(UTC), options.idempotency_key
        run.priority, run.lane = options.priority or "normal", options.lane or "cpu"
        run.parent_run_id = options.parent_run_id
        run.correlation_id = options.correlation_id or options.parent_run_id
        run.metadata = dict(options.metadata)
        run.tags = {"kind": kind, "name": name, **options.metadata}
        record = self._records[run.run_id] = _Record(run, params)
        record.event("created", kind=kind, name=name)
        record.event("queued", external_ref=f"{run.run_id}.1")
        record.task = asyncio.create_task(self._made(record))
        return run

    async def _made(self, record: _Record) -> None:
        """Makes a run to its end."""
        run, handler = record.run, self._handlers[_key(record.run.kind, record.run.name)]
        most = (
            MAX_RETRIES if run.options is None or run.options.max_retries is None else run.options.max_retries
        )
        for retry in range(most + 1):
            run.status, run.start_time = "running", run.start_time or datetime.now(UTC)
            record.event("started", worker="memory", attempt=run.attempt)
            try:
                made = handler(deepcopy(record.params), Context(run.run_id, run.attempt, _reporter(record)))
                _answer(run, await made if isawaitable(made) else made)
            except Exception as error:
                if not self._is_retried(record, error, is_last=retry == most):
                    return
            else:
                record.end("completed")
                return

    def _is_retried(self, record: _Record, error: Exception, *, is_last: bool) -> bool:
        """Writes that an attempt failed, and whether another one follows."""
        run = record.run
        kind = error.reason.name if isinstance(error, SpineError) else "internal"
        can_retry = isinstance(error, RETRIED)
        run.error = RunError(type=kind, message=str(error), is_retryable=can_retry)
        said = {"error": str(error), "error_type": kind}
        if not can_retry:
            record.end("failed", **said)
        elif is_last:
            record.event("failed", **said)
            record.end("dead_lettered", error=str(error))
        else:
            record.event("failed", **said)
            run.attempt, run.status = run.attempt + 1, "pending"
            record.event("retry_scheduled", delay=0, attempt=run.attempt)
        return can_retry and not is_last

    def _decorator(self, kind: str, name: str) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            self.register(kind, name, handler)
            return handler

        return register

    def _found(self, run_id: str) -> _Record:
        if (record := self._records.get(run_id)) is None:
            raise NotFound(f"no run '{run_id}'", ErrorReason.RUN_NOT_FOUND, Status.NOT_FOUND)
        return record

    def _of_key(self, key: str | None) -> _Record | None:
        records = self._records.values()
        return next((one for one in records if key is not None and one.run.idempotency_key == key), None)


def _key(kind: str, name: str) -> tuple[str, str]:
    kind = "pipeline" if kind == "operation" else kind
    return kind, name.removeprefix(f"{kind}:").removeprefix(PREFIX)


def _named(request: CreateRunRequest) -> tuple[str, str, dict[str, Any]]:
    """Kind, name and params of a request."""
    if request.work is not None:
        for member in request.work.__dataclass_fields__:
            if (asked := getattr(request.work, member)) is not None:
                return "task", PREFIX + member, asked.to_dict()
    kind, name = _key(request.kind or "task", request.name or "")
    return kind, PREFIX + name, request.params.to_dict() if request.params is not None else {}


def _reporter(record: _Record) -> Callable[[float, str], None]:
    def report(share: float, message: str) -> None:
        run = record.run
        run.progress, run.progress_message = max(run.progress, min(1.0, share)), message
        record.event("progress", progress=run.progress, message=message)

    return report


def _answer(run: Run, answer: Any) -> None:
    """Writes what a handler answered: a message that a run can answer with, or fields of a result."""
    run.progress, run.error = 1.0, None
    if isinstance(answer, Message):
        response, kind = WorkResponse(), type(answer).__name__
        for name, one in WorkResponse.__dataclass_fields__.items():
            if str(one.type).strip("'\"").partition(" ")[0] == kind:
                setattr(response, name, answer)
                run.response = response
                return
        raise TypeError(f"{kind} is no answer of a run")
    run.result = Struct.from_dict(dict(answer or {}))
