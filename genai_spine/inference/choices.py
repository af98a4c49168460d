"""Several choices from a provider that gives one: as many calls, and one answer woven of theirs.

Each of the calls is an execution of its own. Usage and cost of the answer are those of all of them.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import replace

from genai_spine.inference.attempt import Order
from genai_spine.routing.router import Route
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import usage_pb2

WAITING = 64  # chunks of all calls together that wait for the caller


def must_be_gathered(request: pb.CreateCompletionRequest, route: Route) -> bool:
    if request.choice_count <= 1:
        return False
    named, request.model = request.model, route.model
    options = route.provider.options_for(request)
    request.model = named
    return "choice_count" not in options


def single(order: Order) -> list[Order]:
    """An order of one choice for each that is wanted."""
    request = order.request
    assert isinstance(request, pb.CreateCompletionRequest)
    parts = []
    for _ in range(request.choice_count):
        one = pb.CreateCompletionRequest()
        one.CopyFrom(request)
        one.ClearField("choice_count")
        parts.append(replace(order, request=one))
    return parts


def gathered(answers: Sequence[pb.Completion]) -> pb.Completion:
    """One answer with the choices of all; its ids are those of the first."""
    whole = answers[0]
    usage, cost = summed(answers)
    for index, answer in enumerate(answers[1:], 1):
        choice = whole.choices.add()
        choice.CopyFrom(answer.choices[0])
        choice.index = index
        whole.latency_ms = max(whole.latency_ms, answer.latency_ms)
    whole.usage.CopyFrom(usage)
    whole.cost.CopyFrom(cost)
    return whole


async def woven(
    streams: Sequence[AsyncGenerator[pb.CompletionChunk]],
) -> AsyncGenerator[pb.CompletionChunk]:
    """The chunks of all as they come, each with the index of its stream; one last chunk for all of them."""
    queue: asyncio.Queue[tuple[int, pb.CompletionChunk | Exception]] = asyncio.Queue(WAITING)
    tasks = [asyncio.create_task(_put(queue, index, stream)) for index, stream in enumerate(streams)]
    ends: list[pb.CompletionChunk] = []
    first: pb.CompletionChunk | None = None
    try:
        while len(ends) < len(streams):
            index, chunk = await queue.get()
            if isinstance(chunk, Exception):
                raise chunk
            first = first or chunk
            _stamp(chunk, first, index)
            if chunk.HasField("usage"):
                ends.append(chunk)
            if chunk.choices:
                yield chunk
        yield _end(ends)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _put(
    queue: "asyncio.Queue[tuple[int, pb.CompletionChunk | Exception]]",
    index: int,
    stream: AsyncGenerator[pb.CompletionChunk],
) -> None:
    try:
        async for chunk in stream:
            await queue.put((index, chunk))
    except Exception as error:
        await queue.put((index, error))
    finally:
        with suppress(RuntimeError):
            await stream.aclose()


def _stamp(chunk: pb.CompletionChunk, first: pb.CompletionChunk, index: int) -> None:
    chunk.id, chunk.created, chunk.model = first.id, first.created, first.model
    chunk.execution_id = first.execution_id
    for delta in chunk.choices:
        delta.index = index


def _end(ends: Sequence[pb.CompletionChunk]) -> pb.CompletionChunk:
    usage, cost = summed(ends)
    last = ends[-1]
    last.usage.CopyFrom(usage)
    last.cost.CopyFrom(cost)
    last.ClearField("choices")
    return last


def summed(answers: Sequence[pb.Completion | pb.CompletionChunk]) -> tuple[usage_pb2.Usage, usage_pb2.Cost]:
    """Usage and cost of several answers together; provenance is the last one's."""
    total, cost = usage_pb2.Usage(), usage_pb2.Cost(price_known=True, is_free=True)
    for answer in answers:
        for field, value in answer.usage.ListFields():
            added = value if field.enum_type else getattr(total, field.name) + value
            setattr(total, field.name, added)
        cost.cost_ticks += answer.cost.cost_ticks
        cost.price_known = cost.price_known and answer.cost.price_known
        cost.is_free = cost.is_free and answer.cost.is_free
        cost.price_book = answer.cost.price_book
    cost.cost_usd = cost.cost_ticks / 10**10
    return total, cost
