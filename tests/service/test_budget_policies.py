"""Policies of budgets: a stream in its middle, a cheaper candidate, a price that nobody knows."""

from typing import Any

import grpc
import pytest

from genai_spine.v1 import budget_pb2, execution_pb2, routing_pb2, usage_pb2
from genai_spine.v1 import completion_service_pb2 as pb
from tests.contract.test_budgets import counter
from tests.money import violations
from tests.service.running import Running, Upstreams, asked, failure, running
from tests.upstreams.reply import Reply, Usage

pytestmark = pytest.mark.asyncio(loop_scope="session")

OUTPUT = 100_000  # ticks for a token of gpt-4o
SAID = ["word " * 50] * 12  # far more than the requests allow: the simulator does not cut a refusal
USER = budget_pb2.BUDGET_NODE_END_USER
HARD = budget_pb2.BUDGET_POLICY_HARD_BLOCK
FALLBACK = budget_pb2.BUDGET_POLICY_FALLBACK


def refusal_of(chunks: list[pb.CompletionChunk]) -> str:
    return "".join(delta.refusal for chunk in chunks for delta in chunk.choices)


async def test_hard_block_ends_a_stream_that_would_pass_its_limit(booked: Running, limited: Any) -> None:
    made = await limited(60 * OUTPUT, node=USER, node_key="hal", policy=HARD)
    booked.openai.script(Reply(refusal=SAID, interval_s=0.02))
    found = await failure(booked.completions.StreamCompletion(asked(user="hal", max_tokens=50)))
    assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED")
    [row] = await booked.rows(found.request_id)
    assert (row.state, row.error_reason) == (execution_pb2.EXECUTION_STATE_FAILED, "BUDGET_EXCEEDED")
    assert row.usage.output_provenance == usage_pb2.PROVENANCE_PARTIAL_STREAM
    assert 50 < row.usage.output_tokens < 500
    now = await counter(booked.database, made.id)
    assert (now.spent_ticks, now.reserved_ticks) == (row.cost.cost_ticks, 0)
    assert await violations(booked.database) == {}


async def test_hard_block_ends_a_stream_of_openais_shape_with_an_error_event(
    booked: Running, limited: Any
) -> None:
    await limited(60 * OUTPUT, node=USER, node_key="hob", policy=HARD)
    booked.openai.script(Reply(refusal=SAID, interval_s=0.02))
    posted = await booked.chat(stream=True, user="hob", max_tokens=50)
    assert posted.events[0]["choices"]
    assert posted.events[-1]["error"]["code"] == "insufficient_quota"


@pytest.mark.parametrize("name", ["WARN", "SOFT_BLOCK", "FALLBACK"])
async def test_other_policies_reserve_more_and_let_a_stream_go_on(
    name: str, booked: Running, limited: Any
) -> None:
    policy = budget_pb2.BudgetPolicy.Value(f"BUDGET_POLICY_{name}")
    made = await limited(60 * OUTPUT, node=USER, node_key=name, policy=policy)
    booked.openai.script(
        Reply(refusal=SAID, interval_s=0.01, usage=Usage(prompt_tokens=9, completion_tokens=600))
    )
    request = asked(user=name, max_tokens=50)
    chunks = [chunk async for chunk in booked.completions.StreamCompletion(request)]
    assert refusal_of(chunks) == "".join(SAID)
    [row] = await booked.rows(chunks[-1].request_id)
    assert (row.reserved_ticks > 500 * OUTPUT) == (name == "WARN")  # others have no room for that
    now = await counter(booked.database, made.id)
    assert (now.spent_ticks, now.reserved_ticks) == (chunks[-1].cost.cost_ticks, 0)
    assert await violations(booked.database) == {}


async def test_hard_block_lets_a_stream_go_on_while_there_is_room(booked: Running, limited: Any) -> None:
    await limited(5000 * OUTPUT, node=USER, node_key="hit", policy=HARD)
    booked.openai.script(Reply(refusal=SAID, interval_s=0.02))
    request = asked(user="hit", max_tokens=50)
    chunks = [chunk async for chunk in booked.completions.StreamCompletion(request)]
    assert refusal_of(chunks) == "".join(SAID)


async def test_stream_within_its_limit_ends_by_itself_where_nothing_more_can_be_reserved(
    booked: Running, limited: Any
) -> None:
    await limited(320 * OUTPUT, node=USER, node_key="hut", policy=HARD)
    booked.openai.script(Reply(refusal=SAID[:6], interval_s=0.02))
    request = asked(user="hut", max_tokens=301)
    chunks = [chunk async for chunk in booked.completions.StreamCompletion(request)]
    assert refusal_of(chunks) == "".join(SAID[:6])


CHEAPER = routing_pb2.Routing(fallback_models=["openai:gpt-4-turbo", "openai:gpt-4o-mini"])


@pytest.mark.parametrize("streamed", [False, True])
async def test_fallback_calls_the_cheapest_candidate_and_says_so(
    streamed: bool, booked: Running, limited: Any
) -> None:
    user = f"fay-{streamed}"
    made = await limited(50 * OUTPUT, node=USER, node_key=user, policy=FALLBACK)
    request = asked(user=user, max_tokens=100, routing=CHEAPER)
    if streamed:
        answer = [chunk async for chunk in booked.completions.StreamCompletion(request)][-1]
    else:
        answer = await booked.completions.CreateCompletion(request)
    [warning] = answer.warnings
    assert (warning.option, warning.value_used) == ("model", "openai:gpt-4o-mini")
    assert warning.reason == "the daily budget of end_user has no room for gpt-4o"
    [row] = await booked.rows(answer.request_id)
    assert (row.model, len(row.warnings)) == ("gpt-4o-mini", 1)
    assert (await counter(booked.database, made.id)).spent_ticks == answer.cost.cost_ticks


async def test_fallback_says_so_in_a_header_of_openais_shape(booked: Running, limited: Any) -> None:
    await limited(50 * OUTPUT, node=USER, node_key="foe", policy=FALLBACK)
    chain = ("openai:gpt-4-turbo", "openai:gpt-4o-mini")
    async with running(booked.upstreams, booked.database_url, fallback_chain=chain) as service:
        posted = await service.chat(user="foe", max_tokens=100)
    assert posted.json["model"] == "gpt-4o-mini"
    assert posted.headers["x-genai-warnings"] == 'model;action=mapped;value="openai:gpt-4o-mini"'


@pytest.mark.parametrize(
    "routing", [None, routing_pb2.Routing(fallback_models=["openai:gpt-4-turbo"]), CHEAPER]
)
async def test_fallback_refuses_where_no_candidate_has_room(
    routing: Any, booked: Running, limited: Any
) -> None:
    await limited(OUTPUT, node=USER, node_key="fig", policy=FALLBACK)
    request = asked(user="fig", max_tokens=100, routing=routing)
    found = await failure(booked.completions.CreateCompletion(request))
    assert (found.reason, found.metadata["node"]) == ("BUDGET_EXCEEDED", "end_user")
    assert booked.openai.bill.calls == []


async def test_call_whose_price_is_not_known_is_charged_with_its_reserve(
    booked: Running, limited: Any
) -> None:
    made = await limited(1000 * OUTPUT, node=USER, node_key="una")
    booked.openai.script(Reply("four", service_tier="unheard-of", usage=Usage(prompt_tokens=10)))
    completion = await booked.completions.CreateCompletion(asked(user="una", max_tokens=100))
    [row] = await booked.rows(completion.request_id)
    assert not completion.cost.price_known
    assert row.cost.cost_ticks == row.reserved_ticks >= 100 * OUTPUT
    assert row.resolution == execution_pb2.LOSS_RESOLUTION_RESERVE
    assert row.usage.output_provenance == usage_pb2.PROVENANCE_ESTIMATED
    now = await counter(booked.database, made.id)
    assert (now.spent_ticks, now.reserved_ticks) == (row.reserved_ticks, 0)


async def test_action_fallback_of_the_settings_calls_a_cheaper_candidate(
    all_upstreams: Upstreams, upstreams: Upstreams, sqlite_url: str
) -> None:
    chain = ("openai:gpt-4o-mini",)
    spending = {"budget_daily": "0.0005", "budget_action": "fallback"}
    async with running(all_upstreams, sqlite_url, fallback_chain=chain, **spending) as service:
        completion = await service.completions.CreateCompletion(asked(max_tokens=100))
        assert completion.warnings[0].value_used == "openai:gpt-4o-mini"
