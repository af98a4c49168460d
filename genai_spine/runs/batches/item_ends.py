"""Group commit of a batch's items: many ends, their events and how far the run is in one transaction."""

import asyncio
from collections.abc import Mapping
from time import monotonic
from types import TracebackType
from typing import Self

import structlog

from genai_spine.errors import ServiceUnavailable
from genai_spine.runs.execution.context import OwnerLost
from genai_spine.store.runs.events import Owner
from genai_spine.store.runs.items import BatchProgress, ItemEnd, ItemRows
from genai_spine.v1.batch_pb2 import BatchCounts

WRITE_S = 0.02  # ends wait for each other for so long, unless half of the items in flight have ended
SHOWN_AFTER_S = 0.2  # an item that takes longer is shown as running
TOLD_S = 0.5  # at most one event of progress in so long
RETRY_S = 0.5  # before a database that was away is tried again
LAST_WRITE_S = 5.0  # for what waits when the work is cut off

log = structlog.get_logger()


class ItemEnds:
    """Ends of the items of one attempt: `async with` it, and write() each one.

    write() returns with the commit, so that a worker that dies repeats no more items than were in flight.
    """

    def __init__(self, rows: ItemRows, owner: Owner, counts: BatchCounts, max_in_flight: int) -> None:
        """counts: how the items stand; kept up to date with what is committed."""
        self.counts = counts
        self._rows, self._owner = rows, owner
        self._enough = max(1, max_in_flight // 2)
        self._waiting: list[tuple[ItemEnd, asyncio.Future[None]]] = []
        self._begun: dict[
            int, tuple[float, int]
        ] = {}  # time and attempt of items that are not shown as running
        self._told = 0.0
        self._problem: Exception | None = None  # why nothing is written any more
        self._is_closing = self._is_cut_off = False
        self._is_unknown = False  # whether the last write was committed
        self._some, self._many = asyncio.Event(), asyncio.Event()
        self._flusher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._flusher = asyncio.create_task(self._flush())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Writes what waits. Raises OwnerLost, unless something else was raised."""
        assert self._flusher is not None
        self._is_closing, self._is_cut_off = True, error is not None
        self._some.set()
        self._many.set()
        await asyncio.wait([self._flusher], timeout=None if error is None else LAST_WRITE_S)
        self._flusher.cancel()
        await asyncio.gather(self._flusher, return_exceptions=True)
        if self._waiting:  # whoever makes the run next makes these again
            log.warning("item_ends_not_written", run_id=self._owner.run_id, items=len(self._waiting))
        if self._problem is not None and error is None:
            raise self._problem

    def begin(self, place: int, attempt: int) -> None:
        """An item that runs from now on."""
        self._begun[place] = (monotonic(), attempt)

    async def write(self, end: ItemEnd) -> None:
        """Returns once the end is committed. Raises OwnerLost."""
        if self._problem is not None:
            raise self._problem
        self._begun.pop(end.place, None)
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((end, committed))
        self._some.set()
        if len(self._waiting) >= self._enough:
            self._many.set()
        await committed

    async def _flush(self) -> None:
        while self._problem is None and (self._waiting or not self._is_closing):
            try:
                async with asyncio.timeout(SHOWN_AFTER_S):
                    await self._some.wait()
                    await self._gathered()
            except TimeoutError:
                pass
            try:
                if self._waiting or self._late():
                    await self._write()
            except ServiceUnavailable:
                self._is_unknown = True
                if self._is_cut_off:
                    return
                await asyncio.sleep(RETRY_S)
            except OwnerLost as lost:
                self._end_with(lost)
            except Exception as error:  # the database refuses what it is given: the run fails, and says so
                self._end_with(error)

    async def _gathered(self) -> None:
        try:
            async with asyncio.timeout(WRITE_S):
                await self._many.wait()
        except TimeoutError:
            return

    async def _write(self) -> None:
        some, late = self._waiting[:], self._late()
        ended = BatchCounts()
        for end, _ in some:
            setattr(ended, end.status, getattr(ended, end.status) + 1)
        progress = self._progress(ended)
        ends = [end for end, _ in some]
        if not await self._rows.write(self._owner, ends, late, progress, is_repeat=self._is_unknown):
            raise OwnerLost
        self._is_unknown = False
        del self._waiting[: len(some)]
        if not self._waiting and not self._is_closing:
            self._some.clear()
        if len(self._waiting) < self._enough and not self._is_closing:
            self._many.clear()
        for place in late:
            self._begun.pop(place, None)
        if progress.has_event:
            self._told = monotonic()
        self._count(ended, len(some))
        for _, committed in some:
            if not committed.done():
                committed.set_result(None)

    def _count(self, ended: BatchCounts, number: int) -> None:
        self.counts.completed += ended.completed
        self.counts.failed += ended.failed
        self.counts.pending -= number

    def _progress(self, ended: BatchCounts) -> BatchProgress:
        counts = self.counts
        done = counts.total - counts.pending + ended.completed + ended.failed
        has_event = done != counts.total - counts.pending and monotonic() - self._told >= TOLD_S
        return BatchProgress(done / max(1, counts.total), f"{done} of {counts.total}", has_event)

    def _late(self) -> Mapping[int, int]:
        """Items that have run for a while and are not shown as running."""
        now = monotonic()
        return {
            place: attempt for place, (begun, attempt) in self._begun.items() if now - begun >= SHOWN_AFTER_S
        }

    def _end_with(self, error: Exception) -> None:
        """Writes nothing any more: all that waits hears why."""
        self._problem = error
        for _, committed in self._waiting:
            if not committed.done():
                committed.set_exception(error)
        self._waiting.clear()
