"""Library of runs: found, listed, waited for, cancelled and retried by their tenant, who submitted them."""

from dataclasses import dataclass
from datetime import UTC
from time import monotonic
from typing import Protocol

from genai_spine import page_tokens
from genai_spine.call import Call
from genai_spine.errors import (
    InvalidFields,
    NotCancellable,
    RunNotFound,
    RunState,
)
from genai_spine.runs.results import Results
from genai_spine.runs.submissions import Lanes, RunSubmissions
from genai_spine.store.database import Database
from genai_spine.store.newest_first import PageEnd
from genai_spine.store.runs.dead_letters import DeadLetterRows
from genai_spine.store.runs.items import SubmittedItems
from genai_spine.store.runs.news import END, RunNews
from genai_spine.store.runs.runs import RunRows, Submitter
from genai_spine.store.runs.transitions import Transitions
from genai_spine.v1 import run_pb2 as pb
from genai_spine.v1 import run_service_pb2 as service_pb

MAX_WAIT_S = 3600.0
DEFAULT_WAIT_S = 30.0
DEFAULT_PAGE = 50
KEY_REVOKED = "its key was revoked"
FAILED = ("failed", "dead_lettered")


class Spending(Protocol):
    """Spending of runs, by the ledger."""

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
    letters: DeadLetterRows
    submissions: RunSubmissions
    lanes: Lanes
    results: Results

    async def create(self, request: service_pb.CreateRunRequest, call: Call) -> pb.Run:
        """Submits work; a run that is there with the same idempotency key is returned in its place.

        Errors: WorkNotFound, PipelineNotFound, InvalidFields, IdempotencyKeyReused, PermissionDenied,
        NotPermittedToKey, RunNotFound (its parent), BudgetExceeded (one that blocks is used up).
        """
        run, submitter = await self.submissions.new(request, call)
        if request.dry_run:
            await self.submissions.items(run)
            return run
        if not request.HasField("wait"):
            return await self.submit(run, call, submitter)
        until = monotonic() + min(request.wait.ToTimedelta().total_seconds(), MAX_WAIT_S)
        news = RunNews.of(self.database)
        with news.subscribed(END + run.run_id) as told:
            run_id = await self.submissions.submit(run, submitter)
            if run_id == run.run_id:
                await news.wait(told, until - monotonic())
        found = await self.wait(run_id, until - monotonic(), call)
        found.is_existing = run_id != run.run_id
        return found

    async def submit(
        self, run: pb.Run, call: Call, submitter: Submitter, items: SubmittedItems | None = None
    ) -> pb.Run:
        """Writes a new run, or finds the one of its idempotency key.

        Errors: BudgetExceeded, those of submit_in().
        """
        run_id = await self.submissions.submit(run, submitter, items)
        found = await self.get(run_id, call)
        found.is_existing = run_id != run.run_id
        return found

    async def get(self, run_id: str, call: Call) -> pb.Run:
        """Run with its cost, items and result. Errors: RunNotFound."""
        return await self._filled(await self.found(run_id, call))

    async def _filled(self, run: pb.Run) -> pb.Run:
        """A run with its cost, items and result."""
        await self.spending.fill(run)
        if run.work.HasField("batch") and (counts := await self.rows.item_counts(run.run_id)) is not None:
            run.item_counts.CopyFrom(counts)
        await self.results.fill(run)
        if run.status == "dead_lettered" and (letter := await self.letters.of_run(run.run_id)) is not None:
            run.dead_letter_id = letter
        return run

    async def found(self, run_id: str, call: Call) -> pb.Run:
        """Run without its cost. Errors: RunNotFound."""
        run = await self.rows.get(run_id, call.principal.tenant_id)
        if run is None:
            raise RunNotFound(run=run_id)
        self.explain(run)
        return run

    def explain(self, run: pb.Run) -> None:
        """Says of a queued run whether it waits for a worker that is busy, or there is none."""
        if run.waiting_reason == "BUSY" and not self.lanes.serves(run.lane):
            run.waiting_reason = "NO_WORKER"

    async def page(self, request: service_pb.ListRunsRequest, call: Call) -> service_pb.ListRunsResponse:
        """Page of a list, the newest first. Errors: InvalidFields."""
        size = page_tokens.size(request, DEFAULT_PAGE)
        place = page_tokens.place(request, page_tokens.TIME, str)
        if place is not None and request.HasField("offset"):
            raise InvalidFields([("offset", "cannot be used together with page_token")])
        tenant_id = call.principal.tenant_id
        end = None if place is None else PageEnd(*place)
        found = await self.rows.page(request, tenant_id, end, size)
        for run in found:
            self.explain(run)
        response = service_pb.ListRunsResponse(runs=found[:size])
        if len(found) > size:
            last = found[size - 1]
            place = last.create_time.ToDatetime(UTC), last.run_id
            response.next_page_token = page_tokens.token(request, *place)
        if request.HasField("offset"):
            response.total_size = await self.rows.count(request, tenant_id)
        return response

    async def wait(self, run_id: str, timeout_s: float, call: Call) -> pb.Run:
        """Run once it has ended with no retry to follow, or as it is when the time is up.

        Errors: RunNotFound.
        """
        until = monotonic() + min(timeout_s, MAX_WAIT_S)
        news = RunNews.of(self.database)
        with news.subscribed(END + run_id) as told:
            run = await self.found(run_id, call)
            while not run.HasField("end_time") and (left_s := until - monotonic()) > 0:
                if await news.wait(told, left_s) or await self.rows.has_ended(run_id):
                    run = await self.found(run_id, call)
        return await self._filled(run)

    async def cancel(self, request: service_pb.CancelRunRequest, call: Call) -> pb.Run:
        """Stops a run and its children. Errors: RunNotFound, NotCancellable."""
        run = await self.found(request.run_id, call)
        mode = request.mode or ("boundary" if run.work.HasField("pipeline") else "immediate")
        while not await self._cancelled(run.run_id, mode, request.reason):
            run = await self.found(request.run_id, call)
            if run.HasField("end_time"):
                raise NotCancellable(run=run.run_id, status=run.status)
        await self._cancel_below(run.run_id, mode, request.reason)
        return await self.get(run.run_id, call)

    async def cancel_of_key(self, tenant_id: str, key_id: str) -> int:
        """Cancels the runs of a key that wait, with what is below them; returns how many."""
        cancelled = 0
        for run_id in await self.transitions.waiting_of_key(tenant_id, key_id):
            if await self.transitions.cancel_waiting(run_id, KEY_REVOKED):
                cancelled += 1
                await self._cancel_below(run_id, "immediate", KEY_REVOKED)
        return cancelled

    async def retry(self, run_id: str, call: Call) -> pb.Run:
        """New run with the work of one that failed.

        Errors: RunNotFound, RunState, PermissionDenied, NotPermittedToKey, BudgetExceeded.
        """
        failed = await self.found(run_id, call)
        if failed.status not in FAILED:
            problem = "only failed and dead-lettered runs are retried"
            raise RunState(run=run_id, status=failed.status, problem=problem)
        run, submitter = await self.submissions.again(failed, call)
        is_batch = run.work.HasField("batch")
        items = SubmittedItems(copied_from=run_id) if is_batch else None
        return await self.submit(run, call, submitter, items)

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

    async def _cancel_below(self, run_id: str, mode: str, reason: str) -> None:
        for child in await self.rows.open_children(run_id):
            await self._cancelled(child, mode, reason)
