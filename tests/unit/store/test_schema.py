"""Migrations on real databases."""

import asyncio
import subprocess
import sys

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from genai_spine.store import schema
from genai_spine.store.database import Database
from genai_spine.store.tables import metadata

UPGRADE = """
import asyncio, sys
from genai_spine.store import schema
print(asyncio.run(schema.upgrade(sys.argv[1])))
"""


async def test_upgrade_brings_an_empty_database_to_the_head_and_names_what_it_did(empty_database_url):
    assert await schema.current(empty_database_url) is None
    applied = await schema.upgrade(empty_database_url)
    assert applied[0] == "0001_executions"
    assert applied[-1] == schema.head()
    assert await schema.current(empty_database_url) == schema.head()


async def test_second_upgrade_does_nothing(database_url):
    assert await schema.upgrade(database_url) == []


async def test_upgrade_takes_an_open_database(empty_database_url):
    database = Database(empty_database_url)
    assert await schema.upgrade(database)
    assert await schema.current(database) == schema.head()
    await database.close()


async def test_migrations_and_tables_say_the_same(database: Database):
    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return list(compare_metadata(context, metadata))

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_processes_that_start_together_upgrade_once(empty_database_url):
    starts = [
        asyncio.create_subprocess_exec(
            sys.executable, "-c", UPGRADE, empty_database_url, stdout=subprocess.PIPE, cwd="/"
        )
        for _ in range(3)
    ]
    processes = await asyncio.gather(*starts)
    outputs = [(await process.communicate())[0].decode().strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert outputs.count("[]") == 2
    assert sum("0001_executions" in output for output in outputs) == 1


async def test_failed_upgrade_changes_nothing(empty_database_url):
    database = Database(empty_database_url)
    async with database.engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE leases (mine INTEGER)"))
    with pytest.raises(sa.exc.DBAPIError):
        await schema.upgrade(database)
    async with database.engine.connect() as connection:
        tables = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())
    await database.close()
    assert tables == ["leases"]
