"""Money of runs through the channel, on both databases: their own limit, and the budgets around them."""

from typing import Any

import pytest

from genai_spine.v1 import budget_pb2
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.run_pb2 import RunOptions
from tests.money import violations
from tests.service.run_calls import RunCalls, completion, provider_calls
from tests.service.running import Running, failure
from tests.upstreams.reply import Reply, Usage

pytestmark = pytest.mark.asyncio(loop_scope="session")
# A call of at most 100 tokens reserves a bit more than 0.001 US dollars; one of 90 costs 0.0009.
USED = Usage(prompt_tokens=10, completion_tokens=90)


@pytest.fixture
def runs(booked: Running) -> RunCalls:
    return RunCalls(booked.channel)


def work(text: str = "Hello") -> Any:
    return completion(text, max_tokens=100)


async def test_a_limit_counts_all_that_a_run_starts(booked: Running, runs: RunCalls):
    booked.openai.script(Reply("four", usage=USED))
    root = await runs.ended(await runs.submit(work(), budget_limit_usd=0.0015))
    assert root.status == "completed"
    child = await runs.submit(work(), parent_run_id=root.run_id)
    below = await runs.ended(await runs.submit(work(), parent_run_id=child.run_id))
    for run in (await runs.ended(child), below):
        assert (run.status, run.error.type, run.attempt) == ("failed", "budget", 1)
        assert (run.error.metadata["node"], run.error.metadata["key"]) == ("run", root.run_id)
    assert len(booked.openai.bill.calls) == 1
    root = await runs.get(root.run_id)
    assert root.cost.cost_usd == pytest.approx(0.000925)
    assert await violations(booked.database) == {}


async def test_a_limit_without_room_lets_no_call_out(booked: Running, runs: RunCalls):
    run = await runs.ended(await runs.submit(work(), budget_limit_usd=0.0001))
    assert (run.status, run.error.type) == ("failed", "budget")
    assert booked.openai.bill.calls == []
    assert await provider_calls(booked, run.run_id) == []


async def test_a_child_has_its_own_limit_inside_its_roots(booked: Running, runs: RunCalls):
    root = await runs.submit(work(), budget_limit_usd=1.0, hold=True)
    run = await runs.ended(await runs.submit(work(), parent_run_id=root.run_id, budget_limit_usd=0.0001))
    assert (run.error.type, run.error.metadata["key"]) == ("budget", run.run_id)
    await runs.cancel(root)


async def test_the_narrowest_full_budget_is_named(booked: Running, runs: RunCalls, limited: Any):
    await limited(10**7)
    run = await runs.ended(await runs.submit(work(), budget_limit_usd=0.0001))
    assert (run.error.type, run.error.metadata["node"]) == ("budget", "run")


async def test_a_retry_by_hand_has_a_limit_of_its_own(booked: Running, runs: RunCalls):
    booked.openai.script(Reply(status=400, body={"error": {"message": "no"}}), Reply("yes", usage=USED))
    run = await runs.ended(await runs.submit(work(), budget_limit_usd=0.0015))
    again = await runs.runs.RetryRun(pb.RetryRunRequest(run_id=run.run_id))
    assert (await runs.ended(again)).status == "completed"


async def test_no_run_is_taken_where_a_budget_that_blocks_is_used_up(
    booked: Running, runs: RunCalls, limited: Any
):
    there = await runs.ended(await runs.submit(work(), idempotency_key="before"))
    await limited(0)
    request = pb.CreateRunRequest(work=work("Another"))
    found = await failure(runs.runs.CreateRun(request))
    assert (found.reason, found.metadata["node"]) == ("BUDGET_EXCEEDED", "tenant")
    again = await runs.submit(work(), idempotency_key="before")
    assert (again.run_id, again.is_existing) == (there.run_id, True)
    listed = await runs.runs.ListRuns(pb.ListRunsRequest())
    assert request.work != listed.runs[0].work
    await limited(0, policy=budget_pb2.BUDGET_POLICY_WARN)
    assert (await runs.ended(await runs.submit(work()))).status == "completed"


async def test_calls_are_booked_on_who_asked(booked: Running, runs: RunCalls):
    options = {"user": "ann", "cost_labels": {"team": "search"}, "correlation_id": "corr-7"}
    run = await runs.ended(await runs.submit(work(), **options))
    [row] = await provider_calls(booked, run.run_id)
    assert (row.end_user, dict(row.cost_labels), row.correlation_id) == (
        "ann",
        {"team": "search"},
        "corr-7",
    )
    own = completion("Hello", max_tokens=100, user="eve")
    run = await runs.ended(await runs.submit(own, user="ann"))
    [row] = await provider_calls(booked, run.run_id)
    assert row.end_user == "eve"


async def test_budgets_of_single_runs_are_listed_on_request(booked: Running, runs: RunCalls):
    from genai_spine.v1 import budget_service_pb2 as budgets
    from genai_spine.v1.budget_service_pb2_grpc import BudgetServiceStub

    run = await runs.submit(work(), budget_limit_usd=0.5, hold=True)
    stub = BudgetServiceStub(booked.channel)
    listed = (await stub.ListBudgets(budgets.ListBudgetsRequest())).budgets
    assert run.run_id not in {one.node_key for one in listed}
    request = budgets.ListBudgetsRequest(node=budget_pb2.BUDGET_NODE_RUN, node_key=run.run_id)
    [own] = (await stub.ListBudgets(request)).budgets
    assert (own.limit_usd, own.policy) == (0.5, budget_pb2.BUDGET_POLICY_HARD_BLOCK)
    await runs.cancel(run)


async def test_a_dry_run_makes_nothing(booked: Running, runs: RunCalls):
    before = (await runs.runs.ListRuns(pb.ListRunsRequest(offset=0))).total_size
    request = pb.CreateRunRequest(work=work(), options=RunOptions(budget_limit_usd=1.0), dry_run=True)
    await runs.runs.CreateRun(request)
    assert (await runs.runs.ListRuns(pb.ListRunsRequest(offset=0))).total_size == before


async def test_a_stream_goes_on_and_the_next_call_is_refused(booked: Running, runs: RunCalls):
    """The provider ignores max_tokens: what runs is finished, and the run stops before its next step."""
    said = ["word " * 50] * 12
    used = Usage(prompt_tokens=9, completion_tokens=600)
    booked.openai.script(Reply(refusal=said, interval_s=0.01, usage=used))
    bounded = completion("Hello", max_tokens=50)
    root = await runs.ended(await runs.submit(bounded, budget_limit_usd=0.0006))
    assert root.status == "completed"
    assert "".join(said) in str(root.response.completion)
    child = pb.CreateRunRequest(work=bounded, options=RunOptions(parent_run_id=root.run_id))
    found = await failure(runs.runs.CreateRun(child))
    assert (found.reason, found.metadata["key"]) == ("BUDGET_EXCEEDED", root.run_id)
    assert len(booked.openai.bill.calls) == 1
    assert await violations(booked.database) == {}
