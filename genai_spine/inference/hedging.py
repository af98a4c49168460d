"""A hedged request: when nothing has come for a while, the next candidate is asked as well.

The first answer wins. The other call is cancelled, and what it had used is booked as discarded.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from genai_spine.inference.attempt import Order
from genai_spine.routing.router import Route
from genai_spine.v1 import completion_service_pb2 as pb

T = TypeVar("T")
Way = tuple[Order, list[Route]]
Chunks = AsyncGenerator[pb.CompletionChunk]


def ways(order: Order, routes: list[Route]) -> tuple[Way, Way]:
    """The candidates in their order, and beginning with the second one."""
    request = order.request
    assert isinstance(request, pb.CreateCompletionRequest)
    copy = pb.CreateCompletionRequest()
    copy.CopyFrom(request)
    return (order, routes), (replace(order, request=copy), routes[1:] + routes[:1])


async def first_answer(
    order: Order, routes: list[Route], start: Callable[[Order, list[Route]], Coroutine[Any, Any, T]]
) -> T:
    """The answer of the way that is there first. When both fail: the error of the first one."""
    first, second = ways(order, routes)
    running = {asyncio.create_task(start(*first)): first[0]}
    failure: BaseException | None = None
    try:
        done, _ = await asyncio.wait(running, timeout=_delay_s(order))
        if not done:
            running[asyncio.create_task(start(*second))] = second[0]
        while running:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                running.pop(task)
                if task.exception() is None:
                    _lose(running.values())
                    return task.result()
                failure = failure or task.exception()
        assert failure is not None
        raise failure
    finally:
        await _cancel(running)


async def first_stream(
    order: Order, routes: list[Route], start: Callable[[Order, list[Route]], Chunks]
) -> Chunks:
    """The chunks of the way whose first chunk is there first."""
    streams: dict[Chunks, Order] = {}
    tasks: dict[asyncio.Task[pb.CompletionChunk], Chunks] = {}
    failure: BaseException | None = None

    def begin(way: Way) -> None:
        stream = start(*way)
        streams[stream] = way[0]
        tasks[asyncio.create_task(_next(stream))] = stream

    first, second = ways(order, routes)
    begin(first)
    try:
        if not (await asyncio.wait(tasks, timeout=_delay_s(order)))[0]:
            begin(second)
        while tasks:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                stream = tasks.pop(task)
                order = streams.pop(stream)
                if task.exception() is not None:
                    failure = failure or task.exception()
                    continue
                _lose(streams.values())
                await _cancel(tasks)
                streams.clear()
                streams[stream] = order
                yield task.result()
                async for chunk in stream:
                    yield chunk
                return
        assert failure is not None
        raise failure
    finally:
        await _cancel(tasks)
        for stream in streams:
            await stream.aclose()


def _delay_s(order: Order) -> float:
    assert isinstance(order.request, pb.CreateCompletionRequest)
    return order.request.routing.hedge_after_ms / 1000


async def _next(stream: Chunks) -> pb.CompletionChunk:
    return await anext(stream)


def _lose(orders: Any) -> None:
    for order in orders:
        order.lost = True


async def _cancel(tasks: Any) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
