"""Library of runs: submitted, found, listed, waited for, cancelled and retried by their tenant."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic
from typing import Protocol

from google.protobuf.message import Message

from genai_spine import page_tokens, validation
from genai_spine.access import scopes
from genai_spine.call import Call
from genai_spine.errors import (
    IdempotencyKeyReused,
    InvalidFields,
    NotCancellable,
    PermissionDenied,
    RunNotFound,
    RunState,
)
from genai_spine.method_options import scope
from genai_spine.runs import batch_items, names
from genai_spine.runs.names import Name
from genai_spine.runs.results import Results
from genai_spine.store.database import Database
from genai_spine.store.newest_first import PageEnd
from genai_spine.store.runs.items import SubmittedItems
from genai_spine.store.runs.news import RunNews
from genai_spine.store.runs.runs import KeyTaken, RunRows, new_run_id
from genai_spine.store.runs.transitions import Transitions
from genai_spine.v1 import run_pb2 as pb
from genai_spine.v1 import run_service_pb2 as service_pb
from genai_spine.v1.work_pb2 import Work

OPTIONS = tuple(field.name for field in pb.RunOptions.DESCRIPTOR.fields)
OLDER_PLACES = tuple(
    field.name for field in service_pb.CreateRunRequest.DESCRIPTOR.fields if field.name in OPTIONS
)
MAX_WAIT_S = 3600.0
DEFAULT_WAIT_S = 30.0
DEFAULT_PAGE = 50
FAILED = ("failed", "dead_lettered")
DEFAULTS = pb.RunOptions(
    priority="normal", max_retries=3, retry_delay_seconds=60.0, backoff="constant", trigger_source="api"
)


class Spending(Protocol):
    """What the calls of a run cost, by the ledger."""

    async def fill(self, run: pb.Run) -> None:
        """Writes cost, usage and discarded cost of a run and its children into its message."""
        ...


@dataclass(slots=True)
class RunLibrary:
    """Runs of all tenants; each method is about those of the call's tenant."""

    database: Database
    rows: RunRows
    transitions: Transitions
    spending: Spending
    default_lane: Callable[[Work], str]
    results: Results

    async def create(self, request: service_pb.CreateRunRequest, call: Call) -> pb.Run:
        """Submits work; a run that is there with the same idempotency key is returned in its place.

        Errors: WorkNotFound, InvalidFields, IdempotencyKeyReused, PermissionDenied, RunNotFound (its parent).
        """
        name, work = names.resolve(request)
        if not request.HasField("work"):
            validation.check_without_aliases(work)
        self._permit(work, call)
        run = await self._new(name, work, _options(request, call), call)
        if request.dry_run:
            await self._items(run.work, call)
            return run
        run = await self.submit(run, call)
        if request.HasField("wait"):
            return await self.wait(run.run_id, request.wait.ToTimedelta().total_seconds(), call)
        return run

    async def submit(self, run: pb.Run, call: Call, items: SubmittedItems | None = None) -> pb.Run:
        """Writes a new run, or finds the one of its idempotency key. items: None: those of its work.

        Errors: IdempotencyKeyReused, and those of a batch's items: InvalidFields, RunNotFound.
        """
        digest = _digest(run)
        items = items or await self._items(run.work, call)
        batch_items.without_items(run.work)
        permissions = call.principal.permissions
        try:
            await self.rows.submit(
                run,
                request_hash=digest,
                permissions=None if permissions is None else permissions.SerializeToString(),
                items=items,
            )
        except KeyTaken as taken:
            if taken.request_hash != digest:
                raise IdempotencyKeyReused from None
            found = await self.get(taken.run_id, call)
            found.is_existing = True
            return found
        return await self.get(run.run_id, call)

    async def get(self, run_id: str, call: Call) -> pb.Run:
        """Run with its cost, items and result. Errors: RunNotFound."""
        run = await self.found(run_id, call)
        await self.spending.fill(run)
        if run.work.HasField("batch") and (counts := await self.rows.item_counts(run_id)) is not None:
            run.item_counts.CopyFrom(counts)
        await self.results.fill(run)
        return run

    async def found(self, run_id: str, call: Call) -> pb.Run:
        """Run without its cost. Errors: RunNotFound."""
        run = await self.rows.get(run_id, call.principal.tenant_id)
        if run is None:
            raise RunNotFound(run=run_id)
        return run

    async def page(self, request: service_pb.ListRunsRequest, call: Call) -> service_pb.ListRunsResponse:
        """Page of a list, the newest first. Errors: InvalidFields."""
        size = page_tokens.size(request, DEFAULT_PAGE)
        place = page_tokens.place(request, page_tokens.TIME, str)
        if place is not None and request.HasField("offset"):
            raise InvalidFields([("offset", "cannot be used together with page_token")])
        tenant_id = call.principal.tenant_id
        end = None if place is None else PageEnd(*place)
        found = await self.rows.page(request, tenant_id, end, size)
        response = service_pb.ListRunsResponse(runs=found[:size])
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = page_tokens.token(request, last.create_time, last.run_id)
        if request.HasField("offset"):
            response.total_size = await self.rows.count(request, tenant_id)
        return response

    async def wait(self, run_id: str, timeout_s: float, call: Call) -> pb.Run:
        """Run once it has ended with no retry to follow, or as it is when the time is up.

        Errors: RunNotFound.
        """
        until = monotonic() + min(timeout_s, MAX_WAIT_S)
        news = RunNews.of(self.database)
        with news.subscribed(run_id) as told:
            while True:
                run = await self.found(run_id, call)
                left_s = until - monotonic()
                if run.HasField("end_time") or left_s <= 0:
                    break
                await news.wait(told, left_s)
        return await self.get(run_id, call)

    async def cancel(self, request: service_pb.CancelRunRequest, call: Call) -> pb.Run:
        """Stops a run and its children. Errors: RunNotFound, NotCancellable."""
        run = await self.found(request.run_id, call)
        mode = request.mode or "immediate"
        if not await self._cancelled(run.run_id, mode, request.reason):
            raise NotCancellable(run=run.run_id, status=run.status)
        for child in await self.rows.open_children(run.run_id):
            await self._cancelled(child, mode, request.reason)
        return await self.get(run.run_id, call)

    async def retry(self, run_id: str, call: Call) -> pb.Run:
        """New run with the work of one that failed. Errors: RunNotFound, RunState."""
        failed = await self.found(run_id, call)
        if failed.status not in FAILED:
            problem = "only failed and dead-lettered runs are retried"
            raise RunState(run=run_id, status=failed.status, problem=problem)
        options = pb.RunOptions()
        options.CopyFrom(failed.options)
        for field in ("idempotency_key", "not_before", "deadline"):
            options.ClearField(field)
        options.trigger_source, options.hold = "retry", False
        run = await self._new(Name(failed.kind, failed.name), failed.work, options, call)
        run.attempt, run.retry_of_run_id = failed.attempt + 1, run_id
        if not run.work.HasField("batch"):
            return await self.submit(run, call)
        return await self.submit(run, call, SubmittedItems(copied_from=run_id))

    async def approve(self, run_id: str, call: Call) -> pb.Run:
        """Lets a held run start. Errors: RunNotFound, RunState."""
        run = await self.found(run_id, call)
        if not await self.transitions.approve(run_id):
            raise RunState(run=run_id, status=run.status, problem="it does not wait for approval")
        return await self.get(run_id, call)

    async def _cancelled(self, run_id: str, mode: str, reason: str) -> bool:
        if await self.transitions.cancel_waiting(run_id, reason):
            return True
        return await self.transitions.ask_to_cancel(run_id, mode, reason)

    def _permit(self, work: Work, call: Call) -> None:
        """Errors: PermissionDenied where the caller may not do the work at once either."""
        granted = call.principal.scopes
        for member in batch_items.members(work):
            method = names.method_of(member)
            needed = scope(method) if method is not None else "completions:write"
            if granted is not None and needed not in (*granted, scopes.PUBLIC, scopes.AUTHENTICATED):
                raise PermissionDenied(scope=needed)

    async def _items(self, work: Work, call: Call) -> SubmittedItems:
        """Items of a batch, whose older answers are the caller's. Errors: InvalidFields, RunNotFound."""
        items = await batch_items.items_of(work)
        if items.reused_from:
            await self.found(items.reused_from, call)
        return items

    async def _new(self, name: Name, work: Work, options: pb.RunOptions, call: Call) -> pb.Run:
        """Run as it will be submitted. Errors: RunNotFound for its parent, InvalidFields."""
        principal = call.principal
        run = pb.Run(
            run_id=new_run_id(),
            kind=name.kind,
            name=name.name,
            work=work,
            options=options,
            status="pending" if options.hold or options.HasField("not_before") else "queued",
            attempt=1,
            tenant_id=principal.tenant_id,
            principal=principal.name,
            project_id=principal.project_id,
            priority=options.priority,
            lane=options.lane or self.default_lane(work),
        )
        run.root_run_id = run.run_id
        for field in ("idempotency_key", "correlation_id", "parent_run_id"):
            if options.HasField(field):
                setattr(run, field, getattr(options, field))
        if options.HasField("parent_run_id"):
            parent = await self.found(options.parent_run_id, call)
            run.root_run_id = parent.root_run_id
            if not run.HasField("correlation_id"):
                run.correlation_id = parent.run_id
        return run


def _options(request: service_pb.CreateRunRequest, call: Call) -> pb.RunOptions:
    """Options of a request, with those in their older places and the defaults."""
    options = pb.RunOptions()
    options.CopyFrom(DEFAULTS)
    options.MergeFrom(request.options)
    for name in OLDER_PLACES:
        value = getattr(request, name)
        if name == "metadata":
            options.metadata.update(value)
        elif request.HasField(name):
            setattr(options, name, value)
    if not options.HasField("correlation_id") and call.correlation_id is not None:
        options.correlation_id = call.correlation_id
    if not options.HasField("idempotency_key") and call.idempotency_key is not None:
        options.idempotency_key = call.idempotency_key
    return options


def _digest(run: pb.Run) -> bytes:
    """SHA-256 of kind, name and work: what an idempotency key stands for."""
    body: Message = run.work
    text = f"{run.kind}\0{run.name}\0".encode() + body.SerializeToString(deterministic=True)
    return sha256(text).digest()
