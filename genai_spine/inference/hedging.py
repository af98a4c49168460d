"""Hedged requests: when no answer has begun after a delay, the next candidate is called as well.

The first answer wins. The other call is cancelled, and what it had used is booked as discarded.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from genai_spine.errors import BudgetExceeded
from genai_spine.inference.operation import Completing
from genai_spine.v1 import completion_service_pb2 as pb

T = TypeVar("T")
Chunks = AsyncGenerator[pb.CompletionChunk]


def rotated(operation: Completing) -> Completing:
    """The same operation beginning with the second candidate."""
    return replace(operation, routes=[*operation.routes[1:], *operation.routes[:1]])


async def first_answer(operation: Completing, start: Callable[[Completing], Coroutine[Any, Any, T]]) -> T:
    """Answer of the call that ends well first. Errors: those of the first call, when both fail."""
    second = rotated(operation)
    running = {asyncio.create_task(start(operation)): operation}
    failure: BaseException | None = None
    try:
        done, _ = await asyncio.wait(running, timeout=_delay_s(operation))
        if not done:
            running[asyncio.create_task(start(second))] = second
        while running:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                running.pop(task)
                if task.exception() is None:
                    _supersede(running.values())
                    return task.result()
                failure = _graver(failure, task.exception())
        assert failure is not None
        raise failure
    finally:
        await _cancel(running)


async def first_stream(operation: Completing, start: Callable[[Completing], Chunks]) -> Chunks:
    """Chunks of the call whose first chunk comes first. Errors: as first_answer()."""
    streams: dict[Chunks, Completing] = {}
    tasks: dict[asyncio.Task[pb.CompletionChunk], Chunks] = {}
    failure: BaseException | None = None

    def begin(one: Completing) -> None:
        """Starts the call and waits for its first chunk in a task."""
        stream = start(one)
        streams[stream] = one
        tasks[asyncio.create_task(_next(stream))] = stream

    begin(operation)
    try:
        if not (await asyncio.wait(tasks, timeout=_delay_s(operation)))[0]:
            begin(rotated(operation))
        while tasks:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                stream = tasks.pop(task)
                winner = streams.pop(stream)
                if task.exception() is not None:
                    failure = _graver(failure, task.exception())
                    continue
                _supersede(streams.values())
                await _cancel(tasks)
                streams.clear()
                streams[stream] = winner
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


def _graver(first: BaseException | None, later: BaseException | None) -> BaseException | None:
    """The first failure of a call that was made: one that a budget refused says nothing."""
    return later if first is None or isinstance(first, BudgetExceeded) else first


def _delay_s(operation: Completing) -> float:
    return operation.request.routing.hedge_after_ms / 1000


async def _next(stream: Chunks) -> pb.CompletionChunk:
    return await anext(stream)


def _supersede(operations: Iterable[Completing]) -> None:
    for operation in operations:
        operation.superseded = True


async def _cancel(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
