"""Load on one target: as many calls as it takes, or a call at fixed times."""

import asyncio
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter

Call = Callable[[], Awaitable[object]]


async def rate(call: Call, count: int, workers: int = 32, clock: Callable[[], float] = perf_counter) -> float:
    """Calls per second of the clock when `workers` callers call without a pause."""
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            await call()

    began = clock()
    await asyncio.gather(*(work() for _ in range(workers)))
    return count / (clock() - began)


async def p50_ms(call: Call, count: int, per_s: float) -> float:
    """Median milliseconds of calls that begin at fixed times, whether or not the last one has ended."""
    return (await percentiles_ms(call, count, per_s))[0]


async def percentiles_ms(call: Call, count: int, per_s: float) -> tuple[float, float]:
    """Median and 99th percentile of the same."""
    taken: list[float] = []

    async def one() -> None:
        began = perf_counter()
        await call()
        taken.append(perf_counter() - began)

    began = perf_counter()
    tasks = []
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / per_s - perf_counter()))
        tasks.append(asyncio.create_task(one()))
    await asyncio.gather(*tasks)
    taken.sort()
    return median(taken) * 1000, taken[int(0.99 * (count - 1))] * 1000


async def alone_ms(call: Call, count: int) -> float:
    """Median milliseconds of calls by one caller, one after the other."""

    async def one() -> float:
        began = perf_counter()
        await call()
        return perf_counter() - began

    return await first_ms(one, count)


async def first_ms(begin: Callable[[], Awaitable[float]], count: int) -> float:
    """Median milliseconds to the first piece; begin() returns the seconds of one stream."""
    return median([await begin() for _ in range(count)]) * 1000
