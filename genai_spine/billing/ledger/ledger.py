"""The ledger: an intent on the books before a provider is called, one settlement after it.

What a call may cost at most is reserved with its intent, in the counters of the budgets that apply to it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple
from uuid import uuid4

import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from genai_spine.billing.ledger.journal import Journal
from genai_spine.billing.ledger.rows import Recorded, Row, cause_of, copied, resolve, show
from genai_spine.billing.ledger.writer import BATCH_SIZE, LedgerTimeouts, LedgerWriter
from genai_spine.call import PaidAnswer, uuid7
from genai_spine.errors import ServiceUnavailable
from genai_spine.store.booking.entries import Refusal
from genai_spine.store.booking.rates import RateExceeded, RateRefusal, RateReservation
from genai_spine.store.booking.writers import RowsRefused
from genai_spine.store.executions import Booking, Executions
from genai_spine.store.leases import Leases
from genai_spine.telemetry import calls
from genai_spine.v1 import execution_pb2
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.usage_pb2 import Cost

MAX_WAITING = 10_000  # rows that no database took yet; past that no call is begun
RENEWALS = 4  # of a lease, and sweeps, while it lasts
SETTLED = frozenset(
    (
        execution_pb2.EXECUTION_STATE_SUCCEEDED,
        execution_pb2.EXECUTION_STATE_FAILED,
        execution_pb2.EXECUTION_STATE_CANCELLED,
    )
)

log = structlog.get_logger()
_watching: ContextVar[dict[str, Execution] | None] = ContextVar("watching", default=None)


class Within(NamedTuple):
    """Run that a call is made in, as its reservation sees it."""

    is_soft: bool = False  # admitted with its run: only budgets with SOFT_BLOCK could refuse it
    draws: bool = False  # on what its run has reserved


OUTSIDE = Within()  # of any run, or under budgets that refuse a run's calls as well


class ReservationRefused(Exception):
    """A budget's counter has no room for what the call may cost, or is not there; nothing was written."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"counter {refusal.counter}: {refusal.level}")
        self.refusal = refusal


@contextmanager
def watched() -> Iterator[dict[str, Execution]]:
    """Collects the settlements, by id, of calls that are made inside, also in tasks that are begun inside."""
    rows: dict[str, Execution] = {}
    token = _watching.set(rows)
    try:
        yield rows
    finally:
        _watching.reset(token)


def watch(execution: Execution) -> None:
    """Counts a call that was settled before as one that is made now."""
    if (rows := _watching.get()) is not None:
        rows.setdefault(execution.id, execution)


class Ledger:
    """start() before the first call, stop() after the last one; all on one event loop."""

    def __init__(
        self,
        executions: Executions,
        leases: Leases,
        *,
        lane: str,
        lease_ttl_s: float = 10.0,
        timeouts: LedgerTimeouts | None = None,
    ) -> None:
        """lease_ttl_s: for so long after this process died its PENDING rows are not touched."""
        self._first_id = self.server_id = executions.chain.name or str(uuid4())
        self._executions = executions
        self._leases = leases
        self._lane = lane
        self._row_lane = Execution(lane=f"LANE_{lane.upper()}").lane
        self._lease_ttl_s = lease_ttl_s
        self.lease_until = 0.0  # by time.monotonic(): others take it for dead after that
        self.journal: Journal | None = None  # set before start(); None: callers wait for commits
        self.makes_run: Callable[[str], bool] = lambda _: True  # whether this process still makes a run
        self._timeouts = timeouts or LedgerTimeouts()
        self._replaced = 0
        self.writer = LedgerWriter(executions, self._timeouts, self._replace_lease)
        self.renewed: list[Callable[[], Awaitable[None]]] = []  # what else is done with each renewal
        self.lost: list[Callable[[Sequence[str]], Coroutine[Any, Any, None]]] = []  # get ids of lost calls
        self._resolving: set[asyncio.Task[None]] = set()
        self._limited: set[str] = set()  # ids of calls that run, and hold something of rate limits
        self._drawing: set[str] = set()  # ids of calls that run, and draw on what their run has reserved
        self._open = False
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Takes the lease, and books as LOST what dead servers left. Raises when the database is away."""
        until = time.monotonic() + self._lease_ttl_s
        await self._leases.take(self.server_id, self._lane, self._lease_ttl_s)
        self.lease_until = until
        await self._executions.chain.open()
        await self._book_abandoned()
        await self._sweep()
        for renewed in self.renewed:
            await renewed()
        self._open = True
        self.writer.start()
        self._keepers = [asyncio.create_task(self._keep_lease()), asyncio.create_task(self._show_overdue())]

    async def stop(self) -> None:
        """Writes what waits, for at most timeouts.stop_s; what is left then goes to the log in full."""
        self._open = False
        await self.writer.stop(self._timeouts.stop_s)
        await _end([*self._keepers, *self._resolving])
        if self.journal is not None:
            self.journal.close(is_done=not self.writer.rows)
        for row in list(self.writer.rows.values()):
            self.writer.drop(row, "execution_not_booked", "the server stopped")
        try:
            async with asyncio.timeout(self._timeouts.row_s):
                await self._leases.release(self._first_id)
        except Exception as error:
            log.warning("lease_not_released", server_id=self.server_id, cause=cause_of(error))

    def begin(self, execution: Execution) -> None:
        """Gives the execution id, state, server, lane and time, and queues it as an intent.

        For calls that cost nothing; of others reserve() is awaited. That of a stream is written at once,
        while its provider is asked: the first byte waits for it. Raises ServiceUnavailable when the ledger
        does not run or too much waits for the database.
        """
        if not self._begin(execution, is_lazy=not execution.streamed).is_lazy:
            self.writer.wake()

    async def reserve(
        self, execution: Execution, rates: RateReservation | None = None, within: Within = OUTSIDE
    ) -> None:
        """As begin(), and returns when the intent is durable: only then may its provider be called.

        execution: with its reserved_ticks and budget_counters. rates: what it takes of rate limits; it gets
        their levels. within: the run that it is made in. Raises ReservationRefused, RateExceeded, and
        ServiceUnavailable also when the database does not take the row within timeouts.row_s.
        """
        while True:
            self._check_run(execution)
            row = self._begin(execution)
            row.is_soft, row.draws = within
            is_counted = bool(execution.budget_counters) and (within.draws or not within.is_soft)
            row.is_guarded = is_counted or (rates is not None and rates.is_guarded)
            if within.draws:
                self._drawing.add(execution.id)
            if rates is not None:
                row.rates = rates
                self._limited.add(execution.id)
            try:
                is_there = await self._wait(row)
            except BaseException:
                self._withdraw(row, "the call was not sent: its caller went away")
                raise
            if isinstance(is_there, Refusal | RateRefusal):
                self._limited.discard(execution.id)
                self._drawing.discard(execution.id)
                if isinstance(is_there, Refusal):
                    raise ReservationRefused(is_there)
                raise RateExceeded(is_there)
            if not is_there:
                self._withdraw(row, "the call was not sent: its ledger cannot be written")
                raise ServiceUnavailable(cause="its ledger cannot be written")
            execution.attempt, execution.server_id = row.execution.attempt, row.execution.server_id
            if time.monotonic() - row.committed > self._lease_ttl_s / 2:
                # This process stood still, and others may have booked the row as LOST by now.
                self._withdraw(row, "the call was not sent: its process stood still")
                continue
            try:
                self._check_run(execution)
            except ServiceUnavailable:
                self._withdraw(row, "the call was not sent: another process makes its run")
                raise
            return

    def _check_run(self, execution: Execution) -> None:
        """Raises ServiceUnavailable where another process may make the run of a call by now."""
        if execution.run_id and not self.makes_run(execution.run_id):
            raise ServiceUnavailable(cause="its run is made by another process")

    def book(self, execution: Execution) -> "asyncio.Future[None]":
        """Books a call that is over, under the id and time that it has; booked again, it changes nothing.

        For calls that the provider made by itself, such as those of a batch. Returns and raises as settle()
        does, and raises ServiceUnavailable when the ledger does not run.
        """
        if not self._open:
            raise ServiceUnavailable(cause="its ledger is closed")
        execution.lane, execution.server_id = self._row_lane, self.server_id
        booked = self._settle(execution, has_intent=False)
        self.writer.wake()
        return booked

    async def recorded(self, execution: Execution) -> None:
        """Returns when the execution is durable, as intent or settled; await it before the first byte.

        Raises ServiceUnavailable when that takes longer than timeouts.row_s.
        """
        row = self.writer.rows.get(execution.id)
        if row is None:
            return
        self.writer.hurry(row)
        if await self._wait(row) is not True:
            raise ServiceUnavailable(cause="its ledger cannot be written")

    async def booked(self, ids: Iterable[str]) -> None:
        """Returns when no settlement of these executions waits for the database any more, however long."""
        for id in ids:
            while (row := self.writer.rows.get(id)) is not None:
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                row.booked.append(future)
                await future

    def settle(self, execution: Execution, answer: PaidAnswer | None = None) -> "asyncio.Future[None]":
        """Books the outcome, once; a second settlement of one execution changes nothing.

        answer: of a run's call, written in the same transaction.
        The future is done when the settlement survives this process: it is in the journal, or else the row is
        durable. After timeouts.row_s it is done, too, when the row went to the log instead. It never has an
        exception, and need not be awaited. What adds up rows afterwards awaits booked(), and a run's calls
        do. Raises ValueError for an execution that was not begun, or whose state is not an outcome.
        """
        booked = self._settle_safely(execution, answer)
        self.writer.wake()
        return booked

    async def finish(self, execution: Execution, answer: PaidAnswer | None = None) -> None:
        """As settle(), and returns when its future is done. A caller that goes away changes nothing."""
        booked = self._settle_safely(execution, answer)
        if booked.done():
            self.writer.wake()
        else:
            await self.writer.write_now()
            await booked

    def _settle_safely(self, execution: Execution, answer: PaidAnswer | None) -> "asyncio.Future[None]":
        """As settle(), for who wakes the writer."""
        booked = self._settle(execution, answer, has_intent=True)
        if self.journal is None or execution.run_id or booked.done():
            return booked
        if self.journal.add(self.writer.rows[execution.id].execution):
            booked.set_result(None)
        return booked

    def _settle(
        self, execution: Execution, answer: PaidAnswer | None = None, *, has_intent: bool
    ) -> "asyncio.Future[None]":
        """has_intent: the database or the writer has one."""
        if not execution.id or execution.state not in SETTLED:
            state = execution_pb2.ExecutionState.Name(execution.state)
            raise ValueError(f"execution {execution.id!r} cannot be settled as {state}")
        row = self.writer.rows.get(execution.id)
        if row is None or not row.settled:
            row = self._queue_settlement(execution, has_intent=has_intent)
            row.answer = answer
        booked = asyncio.get_running_loop().create_future()
        row.booked.append(booked)
        if not self.writer.is_running:
            self.writer.drop(row, "execution_not_booked", "the ledger is stopped")
        return booked

    def _begin(self, execution: Execution, *, is_lazy: bool = False) -> Row:
        if not self._open:
            raise ServiceUnavailable(cause="its ledger is closed")
        if len(self.writer.rows) >= MAX_WAITING:
            raise ServiceUnavailable(cause=f"{len(self.writer.rows)} ledger rows wait for the database")
        execution.id = uuid7()  # a table grows at its end
        execution.state = execution_pb2.EXECUTION_STATE_PENDING
        execution.lane, execution.server_id = self._row_lane, self.server_id
        if not execution.HasField("create_time"):  # its budgets' periods are those of this time
            set_now(execution.create_time)
        row = Row(copied(execution), is_lazy=is_lazy, is_begun=True)
        self.writer.put(row)
        return row

    async def _wait(self, row: Row) -> Recorded:
        """What became of the intent; False: it is not durable, or not yet."""
        future: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()
        row.recorded.append(future)
        await self.writer.write_now()
        return await future  # _show_overdue() ends it in time

    def _withdraw(self, row: Row, why: str) -> None:
        """Books a call that was never sent, unless its intent is not written either."""
        is_refused = row.execution.id not in self.writer.rows and not row.committed
        if is_refused or self.writer.withdraw(row):
            self._limited.discard(row.execution.id)
            self._drawing.discard(row.execution.id)
            return
        execution = copied(row.execution)
        execution.state = execution_pb2.EXECUTION_STATE_CANCELLED
        execution.error = why
        execution.cost.CopyFrom(Cost(price_known=True))
        self.settle(execution)

    def _queue_settlement(self, execution: Execution, *, has_intent: bool) -> Row:
        set_now(execution.settle_time)
        row = self.writer.rows.get(execution.id)
        if row is None:
            row = Row(copied(execution), is_recorded=has_intent)
        else:
            row.execution, row.since = copied(execution), time.monotonic()
        row.settled, row.is_lazy = True, False
        if execution.id in self._limited:
            self._limited.discard(execution.id)
            row.ends_rates = True
        if execution.id in self._drawing:
            self._drawing.discard(execution.id)
            row.draws = True
        watch(row.execution)  # the first settlement counts
        calls.settled(row.execution)
        self.writer.put(row)
        return row

    async def _show_overdue(self) -> None:
        """Lets go who waits too long, and logs settlements that do; the rows are still written again."""
        while True:
            await asyncio.sleep(self._timeouts.row_s / 10)
            limit = time.monotonic() - self._timeouts.row_s
            for row in [row for row in self.writer.rows.values() if row.since < limit]:
                row.resolve(False)
                if row.settled and not row.shown and row.execution.id in self.writer.rows:
                    row.shown = True
                    show(row, "execution_not_booked_yet", "the database does not take it")
                    resolve(row.booked, None)
                    await asyncio.sleep(0)  # there may be thousands

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(self._lease_ttl_s / RENEWALS)
            try:
                async with asyncio.timeout(self._lease_ttl_s):
                    await self._renew_lease()
                    await self._book_abandoned()
                    await self._sweep()
                    for renewed in self.renewed:
                        await renewed()
            except Exception as error:
                log.warning("lease_not_renewed", server_id=self.server_id, cause=cause_of(error))

    async def _renew_lease(self) -> None:
        until = time.monotonic() + self._lease_ttl_s
        if await self._leases.renew(self.server_id, self._lease_ttl_s):
            self.lease_until = until
        else:
            await self._replace_lease()

    async def _replace_lease(self) -> str:
        """The id of this process from here on.

        Others may have booked our calls as LOST by now; their settlements will correct that.
        """
        successor, until = f"{self._first_id}.{self._replaced + 1}", time.monotonic() + self._lease_ttl_s
        await self._leases.take(successor, self._lane, self._lease_ttl_s)
        self.lease_until = until
        log.error("lease_lost", server_id=self.server_id, successor=successor)
        self.server_id, self._replaced = successor, self._replaced + 1
        return successor

    async def _book_abandoned(self) -> None:
        """Books what dead processes had only in their journals, and empties the own one."""
        if self.journal is None:
            return
        for abandoned in self.journal.abandoned():
            for start in range(0, len(settlements := abandoned.settlements), BATCH_SIZE):
                await self._book_again(settlements[start : start + BATCH_SIZE])
            await self._executions.flush()
            abandoned.delete()
            log.info("settlements_taken_over", count=len(settlements), journal=abandoned.path.name)
        self.journal.trim(self.writer.waiting)

    async def _book_again(self, settlements: Sequence[Execution]) -> None:
        """Books settlements of a dead process. Those that are booked already change nothing."""
        try:
            await self._executions.book([Booking(one, is_recorded=True) for one in settlements])
        except RowsRefused as error:
            if len(settlements) > 1:
                for one in settlements:
                    await self._book_again([one])
                return
            show(Row(settlements[0]), "execution_refused", cause_of(error))

    async def _sweep(self) -> None:
        if lost := await self._executions.sweep():
            log.warning("executions_lost", count=len(lost), first_id=lost[0])
            for resolve in self.lost:  # which may take longer than a lease lasts
                task = asyncio.create_task(resolve(lost))
                self._resolving.add(task)
                task.add_done_callback(self._resolving.discard)
        if ended := await self._executions.chain.end_others():
            log.info("ledger_chains_ended", chains=ended)


async def _end(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def set_now(timestamp: Timestamp) -> None:
    """To the microsecond, which is what the databases keep."""
    timestamp.seconds, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
    timestamp.nanos = microseconds * 1000
