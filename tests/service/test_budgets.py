"""Budgets as callers meet them: refused calls, bounded answers, and what is reserved for each."""

from typing import Any

import grpc
import pytest

from genai_spine.v1 import budget_pb2
from genai_spine.v1 import completion_service_pb2 as pb
from tests.contract.test_budgets import counter
from tests.money import violations
from tests.service.running import Running, asked, failure
from tests.upstreams.reply import Reply, Usage

pytestmark = pytest.mark.asyncio(loop_scope="session")

CENT = 10**8  # ticks


async def test_call_without_room_is_refused_and_not_sent(booked: Running, limited: Any) -> None:
    await limited(CENT // 100)
    found = await failure(booked.completions.CreateCompletion(asked()))
    assert found.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert found.reason == "BUDGET_EXCEEDED"
    assert (found.metadata["node"], found.metadata["period"]) == ("tenant", "daily")
    assert found.metadata["limit_usd"] == "0.0001"
    assert booked.openai.bill.calls == []
    assert await booked.executions.by_request(found.request_id) == []


async def test_room_of_a_call_is_what_it_may_cost_until_it_is_known(booked: Running, limited: Any) -> None:
    made = await limited(10 * CENT, node=budget_pb2.BUDGET_NODE_END_USER, node_key="ann")
    booked.openai.script(Reply("four", usage=Usage(prompt_tokens=10, completion_tokens=5)))
    completion = await booked.completions.CreateCompletion(asked(user="ann"))
    [row] = await booked.rows(completion.request_id)
    found = await counter(booked.database, made.id)
    assert (found.spent_ticks, found.reserved_ticks) == (completion.cost.cost_ticks, 0)
    assert list(row.budget_counters) == [found.id]
    assert 4096 * 100_000 <= row.reserved_ticks < 4096 * 100_000 + 100 * 25_000
    assert await violations(booked.database) == {}


async def test_answer_is_bounded_where_a_budget_blocks_and_only_there(booked: Running, limited: Any) -> None:
    await booked.completions.CreateCompletion(asked())
    await limited(10 * CENT, policy=budget_pb2.BUDGET_POLICY_WARN)
    await booked.completions.CreateCompletion(asked())
    await limited(10 * CENT)
    await booked.completions.CreateCompletion(asked())
    await booked.completions.CreateCompletion(asked(max_tokens=7))
    sent = [call.body for call in booked.openai.bill.calls]
    bounds = [body.get("max_completion_tokens", body.get("max_tokens")) for body in sent]
    assert bounds == [None, None, 4096, 7]


async def test_stream_is_charged_like_a_whole_answer(booked: Running, limited: Any) -> None:
    made = await limited(10 * CENT, node=budget_pb2.BUDGET_NODE_END_USER, node_key="eve")
    booked.openai.script(Reply(["fo", "ur"], usage=Usage(prompt_tokens=10, completion_tokens=5)))
    chunks = [chunk async for chunk in booked.completions.StreamCompletion(asked(user="eve"))]
    await booked.rows(chunks[-1].request_id)
    found = await counter(booked.database, made.id)
    assert (found.spent_ticks, found.reserved_ticks) == (chunks[-1].cost.cost_ticks, 0)


async def test_model_without_a_price_is_refused_where_a_budget_blocks(booked: Running, limited: Any) -> None:
    await limited(10 * CENT)
    found = await failure(booked.completions.CreateCompletion(asked(model="openai:unheard-of")))
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PRICE_UNKNOWN")


async def test_what_costs_nothing_is_never_refused(booked: Running, limited: Any) -> None:
    await limited(1)
    completion = await booked.completions.CreateCompletion(asked(model="builtin:extractive"))
    assert isinstance(completion, pb.Completion)
