"""Schema migrations: the version of the tables, and the upgrade to the newest one.

Only the upgrade imports Alembic: a server that starts just compares two names.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import sqlalchemy as sa

from genai_spine.store.database import Database
from genai_spine.store.rag import search_tables
from genai_spine.store.runs import engine_tables

MIGRATIONS = Path(__file__).parent / "migrations"
APPLIED = "alembic_version"  # Alembic's table, of one row
NAMES = re.compile(r'^(?:down_)?revision = "(.+)"$', re.MULTILINE)  # its own, then the one before


async def upgrade(database: str | Database) -> list[str]:
    """Names of the revisions that were applied, oldest first; empty when nothing was to do.

    database: a URL as Database takes it, or an open one. Several processes may call this at once: one
    does the work, the others wait for it. All revisions are one transaction: all or nothing. Raises
    DatabaseUnreachable.
    """
    async with _opened(database) as opened:
        await opened.reach()
        async with opened.engine.begin() as connection:
            await opened.lock_for_upgrade(connection)
            applied = await connection.run_sync(_upgrade)
            await search_tables.upgrade(connection)
        await engine_tables.upgrade(opened)
        return applied


async def current(database: str | Database) -> str | None:
    """Name of the newest applied revision; None for an empty database."""
    async with _opened(database) as opened, opened.engine.connect() as connection:
        return await connection.run_sync(_current)


def head() -> str:
    """Name of the revision that this program needs."""
    said: list[list[str]] = [
        NAMES.findall(file.read_text("utf-8")) for file in (MIGRATIONS / "versions").glob("*.py")
    ]
    (newest,) = {own for own, *_ in said} - {before for _, *befores in said for before in befores}
    return newest


async def check(database: Database) -> None:
    """Schema version check. Raises ValueError when the tables are not those of this version, and
    DatabaseUnreachable.
    """
    await database.reach()
    if (revision := await current(database)) != head():
        raise ValueError(f"the database is at revision {revision}; run `genai-spine migrate`")


@asynccontextmanager
async def _opened(database: str | Database) -> AsyncIterator[Database]:
    if isinstance(database, Database):
        yield database
        return
    opened = Database(database)
    try:
        yield opened
    finally:
        await opened.close()


def _current(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(APPLIED):
        return None
    revision: str | None = connection.execute(sa.text(f"SELECT version_num FROM {APPLIED}")).scalar()
    return revision


def _upgrade(connection: sa.Connection) -> list[str]:
    before = _current(connection)
    if before == head():
        return []  # without Alembic, whose import takes 0.1 s of CPU
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")
    applied = ScriptDirectory(str(MIGRATIONS)).iterate_revisions("head", before or "base")
    return [script.revision for script in applied][::-1]
