"""Database connection: SQLite or PostgreSQL, and every difference between the two.

SQLite runs with a write-ahead log and synchronous=NORMAL: what was committed survives a killed process;
a power failure may take the last commits, but never leaves a broken file. PostgreSQL keeps every commit but
those of the ledger's writer that are not flushed yet, which are kept in memory until then.
"""

import asyncio
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from errno import ENOSPC
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from genai_spine.errors import ServiceUnavailable
from genai_spine.store.booking.writers import (
    CONNECT_TIMEOUT_S,
    LOCK_TIMEOUT_MS,
    DurableWriter,
    PostgresqlWriter,
    RowsRefused,
    SqliteWriter,
)
from genai_spine.store.connections.calm_pool import CalmPool
from genai_spine.store.connections.glances import Glance, SqliteGlances
from genai_spine.telemetry.urls import shown

STATEMENT_TIMEOUT_S = 30.0  # PostgreSQL, per statement: a dead network must not hold a caller for ever
WRITER_CONNECTIONS = 3  # PostgreSQL's of pool_max: two of the ledger, one writes and one flushes; one of runs
UPGRADE_LOCK = 0x67656E61_69737069  # PostgreSQL advisory lock "genaispi": one process migrates at a time
MIN_FREE_BYTES = 1_000_000  # SQLite: with less a disk counts as full
# Classes of SQLSTATE that say that the server cannot work now: connection, resources (a full disk is one of
# them), shutdown, files, a lock that another one holds, a replica without writes, colliding transactions.
# https://www.postgresql.org/docs/current/errcodes-appendix.html, 2026-11-29.
UNAVAILABLE_STATES = ("08", "53", "57P", "58", "55P03", "25006", "40")
# SQLite says with the same class that a statement is wrong; whoever wrote it must see that.
WRONG_STATEMENT = ("no such", "syntax error", "has no column", "already exists")

# What asyncpg raises; the last one for a backend that was ended while its connection idled.
POSTGRESQL_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
DRIVER_ERRORS = (sqlite3.Error, sa.exc.SQLAlchemyError, *POSTGRESQL_ERRORS, OSError)

T = TypeVar("T")
log = structlog.get_logger()


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


class JsonListTexts(FunctionElement[Any]):
    """Rows (value) of a column that holds a JSON list of texts; use it with `table_valued`."""

    inherit_cache = True


@compiles(JsonListTexts, "postgresql")
def _postgresql_json_list_texts(element: JsonListTexts, compiler: Any, **kw: Any) -> str:
    return f"json_array_elements_text({compiler.process(element.clauses, **kw)})"


@compiles(JsonListTexts, "sqlite")
def _sqlite_json_list_texts(element: JsonListTexts, compiler: Any, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


class Database:
    """A bounded pool of connections, and one or two connections more for the ledger's writer.

    `sqlite:///data/x.db` is relative to the working directory, `sqlite:////data/x.db` is absolute, and
    `sqlite://` is an empty database of this object only, gone when it is closed. PostgreSQL takes any
    libpq URL (`?host=/socket/folder`, `?sslmode=require`), as postgresql:// or postgres://.
    All together are never more than pool_max; pool_min stay open when there is little to do.
    """

    engine: AsyncEngine
    time: Callable[[datetime], Any]  # what a job of write() takes for a column of type Utc

    def __init__(self, url: str, pool_min: int = 2, pool_max: int = 10) -> None:
        if not 1 <= pool_min < pool_max:
            raise ValueError(f"pool sizes must be 1 <= min < max, got {pool_min} and {pool_max}")
        scheme, _, rest = url.partition("://")
        self._url = shown(url)
        most = max(1, pool_max - (1 if scheme.startswith("sqlite") else WRITER_CONNECTIONS))
        size = min(pool_min, most)
        self._pool: dict[str, Any] = {"pool_size": most, "max_overflow": 0, "pool_use_lifo": True}
        self._pool["poolclass"] = type("Pool", (CalmPool,), {"least": size})
        self._path: Path | None = None  # of SQLite
        self._dsn = ""  # of PostgreSQL
        self._write_failure: Exception | None = None  # of the last write of many rows
        self._turn = asyncio.Lock()  # of begin_in_turn()
        self._durable: DurableWriter | None = None  # of PostgreSQL
        self._durable_turn = asyncio.Lock()
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._glances: SqliteGlances | None = None  # of SQLite
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

    @property
    def engine_url(self) -> str:
        """Where the engine that executes runs keeps its tables, with the password: not for logs."""
        return f"sqlite:///{self._path}.engine" if self._path is not None else self._dsn

    def journals(self, folder: Path) -> Path:
        """Folder for what the database does not have yet: beside the file of SQLite, else in another one."""
        if self._path is not None:
            return self._path.with_name(f"{self._path.name}.ledger")
        return folder / sha256(self._url.encode()).hexdigest()[:16]

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[AsyncConnection]:
        """Connection to read with. Errors: ServiceUnavailable while the database does not work."""
        with _translated():
            async with self._reading.connect() as connection:
                yield connection

    @asynccontextmanager
    async def glance(self) -> AsyncGenerator[Glance]:
        """Connection to read a few rows with, again and again. Errors: as connect()."""
        if self._glances is None:
            async with self.connect() as connection:
                yield Glance(connection.execute)
            return
        with _translated():
            yield Glance(self._glances.execute)

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

    @asynccontextmanager
    async def begin_write(self) -> AsyncGenerator[AsyncConnection]:
        """Connection in a transaction that reads what it is going to change: with SQLite nobody else writes
        from its beginning on.
        """
        async with self.begin_in_turn() as connection:
            if self.dialect == "sqlite":
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    @asynccontextmanager
    async def begin_change(self, table: sa.Table) -> AsyncGenerator[AsyncConnection]:
        """The same for changes that depend on other rows of the table: one at a time, of all processes.

        Readers do not wait.
        """
        async with self._turn, self.begin() as connection:
            if self.dialect == "sqlite":
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                await connection.exec_driver_sql(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE")
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[AsyncConnection]:
        """Connection that reads everything as it is at one moment. Errors: as connect()."""
        async with self.connect() as connection:
            if self.dialect == "sqlite":
                await connection.exec_driver_sql("BEGIN")
            else:
                await connection.execution_options(isolation_level="REPEATABLE READ")
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
        except (OSError, sa.exc.DBAPIError, *POSTGRESQL_ERRORS) as error:
            reason = str(getattr(error, "orig", None) or error) or type(error).__name__
            raise DatabaseUnreachable(f"the database {self._url} cannot be reached: {reason}") from error

    async def close(self) -> None:
        """End of all connections."""
        await self._writer.close()
        if self._glances is not None:
            self._glances.close()
        if self._durable is not None:
            await self._durable.close()
        await self.engine.dispose()
        if self._scratch:
            self._scratch.cleanup()

    async def write(
        self,
        on_sqlite: Callable[[sqlite3.Connection], T],
        on_postgresql: Callable[[asyncpg.Connection], Awaitable[T]],
        rows: int,
        *,
        atomic: bool = True,
    ) -> T:
        """Result of a job of the ledger, by its writer, past SQLAlchemy for speed. One call at a time.

        rows: so many are written. atomic: the job for SQLite has several statements. Raises RowsRefused when
        a row breaks a rule of the table, otherwise what the driver raises.
        """
        try:
            if isinstance(self._writer, SqliteWriter):
                result = await self._writer.run(on_sqlite, rows, atomic=atomic)
            else:
                result = await self._writer.run(on_postgresql)
        except RowsRefused:
            raise
        except Exception as error:
            self._write_failure = error
            raise
        self._write_failure = None
        return result

    async def write_durably(
        self,
        on_sqlite: Callable[[sqlite3.Connection], T],
        on_postgresql: Callable[[asyncpg.Connection], Awaitable[T]],
        rows: int,
    ) -> T:
        """The same for many short writes at once: they take turns, and each is safe when it returns.

        Errors: ServiceUnavailable while the database does not work. Raises RowsRefused.
        """
        with _translated():
            if isinstance(self._writer, SqliteWriter):
                async with self._turn:
                    return await self._writer.run(on_sqlite, rows)
            assert self._durable is not None
            async with self._durable_turn:
                return await self._durable.run(on_postgresql)

    async def flush(self) -> None:
        """Returns when all that write() has committed survives a crash of the database.

        Raises when that cannot be known; what was written since the last flush may then be lost.
        """
        await self._writer.flush()

    async def listen(self, channel: str, tell: Callable[..., None]) -> asyncpg.Connection:
        """Connection of its own that calls tell for each NOTIFY; the caller closes it. PostgreSQL only."""
        connection = await self._connect_postgresql()
        try:
            await connection.add_listener(channel, tell)
        except BaseException:
            connection.terminate()
            raise
        return connection

    @contextmanager
    def versions(self) -> Iterator[Callable[[], int | None]]:
        """Function that gives a number that is another one whenever somebody else has written. SQLite only.

        It gives None while that cannot be known.
        """
        connection = sqlite3.connect(str(self._path), timeout=0.0, isolation_level=None)
        try:
            yield lambda: _data_version(connection)
        finally:
            connection.close()

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

    def insert_new(self, table: sa.Table, names: Sequence[str], rows: sa.Select[Any]) -> sa.Insert:
        """Inserts what a query gives, but for rows that are there."""
        if self.dialect == "sqlite":
            return sqlite.insert(table).from_select(names, rows).on_conflict_do_nothing()
        return postgresql.insert(table).from_select(names, rows).on_conflict_do_nothing()

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
        self._reading = self.engine
        self.time = _sqlite_time
        self._writer: SqliteWriter | PostgresqlWriter = SqliteWriter(path, _set_pragmas)
        self._glances = SqliteGlances(path, self.connect)

    def _open_postgresql(self, dsn: str) -> None:
        self._dsn = dsn
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
        # A read is one statement, so it needs neither BEGIN nor ROLLBACK: two round trips less.
        self._reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self.time = _aware_time
        self._connect_postgresql = connect
        self._writer = PostgresqlWriter(connect)
        self._durable = DurableWriter(connect)


def _data_version(connection: sqlite3.Connection) -> int | None:
    try:
        return int(connection.execute("PRAGMA data_version").fetchone()[0])
    except sqlite3.Error:  # it is locked, or gone
        return None


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of a database that does not work now as ServiceUnavailable, with one line in the log."""
    try:
        yield
    except DRIVER_ERRORS as error:
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
    _use_write_ahead_log(cursor)
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _use_write_ahead_log(cursor: Any) -> None:
    """Waits for a process that does the same with a new file, as SQLite does for every other lock."""
    until = time.monotonic() + LOCK_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.005)


def _sqlite_time(value: datetime) -> str:
    return value.isoformat(" ", "microseconds")[:26]  # as SQLAlchemy writes and reads it


def _aware_time(value: datetime) -> datetime:
    return value
