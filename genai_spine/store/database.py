"""Database connection: SQLite or PostgreSQL, and every difference between the two.

SQLite runs with a write-ahead log and synchronous=NORMAL: what was committed survives a killed process;
a power failure may take the last commits, but never leaves a broken file. PostgreSQL keeps every commit.
"""

import asyncio
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from errno import ENOSPC
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from genai_spine.errors import ServiceUnavailable
from genai_spine.telemetry.urls import shown

CONNECT_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_S = 30.0  # PostgreSQL, per statement: a dead network must not hold a caller for ever
LOCK_TIMEOUT_MS = 5000  # SQLite: wait for another process that writes
UPGRADE_LOCK = 0x67656E61_69737069  # PostgreSQL advisory lock "genaispi": one process migrates at a time
MIN_FREE_BYTES = 1_000_000  # SQLite: with less a disk counts as full
# Classes of SQLSTATE that say that the server cannot work now: connection, resources (a full disk is one of
# them), shutdown, files, a lock that another one holds, a replica without writes, colliding transactions.
# https://www.postgresql.org/docs/current/errcodes-appendix.html, 2026-11-29.
UNAVAILABLE_STATES = ("08", "53", "57P", "58", "55P03", "25006", "40")
# SQLite says with the same class that a statement is wrong; whoever wrote it must see that.
WRONG_STATEMENT = ("no such", "syntax error", "has no column", "already exists")

log = structlog.get_logger()


class RowsRefused(Exception):
    """The database works, but does not take one of the rows; a retry cannot help."""


class DatabaseUnreachable(ConnectionError):
    """No connection to the database; the message names it, without its password."""


class Utc(sa.types.TypeDecorator[datetime]):
    """A point in time, always UTC and aware. SQLite keeps it as text, microseconds included."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Now(FunctionElement[datetime]):
    """The database's own clock plus some seconds: `Now(15.0)` is 15 s ahead of it."""

    type = Utc()
    inherit_cache = True

    def __init__(self, plus_s: float = 0.0) -> None:
        super().__init__(sa.literal(float(plus_s), sa.Double))


@compiles(Now, "postgresql")
def _postgresql_now(element: Now, compiler: Any, **kw: Any) -> str:
    return f"(now() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


@compiles(Now, "sqlite")
def _sqlite_now(element: Now, compiler: Any, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {seconds} || ' seconds') || '000')"


class JsonTexts(FunctionElement[Any]):
    """Rows (key, value) of a column that holds a JSON object of texts; use it with `table_valued`."""

    inherit_cache = True


@compiles(JsonTexts, "postgresql")
def _postgresql_json_texts(element: JsonTexts, compiler: Any, **kw: Any) -> str:
    return f"json_each_text({compiler.process(element.clauses, **kw)})"


@compiles(JsonTexts, "sqlite")
def _sqlite_json_texts(element: JsonTexts, compiler: Any, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


class _RowWriter(Protocol):
    """Protocol of the bulk writers of both databases."""

    async def write(self, statement: str, rows: Sequence[Sequence[Any]]) -> None: ...
    async def close(self) -> None: ...


class Database:
    """A bounded pool of connections, and one connection more for `write_many`.

    `sqlite:///data/x.db` is relative to the working directory, `sqlite:////data/x.db` is absolute, and
    `sqlite://` is an empty database of this object only, gone when it is closed. PostgreSQL takes any
    libpq URL (`?host=/socket/folder`, `?sslmode=require`), as postgresql:// or postgres://.
    pool_min connections stay open; all together are never more than pool_max.
    """

    engine: AsyncEngine
    time: Callable[[datetime], Any]  # what write_many takes for a column of type Utc

    def __init__(self, url: str, pool_min: int = 2, pool_max: int = 10) -> None:
        if not 1 <= pool_min < pool_max:
            raise ValueError(f"pool sizes must be 1 <= min < max, got {pool_min} and {pool_max}")
        scheme, _, rest = url.partition("://")
        self._url = shown(url)
        self._pool: dict[str, int] = {"pool_size": pool_min, "max_overflow": pool_max - pool_min - 1}
        self._path: Path | None = None  # of SQLite
        self._write_failure: Exception | None = None  # of the last write of many rows
        self._turn = asyncio.Lock()  # of begin_in_turn()
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        if scheme in ("sqlite", "sqlite+aiosqlite"):
            self._open_sqlite(url)
        elif scheme in ("postgresql", "postgres", "postgresql+asyncpg"):
            self._open_postgresql(f"postgresql://{rest}")
        else:
            raise ValueError(f"a database URL starts with sqlite:// or postgresql://, not {scheme[:20]!r}")

    def __repr__(self) -> str:
        return f"<Database {self.dialect}>"  # the URL may hold a password

    @property
    def is_scratch(self) -> bool:
        """Whether the database is in memory: empty at first and gone when it is closed."""
        return self._scratch is not None

    @property
    def dialect(self) -> str:
        return self.engine.dialect.name

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[AsyncConnection]:
        """Connection to read with. Errors: ServiceUnavailable while the database does not work."""
        with _translated():
            async with self.engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[AsyncConnection]:
        """Connection in a transaction. Errors: ServiceUnavailable while the database does not work."""
        with _translated():
            async with self.engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def begin_in_turn(self) -> AsyncGenerator[AsyncConnection]:
        """The same for many short writes: with SQLite one at a time, where each would poll for the lock, some
        of them in vain.
        """
        if self.dialect != "sqlite":
            async with self.begin() as connection:
                yield connection
            return
        async with self._turn, self.begin() as connection:
            yield connection

    async def ping(self) -> None:
        """Round trip to the database; raises what the driver raises, or what the last write met."""
        async with self.engine.connect() as connection:
            await connection.execute(sa.text("SELECT 1"))
        if self._path is not None and shutil.disk_usage(self._path.parent).free < MIN_FREE_BYTES:
            raise OSError(ENOSPC, "the disk is full")
        if self._write_failure is not None:
            raise self._write_failure

    async def reach(self) -> None:
        """Round trip to the database. Raises DatabaseUnreachable."""
        try:
            await self.ping()
        except (OSError, sa.exc.DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            reason = str(getattr(error, "orig", None) or error) or type(error).__name__
            raise DatabaseUnreachable(f"the database {self._url} cannot be reached: {reason}") from error

    async def close(self) -> None:
        """End of all connections."""
        await self._writer.close()
        await self.engine.dispose()
        if self._scratch:
            self._scratch.cleanup()

    async def write_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Inserts rows in one transaction, past SQLAlchemy for speed.

        statement: "INSERT INTO t (a, b) VALUES {values} ..."; the placeholders take the place of
        {values}, and each row has its values in the order of the columns. One call at a time. Raises
        RowsRefused when a row breaks a rule of the table, otherwise what the driver raises; nothing is
        written then.
        """
        if not rows:
            return
        try:
            await self._writer.write(statement, rows)
        except RowsRefused:
            raise
        except Exception as error:
            self._write_failure = error
            raise
        self._write_failure = None

    async def listen(self, channel: str, tell: Callable[..., None]) -> asyncpg.Connection:
        """Connection of its own that calls tell for each NOTIFY; the caller closes it. PostgreSQL only."""
        connection = await self._connect_postgresql()
        try:
            await connection.add_listener(channel, tell)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def upsert(self, table: sa.Table, row: Mapping[str, Any]) -> sa.Insert:
        """Inserts the row, or puts it in the place of the one with its primary key."""
        key = [column.name for column in table.primary_key]
        if self.dialect == "sqlite":
            lite = sqlite.insert(table).values(row)
            return lite.on_conflict_do_update(index_elements=key, set_=dict(lite.excluded))
        post = postgresql.insert(table).values(row)
        return post.on_conflict_do_update(index_elements=key, set_=dict(post.excluded))

    def insert_once(self, table: sa.Table, row: Mapping[str, Any]) -> sa.Insert:
        """Inserts the row unless one with its primary key is there."""
        if self.dialect == "sqlite":
            return sqlite.insert(table).values(row).on_conflict_do_nothing()
        return postgresql.insert(table).values(row).on_conflict_do_nothing()

    async def lock_for_upgrade(self, connection: AsyncConnection) -> None:
        """Makes other processes that upgrade wait until this connection's transaction ends."""
        if self.dialect == "sqlite":
            await connection.exec_driver_sql("BEGIN EXCLUSIVE")
        else:
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(UPGRADE_LOCK)))

    def _open_sqlite(self, given: str) -> None:
        if (file := sqlite_path(given)) is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="genai-spine-")
            file = Path(self._scratch.name) / "scratch.db"
        _make_private(file)
        self._path = file
        path = str(file)
        url = sa.URL.create("sqlite+aiosqlite", database=path)
        self.engine = create_async_engine(url, hide_parameters=True, **self._pool)
        sa.event.listen(self.engine.sync_engine, "connect", lambda raw, _: _set_pragmas(raw))
        self.time = _sqlite_time
        self._writer: _RowWriter = _SqliteWriter(path)

    def _open_postgresql(self, dsn: str) -> None:
        named = {} if "application_name=" in dsn else {"application_name": "genai_spine"}

        async def connect() -> asyncpg.Connection:
            return await asyncpg.connect(
                dsn,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=STATEMENT_TIMEOUT_S,
                server_settings=named,
            )

        self.engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            pool_pre_ping=True,
            hide_parameters=True,  # an error's text goes to the log, and parameters are content
            **self._pool,
        )
        self.time = _aware_time
        self._connect_postgresql = connect
        self._writer = _PostgresqlWriter(connect)


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of a database that does not work now as ServiceUnavailable, with one line in the log."""
    try:
        yield
    except (sa.exc.SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        if not _is_unavailable(error):
            raise
        log.warning("database_unavailable", cause=f"{type(error).__name__}: {error}"[:300])
        raise ServiceUnavailable(cause="its database does not answer") from error


def _is_unavailable(error: BaseException) -> bool:
    """Whether the database does not work now; otherwise it refused a statement or its values."""
    if isinstance(error, sa.exc.DBAPIError):
        if isinstance(error.orig, sqlite3.Error) or "sqlite" in type(error.orig).__module__:
            operational = isinstance(error, sa.exc.OperationalError)
            return operational and not any(words in str(error.orig) for words in WRONG_STATEMENT)
        return (
            error.connection_invalidated or isinstance(error, sa.exc.InterfaceError) or _is_state(error.orig)
        )
    if isinstance(error, sa.exc.SQLAlchemyError):
        return isinstance(error, sa.exc.TimeoutError)  # of the pool
    # Not of a statement: asyncpg's own while it connects, refused connections, timeouts.
    return not isinstance(error, asyncpg.PostgresError) or _is_state(error)


def _is_state(error: BaseException | None) -> bool:
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""
    return str(state).startswith(UNAVAILABLE_STATES)


def sqlite_path(url: str) -> Path | None:
    """File of a database; None: it is none of SQLite, or is in memory."""
    scheme, _, rest = url.partition("://")
    path = rest.partition("?")[0].removeprefix("/")
    is_file = scheme in ("sqlite", "sqlite+aiosqlite") and path not in ("", ":memory:")
    return Path(path) if is_file else None


def _make_private(path: Path) -> None:
    """New database for this user alone: it will hold conversations. SQLite gives its mode to its logs."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _set_pragmas(connection: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {LOCK_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _sqlite_time(value: datetime) -> str:
    return value.isoformat(" ", "microseconds")[:26]  # as SQLAlchemy writes and reads it


def _aware_time(value: datetime) -> datetime:
    return value


class _SqliteWriter:
    """Two connections: few rows are written at once on the event loop's thread, many on one of their own.

    A commit of a few rows takes about 0.1 ms and waits for no disk (see the head of this file), which is
    less than handing it to a thread and back. A database that another process has locked, and the
    checkpoints, which do wait for the disk, are left to the thread.

    A thread that needs the interpreter's lock gets it only after waiting for one switch interval without
    a break, and an event loop at full load lets go and takes it back faster than the default 5 ms:
    measured, the thread then stood still for up to 15 s. So the interval is made short, and many rows
    are one statement, which SQLite works through without that lock.
    """

    REFUSED = (sqlite3.IntegrityError, sqlite3.DataError, OverflowError)
    SWITCH_INTERVAL_S = 0.0001
    ROWS_PER_STATEMENT = (64, 8, 1)  # SQLite takes at most 32,766 values in one
    MAX_LOOP_ROWS = 16  # rows that are written on the event loop's thread
    CHECKPOINT_ROWS = 1000  # after so many rows of that kind the log is copied into the database

    def __init__(self, path: str) -> None:
        sys.setswitchinterval(self.SWITCH_INTERVAL_S)
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._connections: dict[bool, sqlite3.Connection] = {}  # by "at once"
        self._since_checkpoint = 0

    async def write(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        if len(rows) <= self.MAX_LOOP_ROWS and self._write_on_loop(statement, rows):
            self._since_checkpoint += len(rows)
            if self._since_checkpoint >= self.CHECKPOINT_ROWS:
                self._since_checkpoint = 0
                await asyncio.get_running_loop().run_in_executor(self._thread, self._checkpoint)
            return
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, statement, rows)

    async def close(self) -> None:
        self._drop(on_loop=True)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._drop)
        self._thread.shutdown()

    def _write_on_loop(self, statement: str, rows: Sequence[Sequence[Any]]) -> bool:
        """Write on the event loop's thread.

        False when another process writes: then the thread waits for it.
        """
        try:
            self._write(statement, rows, on_loop=True)
        except sqlite3.OperationalError:
            return False  # whatever else is wrong, the thread will meet it, too, and say so
        return True

    def _write(self, statement: str, rows: Sequence[Sequence[Any]], *, on_loop: bool = False) -> None:
        try:
            connection = self._connection(on_loop)
            if len(rows) == 1:  # one statement is its own transaction
                connection.execute(_sqlite_insert(statement, len(rows[0]), 1), rows[0])
                return
            connection.execute("BEGIN IMMEDIATE")
            start = 0
            for size in self.ROWS_PER_STATEMENT:
                text = _sqlite_insert(statement, len(rows[0]), size)
                while len(rows) - start >= size:
                    connection.execute(text, list(chain.from_iterable(rows[start : start + size])))
                    start += size
            connection.execute("COMMIT")
        except Exception as error:
            self._drop(on_loop=on_loop)  # which rolls back
            if isinstance(error, self.REFUSED):
                raise RowsRefused(str(error)) from error
            raise

    def _connection(self, on_loop: bool) -> sqlite3.Connection:
        connection = self._connections.get(on_loop)
        if connection is None:
            connection = self._connections[on_loop] = sqlite3.connect(self._path, isolation_level=None)
            _set_pragmas(connection)
            if on_loop:
                connection.execute("PRAGMA busy_timeout = 0")
                connection.execute("PRAGMA wal_autocheckpoint = 0")
        return connection

    def _checkpoint(self) -> None:
        with suppress(sqlite3.OperationalError):  # another process does it
            self._connection(False).execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _drop(self, *, on_loop: bool = False) -> None:
        connection = self._connections.pop(on_loop, None)
        if connection is not None:
            connection.close()


@lru_cache(maxsize=64)
def _sqlite_insert(statement: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return statement.format(values=", ".join([row] * rows))


class _PostgresqlWriter:
    """Writer over one connection.

    Asyncpg's executemany is one transaction, and the rows travel in one flight.
    """

    REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]]) -> None:
        self._connect = connect
        self._connection: asyncpg.Connection | None = None

    async def write(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._connect()
            marks = ", ".join(f"${number}" for number in range(1, len(rows[0]) + 1))
            await self._connection.executemany(statement.format(values=f"({marks})"), rows)
        except BaseException as error:
            if self._connection is not None:
                self._connection.terminate()  # also when cancelled: its state is not known
                self._connection = None
            if isinstance(error, self.REFUSED):
                raise RowsRefused(str(error)) from error
            raise

    async def close(self) -> None:
        if self._connection is not None and not self._connection.is_closed():
            await self._connection.close(timeout=CONNECT_TIMEOUT_S)
        self._connection = None
