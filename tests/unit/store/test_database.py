"""What only one of the two databases does; the common rules are in tests/contract/test_store.py."""

import asyncio
import os
import sqlite3
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa

from genai_spine.call import DEFAULT_TENANT
from genai_spine.store import schema
from genai_spine.store.booking.writers import RowsRefused, SqliteWriter
from genai_spine.store.connections import calm_pool
from genai_spine.store.database import Database, DatabaseUnreachable, sqlite_path
from genai_spine.store.executions import Executions
from tests.bulk import write_many
from tests.databases import PostgresServer
from tests.waiting import until

INSERT = "INSERT INTO leases (server_id, lane, lease_until, started_at) VALUES {values}"


async def scalar(database: Database, statement: str) -> object:
    async with database.engine.connect() as connection:
        return (await connection.exec_driver_sql(statement)).scalar()


def lease(database: Database, id: str) -> tuple[object, ...]:
    now = database.time(datetime(2026, 11, 21, tzinfo=UTC))
    return (id, "cpu", now, now)


async def test_sqlite_file_is_made_with_its_folders_and_a_log_that_survives_a_kill(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path}/a/b/spine.db")
    assert await scalar(database, "PRAGMA journal_mode") == "wal"
    assert await scalar(database, "PRAGMA synchronous") == 1
    assert await scalar(database, "PRAGMA foreign_keys") == 1
    assert await scalar(database, "PRAGMA busy_timeout") == 5000
    await database.close()
    assert (tmp_path / "a/b/spine.db").is_file()


async def test_sqlite_file_that_another_process_makes_is_waited_for(tmp_path: Path):
    other = sqlite3.connect(tmp_path / "spine.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    leaving = threading.Timer(0.3, other.execute, ("COMMIT",))
    leaving.start()
    database = Database(f"sqlite:///{tmp_path}/spine.db")
    assert await scalar(database, "PRAGMA journal_mode") == "wal"
    await database.close()
    leaving.join()
    other.close()


async def test_sqlite_file_its_log_and_its_folder_are_of_this_user_alone(tmp_path: Path):
    folder = tmp_path / "data"
    database = Database(f"sqlite:///{folder}/spine.db")
    await schema.upgrade(database)
    modes = {name: (folder / name).stat().st_mode & 0o777 for name in os.listdir(folder)}
    await database.close()
    names = ("spine.db", "spine.db-shm", "spine.db-wal", "spine.db.engine")
    assert modes == dict.fromkeys(names, 0o600)
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_database_that_is_away_is_named_without_its_password():
    database = Database("postgresql://me:hunter2@127.0.0.1:1/spine")
    with pytest.raises(DatabaseUnreachable) as caught:
        await schema.upgrade(database)
    assert str(caught.value).startswith("the database postgresql://***@127.0.0.1:1/spine cannot be reached: ")
    await database.close()


def test_file_of_a_database_is_told_from_its_url():
    assert sqlite_path("sqlite:///data/x.db?mode=rw") == Path("data/x.db")
    assert sqlite_path("sqlite:////data/x.db") == Path("/data/x.db")
    for url in ("sqlite://", "sqlite:///:memory:", "postgresql://host/x"):
        assert sqlite_path(url) is None


async def test_relative_sqlite_path_is_relative_to_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    database = Database("sqlite+aiosqlite:///data/x.db")
    await database.ping()
    await database.close()
    assert (tmp_path / "data/x.db").is_file()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
async def test_sqlite_without_a_path_is_empty_private_and_gone_after_close(url):
    first, second = Database(url), Database(url)
    assert await schema.upgrade(first)
    assert await schema.current(second) is None
    assert await Executions(first).get("x", DEFAULT_TENANT) is None
    folder = os.path.dirname(first.engine.url.database or "")
    assert os.listdir(folder)
    await first.close()
    await second.close()
    with pytest.raises(FileNotFoundError):
        os.listdir(folder)


async def test_writer_of_sqlite_waits_for_another_process_that_writes(sqlite_url):
    database, other = Database(sqlite_url), Database(sqlite_url)
    async with other.engine.connect() as connection:
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
        writing = asyncio.create_task(write_many(database, INSERT, [lease(database, "a")]))
        await asyncio.sleep(0.1)
        assert not writing.done()
        await connection.rollback()
        await writing
    await other.close()
    await database.close()


async def test_writer_of_sqlite_waits_until_a_long_log_is_copied_whole(sqlite_url, monkeypatch):
    """Otherwise the log would grow as long as rows come."""
    copies, may_end = [], threading.Event()

    def copy(_: SqliteWriter) -> int:
        copies.append(len(copies))
        if len(copies) == 2:
            may_end.wait(10.0)
        return SqliteWriter.LONG_LOG

    monkeypatch.setattr(SqliteWriter, "CHECKPOINT_ROWS", 1)
    monkeypatch.setattr(SqliteWriter, "_copy", copy)
    database = Database(sqlite_url)
    await write_many(database, INSERT, [lease(database, "a")])
    await until(lambda: len(copies) == 2)
    writing = asyncio.create_task(write_many(database, INSERT, [lease(database, "b")]))
    await asyncio.sleep(0.1)
    assert not writing.done()
    may_end.set()
    await writing
    await database.close()


async def test_thread_of_sqlite_gets_its_turn_beside_a_busy_event_loop(sqlite_url):
    sys.setswitchinterval(0.005)
    database = Database(sqlite_url)
    assert sys.getswitchinterval() <= 0.0005
    await database.close()


async def test_sweep_on_sqlite_finds_pending_rows_by_their_index(sqlite_url):
    database = Database(sqlite_url)
    asked: list[tuple[str, Any]] = []

    def note(_: Any, cursor: Any, text: str, values: Any, *further: Any) -> None:
        asked.append((text, values))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        await Executions(database).sweep()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    async with database.engine.connect() as connection:
        [(text, values), *_] = [one for one in asked if "FROM executions" in one[0]]
        plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)
        assert "ix_executions_pending" in str(plan.all())
    await database.close()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
async def test_postgresql_is_reached_by_its_unix_socket_under_every_scheme(postgres_url: str, scheme):
    database = Database(postgres_url.replace("postgresql", scheme, 1))
    await database.ping()
    await database.close()


async def test_postgresql_url_takes_the_options_of_libpq(postgres_server: PostgresServer):
    folder = parse_qs(urlsplit(postgres_server.url()).query)["host"][0]
    url = f"postgresql:///postgres?host={folder}&user=postgres&sslmode=disable&application_name=mine"
    database = Database(url)
    assert await scalar(database, "SHOW application_name") == "mine"
    await database.close()


async def test_pool_of_postgresql_recovers_when_the_server_comes_back(postgres_server, postgres_url):
    database = Database(postgres_url)
    await database.ping()
    postgres_server.stop()
    with pytest.raises((OSError, sa.exc.DBAPIError)):
        await database.ping()
    postgres_server.start()
    await database.ping()
    await database.close()


@pytest.mark.parametrize("count", [0, 1, 8, 63, 64, 65, 73, 200])
async def test_any_number_of_rows_is_written_and_seen_by_the_pool(database: Database, count: int):
    await write_many(database, INSERT, [lease(database, str(number)) for number in range(count)])
    assert await scalar(database, "SELECT count(*) FROM leases") == count


async def test_rows_that_break_a_rule_are_refused_together_and_the_writer_goes_on(database: Database):
    rows = [lease(database, str(number)) for number in range(100)]
    for _ in range(2):
        with pytest.raises(RowsRefused):
            await write_many(database, INSERT, [*rows, (None, *rows[0][1:])])
        assert await scalar(database, "SELECT count(*) FROM leases") == 0
    await write_many(database, INSERT, rows)


async def test_failure_that_is_not_a_rows_fault_is_not_called_refused(database: Database):
    with pytest.raises(Exception, match="nowhere") as failure:
        await write_many(database, "INSERT INTO nowhere (a) VALUES {values}", [("a",)])
    assert not isinstance(failure.value, RowsRefused)


async def test_connections_are_never_more_than_the_pool_allows(database_url):
    writers = 1 if database_url.startswith("sqlite") else 3
    database = Database(database_url, pool_min=1, pool_max=2 + writers)
    connections = [await database.engine.connect() for _ in range(2)]
    waiting = asyncio.create_task(database.ping())
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await connections.pop().close()
    await waiting
    await connections.pop().close()
    await database.close()


async def test_connections_stay_open_while_there_is_much_to_do_and_are_closed_afterwards(
    database_url, monkeypatch
):
    database = Database(database_url, pool_min=1, pool_max=6)
    opened = []
    sa.event.listen(database.engine.sync_engine, "connect", lambda raw, _: opened.append(raw))
    pool = database.engine.pool
    for _ in range(5):
        await asyncio.gather(*(_held(database) for _ in range(3)))
    assert len(opened) == 3
    monkeypatch.setattr(calm_pool, "CALM_S", 0.0)
    for _ in range(3):
        await database.ping()
    assert pool.checkedin() == 1
    await database.close()


async def test_connection_that_was_just_used_is_not_pinged(postgres_url, monkeypatch):
    database = Database(postgres_url, pool_min=1, pool_max=4)
    pings = []
    monkeypatch.setattr(database.engine.dialect, "do_ping", lambda raw: pings.append(raw) or True)
    for _ in range(5):
        await database.ping()
    assert not pings
    monkeypatch.setattr(calm_pool, "FRESH_S", 0.0)
    await database.ping()
    assert len(pings) == 1
    await database.close()


async def _held(database):
    async with database.engine.connect():
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "url", ["postgresql://me:s3cret@127.0.0.1:1/db", "postgres://me@127.0.0.1:1/db?password=s3cret"]
)
async def test_password_shows_in_no_representation_and_no_error(url):
    database = Database(url)
    with pytest.raises(ConnectionRefusedError) as failure:
        await database.ping()
    shown = [repr(database), str(database.engine), repr(database.engine.url), repr(failure.value)]
    assert not any("s3cret" in text for text in shown)
    await database.close()


@pytest.mark.parametrize("url", ["mysql://me:s3cret@host/db", "data/x.db", ""])
def test_other_urls_are_refused_without_repeating_them(url):
    with pytest.raises(ValueError, match="starts with sqlite:// or postgresql://") as failure:
        Database(url)
    assert "s3cret" not in str(failure.value)


@pytest.mark.parametrize("sizes", [(0, 5), (5, 5), (3, 2)])
def test_pool_sizes_that_make_no_sense_are_refused(sizes):
    with pytest.raises(ValueError, match="pool sizes"):
        Database("sqlite://", *sizes)
