"""Glances: reads of a few rows by an index, made again and again, such as whether there is work.

On SQLite they are made on the event loop's thread. To hand one to a thread and back takes 0.6 ms of CPU time,
five times as much as the read; a server that has nothing to do makes a dozen a second.
"""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import StaticPool

Rows = sa.CursorResult[*tuple[Any, ...]]
Execute = Callable[[sa.Executable], Awaitable[Rows]]
Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


class Glance:
    """Connection for reads. What a result has is taken from it before anything else is awaited."""

    def __init__(self, execute: Execute) -> None:
        self.execute = execute


class SqliteGlances:
    """One connection, made when it is first needed and made anew after an error."""

    def __init__(self, path: str, in_thread: Connect) -> None:
        """in_thread: connects the slower way, for a file that somebody has locked."""
        self._in_thread = in_thread
        self._connection: sa.Connection | None = None
        self._engine = sa.create_engine(
            sa.URL.create("sqlite", database=path),
            poolclass=StaticPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"check_same_thread": False},
            hide_parameters=True,
        )
        sa.event.listen(self._engine, "connect", _prepare)

    async def execute(self, statement: sa.Executable) -> Rows:
        """Result of a statement. Raises what SQLAlchemy raises."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            return self._connection.execute(statement)
        except sa.exc.DBAPIError:
            self.close()
        async with self._in_thread() as connection:
            return await connection.execute(statement)

    def close(self) -> None:
        """End of the connection; a later read makes another one."""
        connection, self._connection = self._connection, None
        with suppress(sa.exc.DBAPIError):
            if connection is not None:
                connection.close()
            self._engine.dispose()


def _prepare(raw: sqlite3.Connection, _: object) -> None:
    """Makes a connection one that neither waits for a lock, which would stop the event loop, nor writes."""
    raw.execute("PRAGMA busy_timeout = 0")
    raw.execute("PRAGMA query_only = ON")
