"""Tables of the engine that executes runs: a second file beside one of SQLite, the schema dbos in PostgreSQL.

They are DBOS's own, made and upgraded by it, by `migrate` and never by a server. Here is only whether they
are those of the version that is pinned; tests/contract/test_engine.py says when that number is another one.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import sqlalchemy as sa

from genai_spine.store.database import Database

VERSIONS = {"sqlite": 125, "postgresql": 125}  # of the tables of dbos 3.4.0
LOCK = 0x67656E61_656E6769  # PostgreSQL advisory lock "genaengi"
WAIT_S = 0.2  # before the next look, while another process upgrades


async def upgrade(database: Database) -> bool:
    """Makes or upgrades the tables; False: nothing was to do. Of several processes one does it."""
    while await _version(database) != VERSIONS[database.dialect]:
        async with _turn(database) as is_ours:
            if is_ours:
                await asyncio.to_thread(_migrate, database.engine_url)
                return True
        await asyncio.sleep(WAIT_S)
    return False


@asynccontextmanager
async def _turn(database: Database) -> AsyncIterator[bool]:
    """Whether this process upgrades. Nobody waits inside a statement: DBOS makes indexes concurrently, which
    PostgreSQL lets wait for every statement that runs.
    """
    if database.dialect == "sqlite":
        async with database.engine.begin() as connection:
            await database.lock_for_upgrade(connection)
            yield await _version(database) != VERSIONS["sqlite"]
        return
    async with database.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        locked = await connection.execute(sa.select(sa.func.pg_try_advisory_lock(LOCK)))
        is_ours = bool(locked.scalar())
        try:
            yield is_ours
        finally:
            if is_ours:
                await connection.execute(sa.select(sa.func.pg_advisory_unlock(LOCK)))


async def _version(database: Database) -> int | None:
    """Version of the tables; None: there are none."""
    if database.dialect == "sqlite":
        return await asyncio.to_thread(_version_of_file, database.engine_url.removeprefix("sqlite:///"))
    there = sa.text("SELECT to_regclass('dbos.dbos_migrations') IS NOT NULL")
    async with database.connect() as connection:
        if not (await connection.execute(there)).scalar():
            return None
        version = await connection.execute(sa.text("SELECT version FROM dbos.dbos_migrations"))
        return int(version.scalar() or 0)


def _version_of_file(path: str) -> int | None:
    if not Path(path).exists():
        return None
    connection = sqlite3.connect(path)
    try:
        row = connection.execute("SELECT version FROM dbos_migrations").fetchone()
        return None if row is None else int(row[0])
    except sqlite3.OperationalError:  # no such table
        return None
    finally:
        connection.close()


def _migrate(url: str) -> None:
    from dbos import DBOS

    DBOS.migrate(url)
