"""Work of a batch run: its items, so many at once and in their order, each one made once.

An item that has ended stays as it is, whoever makes the run next; only items that were in flight are made
again. A failed item is data; what stops the batch is a cancellation, its deadline, its budget, or too many
failures.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from math import ceil

import structlog
from google.protobuf.message import Message

from genai_spine.billing.ledger.ledger import watched
from genai_spine.call import Call
from genai_spine.errors import BudgetExceeded, SpineError
from genai_spine.runs import names
from genai_spine.runs.batches.item_ends import ItemEnds
from genai_spine.runs.execution import failures
from genai_spine.runs.execution.context import (
    Handler,
    Left,
    RunContext,
    RunFailed,
    Stopped,
    call_of_part,
    no_text,
    patiently,
)
from genai_spine.runs.provider_batches.batches import ProviderBatches
from genai_spine.runs.provider_batches.pool import RunPool
from genai_spine.store.runs.items import ItemEnd, ItemRows, PendingItem, step_of
from genai_spine.store.runs.transitions import Failure
from genai_spine.v1 import run_pb2 as pb
from genai_spine.v1.batch_pb2 import BatchCounts, BatchResult
from genai_spine.v1.item_work_pb2 import ItemResponse, ItemWork
from genai_spine.v1.work_pb2 import WorkResponse

DEFAULT_CONCURRENCY = 10
READ_AT_ONCE = 100  # items
MAX_RETRIES = 3  # of an item, within one attempt of its run; and never more than the run has
FIRST_DELAY_S, MAX_DELAY_S = 0.5, 120.0  # before a retry; for a provider that asks for more it is not made
LOOK_S = 0.25  # how often a waiting retry looks whether the batch is stopping
RUN_NODE = "run"  # of a budget that is the run's, or of a run above it

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BatchWork:
    """Makes batches. handler: what does the work of a member; None: nothing here does."""

    rows: ItemRows
    handler: Callable[[str], Handler | None]
    provider_batches: ProviderBatches | None = None  # None: nothing goes to providers as a batch
    # Writes the cost of a run by the ledger into its message; None: no event says it.
    spending: Callable[[pb.Run], Awaitable[None]] | None = None

    async def run(self, context: RunContext) -> WorkResponse:
        """Makes the items that have not ended. Raises RunFailed, Stopped, Left and OwnerLost."""
        run_id = context.run.run_id
        counts = await patiently(lambda: self.rows.counts(run_id)) or BatchCounts()
        counts.pending += counts.running  # of whoever made the run before
        counts.running = 0
        calls = await patiently(lambda: self.rows.calls(run_id))
        batch = context.run.work.batch
        most = 1 if batch.is_sequential else batch.max_concurrency or DEFAULT_CONCURRENCY
        async with ItemEnds(self.rows, context.owner, counts, most) as ends:
            making = _Making(self, context, ends, calls)
            try:
                await making.make_all(most)
            except ExceptionGroup as several:
                raise several.exceptions[0] from None
        response = _response(context.run, counts)
        await self._record_cost(context)
        if context.is_stopping() and counts.pending:
            raise Stopped(response)
        if making.spent is not None:
            raise RunFailed(Failure(making.spent, response=response.SerializeToString()))
        if making.has_too_many_failures:
            raise RunFailed(_too_many(batch.max_failures, counts, response))
        if context.is_leaving() and counts.pending:
            raise Left
        return response

    async def _record_cost(self, context: RunContext) -> None:
        """Reports what the run has cost until now, attempts before this one included."""
        if (spending := self.spending) is None:
            return
        spent = pb.Run(run_id=context.run.run_id)
        await patiently(lambda: spending(spent))
        cost, discarded = spent.cost, spent.discarded_cost
        costs = {"cost_usd": cost.cost_usd, "cost_ticks": cost.cost_ticks}
        context.event("cost_recorded", **costs, discarded_cost_usd=discarded.cost_usd)


@dataclass(slots=True)
class _Making:
    """Items of one attempt, taken by as many tasks as may run at once."""

    work: BatchWork
    context: RunContext
    ends: ItemEnds
    calls: dict[str, list[str]]  # ids of earlier calls, by step
    spent: pb.RunError | None = None  # the run's own budget has no room for a further call
    _read: deque[PendingItem] = field(default_factory=deque)
    _pooled: set[int] = field(default_factory=set)  # places of items that are in a provider's batch
    _place: int = -1  # of the last item that was read
    _has_more: bool = True
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def has_too_many_failures(self) -> bool:
        """Whether no further item is to begin."""
        batch = self.context.run.work.batch
        return batch.HasField("max_failures") and self.ends.counts.failed >= batch.max_failures

    async def make_all(self, most: int) -> None:
        """Makes all items: what goes to providers as batches beside the others, then what comes back."""
        batches = self.work.provider_batches
        if batches is None or not self.context.run.work.batch.provider_batch:
            await self._make_at_once(most)
            return
        rows, context = self.work.rows, self.context
        pool = RunPool(batches, rows, context, self.ends, lambda: self.has_too_many_failures)
        await pool.submit()
        self._pooled = pool.places
        async with asyncio.TaskGroup() as group:
            group.create_task(pool.collect())
            await self._make_at_once(most)
            context.waits(True)
        context.waits(False)
        self.calls = await patiently(lambda: rows.calls(context.run.run_id))
        self._place, self._has_more = -1, True
        await self._make_at_once(most)

    async def _make_at_once(self, most: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(most, self.ends.counts.pending)):
                group.create_task(self.make())

    async def make(self) -> None:
        """Makes one item after the other until none is left."""
        while (item := await self._next()) is not None:
            self.ends.begin(item.place, item.attempt + 1)
            await self.ends.write(await self._end_of(item))

    async def _next(self) -> PendingItem | None:
        async with self._reading:
            is_over = self.context.is_stopping() or self.context.is_leaving()
            if is_over or self.has_too_many_failures or self.spent is not None:
                return None
            while not self._read and self._has_more:
                await self._read_more()
            return self._read.popleft() if self._read else None

    async def _read_more(self) -> None:
        run_id, after = self.context.run.run_id, self._place
        found = await patiently(lambda: self.work.rows.pending(run_id, after, READ_AT_ONCE))
        self._read.extend(item for item in found if item.place not in self._pooled)
        self._has_more = len(found) == READ_AT_ONCE
        self._place = found[-1].place if found else after

    async def _end_of(self, item: PendingItem) -> ItemEnd:
        """Makes an item, again where a repeat can mend what went wrong."""
        work = ItemWork.FromString(item.work)
        member, request = work.WhichOneof("request") or "", names.request_of(work)
        call, attempt = call_of_part(self.context.call, step_of(item.place), request), item.attempt
        answer: Message | pb.RunError
        with watched() as rows:
            for retry in count(1):
                attempt += 1
                try:
                    answer = await self._answer(member, request, call)
                except SpineError as error:
                    answer = failures.error_of(error)
                    if isinstance(error, BudgetExceeded) and error.metadata.get("node") == RUN_NODE:
                        self.spent = answer
                    if await self._is_repeated(error, retry):
                        continue
                except Exception:
                    log.exception("item_failed", run_id=self.context.run.run_id, item_id=item.item_id)
                    answer = failures.INTERNAL
                break
        ids = [*dict.fromkeys([*self.calls.get(step_of(item.place), ()), *rows])]
        if isinstance(answer, pb.RunError):
            error_bytes = answer.SerializeToString()
            return ItemEnd(item.place, item.item_id, "failed", attempt, ids, error=error_bytes)
        response = ItemResponse()
        getattr(response, member).CopyFrom(answer)
        body = response.SerializeToString()
        return ItemEnd(item.place, item.item_id, "completed", attempt, ids, response=body)

    async def _answer(self, member: str, request: Message, call: Call) -> Message:
        """Answer of an item's work, or the error that nothing here does it."""
        if (handler := self.work.handler(member)) is None:
            return failures.missing_handler(f"{names.PREFIX}{member}")
        return await handler(request, call, no_text)

    async def _is_repeated(self, error: SpineError, retry: int) -> bool:
        """Waits before a retry; False: none is made."""
        if not isinstance(error, failures.RETRIED):
            return False
        if retry > min(MAX_RETRIES, self.context.run.options.max_retries):
            return False
        delay_s = FIRST_DELAY_S * 2 ** (retry - 1) * random.uniform(0.75, 1.25)
        delay_s = max(delay_s, error.retry_after_s or 0.0)
        if delay_s > MAX_DELAY_S:
            return False
        for _ in range(ceil(delay_s / LOOK_S)):
            if self.context.is_stopping():
                return False
            await asyncio.sleep(LOOK_S)
        return True


def _response(run: pb.Run, counts: BatchCounts) -> WorkResponse:
    """How the items ended; those that are left are skipped."""
    ended = BatchCounts()
    ended.CopyFrom(counts)
    ended.skipped += ended.pending
    ended.pending = 0
    result = BatchResult(counts=ended, success_rate=ended.completed / max(1, ended.total))
    if run.HasField("start_time"):
        taken = datetime.now(UTC) - run.start_time.ToDatetime(UTC)
        result.duration_seconds = max(0.0, taken.total_seconds())
    return WorkResponse(batch=result)


def _too_many(most: int, counts: BatchCounts, response: WorkResponse) -> Failure:
    message = f"{counts.failed} of {counts.total} items failed; max_failures is {most}"
    error = pb.RunError(type="too_many_failures", message=message, category="DEPENDENCY")
    return Failure(error, response=response.SerializeToString())
