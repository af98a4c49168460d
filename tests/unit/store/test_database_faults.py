"""A database that does not work for a while: whoever asks for it is told so, and nothing else is hidden."""

import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import pytest
import sqlalchemy as sa

from genai_spine.errors import ServiceUnavailable
from genai_spine.store import database as databases
from genai_spine.store.database import Database
from genai_spine.store.provider_objects import ProviderObject, ProviderObjects
from tests.bulk import write_many
from tests.databases import PostgresServer

INSERT = "INSERT INTO leases (server_id, lane, lease_until, started_at) VALUES {values}"


@pytest.fixture
async def sqlite(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.setattr(databases, "LOCK_TIMEOUT_MS", 20)
    opened = Database(sqlite_url)
    yield opened
    await opened.close()


def path_of(url: str) -> str:
    return url.removeprefix("sqlite:///")


def batch(id: str) -> ProviderObject:
    return ProviderObject("openai", "batch", id, cost_labels={"team": "x" * 3000})


async def write(database: Database) -> None:
    await ProviderObjects(database).add(batch("batch"))


async def fill(database: Database) -> None:
    for number in range(100):
        await ProviderObjects(database).add(batch(f"batch-{number}"))


async def end_own_connection(database: Database, server: PostgresServer) -> None:
    async with database.begin() as connection:
        pid = (await connection.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one()
        server.run(f"SELECT pg_terminate_backend({pid})")
        await connection.execute(sa.text("SELECT pg_sleep(5)"))


async def select_badly(database: Database) -> None:
    async with database.begin() as connection:
        await connection.exec_driver_sql("SELEC 1")


async def fail_with(database: Database, error: Exception) -> None:
    async with database.begin():
        raise error


async def fail_both(database: Database) -> None:
    with pytest.raises(ServiceUnavailable, match="its database does not answer"):
        await write(database)
    with pytest.raises(ServiceUnavailable):
        await ProviderObjects(database).get("openai", "batch")


async def test_sqlite_that_another_process_locks_is_unavailable_and_comes_back(
    sqlite: Database, sqlite_url: str
) -> None:
    other = sqlite3.connect(path_of(sqlite_url), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ServiceUnavailable, match="its database does not answer"):
        await write(sqlite)
    other.execute("ROLLBACK")
    await write(sqlite)
    assert await ProviderObjects(sqlite).get("openai", "batch") == batch("batch")
    other.close()


async def test_sqlite_on_a_full_disk_is_unavailable(sqlite: Database) -> None:
    sa.event.listen(
        sqlite.engine.sync_engine, "connect", lambda raw, _: raw.execute("PRAGMA max_page_count = 1")
    )
    with pytest.raises(ServiceUnavailable) as raised:
        await fill(sqlite)
    assert "full" in str(raised.value.__cause__)
    assert "full" not in str(raised.value), "a caller is told nothing of our disks"


async def test_sqlite_file_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/a/spine.db")
    shutil.rmtree(tmp_path / "a")
    await fail_both(database)
    await database.close()


async def test_a_wrong_statement_is_a_fault_of_ours_on_both(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    with pytest.raises(sa.exc.DBAPIError):
        await write(database)  # it has no tables
    with pytest.raises(sa.exc.DBAPIError):
        await select_badly(database)
    await database.close()


async def test_a_row_that_breaks_a_rule_stays_what_it_is(database: Database) -> None:
    lease = sa.text("INSERT INTO leases VALUES ('a', 'cpu', '2026-11-21', '2026-11-21')")
    async with database.begin() as connection:
        await connection.execute(lease)
        with pytest.raises(sa.exc.IntegrityError):
            await connection.execute(lease)


@pytest.mark.parametrize("url", ["postgresql://u@127.0.0.1:1/x", "postgresql://u@/x?host=/nowhere"])
async def test_postgresql_that_cannot_be_reached_is_unavailable(url: str) -> None:
    database = Database(url)
    await fail_both(database)
    await database.close()


async def test_postgresql_that_ends_a_connection_is_unavailable_and_comes_back(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    database = Database(postgres_url)
    with pytest.raises(ServiceUnavailable):
        await end_own_connection(database, postgres_server)
    await write(database)
    await database.close()


@pytest.mark.parametrize(
    ("kind", "is_unavailable"),
    [
        (asyncpg.DiskFullError, True),
        (asyncpg.CannotConnectNowError, True),
        (asyncpg.TooManyConnectionsError, True),
        (asyncpg.ReadOnlySQLTransactionError, True),
        (asyncpg.DeadlockDetectedError, True),
        (asyncpg.InvalidPasswordError, False),
        (asyncpg.UndefinedTableError, False),
        (asyncpg.NumericValueOutOfRangeError, False),
    ],
)
async def test_postgresql_says_by_its_code_whether_it_works(
    kind: type[asyncpg.PostgresError], is_unavailable: bool, postgres_url: str
) -> None:
    database = Database(postgres_url)
    with pytest.raises(ServiceUnavailable if is_unavailable else kind):
        await fail_with(database, kind("said so"))
    await database.close()


async def test_ping_says_what_the_last_write_met(sqlite: Database, sqlite_url: str) -> None:
    now = "2026-11-21 00:00:00.000000"
    await sqlite.ping()
    other = sqlite3.connect(path_of(sqlite_url), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await write_many(sqlite, INSERT, [("a", "cpu", now, now)])
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await sqlite.ping()
    other.execute("ROLLBACK")
    other.close()
    await write_many(sqlite, INSERT, [("a", "cpu", now, now)])
    await sqlite.ping()


async def test_ping_fails_on_a_full_disk(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases.shutil, "disk_usage", lambda _: SimpleNamespace(free=4096))
    with pytest.raises(OSError, match="the disk is full"):
        await sqlite.ping()
