"""Lost calls that are resolved, on SQLite and on a real PostgreSQL."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from genai_spine.billing.ledger.resolver import Resolution, Truth, checked, resolve
from genai_spine.billing.price_book import PriceBook
from genai_spine.call import DEFAULT_TENANT
from genai_spine.store.booking.lost_calls import LostCalls
from genai_spine.store.budgets.budgets import BudgetRows
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.store.leases import Leases
from genai_spine.v1 import budget_pb2, execution_pb2, usage_pb2
from genai_spine.v1.execution_pb2 import Execution
from tests.ledgers import chained, verified
from tests.money import violations
from tests.spending import Spender

RESERVED = 10**9
USAGE = checked(usage_pb2.Usage(input_tokens=1000, cache_read_tokens=200, output_tokens=100))
BILLED = 800 * 25_000 + 200 * 12_500 + 100 * 100_000  # ticks of USAGE with gpt-4o


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook.load()


async def lose(database: Database, count: int = 1, model: str = "gpt-4o") -> list[str]:
    """Ids of calls whose process died."""
    spender = Spender.of(database, actual=None)
    await spender.ledger.start()
    calls = [await spender.call(RESERVED) for _ in range(count)]
    async with database.begin() as connection:
        await connection.exec_driver_sql(f"UPDATE executions SET model = '{model}'")
    await Leases(database).release(spender.ledger.server_id)
    assert len(await chained(database).sweep()) == count
    await spender.stop()
    return [call.id for call in calls]


async def found(database: Database, id: str) -> Execution:
    row = await Executions(database).get(id, DEFAULT_TENANT)
    assert row is not None
    return row


async def test_lost_calls_are_listed_until_they_are_resolved(database, book):
    first, second = await lose(database, 2)
    calls, now = LostCalls(database), datetime.now(UTC)
    hour = (now - timedelta(hours=1), now + timedelta(hours=1))
    assert [row.id for row in await calls.unresolved(*hour, None, 10)] == [first, second]
    assert [row.id for row in await calls.unresolved(*hour, "openai", 1)] == [first]
    assert await calls.unresolved(*hour, "anthropic", 10) == []
    assert await calls.unresolved(hour[1], hour[1] + timedelta(hours=1), None, 10) == []
    await resolve(Executions(database), calls, book, [Truth(first, USAGE)], dry_run=False)
    assert [row.id for row in await calls.unresolved(*hour, None, 10)] == [second]


async def test_truth_takes_the_place_of_the_reserve_in_row_and_budget(database, book):
    budget = budget_pb2.Budget(
        tenant_id=DEFAULT_TENANT,
        node=budget_pb2.BUDGET_NODE_TENANT,
        node_key=DEFAULT_TENANT,
        period=budget_pb2.BUDGET_PERIOD_TOTAL,
        policy=budget_pb2.BUDGET_POLICY_SOFT_BLOCK,
        limit_ticks=10 * RESERVED,
        enabled=True,
    )
    made = await BudgetRows(database).upsert(budget)
    [id] = await lose(database)
    assert (await found(database, id)).cost.cost_ticks == RESERVED
    calls = LostCalls(database)
    dry = await resolve(Executions(database), calls, book, [Truth(id, USAGE)], dry_run=True)
    assert dry == [Resolution(id, RESERVED, BILLED)]
    assert (await found(database, id)).cost.cost_ticks == RESERVED
    assert await resolve(Executions(database), calls, book, [Truth(id, USAGE)], dry_run=False) == dry
    row = await found(database, id)
    assert (row.state, row.resolution) == (
        execution_pb2.EXECUTION_STATE_LOST,
        execution_pb2.LOSS_RESOLUTION_PROVIDER,
    )
    assert (row.cost.cost_ticks, row.cost.price_known, row.cost.price_book) == (BILLED, True, book.version)
    assert row.usage == USAGE
    [counter] = await BudgetRows(database).counters([made.id], datetime.now(UTC))
    assert (counter.spent_ticks, counter.reserved_ticks) == (BILLED, 0)
    assert await violations(database) == {}


async def test_call_that_was_never_billed_costs_nothing(database, book):
    [id] = await lose(database, model="a model without a price")
    [outcome] = await resolve(Executions(database), LostCalls(database), book, [Truth(id)], dry_run=False)
    assert outcome == Resolution(id, RESERVED, 0)
    row = await found(database, id)
    assert (row.cost.cost_ticks, row.cost.price_known, row.usage.input_tokens) == (0, True, 0)


async def test_what_cannot_be_resolved_is_left_as_it_is_with_the_reason(database, book):
    [id] = await lose(database, model="a model without a price")
    executions, calls = Executions(database), LostCalls(database)
    truths = [Truth(id, USAGE), Truth("no such call", USAGE)]
    problems = [one.problem for one in await resolve(executions, calls, book, truths, dry_run=False)]
    assert problems == ["openai:a model without a price has no price", "no call has this id"]
    await resolve(executions, calls, book, [Truth(id)], dry_run=False)
    [again] = await resolve(executions, calls, book, [Truth(id)], dry_run=False)
    assert again.problem == "the call is not lost, or is resolved"


async def test_call_that_several_resolve_at_once_is_resolved_by_one_of_them(database, database_url, book):
    ids = await lose(database, 10)
    others = [Database(database_url) for _ in range(3)]
    truths = [Truth(id, USAGE) for id in ids]
    outcomes = await asyncio.gather(
        *(resolve(chained(other), LostCalls(other), book, truths, dry_run=False) for other in others)
    )
    for other in others:
        await other.close()
    done = sorted(one.id for outcome in outcomes for one in outcome if not one.problem)
    assert done == sorted(ids)
    async with database.connect() as connection:
        kept = (await connection.exec_driver_sql("SELECT execution_id, kind FROM ledger_amendments")).all()
    assert sorted(kept) == sorted((id, "RESOLVED") for id in ids)
    assert not {one.kind for one in (await verified(database)).findings} - {"row_added"}


def test_usage_is_completed_and_parts_that_are_more_than_the_whole_are_named():
    assert (USAGE.uncached_input_tokens, USAGE.visible_output_tokens, USAGE.total_tokens) == (800, 100, 1100)
    with pytest.raises(ValueError, match="output_tokens is less than its parts: reasoning_tokens"):
        checked(usage_pb2.Usage(output_tokens=1, reasoning_tokens=2))
