"""Connections of PostgreSQL's writers that fail while they are made."""

from itertools import count

import asyncpg
import pytest

from genai_spine.errors import ServiceUnavailable
from genai_spine.store.booking.writers import SESSION
from genai_spine.store.database import Database


@pytest.mark.parametrize("refused", range(len(SESSION) - 1))
async def test_writer_whose_session_cannot_be_made_leaves_no_connection(postgres_url, monkeypatch, refused):
    """refused: so many statements succeed before one does not."""
    opened = []
    connect, execute = asyncpg.connect, asyncpg.Connection.execute

    async def remembered(*args, **named):
        opened.append(await connect(*args, **named))
        return opened[-1]

    async def failing(self, statement, *args, **named):
        if statement.startswith("SET") and next(statements) >= refused:
            raise asyncpg.InsufficientPrivilegeError("no")
        return await execute(self, statement, *args, **named)

    monkeypatch.setattr(asyncpg, "connect", remembered)
    monkeypatch.setattr(asyncpg.Connection, "execute", failing)
    database = Database(postgres_url)
    for write in (database.write, database.write_durably):
        statements = count()
        with pytest.raises((asyncpg.InsufficientPrivilegeError, ServiceUnavailable)):
            await write(None, lambda connection: connection.execute("SELECT 1"), 1)
    assert len(opened) == 3
    assert all(connection.is_closed() for connection in opened)
    await database.close()
