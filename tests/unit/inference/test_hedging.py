"""Hedged requests: the second candidate is called after a delay, and the first answer wins."""

import asyncio

import pytest

from genai_spine import errors
from genai_spine.inference import hedging
from genai_spine.inference.operation import Operation
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import routing_pb2
from tests.unit.inference.scripted import Scripted, World, asked, text_of

Completing = Operation[pb.CreateCompletionRequest]
HEDGED = asked(routing=routing_pb2.Routing(hedge_after_ms=1))
BROKEN = errors.ProviderError(provider="openai", provider_message="broken")


def operation() -> tuple[World, Completing]:
    world = World(Scripted("openai", "slow"), Scripted("ollama", "fast"))
    return world, world.operation(HEDGED, streamed=True)


def test_hedging_rotated_begins_with_the_second_candidate() -> None:
    _, first = operation()
    second = hedging.rotated(first)
    assert [route.provider.name for route in second.routes] == ["ollama", "openai"]
    assert second.successful_routes is first.successful_routes


async def test_hedging_first_answer_is_the_faster_ones_and_the_other_is_superseded() -> None:
    world, one = operation()
    world.providers["openai"].gate.clear()
    started: list[Completing] = []

    async def start(way: Completing) -> pb.Completion:
        started.append(way)
        provider, route = way.routes[0].provider, way.routes[0]
        return await provider.complete(way.request, route, way.call)

    assert text_of(await hedging.first_answer(one, start)) == "fast"
    assert [way.superseded for way in started] == [True, False]


async def test_hedging_first_answer_makes_one_call_when_that_is_fast() -> None:
    world, one = operation()
    one.request.routing.hedge_after_ms = 60_000
    try:

        async def start(way: Completing) -> pb.Completion:
            return await way.routes[0].provider.complete(way.request, way.routes[0], way.call)

        assert text_of(await hedging.first_answer(one, start)) == "slow"
    finally:
        one.request.routing.hedge_after_ms = 1
    assert world.providers["ollama"].seen == []


async def test_hedging_first_answer_of_two_failures_is_the_error_that_came_first() -> None:
    _, one = operation()
    both, first_failed = asyncio.Barrier(2), asyncio.Event()

    async def start(way: Completing) -> pb.Completion:
        await both.wait()
        if way is one:
            first_failed.set()
            raise BROKEN
        await first_failed.wait()
        await asyncio.sleep(0.01)
        raise errors.InternalError()

    with pytest.raises(errors.ProviderError):
        await hedging.first_answer(one, start)


async def test_hedging_first_answer_says_nothing_of_a_hedge_that_a_budget_refused() -> None:
    _, one = operation()
    refused = errors.BudgetExceeded(
        node="tenant", key="t", period="daily", limit_usd="1", used_usd="1", estimate_usd="1"
    )

    async def start(way: Completing) -> pb.Completion:
        if way.routes[0].provider.name == "ollama":
            raise refused
        await asyncio.sleep(0.05)
        raise BROKEN

    with pytest.raises(errors.ProviderError):
        await hedging.first_answer(one, start)


async def test_hedging_first_stream_is_the_faster_ones_and_the_other_is_closed() -> None:
    world, one = operation()
    world.providers["openai"].gate.clear()
    started: list[Completing] = []

    def start(way: Completing) -> hedging.Chunks:
        started.append(way)
        chunks: hedging.Chunks = way.routes[0].provider.stream(way.request, way.routes[0], way.call)
        return chunks

    chunks = [chunk async for chunk in hedging.first_stream(one, start)]
    assert chunks[0].choices[0].content == "fast"
    assert [way.superseded for way in started] == [True, False]
