"""Provider pool of one attempt of a batch run: its completions are sent as batches, and their answers taken.

What is not in a batch now is nobody's business here: it is made as usual, meanwhile and afterwards.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from math import ceil
from time import monotonic

import structlog

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.errors import SpineError
from genai_spine.inference.batches.pooled_calls import Poolable
from genai_spine.providers.batch_api import BatchApi, Line
from genai_spine.runs.batches.item_ends import ItemEnds
from genai_spine.runs.execution import failures
from genai_spine.runs.execution.callers import remaining_s
from genai_spine.runs.execution.context import OwnerLost, RunContext, labels_of
from genai_spine.runs.provider_batches.answers import (
    FINAL,
    STEP,
    Outcome,
    ProviderAnswers,
    place_of,
)
from genai_spine.runs.provider_batches.batches import ProviderBatches
from genai_spine.store.provider_batches.batches import PREPARING, SENDING, SentBatch
from genai_spine.store.runs.events import PendingEvent
from genai_spine.store.runs.items import ItemEnd, ItemRows, PendingItem
from genai_spine.v1 import provider_batch_service_pb2 as pb
from genai_spine.v1.completion_service_pb2 import Completion
from genai_spine.v1.item_work_pb2 import ItemResponse, ItemWork

READ_AT_ONCE = 100  # items
MAX_RESENDS = 2  # of what never came to be at the provider; after that it is made as usual
LOOK_S = 0.25  # how often a wait looks whether the run is stopping
PULL_BACK_SHARE = 0.25  # of the run's time
MAX_PULL_BACK_S = 3600.0
FALLBACK_FAIL = "fail"
# Errors of a line after which the same call may do better by itself.
DIRECT = (
    errors.ProviderUnavailable,
    errors.ProviderRateLimited,
    errors.ProviderError,
    errors.ProviderTimeout,
    errors.ProviderAuthentication,
    errors.ProviderQuotaExceeded,
)

log = structlog.get_logger()


@dataclass(slots=True)
class _Prepared:
    """Batch that is being put together."""

    sent: SentBatch
    api: BatchApi
    lines: list[Line] = field(default_factory=list)
    places: set[int] = field(default_factory=set)
    numbers: "count[int]" = field(default_factory=lambda: count(1))
    size: int = 0  # bytes

    @property
    def is_full(self) -> bool:
        return len(self.lines) >= self.api.MAX_LINES or self.size >= self.api.MAX_BYTES


class RunPool:
    """Items of one attempt that are in batches of providers."""

    def __init__(
        self,
        batches: ProviderBatches,
        items: ItemRows,
        context: RunContext,
        ends: ItemEnds,
        has_enough: Callable[[], bool],
    ) -> None:
        """has_enough: no further item is to be made."""
        self.places: set[int] = set()  # of items that are in a batch now
        self._batches, self._rows, self._items = batches, batches.rows, items
        self._context, self._ends, self._has_enough = context, ends, has_enough
        self._run_id = context.run.run_id
        self._call = replace(context.call, rate_admission=None)
        self._pull_back_at = _pull_back_at(context)
        self._resends, self._is_fresh = MAX_RESENDS, True
        self._cancelled: set[str] = set()  # ids of batches that were asked to end
        self._prepared: dict[tuple[str, str, str], _Prepared] = {}

    async def submit(self) -> None:
        """Takes up what was sent before, and sends what may be. Raises OwnerLost."""
        for sent in await self._rows.open_of(self._run_id):
            if sent.state == PREPARING:
                await self._batches.drop(sent, self._call)
            else:
                if sent.state == SENDING and self._is_fresh:  # by a process that died a moment ago
                    await self._rows.may_be_made(sent.id)
                self.places |= {place_of(one) for one in (await self._rows.calls(sent.id)).values()}
        self._is_fresh = False
        if self._must_end:
            return
        tried, after = await self._rows.steps(self._run_id), -1
        while not self._must_end and (some := await self._items.pending(self._run_id, after, READ_AT_ONCE)):
            after = some[-1].place
            fresh = [item for item in some if f"{STEP}{item.place}" not in tried]
            await self._prepare(fresh)
        for prepared in list(self._prepared.values()):
            await self._send(prepared)
        self._prepared.clear()

    async def collect(self) -> None:
        """Returns once no item is in a batch any more, or another process is to go on. Raises OwnerLost."""
        while not self._context.is_leaving() and (found := await self._rows.open_of(self._run_id)):
            for sent in found:
                try:
                    await self._look(sent)
                except SpineError as error:
                    log.warning("provider_batch_not_seen", batch_id=sent.batch_id, cause=error.logged)
            if await self._rows.open_of(self._run_id):
                await self._pause()
        self.places.clear()

    @property
    def _must_end(self) -> bool:
        """Whether batches are to be pulled back."""
        is_late = self._pull_back_at is not None and monotonic() >= self._pull_back_at
        return is_late or self._context.is_stopping() or self._has_enough()

    async def _pause(self) -> None:
        """Waits for the next look, or until batches are to be pulled back that are not yet."""
        began, poll_s = self._must_end, self._batches.poll_s
        for _ in range(ceil(poll_s / LOOK_S)):
            if self._must_end != began or self._context.is_leaving():
                return
            await asyncio.sleep(min(LOOK_S, poll_s))

    async def _prepare(self, items: Sequence[PendingItem]) -> None:
        """Puts the intents of some items on the books, as lines of the batches they belong to."""
        planned: list[tuple[_Prepared, PendingItem, Poolable, Call]] = []
        for item in items:
            work = ItemWork.FromString(item.work)
            if work.WhichOneof("request") != "completion":
                continue
            call = replace(self._call, step_id=f"{STEP}{item.place}", billed=set(), headers={})
            call.cost_labels = labels_of(self._call, work.completion)
            if (poolable := self._batches.calls.plan(work.completion, call)) is None:
                continue
            prepared = await self._batch_for(poolable)
            call = replace(call, request_id=prepared.sent.id, attempts=prepared.numbers)
            planned.append((prepared, item, poolable, call))
        await asyncio.gather(*(self._open(*one) for one in planned))
        for group, prepared in list(self._prepared.items()):
            if prepared.is_full:
                del self._prepared[group]
                await self._send(prepared)

    async def _batch_for(self, poolable: Poolable) -> _Prepared:
        if (prepared := self._prepared.get(poolable.group)) is None:
            id = await self._rows.add(self._context.owner, *poolable.group)
            api = poolable.route.provider.batch_api
            if id is None or api is None:
                raise OwnerLost
            sent = SentBatch(id, self._run_id, *poolable.group, PREPARING, 0, None, 0.0, 0.0)
            prepared = self._prepared[poolable.group] = _Prepared(sent, api)
        return prepared

    async def _open(self, prepared: _Prepared, item: PendingItem, poolable: Poolable, call: Call) -> None:
        try:
            line = await self._batches.calls.open(poolable, call)
        except SpineError as error:  # as a call of its own it says so again
            log.info("item_not_pooled", run_id=self._run_id, item_id=item.item_id, cause=error.logged)
            return
        prepared.lines.append(line)
        prepared.places.add(item.place)
        prepared.size += len(line.data) + 1

    async def _send(self, prepared: _Prepared) -> None:
        if not prepared.lines:
            await self._batches.drop(prepared.sent, self._call)
        elif await self._batches.send(self._context.owner, prepared.sent, prepared.lines, self._call):
            self.places |= prepared.places

    async def _look(self, sent: SentBatch) -> None:
        """Takes the answers of a batch that has ended, and asks one to end that is to be pulled back."""
        owner = self._context.owner
        if sent.state == SENDING:
            is_dropped = not await self._batches.seek(sent, self._call, owner)
            if is_dropped and self._resends:
                self._resends -= 1
                await self.submit()
            return
        batch = await self._batches.state(sent, self._call)
        if batch.state in FINAL:
            await self._take(sent, batch)
        elif self._must_end and sent.id not in self._cancelled:
            await self._batches.cancel(sent, self._call)
            self._cancelled.add(sent.id)
            data = {"batch_id": sent.batch_id, "items": sent.item_count}
            self._context.event("provider_batch_pulled_back", **data)

    async def _take(self, sent: SentBatch, batch: pb.ProviderBatch) -> None:
        """Ends the items that a batch has answered; the others are made as usual, or fail."""
        answers, ended, left = ProviderAnswers(self._rows, self._batches.calls), 0, 0
        async for outcomes in answers.read(sent, batch, self._call):
            found = [self._end_of(outcome) for outcome in outcomes if outcome.is_open]
            ends = [end for end in found if end is not None]
            ended, left = ended + len(ends), left + len(found) - len(ends)
            await asyncio.gather(*(self._ends.write(end) for end in ends))
        state = pb.BatchState.Name(batch.state).removeprefix("BATCH_STATE_").lower()
        data = {"batch_id": batch.id, "state": state, "items": ended, "left": left}
        event = PendingEvent("provider_batch_ended", data)
        await self._batches.done(sent, batch, self._call, event, self._context.owner)

    def _end_of(self, outcome: Outcome) -> ItemEnd | None:
        """End of an item by its outcome; None: it is made as usual."""
        item, answer = outcome.item, outcome.answer
        attempt, ids = item.attempt + 1, [outcome.execution_id]
        if isinstance(answer, Completion):
            body = ItemResponse(completion=answer).SerializeToString()
            return ItemEnd(item.place, item.item_id, "completed", attempt, ids, response=body)
        batch = self._context.run.work.batch
        if isinstance(answer, DIRECT) and batch.provider_batch_fallback != FALLBACK_FAIL:
            return None
        error = failures.error_of(answer).SerializeToString()
        return ItemEnd(item.place, item.item_id, "failed", attempt, ids, error=error)


def _pull_back_at(context: RunContext) -> float | None:
    """When batches are pulled back, on time.monotonic(); None: the run has all the time there is."""
    run = context.run
    if (left_s := remaining_s(run)) is None:
        return None
    batch, total_s = run.work.batch, left_s
    if run.HasField("start_time"):
        total_s += max(0.0, (datetime.now(UTC) - run.start_time.ToDatetime(UTC)).total_seconds())
    before_s = float(batch.provider_batch_pull_back_s) or min(MAX_PULL_BACK_S, total_s * PULL_BACK_SHARE)
    return monotonic() + left_s - before_s
