"""Glances: what they read, on which thread, and what becomes of them when their file is locked or gone."""

import sqlite3
import threading

import pytest
import sqlalchemy as sa

from genai_spine.errors import ServiceUnavailable
from genai_spine.store import database as databases
from genai_spine.store.database import Database
from genai_spine.store.leases import Leases

QUERY = sa.text("SELECT server_id FROM leases ORDER BY server_id")


async def read(database: Database) -> list[str]:
    async with database.glance() as connection:
        return list((await connection.execute(QUERY)).scalars())


async def test_glance_sees_what_others_have_committed(database: Database):
    assert await read(database) == []
    for id in ("a", "b"):
        await Leases(database).take(id, "cpu", 60.0)
        assert id in await read(database)
    assert list(await Leases(database).live()) == ["a", "b"]


async def test_result_is_whole_although_another_glance_follows(database: Database):
    await Leases(database).take("a", "cpu", 60.0)
    async with database.glance() as connection:
        first = await connection.execute(QUERY)
        second = await connection.execute(QUERY)
        assert (first.scalars().all(), second.scalars().all()) == (["a"], ["a"])


async def test_glance_of_sqlite_takes_no_thread(sqlite_url: str):
    database = Database(sqlite_url)
    try:
        threads = threading.active_count()
        await read(database)
        assert threading.active_count() == threads
    finally:
        await database.close()


async def test_glance_holds_no_snapshot(sqlite_url: str):
    database = Database(sqlite_url)
    try:
        await read(database)
        await Leases(database).take("a", "cpu", 60.0)
        with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as other:
            blocked, pages, copied = other.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        assert (blocked, copied) == (0, pages)
    finally:
        await database.close()


async def test_glance_at_a_locked_file_waits_for_it_without_stopping_the_event_loop(sqlite_url, monkeypatch):
    monkeypatch.setattr(databases, "LOCK_TIMEOUT_MS", 20)
    database = Database(sqlite_url)
    locking = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    try:
        locking.execute("PRAGMA locking_mode = EXCLUSIVE")
        locking.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ServiceUnavailable):
            await read(database)
        locking.execute("COMMIT")
        locking.close()
        assert await read(database) == []
    finally:
        locking.close()
        await database.close()


async def test_statement_that_is_wrong_is_an_error_and_the_next_glance_works(database: Database):
    with pytest.raises(sa.exc.DBAPIError):
        async with database.glance() as connection:
            await connection.execute(sa.text("SELECT nothing FROM nowhere"))
    assert await read(database) == []
