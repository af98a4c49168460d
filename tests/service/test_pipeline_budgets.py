"""Budgets of pipelines at the boundaries of their steps, and before the first one: on both databases."""

from itertools import count
from typing import Any

import pytest
import pytest_asyncio

from genai_spine.v1 import budget_pb2
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.run_pb2 import RunOptions
from tests.money import violations
from tests.service.pipeline_calls import made, said, step, work
from tests.service.run_calls import RunCalls
from tests.service.running import Running, failure
from tests.upstreams.reply import Reply, Usage
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

TICKS = 10**10  # of a US dollar
CHEAP = Usage(prompt_tokens=1, completion_tokens=1)
DEAR = Usage(prompt_tokens=10, completion_tokens=50_000)  # far more than anybody asked for
UNDO = {"work": {"capability": "llm_generation", "preferred_providers": ["builtin"]}}  # costs nothing
STEPS = (step("a", compensation=UNDO, options={"max_tokens": 20}), step("b", options={"max_tokens": 20}))
CENT = TICKS // 100
numbers = count(1)


@pytest.fixture
def calls(booked: Running) -> RunCalls:
    return RunCalls(booked.channel)


@pytest_asyncio.fixture(loop_scope="session")
async def budgeted(limited: Any) -> Any:
    """Sets a budget for the runs of one test; called again, it changes the limit."""
    label = {"of": f"pipeline-{next(numbers)}"}

    async def budget(policy: str, ticks: int) -> dict[str, Any]:
        """Options of the runs that it counts."""
        given = {"node": budget_pb2.BUDGET_NODE_LABEL, "node_key": f"of={label['of']}"}
        await limited(ticks, policy=budget_pb2.BudgetPolicy.Value(f"BUDGET_POLICY_{policy}"), **given)
        return {"cost_labels": label}

    return budget


async def test_warn_tells_of_the_limit_and_stops_nothing(
    booked: Running, calls: RunCalls, budgeted: Any
) -> None:
    booked.openai.script(Reply(["1"], usage=DEAR), Reply(["2"]))
    run, result = await made(calls, work(*STEPS), **await budgeted("WARN", CENT))
    assert (run.status, list(result.completed_steps)) == ("completed", ["a", "b"])
    (event,) = said(await calls.events(run), "budget.exceeded")
    assert (event["action_taken"], event["budget_limit_usd"]) == ("warned", 0.01)
    assert event["current_spend_usd"] == pytest.approx(result.step_results["a"].cost_usd)
    assert event["exceeded_by_usd"] == pytest.approx(event["current_spend_usd"] - 0.01)


async def test_hard_block_ends_a_pipeline_at_the_next_boundary_and_undoes_it(
    booked: Running, calls: RunCalls, budgeted: Any
) -> None:
    booked.openai.script(Reply(["1"], usage=DEAR))
    options = await budgeted("HARD_BLOCK", CENT)
    run, result = await made(calls, work(*STEPS), **options, estimate_usd=0.009)
    assert (run.status, run.error.type) == ("failed", "budget")
    assert (result.error_code, list(result.completed_steps)) == ("budget_exceeded", ["a"])
    assert (list(result.compensated_steps), "b" in result.step_results) == (["a"], False)
    assert len(booked.openai.bill.entries) == 1
    events = await calls.events(run)
    assert [one["action_taken"] for one in said(events, "budget.exceeded")] == ["blocked"]
    assert said(events, "workflow.failed")[0]["error_code"] == "budget_exceeded"
    assert await violations(booked.database) == {}


@pytest.mark.parametrize(("estimate_usd", "ends"), [(0.001, "failed"), (0.009, "completed")])
async def test_soft_block_lets_a_pipeline_go_on_inside_its_estimate(
    booked: Running, calls: RunCalls, budgeted: Any, estimate_usd: float, ends: str
) -> None:
    usage = Usage(prompt_tokens=10, completion_tokens=5_000)  # costs 0.003 US dollars
    booked.openai.script(Reply(["1"], usage=usage, first_delay_s=0.5), Reply(["2"], usage=CHEAP))
    options = await budgeted("SOFT_BLOCK", CENT)
    run = await calls.submit(work(*STEPS), **options, estimate_usd=estimate_usd)
    await until(lambda: bool(booked.openai.bill.entries))
    await budgeted("SOFT_BLOCK", CENT // 10)  # which the first step passes
    run = await calls.ended(run)
    result = run.response.pipeline
    assert (run.status, result.success) == (ends, ends == "completed")
    assert 0.001 < result.step_results["a"].cost_usd < 0.009
    (event,) = said(await calls.events(run), "budget.exceeded")
    assert event["action_taken"] == ("blocked" if ends == "failed" else "warned")
    assert len(booked.openai.bill.entries) == (1 if ends == "failed" else 2)
    assert await violations(booked.database) == {}


@pytest.mark.parametrize("policy", ["SOFT_BLOCK", "HARD_BLOCK"])
async def test_a_pipeline_whose_estimate_passes_the_limit_is_refused(
    booked: Running, calls: RunCalls, budgeted: Any, policy: str
) -> None:
    options = RunOptions(**await budgeted(policy, 1000))
    found = await failure(calls.runs.CreateRun(pb.CreateRunRequest(work=work(*STEPS), options=options)))
    assert (found.reason, found.metadata["node"]) == ("BUDGET_EXCEEDED", "label")
    assert float(found.metadata["estimate_usd"]) > 1000 / TICKS
    assert not booked.openai.bill.entries


async def test_warn_tells_of_an_estimate_that_passes_the_limit(
    booked: Running, calls: RunCalls, budgeted: Any
) -> None:
    booked.openai.script(Reply(["1"], usage=CHEAP), Reply(["2"], usage=CHEAP))
    options = await budgeted("WARN", 200_000)  # more than two such calls cost
    run, result = await made(calls, work(*STEPS), **options)
    assert result.success
    assert run.options.estimate_usd > 200_000 / TICKS > result.total_cost_usd
    events = await calls.events(run)
    types = [event.event_type for event in events]
    assert types.index("budget.exceeded") < types.index("provider.called")
    (event,) = said(events, "budget.exceeded")
    assert (event["action_taken"], event["current_spend_usd"]) == ("warned", 0.0)


async def test_a_threshold_is_told_once(booked: Running, calls: RunCalls, budgeted: Any) -> None:
    usage = Usage(prompt_tokens=10, completion_tokens=15_000)  # costs 0.009 US dollars
    booked.openai.script(Reply(["1"], usage=usage), Reply(["2"], usage=CHEAP), Reply(["3"], usage=CHEAP))
    options = await budgeted("WARN", CENT)
    run, _ = await made(calls, work(*STEPS, step("c")), **options)
    (event,) = said(await calls.events(run), "budget.warning")
    assert (event["threshold_percent"], 90 <= event["percent_used"] < 100) == (80.0, True)
