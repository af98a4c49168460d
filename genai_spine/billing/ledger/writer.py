"""The writer of the ledger: all that waits, in one transaction; meanwhile the next rows come together.

A row waits in memory until it is durable, and no longer. With PostgreSQL a commit comes before the disk: a
second task flushes right behind it, and when the database died before that, its rows are written again.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass

import structlog

from genai_spine.billing.ledger.rows import Row, cause_of, resolve, show
from genai_spine.store.booking.entries import Level, Outcome
from genai_spine.store.booking.writers import AttemptTaken, RowsRefused
from genai_spine.store.executions import Executions
from genai_spine.v1.execution_pb2 import Execution

BATCH_SIZE = 500  # rows per transaction
MAX_ANSWERS_BYTES = 16 << 20  # of their answers; one that is larger is written alone
# Where so many rows a second come and this thread has little time left, a commit waits for more of them: it
# costs as much CPU time as ten rows. As measured, of 1,000 calls in flight two came together by themselves.
# Other rows are not made to wait.
MANY_PER_S, BUSY = 500.0, 0.4
GATHER_ROWS, GATHER_S = 16, 0.003
COMMITS = 5  # over which both are counted: a burst is over before a longer time is
STALE_S = 0.02  # after a commit nobody knows any more
LAZY_S = 0.003  # in which an intent that nobody waits for mostly becomes a settlement: one commit, not two
# Of a flush that nobody waits for: it would take the processors from the call whose intent was committed just
# then, and mostly serves the settlement of that call as well.
FLUSH_DELAY_S = 0.002
FIRST_RETRY_S, MAX_RETRY_S = 0.05, 2.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LedgerTimeouts:
    """How the ledger waits for its database. Times are seconds."""

    row_s: float = 5.0  # reserve(), recorded() and a settlement's future
    stop_s: float = 10.0  # stop()
    waits_for_flush: bool = False  # a call goes on when its row is on disk, not when it is committed


class Load:
    """Rows of the last commits, and the time that this thread has worked since."""

    def __init__(self) -> None:
        self._commits: deque[tuple[float, float, int]] = deque(maxlen=COMMITS)  # when, CPU time by then, rows
        self._was_high = False

    def add(self, rows: int) -> None:
        """Counts a commit that begins."""
        now, worked = time.monotonic(), time.thread_time()
        self._was_high = len(self._commits) == COMMITS and self._found_high(now, worked)
        self._commits.append((now, worked, rows))

    @property
    def is_high(self) -> bool:
        """Whether many rows come now, and the thread has little time left, as the last commit found: to ask
        for the thread's time is a system call.
        """
        return self._was_high and time.monotonic() - self._commits[-1][0] < STALE_S

    def _found_high(self, now: float, worked: float) -> bool:
        began, worked_then, _ = self._commits[0]
        took_s = now - began
        rows = sum(rows for _, _, rows in self._commits)
        return rows > MANY_PER_S * took_s and worked - worked_then > BUSY * took_s


class LedgerWriter:
    """Queue of rows and the two tasks that make them durable."""

    def __init__(
        self,
        executions: Executions,
        timeouts: LedgerTimeouts,
        replace_lease: Callable[[], Awaitable[str]],
    ) -> None:
        """replace_lease: gives the process another id when its lease was lost."""
        self.rows: dict[str, Row] = {}  # not written yet, by id
        self.levels: Callable[[dict[int, Level]], None] | None = None  # gets what counters have now
        self.counts_all = False  # settlements of rows without counters may be charged to some all the same
        self._unflushed: dict[str, Row] = {}  # written, and lost when the database dies now
        self._flushing: dict[str, Row] = {}  # of these, those that are being made safe
        self._executions = executions
        self._timeouts = timeouts
        self._waits_for_flush = timeouts.waits_for_flush and executions.needs_flush
        self._replace_lease = replace_lease
        self._turn = asyncio.Lock()  # of who writes
        self._wake = asyncio.Event()
        self._committed = asyncio.Event()
        self._load = Load()
        self._gathering: asyncio.Future[None] | None = None
        self._gathered = 0  # rows that came since the last commit began, but for lazy ones
        self._lazy: asyncio.TimerHandle | None = None  # when the next lazy intent is due
        self._losses = 0  # times that what was written may have been lost
        self._open = True
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._write())]
        if self._executions.needs_flush:
            self._tasks.append(asyncio.create_task(self._flush()))

    @property
    def _is_busy(self) -> bool:
        return bool(self.rows or self._unflushed or self._flushing)

    @property
    def waiting(self) -> set[str]:
        """Ids of executions whose newest version is not durable yet."""
        return self.rows.keys() | self._unflushed.keys() | self._flushing.keys()

    @property
    def is_running(self) -> bool:
        return bool(self._tasks) and not self._tasks[0].done()

    async def stop(self, limit_s: float) -> None:
        """Writes what waits, for at most limit_s; what is left then stays in `rows`."""
        self._open = False
        if self._lazy is not None:
            self._lazy.cancel()
        self._wake.set()
        self._committed.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limit_s)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for id, row in (self._flushing | self._unflushed).items():
            self.rows.setdefault(id, row)

    def put(self, row: Row) -> None:
        """Queues a row, in the place of its older version; wake() or write_now() follows, unless it is
        lazy.
        """
        self.rows[row.execution.id] = row
        if row.is_lazy:
            self._wake_later()
            return
        self._gathered += 1
        if self._gathered >= GATHER_ROWS and self._gathering is not None:
            resolve((self._gathering,), None)

    def wake(self) -> None:
        """Lets the writer's own task write what waits."""
        self._wake.set()

    def hurry(self, row: Row) -> None:
        """Makes a lazy intent one that somebody waits for; wake() or write_now() follows."""
        row.is_lazy = False

    def withdraw(self, row: Row) -> bool:
        """Whether the row is out of the queue, and never was in the database."""
        if row.is_writing or row.is_repeated or self.rows.get(row.execution.id) is not row:
            return False
        del self.rows[row.execution.id]
        return True

    def drop(self, row: Row, event: str, cause: str) -> None:
        """Gives up on a row; from here on it is in the log only."""
        show(row, event, cause)
        self.rows.pop(row.execution.id, None)
        row.resolve(False)
        resolve(row.booked, None)

    async def write_now(self) -> None:
        """Writes what waits on its caller's time, where nobody else does: two turns of the event loop less.

        Not where a write waits for another machine, nor where more rows are worth waiting for.
        """
        waits = self._executions.needs_flush or self._turn.locked() or self._load.is_high
        if waits or not self.is_running:
            self._wake.set()
            return
        async with self._turn:
            await self._write_batch()
        for row in self.rows.values():
            if not row.is_lazy:  # it has to be written again, under another id or number of its attempt
                self._wake.set()
                break

    async def _write(self) -> None:
        retry_s = FIRST_RETRY_S
        while self._is_busy or self._open:
            if self._load.is_high and self._open:
                await self._gather()
            async with self._turn:
                is_written = await self._write_batch()
            if is_written is None:
                self._wake.clear()
                await self._wake.wait()
            elif is_written:
                retry_s = FIRST_RETRY_S
            else:
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, MAX_RETRY_S)

    async def _write_batch(self) -> bool | None:
        """Whether a batch is written; None: nothing waits."""
        if not (batch := self._batch()):
            return None
        self._load.add(len(batch))
        try:
            await self._save(batch)
        except BaseException as error:  # also of a caller that goes away
            self._rewrite(batch)
            if not isinstance(error, Exception):
                raise
            log.warning("ledger_not_written", waiting=len(self.rows), cause=cause_of(error))
            return False
        finally:
            for row, _ in batch:
                row.is_writing = False
            self._committed.set()
        return True

    async def _gather(self) -> None:
        """Waits for a commit's worth of rows, but not long."""
        if self._gathered >= GATHER_ROWS:
            return
        loop = asyncio.get_running_loop()
        self._gathering = loop.create_future()
        timer = loop.call_later(GATHER_S, resolve, (self._gathering,), None)
        try:
            await self._gathering
        finally:
            timer.cancel()
            self._gathering = None

    def _batch(self) -> list[tuple[Row, Execution]]:
        """Rows of the next commit, without lazy ones that are not due."""
        since = time.monotonic() - LAZY_S
        batch: list[tuple[Row, Execution]] = []
        size = 0
        for row in self.rows.values():
            if row.is_lazy and row.since > since and self._open:
                continue
            size += len(row.answer.body) if row.answer is not None else 0
            if batch and (size > MAX_ANSWERS_BYTES or len(batch) == BATCH_SIZE):
                self._wake.set()
                break
            row.is_writing = True
            batch.append((row, row.execution))
        self._gathered = 0
        if len(batch) < len(self.rows):
            self._wake_later()
        return batch

    def _wake_later(self) -> None:
        """Sees to it that lazy intents are written some time."""
        if self._lazy is None:
            self._lazy = asyncio.get_running_loop().call_later(LAZY_S, self._wake_now)

    def _wake_now(self) -> None:
        self._lazy = None
        self._wake.set()

    async def _save(self, batch: Sequence[tuple[Row, Execution]]) -> None:
        losses = self._losses
        try:
            async with self._limit():
                outcome = await self._book([row for row, _ in batch])
        except AttemptTaken:
            await self._renumber(batch)
            return
        except RowsRefused as error:
            if len(batch) > 1:  # the other rows must not wait for the one that can never be written
                for one in batch:
                    await self._save([one])
            elif batch[0][0].execution is batch[0][1]:
                self.drop(batch[0][0], "execution_refused", cause_of(error))
            return
        if losses != self._losses:  # the database that said yes may have died since
            for row, _ in batch:
                row.is_repeated = True
            return
        for row, version in batch:
            self._written(row, version, outcome)
        if outcome.is_lease_lost:
            await self._take_lease(batch)
        if outcome.levels and self.levels is not None:
            self.levels(outcome.levels)

    def _limit(self) -> AbstractAsyncContextManager[object]:
        """Limit of a write. SQLite's writer has its own, and its thread cannot be stopped."""
        if self._executions.needs_flush:
            return asyncio.timeout(2 * self._timeouts.row_s)
        return nullcontext()

    async def _book(self, rows: Sequence[Row]) -> Outcome:
        """Writes rows; those that no budget counts in the short way."""
        is_counted = self.counts_all or any(row.is_counted for row in rows)
        if not is_counted and self._executions.chain.name is None:
            await self._executions.save([row.execution for row in rows])
            return Outcome()
        return await self._executions.book([row.booking() for row in rows])

    def _written(self, row: Row, version: Execution, outcome: Outcome) -> None:
        id = version.id
        is_intent_of_guard = row.is_guarded and not row.settled
        if refusal := outcome.refused.get(id):
            if self.rows.get(id) is row and row.execution is version:
                del self.rows[id]
            row.resolve(refusal)
            return
        if outcome.is_lease_lost and is_intent_of_guard:
            return
        if row.rates is not None:
            row.rates.levels = outcome.rate_levels
        row.committed = time.monotonic()
        if self._executions.needs_flush:
            self._unflushed[id] = row
        if not self._waits_for_flush:
            row.resolve(True)
        if row.execution is version:  # otherwise it was settled while its intent was written
            del self.rows[id]
            if not self._waits_for_flush:
                resolve(row.booked, None)

    async def _take_lease(self, batch: Sequence[tuple[Row, Execution]]) -> None:
        """Another id for this process, and for the intents that were not written without a lease."""
        server_id = await self._replace_lease()
        for row, version in batch:
            if row.is_guarded and not row.settled and row.execution is version:
                row.execution.server_id = server_id

    async def _renumber(self, batch: Sequence[tuple[Row, Execution]]) -> None:
        """Gives attempts whose number another request of the same id has the next free one.

        A client may have sent its id twice; each of its calls is a row all the same.
        """
        if len(batch) > 1:
            for one in batch:
                await self._save([one])
            return
        [(row, _)] = batch
        row.execution.attempt = await self._executions.next_attempt(row.execution.request_id)

    async def _flush(self) -> None:
        while self._is_busy or self._open:
            if not self._unflushed:
                self._committed.clear()
                await self._committed.wait()
                if self._open and not self._waits_for_flush:
                    await asyncio.sleep(FLUSH_DELAY_S)
                continue
            self._flushing, self._unflushed = self._unflushed, {}
            rows = self._flushing
            try:
                async with asyncio.timeout(2 * self._timeouts.row_s):
                    await self._executions.flush()
            except Exception as error:
                log.warning("ledger_not_flushed", rows=len(rows), cause=cause_of(error))
                self._unflushed, self._flushing = {**rows, **self._unflushed}, {}
                self._rewrite(())
                await asyncio.sleep(FIRST_RETRY_S)
                continue
            self._flushing = {}
            self._wake.set()
            if self._waits_for_flush:
                for row in rows.values():
                    row.resolve(True)
                    if row.settled and self.rows.get(row.execution.id) is not row:
                        resolve(row.booked, None)

    def _rewrite(self, batch: Sequence[tuple[Row, Execution]]) -> None:
        """Queues what may be lost again. Its money is out: no budget refuses it now."""
        self._losses += 1
        for row, _ in batch:
            row.is_repeated = True
        for id, row in self._unflushed.items():
            row.is_repeated, row.is_guarded = True, False
            newer = self.rows.setdefault(id, row)
            newer.is_repeated = True
        self._unflushed.clear()
        self._wake.set()
