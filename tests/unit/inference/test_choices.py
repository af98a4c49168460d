"""Choice count on a provider that gives one choice: calls at once, merged into one answer."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from genai_spine import errors
from genai_spine.inference import choices
from genai_spine.inference.operation import Operation
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import usage_pb2
from tests.unit.inference.scripted import Scripted, World, asked, usage

Completing = Operation[pb.CreateCompletionRequest]
BROKEN = errors.ProviderError(provider="openai", provider_message="broken")


def operation(*options: str, count: int = 2) -> Completing:
    return World(Scripted("openai", options=options)).operation(asked(choice_count=count))


def answer(text: str) -> pb.Completion:
    completion = pb.Completion(usage=usage(), cost=usage_pb2.Cost(cost_ticks=5, price_known=True))
    completion.choices.add().message.content.add(text=text)
    return completion


def texts(completion: pb.Completion) -> list[tuple[int, str]]:
    return [(choice.index, choice.message.content[0].text) for choice in completion.choices]


async def stream(*contents: str) -> AsyncGenerator[pb.CompletionChunk]:
    for text in contents:
        await asyncio.sleep(0)
        yield pb.CompletionChunk(id=f"of {contents[0]}", choices=[pb.ChoiceDelta(content=text)])
    yield pb.CompletionChunk(usage=usage(), cost=usage_pb2.Cost(cost_ticks=5, price_known=True))


def test_choices_must_be_gathered_where_the_provider_gives_one() -> None:
    assert choices.must_be_gathered(operation())
    assert not choices.must_be_gathered(operation("choice_count"))
    assert not choices.must_be_gathered(operation(count=1))


def test_choices_single_asks_for_one_and_leaves_the_request_alone() -> None:
    one = operation(count=3)
    parts = choices.single(one)
    assert [part.request.HasField("choice_count") for part in parts] == [False] * 3
    assert one.request.choice_count == 3
    assert all(part.successful_routes is one.successful_routes for part in parts)


async def test_choices_gather_makes_as_many_calls_and_one_answer() -> None:
    made: list[Completing] = []

    async def complete(part: Completing) -> pb.Completion:
        made.append(part)
        return answer(f"text {len(made)}")

    gathered = await choices.gather(operation(), complete)
    assert texts(gathered) == [(0, "text 1"), (1, "text 2")]
    assert gathered.usage.total_tokens == 2 * usage().total_tokens


async def test_choices_gather_stream_interleaves_one_stream_for_each_choice() -> None:
    chunks = [chunk async for chunk in choices.gather_stream(operation(), lambda _: stream("a", "b"))]
    assert sorted(delta.index for chunk in chunks for delta in chunk.choices) == [0, 0, 1, 1]


def test_choices_gathered_numbers_the_choices_and_sums_the_cost() -> None:
    gathered = choices.gathered([answer("a"), answer("b")])
    assert texts(gathered) == [(0, "a"), (1, "b")]
    assert gathered.cost.cost_ticks == 10


async def test_choices_interleave_has_one_id_and_one_last_chunk() -> None:
    chunks = [chunk async for chunk in choices.interleave([stream("a"), stream("b")])]
    assert len({chunk.id for chunk in chunks if chunk.choices}) == 1
    assert [chunk.HasField("usage") for chunk in chunks] == [False, False, True]
    assert chunks[-1].usage.total_tokens == 2 * usage().total_tokens


async def test_choices_interleave_raises_what_one_stream_raises() -> None:
    async def broken() -> AsyncGenerator[pb.CompletionChunk]:
        yield pb.CompletionChunk(choices=[pb.ChoiceDelta(content="a")])
        raise BROKEN

    with pytest.raises(errors.ProviderError):
        async for _ in choices.interleave([broken(), stream("b")]):
            pass


def test_choices_summed_is_known_only_where_all_are() -> None:
    free = pb.Completion(cost=usage_pb2.Cost(price_known=True, is_free=True), usage=usage())
    total, cost = choices.summed([answer("a"), free])
    assert (total.input_tokens, cost.cost_ticks, cost.price_known, cost.is_free) == (20, 5, True, False)
    assert not choices.summed([answer("a"), pb.Completion()])[1].price_known
