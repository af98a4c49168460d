"""Estimates of runs through the channel, on both databases: reserved with them, free with their end."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from genai_spine.store.budgets.tables import run_reservations
from genai_spine.v1 import budget_pb2
from genai_spine.v1 import dead_letter_service_pb2 as letters
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.run_pb2 import RunOptions
from tests.money import violations
from tests.service.run_calls import RunCalls, completion
from tests.service.running import Running, failure
from tests.upstreams.reply import Reply, Usage

pytestmark = pytest.mark.asyncio(loop_scope="session")
TICKS = 10**10  # of a US dollar
HARD = budget_pb2.BUDGET_POLICY_HARD_BLOCK
Cent = dict[str, Any]
numbers = count(1)
USED = Usage(prompt_tokens=10, completion_tokens=90)  # costs 0.0009 US dollars


@pytest.fixture
def runs(booked: Running) -> RunCalls:
    return RunCalls(booked.channel)


@pytest_asyncio.fixture(loop_scope="session")
async def cent(limited: Any) -> Cent:
    """Options of a run with a budget for it alone."""
    name = f"cent-{next(numbers)}"
    await limited(TICKS // 100, policy=HARD, node=budget_pb2.BUDGET_NODE_LABEL, node_key=f"of={name}")
    return {"cost_labels": {"of": name}}


def work(text: str = "Hello") -> Any:
    return completion(text, max_tokens=100)


async def held(service: Running) -> list[int]:
    """What runs hold still; the books agree."""
    assert await violations(service.database) == {}
    async with service.database.connect() as connection:
        found = await connection.execute(sa.select(run_reservations.c.left_ticks))
        return list(found.scalars())


async def test_submissions_are_refused_once_budgets_are_promised_to_others(
    booked: Running, runs: RunCalls, cent: Cent
):
    waiting = [await runs.submit(work(), **cent, estimate_usd=0.004, hold=True) for _ in range(2)]
    request = pb.CreateRunRequest(work=work(), options=RunOptions(**cent, estimate_usd=0.004, hold=True))
    found = await failure(runs.runs.CreateRun(request))
    assert (found.reason, found.metadata["node"]) == ("BUDGET_EXCEEDED", "label")
    assert float(found.metadata["estimate_usd"]) == 0.004
    assert len(await held(booked)) == 2
    await runs.cancel(waiting[0])
    third = await runs.runs.CreateRun(request)
    for run in (waiting[1], third):
        await runs.cancel(run)
    assert await held(booked) == []


async def test_a_run_completes_on_what_it_holds_and_gives_the_rest_back(
    booked: Running, runs: RunCalls, cent: Cent
):
    booked.openai.script(Reply("four", usage=USED))
    run = await runs.submit(work(), **cent, estimate_usd=0.0099)
    assert (await runs.ended(run)).status == "completed"
    assert await held(booked) == []
    assert (await runs.ended(await runs.submit(work(), **cent, estimate_usd=0.005))).status == "completed"


async def test_failures_and_deadlines_give_back_what_runs_hold(booked: Running, runs: RunCalls, cent: Cent):
    booked.openai.script(Reply(status=400, body={"error": {"message": "no"}}))
    assert (await runs.ended(await runs.submit(work(), **cent, estimate_usd=0.009))).status == "failed"
    assert await held(booked) == []
    late = datetime.now(UTC) + timedelta(seconds=0.5)
    run = await runs.submit(work(), **cent, estimate_usd=0.009, deadline=late, hold=True)
    assert (await runs.ended(run)).error.type == "timeout"
    assert await held(booked) == []


async def test_a_retry_keeps_what_its_run_holds_and_a_dead_letter_does_not(
    booked: Running, runs: RunCalls, cent: Cent
):
    busy = [Reply(status=429, body={"error": {"message": "slow down"}}, headers={"retry-after": "0"})]
    booked.openai.script(*busy * 20)
    run = await runs.submit(work(), **cent, estimate_usd=0.009, max_retries=1, retry_delay_seconds=0.3)
    await runs.reached(run, "pending")
    assert await held(booked) == [9 * TICKS // 1000]
    dead = await runs.ended(run)
    assert dead.status == "dead_lettered"
    assert await held(booked) == []
    booked.openai.reset()
    booked.openai.script(Reply("at last", usage=USED))
    await runs.letters.ReplayDeadLetter(
        letters.ReplayDeadLetterRequest(dead_letter_id=(await runs.get(run.run_id)).dead_letter_id)
    )
    assert (await runs.ended(run)).status == "completed"
    assert await held(booked) == []


async def test_one_key_reserves_once(booked: Running, runs: RunCalls, cent: Cent):
    first = await runs.submit(work(), **cent, estimate_usd=0.009, hold=True, idempotency_key="once")
    again = await runs.submit(work(), **cent, estimate_usd=0.009, hold=True, idempotency_key="once")
    assert (again.run_id, again.is_existing) == (first.run_id, True)
    assert len(await held(booked)) == 1
    await runs.cancel(first)


async def test_an_estimate_is_no_limit_where_no_budget_blocks(booked: Running, runs: RunCalls):
    booked.openai.script(Reply("four", usage=USED))
    assert (await runs.ended(await runs.submit(work(), estimate_usd=0.00001))).status == "completed"
    assert await held(booked) == []
