"""Submissions of runs: what is asked is checked, given its lane and provider, and written once a key."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from google.protobuf.message import Message

from genai_spine import validation
from genai_spine.access import scopes
from genai_spine.call import Call
from genai_spine.errors import IdempotencyKeyReused, NotPermittedToKey, PermissionDenied, RunNotFound
from genai_spine.method_options import is_paid, scope
from genai_spine.retrieval import sources
from genai_spine.routing.permissions import Names
from genai_spine.runs import names
from genai_spine.runs.batches import batch_items
from genai_spine.runs.budgets import RunAdmission, budget_of
from genai_spine.runs.names import Name
from genai_spine.store.database import Database
from genai_spine.store.runs.items import SubmittedItems
from genai_spine.store.runs.news import Change, changing
from genai_spine.store.runs.runs import KeyTaken, RunRows, Submitter, is_plain, new_run_id, submitter_of
from genai_spine.v1 import run_pb2 as pb
from genai_spine.v1 import run_service_pb2 as service_pb
from genai_spine.v1.key_service_pb2 import KeyPermissions
from genai_spine.v1.pipeline_pb2 import PipelineWork
from genai_spine.v1.work_pb2 import Work

OPTIONS = tuple(field.name for field in pb.RunOptions.DESCRIPTOR.fields)
OLDER_PLACES = tuple(
    field.name for field in service_pb.CreateRunRequest.DESCRIPTOR.fields if field.name in OPTIONS
)
DEFAULTS = pb.RunOptions(
    priority="normal", max_retries=3, retry_delay_seconds=60.0, backoff="constant", trigger_source="api"
)


class PipelineSource(Protocol):
    """Pipelines by their names."""

    async def pin(self, work: PipelineWork, tenant_id: str) -> None:
        """Writes the definition that a run is made by into its work.

        Errors: PipelineNotFound, InvalidFields.
        """
        ...

    def cost_usd(self, work: PipelineWork, call: Call) -> float | None:
        """US dollars that a pinned pipeline is reckoned to cost; None: a step has no price."""
        ...


class Lanes(Protocol):
    """Lanes that workers serve."""

    def default_lane(self, work: Work) -> str:
        """Lane of work whose caller names none. Errors: LaneNotServed."""
        ...

    def serves(self, lane: str) -> bool:
        """Whether a worker takes runs of a lane."""
        ...


@dataclass(slots=True)
class RunSubmissions:
    """Submissions to one database."""

    database: Database
    rows: RunRows
    admission: RunAdmission
    lanes: Lanes
    pipelines: PipelineSource
    provider_of: Callable[[Message], str] = lambda request: ""  # that is called first for a request
    check_options: Callable[[pb.RunOptions], None] = lambda options: None  # beyond the rules of their fields

    async def prepared(self, request: service_pb.CreateRunRequest, call: Call) -> tuple[pb.Run, Submitter]:
        """Run of a request of its principal, which is not written yet, and for whom it is made.

        Errors: WorkNotFound, InvalidFields, PermissionDenied, NotPermittedToKey, RunNotFound (its parent),
        BudgetExceeded.
        """
        run, submitter = await self.new(request, call)
        return run, await self._admit(run, submitter)

    async def new(self, request: service_pb.CreateRunRequest, call: Call) -> tuple[pb.Run, Submitter]:
        """Run of a request, and for whom it is made; no budget was asked. Errors: those of prepared()."""
        name, work = names.resolve(request)
        if not request.HasField("work"):
            validation.check_without_aliases(work)
        if work.HasField("pipeline"):
            await self.pipelines.pin(work.pipeline, call.principal.tenant_id)
            name = names.of_work(work)
        self._permit(work, call)
        if (member := work.WhichOneof("request") or "") in names.SCOPES:
            sources.check(getattr(work, member).documents)
        options = _options(request, call)
        self.check_options(options)
        self._reckon(work, options, call)
        return await self._new(name, work, options, call)

    async def again(self, failed: pb.Run, call: Call) -> tuple[pb.Run, Submitter]:
        """Run with the work of one that failed, which is not written yet.

        Errors: PermissionDenied, NotPermittedToKey.
        """
        self._permit(failed.work, call)
        options = pb.RunOptions()
        options.CopyFrom(failed.options)
        for field in ("idempotency_key", "not_before", "deadline"):
            options.ClearField(field)
        options.trigger_source, options.hold = "retry", False
        run, submitter = await self._new(Name(failed.kind, failed.name), failed.work, options, call)
        run.attempt, run.retry_of_run_id = failed.attempt + 1, failed.run_id
        return run, submitter

    async def submit_in(
        self, change: Change, run: pb.Run, submitter: Submitter, items: SubmittedItems | None = None
    ) -> str:
        """Id of a run that is written in a transaction, or of the one that its idempotency key has.

        items: None: those of its work. Errors: IdempotencyKeyReused, BudgetExceeded (no room for its
        estimate), and those of a batch's items: InvalidFields, RunNotFound.
        """
        digest = _digest(run)
        given = await self.items(run) if items is None else items
        batch_items.without_items(run.work)
        fields = {"request_hash": digest, **submitter.columns}
        if submitter.hold is not None:
            await self.admission.reserve(change, run, submitter.hold)
        try:
            await self.rows.add(change, run, fields, given, budget_of(run))
        except KeyTaken as taken:
            if submitter.hold is not None:
                await self.admission.release(change, run)
            return _known(taken, digest)
        return run.run_id

    async def submit(self, run: pb.Run, submitter: Submitter, items: SubmittedItems | None = None) -> str:
        """Id of a new run that is written, or of the one that its idempotency key has.

        Errors: BudgetExceeded, those of submit_in().
        """
        if items is None:
            items = await self.items(run)
        if not await self._is_there(run):  # which no budget refuses once it is there
            submitter = await self._admit(run, submitter)
        if submitter.hold is None and is_plain(run, items):
            digest = _digest(run)
            fields = {"request_hash": digest, **submitter.columns}
            try:
                await self.rows.add_plain(run, fields)
            except KeyTaken as taken:
                return _known(taken, digest)
            return run.run_id
        async with changing(self.database) as change:
            return await self.submit_in(change, run, submitter, items)

    async def items(self, run: pb.Run) -> SubmittedItems:
        """Items of a batch, whose older answers are the caller's. Errors: InvalidFields, RunNotFound."""
        items = await batch_items.items_of(run.work)
        if items.reused_from and await self.rows.get(items.reused_from, run.tenant_id) is None:
            raise RunNotFound(run=items.reused_from)
        return items

    def _permit(self, work: Work, call: Call) -> None:
        """Errors: PermissionDenied where the caller may not do the work at once either."""
        granted = call.principal.scopes
        for member in batch_items.members(work):
            method = names.method_of(member)
            needed = scope(method) if method is not None else names.SCOPES.get(member, "completions:write")
            if granted is not None and needed not in (*granted, scopes.PUBLIC, scopes.AUTHENTICATED):
                raise PermissionDenied(scope=needed)

    def _reckon(self, work: Work, options: pb.RunOptions, call: Call) -> None:
        """Gives the run of a pipeline the estimate of that, where its caller named none."""
        if not work.HasField("pipeline") or options.HasField("estimate_usd"):
            return
        if usd := self.pipelines.cost_usd(work.pipeline, call):
            options.estimate_usd = usd

    async def _admit(self, run: pb.Run, submitter: Submitter) -> Submitter:
        """Submitter with what is to be reserved for the run. Errors: BudgetExceeded."""
        if not _is_paid(run.work):
            return submitter
        return submitter._replace(hold=await self.admission.admit(run, submitter))

    async def _is_there(self, run: pb.Run) -> bool:
        """Whether a run has the idempotency key of a new one."""
        if not run.HasField("idempotency_key"):
            return False
        return await self.rows.with_key(run.tenant_id, run.idempotency_key) is not None

    async def _new(
        self, name: Name, work: Work, options: pb.RunOptions, call: Call
    ) -> tuple[pb.Run, Submitter]:
        """Run as it will be submitted, and for whom. Errors: RunNotFound (its parent), NotPermittedToKey."""
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
            lane=options.lane or self.lanes.default_lane(work),
            provider=self._provider(work),
        )
        _check_lane(run.lane, principal.permissions)
        submitter = submitter_of(principal)
        run.root_run_id = run.run_id
        for field in ("idempotency_key", "correlation_id", "parent_run_id"):
            if options.HasField(field):
                setattr(run, field, getattr(options, field))
        if options.HasField("parent_run_id"):
            submitter = await self._inherit(run, submitter, call)
        return run, submitter

    def _provider(self, work: Work) -> str:
        """Provider that work of a single request calls first; empty: it is not known."""
        is_one = work.WhichOneof("request") not in (names.BATCH, names.PIPELINE)
        return self.provider_of(names.request_of(work)) if is_one else ""

    async def _inherit(self, run: pb.Run, submitter: Submitter, call: Call) -> Submitter:
        """Writes what a child has of its parent; returns on whose behalf it is made. Errors: RunNotFound.

        The end user and the project are the parent's where the child names none. So is its key, where nobody
        is asked for one; a key that submits a child pays for it by itself, or any key could spend another's
        budget.
        """
        parent = await self.rows.get(run.options.parent_run_id, call.principal.tenant_id)
        if parent is None:
            raise RunNotFound(run=run.options.parent_run_id)
        run.root_run_id = parent.root_run_id
        if not run.HasField("correlation_id"):
            run.correlation_id = parent.run_id
        if parent.options.HasField("user") and not run.options.HasField("user"):
            run.options.user = parent.options.user
        if parent.HasField("project_id") and not run.HasField("project_id"):
            run.project_id = parent.project_id
        if submitter.api_key_id is not None or call.principal.scopes is not None:
            return submitter
        return await self.rows.submitter(parent.run_id) or submitter


def _known(taken: KeyTaken, digest: bytes) -> str:
    """Id of the run that has an idempotency key. Errors: IdempotencyKeyReused."""
    if taken.request_hash != digest:
        raise IdempotencyKeyReused from None
    return taken.run_id


def _check_lane(lane: str, permissions: KeyPermissions | None) -> None:
    """Errors: NotPermittedToKey."""
    if permissions is None:
        return
    if not Names(permissions.allowed_lanes, permissions.denied_lanes).allow((lane,)):
        raise NotPermittedToKey(kind="lane", name=lane)


def _is_paid(work: Work) -> bool:
    """Whether the work may cost money; a batch may."""
    method = names.method_of(work.WhichOneof("request") or "")
    return method is None or is_paid(method)


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
    if run.work.HasField("pipeline") and run.work.pipeline.pipeline_name:  # which version, is no part of it
        body = Work()
        body.CopyFrom(run.work)
        body.pipeline.ClearField("definition")
    text = f"{run.kind}\0{run.name}\0".encode() + body.SerializeToString(deterministic=True)
    return sha256(text).digest()
