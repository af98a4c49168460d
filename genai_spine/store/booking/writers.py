"""Writers: the one connection of a process over which the ledger is written, and when what it wrote is safe.

SQLite: a commit survives a killed process. PostgreSQL: a commit is short, because it does not wait for the
disk (`synchronous_commit = off`), so rows and counters are locked for a fraction of a millisecond; `flush()`
returns when all that was committed before it is on disk. Both connections of PostgreSQL are one session: a
flush over another session would say nothing about what the first one lost.
"""

import asyncio
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import asyncpg

CONNECT_TIMEOUT_S = 5.0
LOCK_TIMEOUT_MS = 5000  # SQLite: wait for another process that writes
# Of the writer's connection: plans that do not depend on the values, nor on how small a table was when they
# were made (every row is found by an index), and no transaction that is left open.
SESSION = {
    "synchronous_commit": "off",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
    "idle_in_transaction_session_timeout": "1000",
}

T = TypeVar("T")


class RowsRefused(Exception):
    """The database works, but does not take one of the rows; a retry cannot help."""


class AttemptTaken(RowsRefused):
    """Another row has the request's id and the number of the attempt."""


ATTEMPT_INDEX = "ux_executions_attempt"
SQLITE_ATTEMPT = "executions.request_id, executions.attempt"


class SqliteWriter:
    """Three connections: few rows are written at once on the event loop's thread, many on one of their own,
    and a third thread copies the log into the database.

    A commit of a few rows takes about 0.1 ms and waits for no disk, which is less than handing it to a thread
    and back. A database that another process has locked is left to the thread. Checkpoints do wait for the
    disk; nobody waits for them.

    A thread that needs the interpreter's lock gets it only after waiting for one switch interval without
    a break, and an event loop at full load lets go and takes it back faster than the default 5 ms:
    measured, the thread then stood still for up to 15 s. So the interval is made short, and many rows
    are one statement, which SQLite works through without that lock.
    """

    REFUSED = (sqlite3.IntegrityError, sqlite3.DataError, OverflowError)
    SWITCH_INTERVAL_S = 0.0001
    MAX_LOOP_ROWS = 64  # rows that are written on the event loop's thread
    CHECKPOINT_ROWS = 1000  # after so many rows of that kind the log is copied into the database
    LONG_LOG = 16_000  # pages of 4 KiB: of a log that is begun anew, for which the writer has to wait

    def __init__(self, path: str, set_pragmas: Callable[[sqlite3.Connection], None]) -> None:
        sys.setswitchinterval(self.SWITCH_INTERVAL_S)
        self._path = path
        self._set_pragmas = set_pragmas
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._checkpointer = ThreadPoolExecutor(1, thread_name_prefix="sqlite-checkpoint")
        self._connections: dict[str, sqlite3.Connection] = {}  # by the thread that uses it
        self._since_checkpoint = 0
        self._checkpointing: asyncio.Task[None] | None = None
        self._last_part: asyncio.Future[int] | None = None  # of a long log; the writer waits for it

    async def run(self, job: Callable[[sqlite3.Connection], T], rows: int, *, atomic: bool = True) -> T:
        """Result of the job, in one transaction. atomic: it has several statements.

        Raises RowsRefused when a row breaks a rule of the table; nothing is written then.
        """
        loop = asyncio.get_running_loop()
        if self._last_part is not None:
            await asyncio.wait((self._last_part,))
        if rows <= self.MAX_LOOP_ROWS:
            with suppress(sqlite3.OperationalError):  # whatever is wrong, the thread will meet it, too
                result = self._run("loop", job, atomic)
                self._count(rows, loop)
                return result
        result = await loop.run_in_executor(self._thread, self._run, "thread", job, atomic)
        self._count(rows, loop)
        return result

    async def flush(self) -> None:
        """No work: what is committed is safe already."""

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        if self._checkpointing is not None:
            await asyncio.wait((self._checkpointing,))
        self._drop("loop")
        await loop.run_in_executor(self._thread, self._drop, "thread")
        await loop.run_in_executor(self._checkpointer, self._drop, "checkpoint")
        self._thread.shutdown()
        self._checkpointer.shutdown()

    def _run(self, thread: str, job: Callable[[sqlite3.Connection], T], atomic: bool) -> T:
        try:
            connection = self._connection(thread)
            if not atomic:
                return job(connection)
            connection.execute("BEGIN IMMEDIATE")
            result = job(connection)
            connection.execute("COMMIT")
            return result
        except Exception as error:
            self._drop(thread)  # which rolls back
            if isinstance(error, self.REFUSED):
                refused = AttemptTaken if SQLITE_ATTEMPT in str(error) else RowsRefused
                raise refused(str(error)) from error
            raise

    def _connection(self, thread: str) -> sqlite3.Connection:
        connection = self._connections.get(thread)
        if connection is None:
            connection = self._connections[thread] = sqlite3.connect(self._path, isolation_level=None)
            self._set_pragmas(connection)
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            if thread == "loop":
                connection.execute("PRAGMA busy_timeout = 0")
        return connection

    def _count(self, rows: int, loop: asyncio.AbstractEventLoop) -> None:
        self._since_checkpoint += rows
        is_running = self._checkpointing is not None and not self._checkpointing.done()
        if self._since_checkpoint >= self.CHECKPOINT_ROWS and not is_running:
            self._since_checkpoint = 0
            self._checkpointing = loop.create_task(self._checkpoint(loop))

    async def _checkpoint(self, loop: asyncio.AbstractEventLoop) -> None:
        """Copies the log while the writer goes on. SQLite begins it anew only when all of it is copied, which
        under load never is; so where it is long, the writer waits for the few pages that came meanwhile.
        """
        if await loop.run_in_executor(self._checkpointer, self._copy) < self.LONG_LOG:
            return
        self._last_part = loop.run_in_executor(self._checkpointer, self._copy)
        try:
            await self._last_part
        finally:
            self._last_part = None

    def _copy(self) -> int:
        """Pages that the log has."""
        with suppress(sqlite3.OperationalError):  # another process does it
            row = self._connection("checkpoint").execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            return int(row[1])
        return 0

    def _drop(self, thread: str) -> None:
        connection = self._connections.pop(thread, None)
        if connection is not None:
            connection.close()


class PostgresqlWriter:
    """A connection that writes and one that flushes; when one is lost, both are made anew."""

    REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
    FLUSH = "SELECT pg_logical_emit_message(true, 'genai_spine', '')"

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]]) -> None:
        self._connect = connect
        self._connection: asyncpg.Connection | None = None
        self._barrier: asyncpg.Connection | None = None

    async def run(self, job: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Result of the job, which makes one statement or a transaction of its own.

        Raises RowsRefused when a row breaks a rule of the table; that statement wrote nothing then.
        """
        try:
            return await job(await self._session())
        except self.REFUSED as error:
            taken = getattr(error, "constraint_name", None) == ATTEMPT_INDEX
            raise (AttemptTaken if taken else RowsRefused)(str(error)) from error
        except BaseException:
            self._terminate()  # also when cancelled: its state is not known
            raise

    async def flush(self) -> None:
        """Returns when what this session has committed is on disk.

        Raises ConnectionError, or what the driver raises, when that cannot be known: it may be lost.
        """
        barrier = self._barrier
        if barrier is None or barrier.is_closed():
            self._terminate()
            raise ConnectionError("the session that wrote ended before its flush")
        try:
            await barrier.execute(self.FLUSH)
        except BaseException:
            self._terminate()
            raise

    async def close(self) -> None:
        for connection in (self._connection, self._barrier):
            if connection is not None and not connection.is_closed():
                await connection.close(timeout=CONNECT_TIMEOUT_S)
        self._connection = self._barrier = None

    async def _session(self) -> asyncpg.Connection:
        connection, barrier = self._connection, self._barrier
        if connection is None or barrier is None or connection.is_closed() or barrier.is_closed():
            self._terminate()
            barrier = await self._connect()
            try:
                connection = await self._configured(SESSION)
            except BaseException:
                barrier.terminate()
                raise
            self._connection, self._barrier = connection, barrier
        return connection

    async def _configured(self, session: Mapping[str, str]) -> asyncpg.Connection:
        connection = await self._connect()
        try:
            for name, value in session.items():
                await connection.execute(f"SET {name} = '{value}'")
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _terminate(self) -> None:
        for connection in (self._connection, self._barrier):
            if connection is not None:
                connection.terminate()
        self._connection = self._barrier = None


class DurableWriter(PostgresqlWriter):
    """One connection whose commits are on disk when they return: a group of runs waits for one of them."""

    async def _session(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            session = {name: value for name, value in SESSION.items() if name != "synchronous_commit"}
            self._connection = await self._configured(session)
        return self._connection
