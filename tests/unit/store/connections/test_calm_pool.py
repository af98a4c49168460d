"""Connections that are lent while their pool ends; the rest is in tests/unit/store/test_database.py."""

import asyncio

import asyncpg
import sqlalchemy as sa

from genai_spine.store.database import Database
from tests.waiting import until


async def _driver(connection) -> object:
    return (await connection.get_raw_connection()).driver_connection


def _is_open(driver) -> bool:
    if isinstance(driver, asyncpg.Connection):
        return not driver.is_closed()
    return driver._connection is not None  # aiosqlite's own has no word for it


async def test_connection_that_is_lent_while_the_database_closes_is_closed_when_it_comes_back(database_url):
    database = Database(database_url, pool_min=1, pool_max=4)
    lent = await database.engine.connect()
    driver = await _driver(lent)
    await database.close()
    assert _is_open(driver)  # whoever has it may end what was begun
    await lent.execute(sa.text("SELECT 1"))
    await lent.close()
    assert not _is_open(driver)
    async with database.engine.connect() as late:
        driver = await _driver(late)
    assert not _is_open(driver)


async def test_task_that_is_cancelled_after_the_database_was_closed_leaves_no_connection(database_url):
    database = Database(database_url, pool_min=1, pool_max=4)
    drivers = []

    async def hold() -> None:
        async with database.begin() as connection:
            drivers.append(await _driver(connection))
            await asyncio.sleep(600)

    held = asyncio.create_task(hold())
    await until(lambda: bool(drivers))
    await database.close()
    held.cancel()
    await asyncio.wait((held,))
    assert [_is_open(driver) for driver in drivers] == [False]


async def test_who_waits_for_a_connection_while_the_database_closes_gets_one(database_url):
    writers = 1 if database_url.startswith("sqlite") else 3
    database = Database(database_url, pool_min=1, pool_max=1 + writers)
    lent = await database.engine.connect()
    waiting = asyncio.create_task(database.ping())
    await asyncio.sleep(0.1)
    await database.close()
    await lent.close()
    async with asyncio.timeout(10):
        await waiting
