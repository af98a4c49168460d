"""How fast a call that its client leaves ends at the provider."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

ATTEMPTS, FAST_S = 10, 0.1
POLLS, POLL_S = 200, 0.02


async def seconds_until_upstream_stops(
    upstream: UpstreamProcess, reply: Reply, leave: Callable[[], Awaitable[float]]
) -> float:
    """From leaving (leave returns when, by time.monotonic()) to the simulator losing its client.

    The machine may be busy, so the fastest attempt counts: what is systematically slow is slow every time.
    """
    seconds = [float("inf")]
    while min(seconds) >= FAST_S and len(seconds) <= ATTEMPTS:
        upstream.reset()
        upstream.script(reply)
        left = await leave()
        seconds.append(await _disconnected(upstream) - left)
    return min(seconds)


async def called(upstream: UpstreamProcess) -> None:
    for _ in range(POLLS):
        if upstream.bill():
            return
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"the upstream was not called within {POLLS * POLL_S:g} s")


async def _disconnected(upstream: UpstreamProcess) -> float:
    for _ in range(POLLS):
        (entry,) = upstream.bill()
        if entry.disconnected_at is not None:
            return entry.disconnected_at
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"the upstream call was not cancelled within {POLLS * POLL_S:g} s")
