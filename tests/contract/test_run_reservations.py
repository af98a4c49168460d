"""Reservations of runs on SQLite and PostgreSQL: held with the submission, drawn on, given back once."""

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from genai_spine.call import DEFAULT_TENANT, RunNodes
from genai_spine.store.booking.chain import Chain
from genai_spine.store.budgets import run_holds
from genai_spine.store.budgets.budgets import BudgetRows
from genai_spine.store.budgets.run_holds import HoldRefused
from genai_spine.store.budgets.tables import run_reservations
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.store.tables import leases
from genai_spine.v1 import budget_pb2 as pb
from genai_spine.v1.execution_pb2 import Execution
from tests.contract.test_budgets import budget, counter, spending
from tests.money import HELD, violations
from tests.spending import Spender

HARD = pb.BUDGET_POLICY_HARD_BLOCK
NO_RUN = "no run that has ended holds money"  # these tests have no rows of runs


async def hold(spender: Spender, database: Database, run_id: str, ticks: int) -> bool:
    """Whether a run's reservation was made."""
    found = await spender.budgets.hold(Execution(tenant_id=DEFAULT_TENANT), RunNodes(run_id), ticks)
    try:
        async with database.begin_write() as connection:
            await run_holds.reserve(connection, run_id, found)
    except HoldRefused:
        return False
    spender.holding.add(run_id)
    return True


async def release(database: Database, run_id: str) -> None:
    async with database.begin_write() as connection:
        await run_holds.release(connection, run_id)


async def left(database: Database, run_id: str) -> int:
    query = sa.select(run_reservations.c.left_ticks).where(run_reservations.c.run_id == run_id)
    async with database.connect() as connection:
        return int((await connection.execute(query)).scalar_one())


async def levels(database: Database, made: pb.Budget) -> tuple[int, int]:
    found = await counter(database, made.id)
    return found.spent_ticks, found.reserved_ticks


async def limit(database: Database, ticks: int, policy: Any = HARD) -> pb.Budget:
    return await BudgetRows(database).upsert(budget(limit_ticks=ticks, policy=policy))


async def test_a_run_spends_what_it_holds_and_nobody_else_does(database):
    made = await limit(database, 1000)
    async with spending(database, actual=None) as spender:
        assert await hold(spender, database, "r1", 900)
        assert not await hold(spender, database, "r2", 101)
        assert await levels(database, made) == (0, 900)
        assert await spender.call(101) is None  # of nobody's run
        own = await spender.call(600, run_id="r1")
        assert own is not None
        assert await levels(database, made) == (0, 900)
        await spender.settle(own, 200)
        assert await levels(database, made) == (200, 700)
        assert await spender.call(101) is None
        own = await spender.call(750, run_id="r1")  # 50 more than it holds: which are free
        assert (await left(database, "r1"), await levels(database, made)) == (-50, (200, 750))
        assert await spender.call(1, run_id="r1") is not None
        assert await spender.call(50, run_id="r1") is None  # nothing is left of either
        assert await violations(database, besides=NO_RUN) == {}
        await spender.settle(own, 600)
        assert await levels(database, made) == (800, 100)  # 1 of its call, 99 of the run
        await release(database, "r1")
        await release(database, "r1")
        assert await levels(database, made) == (800, 1)
        assert await violations(database) == {}


async def test_a_call_that_costs_more_than_was_held_is_charged_in_full(database):
    made = await limit(database, 1000)
    async with spending(database, actual=None) as spender:
        assert await hold(spender, database, "r1", 100)
        own = await spender.call(100, run_id="r1")
        await spender.settle(own, 300)
        assert (await left(database, "r1"), await levels(database, made)) == (-200, (300, 0))
        await release(database, "r1")
        assert (await levels(database, made), await violations(database)) == ((300, 0), {})


async def test_soft_budgets_refuse_no_call_of_a_run_until_it_has_cost_its_estimate(database):
    made = await limit(database, 1000, pb.BUDGET_POLICY_SOFT_BLOCK)
    async with spending(database, actual=1.0) as spender:
        assert await hold(spender, database, "r1", 500)
        assert await spender.call(500) is not None  # the budget has no room from here on
        assert await spender.call(1) is None
        for _ in range(2):
            assert await spender.call(400, run_id="r1") is not None  # 800: more than was held
        assert await spender.call(400, run_id="r1") is None
        assert await levels(database, made) == (1300, 0)
        await release(database, "r1")
        over = "no limit is passed but by calls that cost more than estimated"
        assert await violations(database, besides=over) == {}


async def test_calls_of_an_admitted_run_without_an_estimate_pass_soft_budgets_to_its_end(database):
    made = await limit(database, 100, pb.BUDGET_POLICY_SOFT_BLOCK)
    async with spending(database, actual=1.0) as spender:
        assert await spender.call(100) is not None
        assert await spender.call(100, run_id="r1") is not None
        assert (await levels(database, made))[0] == 200
    await BudgetRows(database).upsert(budget(limit_ticks=100, policy=HARD))
    async with spending(database, actual=1.0) as spender:
        assert await spender.call(100, run_id="r1") is None


async def test_soft_budgets_of_runs_are_about_their_calls(database):
    node = {"node": pb.BUDGET_NODE_RUN, "node_key": "*", "period": pb.BUDGET_PERIOD_TOTAL}
    await BudgetRows(database).upsert(budget(limit_ticks=100, **node))
    async with spending(database, actual=1.0) as spender:
        assert await spender.call(100, run_id="r1") is not None
        assert await spender.call(1, run_id="r1") is None


async def test_lost_calls_of_a_run_cost_their_reserve_and_what_is_late_gives_the_rest_back(database):
    made = await limit(database, 1000)
    async with spending(database, actual=None) as spender:
        assert await hold(spender, database, "r1", 1000)
        own = await spender.call(600, run_id="r1")
        async with database.begin() as connection:
            await connection.execute(sa.delete(leases))
        assert own is not None
        assert await Executions(database).sweep() == [own.id]
        assert (await left(database, "r1"), await levels(database, made)) == (400, (600, 400))
        await spender.settle(own, 100)
        assert (await left(database, "r1"), await levels(database, made)) == (900, (100, 900))
        assert await violations(database, besides=NO_RUN) == {}


async def test_a_stream_that_needs_more_takes_it_from_its_run(database):
    made = await limit(database, 1000)
    async with spending(database, actual=None) as spender:
        assert await hold(spender, database, "r1", 900)
        own = await spender.call(600, run_id="r1", streamed=True)
        assert own is not None
        assert await spender.budgets.extend(own, 350) is None
        assert (await left(database, "r1"), await levels(database, made)) == (-50, (0, 950))
        await spender.settle(own, 700)
        assert (await left(database, "r1"), await levels(database, made)) == (200, (700, 200))
        assert await violations(database, besides=NO_RUN) == {}


async def test_what_another_budget_refuses_is_not_taken_from_a_run(database):
    made = await limit(database, 1000)
    await BudgetRows(database).upsert(
        budget(node=pb.BUDGET_NODE_END_USER, node_key="ann", limit_ticks=10, policy=HARD)
    )
    async with spending(database, actual=None) as spender:
        assert await hold(spender, database, "r1", 900)
        assert await spender.call(600, run_id="r1", end_user="ann") is None
        assert (await left(database, "r1"), await levels(database, made)) == (900, (0, 900))
        assert await violations(database, besides=NO_RUN) == {}


async def test_a_limit_that_is_lowered_takes_nothing_from_a_run_and_comes_into_force_with_its_end(database):
    """The kind of https://github.com/zizq-labs/zizq/pull/144: what was granted grew the pool again."""
    made = await limit(database, 1000)
    async with spending(database, actual=None) as spender:
        assert await hold(spender, database, "r1", 900)
        await limit(database, 100)
        own = await spender.call(900, run_id="r1")
        assert own is not None
        assert await spender.call(1, run_id="r1") is None
        await spender.settle(own, 50)
        assert await levels(database, made) == (50, 850)
        assert await spender.call(1) is None
        await release(database, "r1")
        assert await spender.call(51) is None
        assert await spender.call(50) is not None
        assert await violations(database) == {}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("key", [None, b"k" * 32], ids=["plain", "chained"])
async def test_random_histories_leave_no_tick_behind_and_pass_no_limit(database, seed, key):
    chance, made = random.Random(seed), await limit(database, 12_000)
    async with spending(database, actual=None) as spender:
        if key is not None:
            spender = Spender.of(database, chain=Chain(key))
            await spender.ledger.start()
        most = 0

        async def work(number: int) -> None:
            nonlocal most
            run_id = f"run-{number}"
            if not await hold(spender, database, run_id, chance.randrange(1, 4000)):
                return
            for _ in range(chance.randrange(6)):
                own = await spender.call(chance.randrange(1, 1500), run_id=run_id)
                if own is not None and chance.random() < 0.9:
                    await spender.settle(own, chance.randrange(own.reserved_ticks + 1))
            await release(database, run_id)

        async def others() -> None:
            for _ in range(60):  # which spend more than the limit
                found = await spender.call(chance.randrange(1, 1500))
                if found is not None:
                    await spender.settle(found, chance.randrange(found.reserved_ticks + 1))

        async def watch() -> None:
            nonlocal most
            while True:
                if found := await BudgetRows(database).counters([made.id], datetime.now(UTC)):
                    most = max(most, found[0].spent_ticks + found[0].reserved_ticks)
                await asyncio.sleep(0.005)

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(work(number) for number in range(30)), others())
        watching.cancel()
        assert 0 < most <= 12_000
        assert await violations(database, besides=HELD) == {}
        assert spender.refused
        await spender.stop()
