"""The ledger: an intent on the books before a provider is called, one settlement after it.

One task writes: it takes all that waits, writes it in one transaction, and goes on with what came in
meanwhile. A row waits in memory until it is durable, and no longer.
"""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar
from uuid import uuid4

import structlog
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from genai_spine.errors import ServiceUnavailable
from genai_spine.store.database import RowsRefused
from genai_spine.store.executions import Executions
from genai_spine.store.leases import Leases
from genai_spine.v1 import execution_pb2
from genai_spine.v1.execution_pb2 import Execution

BATCH_SIZE = 500  # rows per transaction
MAX_WAITING = 10_000  # rows that no database took yet; past that no call is begun
FIRST_RETRY_S, MAX_RETRY_S = 0.05, 2.0
# An intent that nobody waits for yet: a call that ends sooner is written once, not twice.
LINGER_S = 0.005
# From one commit to the next: a busy ledger writes several rows at once, an idle one does not wait.
PAUSE_S = 0.004
SETTLED = frozenset(
    (
        execution_pb2.EXECUTION_STATE_SUCCEEDED,
        execution_pb2.EXECUTION_STATE_FAILED,
        execution_pb2.EXECUTION_STATE_CANCELLED,
    )
)

T = TypeVar("T")
log = structlog.get_logger()
_watching: ContextVar[dict[str, Execution] | None] = ContextVar("watching", default=None)


@contextmanager
def watched() -> Iterator[dict[str, Execution]]:
    """Collects the settlements, by id, of calls that are made inside, also in tasks that are begun inside."""
    rows: dict[str, Execution] = {}
    token = _watching.set(rows)
    try:
        yield rows
    finally:
        _watching.reset(token)


@dataclass(frozen=True, slots=True)
class LedgerTimeouts:
    """Seconds to wait for a database that does not take rows."""

    row_s: float = 5.0  # recorded() and a settlement's future
    stop_s: float = 10.0  # stop()


@dataclass(slots=True, eq=False)
class _Row:
    """An execution whose newest version is not durable yet."""

    execution: Execution  # a copy: the caller goes on changing its own
    settled: bool = False  # the newest version is the settlement
    since: float = field(default_factory=time.monotonic)  # when the newest version came
    recorded: list["asyncio.Future[bool]"] = field(default_factory=list)  # True: some version is durable
    booked: list["asyncio.Future[None]"] = field(default_factory=list)  # who waits for the settlement
    shown: bool = False  # the log has the settlement in full, because the database did not take it


class Ledger:
    """start() before the first call, stop() after the last one; all on one event loop."""

    def __init__(
        self,
        executions: Executions,
        leases: Leases,
        *,
        lane: str,
        lease_ttl_s: float = 15.0,
        timeouts: LedgerTimeouts | None = None,
    ) -> None:
        """lease_ttl_s: for so long after this process died its PENDING rows are not touched."""
        self.server_id = str(uuid4())
        self._executions = executions
        self._leases = leases
        self._lane = lane
        self._row_lane = Execution(lane=f"LANE_{lane.upper()}").lane
        self._lease_ttl_s = lease_ttl_s
        self._timeouts = timeouts or LedgerTimeouts()
        self._rows: dict[str, _Row] = {}
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()  # somebody waits for a row
        self._open = False
        self._writer: asyncio.Task[None] | None = None
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Takes the lease, and books as LOST what dead servers left. Raises when the database is away."""
        await self._leases.take(self.server_id, self._lane, self._lease_ttl_s)
        await self._sweep()
        self._open = True
        self._writer = asyncio.create_task(self._write())
        self._keepers = [asyncio.create_task(self._keep_lease()), asyncio.create_task(self._show_overdue())]

    async def stop(self) -> None:
        """Writes what waits, for at most patience.stop_s; what is left then goes to the log in full."""
        self._open = False
        self._wake.set()
        self._urgent.set()
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=self._timeouts.stop_s)
            await _end([self._writer, *self._keepers])
        for row in list(self._rows.values()):
            self._drop(row, "execution_not_booked", "the server stopped")
        try:
            async with asyncio.timeout(self._timeouts.row_s):
                await self._leases.release(self.server_id)
        except Exception as error:
            log.warning("lease_not_released", server_id=self.server_id, cause=_cause(error))

    def begin(self, execution: Execution) -> None:
        """Gives the execution id, state, server, lane and time, and queues it as an intent.

        Raises ServiceUnavailable when the ledger does not run or too much waits for the database.
        """
        if not self._open:
            raise ServiceUnavailable(cause="its ledger is closed")
        if len(self._rows) >= MAX_WAITING:
            raise ServiceUnavailable(cause=f"{len(self._rows)} ledger rows wait for the database")
        execution.id = _time_ordered_uuid()
        execution.state = execution_pb2.EXECUTION_STATE_PENDING
        execution.lane, execution.server_id = self._row_lane, self.server_id
        _set_now(execution.create_time)
        self._rows[execution.id] = _Row(_copy(execution))
        self._wake.set()
        if execution.streamed:  # its first byte will wait for it
            self._urgent.set()

    def book(self, execution: Execution) -> "asyncio.Future[None]":
        """Books a call that is over, under the id and time that it has; booked again, it changes nothing.

        For calls that the provider made by itself, such as those of a batch. Returns and raises as settle()
        does, and raises ServiceUnavailable when the ledger does not run.
        """
        if not self._open:
            raise ServiceUnavailable(cause="its ledger is closed")
        execution.lane, execution.server_id = self._row_lane, self.server_id
        return self.settle(execution)

    async def recorded(self, execution: Execution) -> None:
        """Returns when the execution is durable, as intent or settled; await it before the first byte.

        Raises ServiceUnavailable when that takes longer than patience.row_s.
        """
        row = self._rows.get(execution.id)
        if row is None:
            return
        future = asyncio.get_running_loop().create_future()
        row.recorded.append(future)
        self._urgent.set()
        await asyncio.wait({future}, timeout=self._timeouts.row_s)
        if not future.done() or not future.result():
            raise ServiceUnavailable(cause="its ledger cannot be written")

    def settle(self, execution: Execution) -> "asyncio.Future[None]":
        """Books the outcome, once; a second settlement of one execution changes nothing.

        The future is done when the row is durable, or after patience.row_s when the row went to the log
        instead; it never has an exception, and need not be awaited. Raises ValueError for an execution
        that was not begun, or whose state is not an outcome.
        """
        if not execution.id or execution.state not in SETTLED:
            state = execution_pb2.ExecutionState.Name(execution.state)
            raise ValueError(f"execution {execution.id!r} cannot be settled as {state}")
        row = self._rows.get(execution.id)
        if row is None or not row.settled:
            row = self._queue_settlement(execution, row)
        booked = asyncio.get_running_loop().create_future()
        row.booked.append(booked)
        if self._writer is None or self._writer.done():
            self._drop(row, "execution_not_booked", "the ledger is stopped")
        return booked

    def _queue_settlement(self, execution: Execution, row: _Row | None) -> _Row:
        _set_now(execution.settle_time)
        if row is None:
            row = self._rows[execution.id] = _Row(_copy(execution))
        else:
            row.execution, row.since = _copy(execution), time.monotonic()
        row.settled = True
        if (rows := _watching.get()) is not None:
            rows.setdefault(execution.id, row.execution)  # the first settlement counts
        self._wake.set()
        self._urgent.set()
        return row

    async def _write(self) -> None:
        retry_s, committed = FIRST_RETRY_S, 0.0
        while self._rows or self._open:
            if not self._rows:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._come_together(committed)
            batch = [(row, row.execution) for row in islice(self._rows.values(), BATCH_SIZE)]
            try:
                await self._save(batch)
                retry_s, committed = FIRST_RETRY_S, time.monotonic()
            except Exception as error:
                log.warning("ledger_not_written", waiting=len(self._rows), cause=_cause(error))
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, MAX_RETRY_S)

    async def _come_together(self, committed: float) -> None:
        """Returns when the waiting rows are to be written; committed: when the last ones were."""
        if not self._urgent.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    await self._urgent.wait()
        if (pause_s := committed + PAUSE_S - time.monotonic()) > 0 and self._open:
            await asyncio.sleep(pause_s)
        if len(self._rows) <= BATCH_SIZE:
            self._urgent.clear()

    async def _save(self, batch: Sequence[tuple[_Row, Execution]]) -> None:
        try:
            async with asyncio.timeout(2 * self._timeouts.row_s):
                await self._executions.save([version for _, version in batch])
        except RowsRefused as error:
            if len(batch) > 1:  # the other rows must not wait for the one that can never be written
                for one in batch:
                    await self._save([one])
            elif batch[0][0].execution is batch[0][1]:
                self._drop(batch[0][0], "execution_refused", _cause(error))
            return
        for row, version in batch:
            self._saved(row, version)

    def _saved(self, row: _Row, version: Execution) -> None:
        _resolve(row.recorded, True)
        if row.execution is version:  # otherwise it was settled while its intent was written
            del self._rows[version.id]
            _resolve(row.booked, None)

    def _drop(self, row: _Row, event: str, cause: str) -> None:
        """Gives up on a row; from here on it is in the log only."""
        _show(row, event, cause)
        del self._rows[row.execution.id]
        _resolve(row.recorded, False)
        _resolve(row.booked, None)

    async def _show_overdue(self) -> None:
        """Logs settlements that wait too long, and lets their callers go on; they are still retried."""
        while True:
            await asyncio.sleep(self._timeouts.row_s / 10)
            limit = time.monotonic() - self._timeouts.row_s
            for row in [row for row in self._rows.values() if row.settled and row.since < limit]:
                if not row.shown and row.execution.id in self._rows:
                    row.shown = True
                    _show(row, "execution_not_booked_yet", "the database does not take it")
                    _resolve(row.booked, None)
                    await asyncio.sleep(0)  # there may be thousands

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(self._lease_ttl_s / 3)
            try:
                async with asyncio.timeout(self._lease_ttl_s):
                    if not await self._leases.renew(self.server_id, self._lease_ttl_s):
                        await self._replace_lease()
                    await self._sweep()
            except Exception as error:
                log.warning("lease_not_renewed", server_id=self.server_id, cause=_cause(error))

    async def _replace_lease(self) -> None:
        """Others may have booked our calls as LOST by now; their settlements will correct that."""
        successor = str(uuid4())
        await self._leases.take(successor, self._lane, self._lease_ttl_s)
        log.error("lease_lost", server_id=self.server_id, successor=successor)
        self.server_id = successor

    async def _sweep(self) -> None:
        if lost := await self._executions.sweep():
            log.warning("executions_lost", count=len(lost), first_id=lost[0])


def _resolve(futures: list["asyncio.Future[T]"], result: T) -> None:
    for future in futures:
        if not future.done():  # a caller that was cancelled took its future along
            future.set_result(result)


def _show(row: _Row, event: str, cause: str) -> None:
    execution = MessageToDict(row.execution, preserving_proto_field_name=True)
    log.error(event, cause=cause, execution=execution)


async def _end(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _copy(execution: Execution) -> Execution:
    copy = Execution()
    copy.CopyFrom(execution)
    return copy


def _set_now(timestamp: Timestamp) -> None:
    """To the microsecond, which is what the databases keep."""
    timestamp.seconds, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
    timestamp.nanos = microseconds * 1000


def _time_ordered_uuid() -> str:
    """UUID version 7 (RFC 9562): milliseconds first, so that a table grows at its end."""
    random = int.from_bytes(os.urandom(10))
    high = time.time_ns() // 1_000_000 << 16 | 0x7000 | random >> 68
    text = f"{high << 64 | 0b10 << 62 | random & (1 << 62) - 1:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _cause(error: BaseException) -> str:
    error = error.__cause__ or error if isinstance(error, ServiceUnavailable) else error
    return f"{type(error).__name__}: {error}"[:500]
