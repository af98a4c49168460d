"""The minute of rate limits begins with a test, so that none of what it counts fades away while it runs."""

import time
from types import SimpleNamespace

import asyncpg

from genai_spine.store.booking import rate_statements
from genai_spine.store.booking.rates import MINUTE_S

# All that asks the database for the time is told this one: a name in public comes first.
_AHEAD = (
    "CREATE FUNCTION public.now() RETURNS timestamptz STABLE LANGUAGE sql"
    " AS $$ SELECT pg_catalog.now() + make_interval(secs => {ahead_s}) $$",
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog',"
    " current_database()); END $$",
)


def until_next_minute_s() -> float:
    return MINUTE_S - time.time() % MINUTE_S


def move_ahead(seconds: float) -> None:
    """Clock of this process's rate limits on SQLite, which has none of its own."""
    clock = time.time
    rate_statements.time = SimpleNamespace(time=lambda: clock() + seconds)  # type: ignore[assignment]


def move_back() -> None:
    rate_statements.time = time


async def move_database_ahead(url: str, seconds: float) -> None:
    """Clock of a PostgreSQL, for connections that are made afterwards."""
    connection = await asyncpg.connect(url)
    try:
        for statement in _AHEAD:
            await connection.execute(statement.replace("{ahead_s}", str(seconds)))
    finally:
        await connection.close()
