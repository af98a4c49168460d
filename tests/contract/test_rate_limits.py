"""Rate limits on SQLite and on a real PostgreSQL: the same number with one process or three, whoever dies."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from genai_spine.access.rate_limits import RateLimiter
from genai_spine.call import Principal
from genai_spine.errors import BudgetExceeded, ConcurrentLimitExceeded, RateLimited, ServiceUnavailable
from genai_spine.store.access.rate_limits import RateRows
from genai_spine.store.database import Database
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.rate_limits_pb2 import RateLimits
from tests import periods
from tests.contract.test_budgets import budget, ended, said
from tests.limiting import Limited
from tests.spending import Spender
from tests.waiting import until


@pytest.fixture(autouse=True)
async def ahead_s(database_url: str) -> AsyncIterator[float]:
    """The minute begins with the test. Seconds by which the clock of rate limits is ahead of the real one."""
    seconds = periods.until_next_minute_s()
    if database_url.startswith("postgresql"):
        await periods.move_database_ahead(database_url, seconds)
    periods.move_ahead(seconds)
    yield seconds
    periods.move_back()


@asynccontextmanager
async def limited(database: Database, **fields: Any) -> AsyncIterator[Limited]:
    found = Limited.of(database, **fields)
    await found.ledger.start()
    try:
        yield found
    finally:
        await found.ledger.stop()


async def counter(database: Database, subject: str = "key:key-1") -> dict[str, int]:
    query = sa.text("SELECT * FROM rate_counters WHERE subject = :subject")
    async with database.engine.connect() as connection:
        return dict((await connection.execute(query, {"subject": subject})).mappings().one())


async def running(database: Database) -> int:
    async with database.engine.connect() as connection:
        return int((await connection.execute(sa.text("SELECT count(*) FROM rate_calls"))).scalar_one())


async def moved(database: Database, minutes: int) -> None:
    """Time goes by: what was counted is older."""
    async with database.engine.begin() as connection:
        for table in ("rate_counters", "rate_calls"):
            await connection.execute(sa.text(f"UPDATE {table} SET minute = minute - {minutes}"))


async def processes(url: str, **fields: Any) -> list[asyncio.subprocess.Process]:
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    started = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.limiting", url, json.dumps({"seed": seed, **fields})), **pipes
        )
        for seed in range(3)
    ]
    for process in started:
        assert await process.stdout.readline() == b'{"ready": true}\n'
    return started


def _reserving(mine: Limited, **fields: Any) -> Any:
    """Booking of one call."""

    async def reserve(rates):
        execution = Execution(request_id="r", provider="p", model="m", attempt=1, tenant_id="acme", **fields)
        await mine.ledger.reserve(execution, rates)

    return reserve


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"key": {"requests_per_minute": 300}}, 300),
        ({"tenant": {"requests_per_minute": 300}, "key": {"requests_per_minute": 5000}}, 300),
        ({"key": {"tokens_per_minute": 30_000}, "tokens": 100, "used": 100}, 300),
        ({"key": {"concurrent_calls": 300}, "used": None}, 300),
    ],
    ids=["requests", "requests of the tenant", "tokens", "concurrent calls"],
)
async def test_3_processes_admit_what_the_limit_says_and_no_more(database_url, ahead_s, fields, limit):
    started = await processes(database_url, calls=200, ahead_s=ahead_s, **fields)
    admitted = sum(one["admitted"] for one in await said(started))
    assert 0.95 * limit <= admitted <= limit
    if fields.get("used", 0) is None:
        for process in started:
            process.kill()
    await ended(started)


async def test_a_killed_process_gives_its_calls_back_within_its_lease(database, database_url):
    started = await processes(database_url, calls=3, used=None, lease_s=4.0, key={"concurrent_calls": 9})
    assert [one["admitted"] for one in await said(started)] == [3, 3, 3]
    async with limited(database, lease_s=4.0, key={"concurrent_calls": 9}) as mine:
        assert await mine.call() is None
        for process in started[:2]:
            process.kill()

        async def has_room() -> bool:
            return (await counter(database))["running"] == 3

        await until(has_room)
        for _ in range(6):
            assert await mine.call() is not None
        assert await mine.call() is None
    started[2].kill()
    await ended(started)


async def test_a_full_minute_says_when_there_is_room(database):
    async with limited(database, key={"requests_per_minute": 2}) as mine:
        assert await mine.call(used=0)
        request = mine.request()
        assert await mine.call(used=0, of=request)
        assert request.headers["x-ratelimit-limit"] == "2"
        assert request.headers["x-ratelimit-remaining"] == "0"
        refused = mine.request()
        with pytest.raises(RateLimited) as error:
            await mine.limiter.book(refused, 0, _reserving(mine))
        assert error.value.metadata == {
            "of": "key",
            "id": "key-1",
            "kind": "requests",
            "limit": "2",
            "used": "2",
            "asked": "1",
            "reason": "RATE_LIMITED",
        }
        assert 0 < error.value.retry_after_s <= 91
        assert refused.headers["x-ratelimit-remaining"] == "0"
        await moved(database, 1)  # the minute before counts in part
        fresh = Limited(mine.ledger, RateLimiter(RateRows(database)), mine.principal)
        assert (await counter(database))["requests"] == 2
        await moved(database, 1)
        assert await fresh.call(used=0)
        assert {name: (await counter(database))[name] for name in ("requests", "earlier_requests")} == {
            "requests": 1,
            "earlier_requests": 0,
        }


async def test_a_flood_of_refused_calls_does_not_reach_the_database(database, monkeypatch):
    async with limited(database, key={"requests_per_minute": 1}) as mine:
        assert await mine.call(used=0)
        assert await mine.call() is None
        batches, book = [], mine.ledger._executions.book

        async def counted(bookings):
            batches.append(len(bookings))
            return await book(bookings)

        monkeypatch.setattr(mine.ledger._executions, "book", counted)
        assert await asyncio.gather(*(mine.call() for _ in range(100))) == [None] * 100
        assert batches == []
        mine.principal.key_limits.requests_per_minute = 2  # a raised limit counts at once
        assert await mine.call(used=0)


async def test_tokens_are_reserved_by_the_estimate_and_exact_in_the_end(database):
    async with limited(database, key={"tokens_per_minute": 1000}) as mine:
        first = await mine.call(800)
        assert await mine.call(300) is None
        await mine.settle(first, 100)
        assert (await counter(database))["tokens"] == 100
        second = await mine.call(900)
        assert second is not None
        await mine.settle(second, 950)  # more than was thought
        found = await counter(database)
        assert (found["tokens"], found["running"]) == (1050, 0)
        assert await mine.call(1) is None
        assert await running(database) == 0


async def test_a_call_that_ends_in_the_next_minute_corrects_the_one_that_it_was_counted_in(database):
    async with limited(database, key={"tokens_per_minute": 1000, "requests_per_minute": 50}) as mine:
        first = await mine.call(800)
        await moved(database, 1)
        assert await mine.call(10, used=10)
        await mine.settle(first, 100)
        found = await counter(database)
        assert (found["tokens"], found["earlier_tokens"], found["running"]) == (10, 100, 0)
        late = await mine.call(500)
        await moved(database, 3)
        assert await mine.call(10, used=10)
        await mine.settle(late, 0)
        found = await counter(database)
        assert (found["tokens"], found["earlier_tokens"], found["running"]) == (10, 0, 0)


async def test_what_asks_for_more_than_the_limit_is_told_that_waiting_does_not_help(database):
    async with limited(database, key={"tokens_per_minute": 100}) as mine:
        with pytest.raises(RateLimited) as error:
            await mine.limiter.book(mine.request(), 101, _reserving(mine))
        assert error.value.metadata["asked"] == "101"


async def test_the_calls_of_an_admitted_request_are_counted_and_not_refused(database):
    limits = {"requests_per_minute": 1, "tokens_per_minute": 100, "concurrent_calls": 1}
    async with limited(database, key=limits) as mine:
        request = mine.request()
        made = await asyncio.gather(*(mine.call(60, of=request) for _ in range(4)))
        assert None not in made
        found = await counter(database)
        assert (found["requests"], found["tokens"], found["running"]) == (1, 240, 4)
        for execution in made:
            await mine.settle(execution, 60)
        assert (await counter(database))["running"] == 0


async def test_of_a_refused_request_no_call_is_made(database):
    async with limited(database, key={"requests_per_minute": 1}) as mine:
        assert await mine.call(used=0)
        request = mine.request()
        made = await asyncio.gather(*(mine.call(of=request) for _ in range(8)))
        assert made == [None] * 8


async def test_concurrent_calls_are_those_that_run(database):
    async with limited(database, key={"concurrent_calls": 2}) as mine:
        first, second = await mine.call(), await mine.call()
        request = mine.request()
        with pytest.raises(ConcurrentLimitExceeded) as error:
            await mine.limiter.book(request, 0, _reserving(mine))
        assert error.value.metadata == {
            "of": "key",
            "id": "key-1",
            "limit": "2",
            "used": "2",
            "reason": "CONCURRENT_LIMIT_EXCEEDED",
        }
        await mine.settle(first, 0)
        assert await mine.call() is not None
        assert await mine.call() is None
        await mine.settle(second, 0)
        assert await mine.call() is not None


async def test_of_several_limits_the_full_one_is_named(database):
    tenant = {"requests_per_minute": 3}
    async with limited(database, key={"requests_per_minute": 9}, tenant=tenant) as mine:
        for _ in range(3):
            assert await mine.call(used=0)
        request = mine.request()
        with pytest.raises(RateLimited) as error:
            await mine.limiter.book(request, 0, _reserving(mine))
        assert (error.value.metadata["of"], error.value.metadata["id"]) == ("tenant", "acme")
        assert (await counter(database))["requests"] == 3  # a refused call is counted nowhere
        assert (await counter(database, "tenant:acme"))["requests"] == 3


async def test_a_call_that_a_budget_refuses_takes_nothing_of_the_limits(database):
    spender = Spender.of(database)
    await spender.budgets.rows.upsert(budget(tenant_id="acme", node_key="acme", limit_ticks=10))
    await spender.budgets.refresh()
    mine = Limited(
        spender.ledger,
        RateLimiter(RateRows(database)),
        Principal("key:key-1", "acme", None, "key-1", key_limits=RateLimits(requests_per_minute=5)),
    )
    await spender.ledger.start()

    async def reserve(rates):
        execution = Execution(request_id="r", provider="p", model="m", attempt=1, tenant_id="acme")
        execution.reserved_ticks = 11
        await spender.budgets.reserve(execution, spender.budgets.applying(execution), rates)

    with pytest.raises(BudgetExceeded):
        await mine.limiter.book(mine.request(), 0, reserve)
    found = await counter(database)
    assert (found["requests"], found["running"], await running(database)) == (0, 0, 0)
    await spender.stop()


async def test_a_counter_that_is_gone_is_made_again(database):
    async with limited(database, key={"requests_per_minute": 5}) as mine:
        assert await mine.call(used=0)
        async with database.engine.begin() as connection:
            await connection.execute(sa.text("DELETE FROM rate_counters"))
        with pytest.raises(ServiceUnavailable):
            await mine.call()
        assert await mine.call(used=0)
        assert (await counter(database))["requests"] == 1


async def test_hundreds_of_first_calls_make_one_counter(database):
    async with limited(database, key={"requests_per_minute": 500}) as mine:
        await asyncio.gather(*(mine.call(used=0) for _ in range(300)))
        assert mine.admitted == 300
        assert (await counter(database))["requests"] == 300


async def test_a_process_that_lost_its_lease_counts_its_calls_once(database):
    async with limited(database, lease_s=60.0, key={"concurrent_calls": 5}) as mine:
        execution = await mine.call()
        async with database.engine.begin() as connection:
            await connection.execute(sa.text("UPDATE leases SET lease_until = started_at"))
        async with limited(database, key={"concurrent_calls": 5}):
            assert (await counter(database))["running"] == 0  # it was booked as lost
        await mine.settle(execution, 7)
        assert (await counter(database))["running"] == 0
        assert await mine.call() is not None
        assert (await counter(database))["running"] == 1
