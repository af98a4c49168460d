"""Sweeper: expired rows are deleted in the background, every PERIOD_S seconds."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import sqlalchemy as sa
import structlog

from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database

BATCH_SIZE = 500  # rows per statement: a short transaction holds nobody up
PERIOD_S = 60.0
PAUSE_S = 0.1  # between two statements, so that other writers get their turn

log = structlog.get_logger()


async def delete_expired(database: Database, table: sa.Table) -> int:
    """Number of expired rows deleted, at most BATCH_SIZE. Rows that another process deletes just now are left
    to it.
    """
    [key] = table.primary_key
    expired = sa.select(key).where(table.c.expires_at <= Now()).order_by(table.c.expires_at).limit(BATCH_SIZE)
    statement = sa.delete(table).where(key.in_(expired.with_for_update(skip_locked=True)))
    async with database.begin() as connection:
        return (await connection.execute(statement)).rowcount


class Sweeper:
    """Periodic task over the tables that expire."""

    def __init__(
        self, sweeps: Mapping[str, Callable[[], Awaitable[int]]], period_s: float = PERIOD_S
    ) -> None:
        """Sweeper of tables. sweeps: by table name.

        Each returns the rows it deleted, at most BATCH_SIZE.
        """
        self._sweeps = sweeps
        self._period_s = period_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            for table, sweep in self._sweeps.items():
                try:
                    await _sweep_all(sweep)
                except Exception as error:
                    log.warning("sweep_failed", table=table, cause=f"{type(error).__name__}: {error}"[:500])
            await asyncio.sleep(self._period_s)


async def _sweep_all(sweep: Callable[[], Awaitable[int]]) -> None:
    deleted = BATCH_SIZE
    while deleted >= BATCH_SIZE:
        deleted = await sweep()
        await asyncio.sleep(PAUSE_S)
