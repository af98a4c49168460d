"""Choice count on a provider that gives one choice: as many calls, and one answer merged from theirs.

Each of the calls is an execution of its own. Usage and cost of the answer are the sums over all of them.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from genai_spine.concurrency import gather_or_cancel
from genai_spine.costs import sum_costs, sum_usages
from genai_spine.inference.operation import Completing
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import usage_pb2

MAX_QUEUED_CHUNKS = 64  # of all calls together that wait for the caller

Queue = asyncio.Queue[tuple[int, pb.CompletionChunk | Exception]]


def must_be_gathered(operation: Completing) -> bool:
    """Whether the first candidate cannot give the choices that are asked for in one call."""
    route = operation.routes[0]
    if operation.request.choice_count <= 1:
        return False
    one_at_a_time = "choice_count" not in route.provider.options_for(operation.request, route)
    return one_at_a_time or route.rules.calls_each_choice


def single(operation: Completing) -> list[Completing]:
    """One operation for each choice."""
    request = pb.CreateCompletionRequest()
    request.CopyFrom(operation.request)
    request.ClearField("choice_count")
    return [replace(operation, request=request) for _ in range(operation.request.choice_count)]


async def gather(
    operation: Completing, complete: Callable[[Completing], Coroutine[Any, Any, pb.Completion]]
) -> pb.Completion:
    """Makes all calls at once; one answer. Errors: the first of theirs, which ends the other calls."""
    return gathered(await gather_or_cancel([complete(one) for one in single(operation)]))


def gather_stream(
    operation: Completing, stream: Callable[[Completing], AsyncGenerator[pb.CompletionChunk]]
) -> AsyncGenerator[pb.CompletionChunk]:
    """The same as one stream: see interleave()."""
    return interleave([stream(one) for one in single(operation)])


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


async def interleave(
    streams: Sequence[AsyncGenerator[pb.CompletionChunk]],
) -> AsyncGenerator[pb.CompletionChunk]:
    """Chunks of all streams as they come, each with its stream's index; the last one is for all of them."""
    queue = Queue(MAX_QUEUED_CHUNKS)
    tasks = [asyncio.create_task(_enqueue(queue, index, stream)) for index, stream in enumerate(streams)]
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


async def _enqueue(
    queue: Queue,
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
    chunk.id, chunk.model = first.id, first.model
    chunk.create_time.CopyFrom(first.create_time)
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
    return sum_usages(answer.usage for answer in answers), sum_costs(answer.cost for answer in answers)
