"""Structured concurrency: several coroutines at once, of which the first failure cancels the others; and the
ticks at which work that may wait is done together.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def gather_or_cancel(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Results in the order of the coroutines. Raises the first failure as it is, in no ExceptionGroup.

    asyncio.gather() would leave the others running: they would go on to cost money.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


def next_tick(now_s: float, period_s: float) -> float:
    """Next multiple of a period: whatever waits for it is done in one turn of the event loop.

    now_s: on any clock, whose time is returned.
    """
    return (now_s // period_s + 1) * period_s
