"""Tests of what is counted in a minute or a day begin where that does not end while they run.

For rate limits the clock is moved to the beginning of a minute: nothing that a test counts fades away.
"""

import time
from types import SimpleNamespace

import asyncpg
import pytest

from genai_spine.store.booking import rate_statements
from genai_spine.store.booking.rates import MINUTE_S

DAY_S = 86_400.0
LAST_S = 30.0  # of a day, in which no test begins
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


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """A test ends on the day, by UTC, on which it begins: budgets, usage and schedules go by days."""
    left_s = DAY_S - time.time() % DAY_S
    if left_s < LAST_S:
        time.sleep(left_s + 0.01)
