"""What `python -m bench compare` measures of a server: values by the names of their rows.

Each measurement is a short slice, since two sides are compared best that are measured within the same second.

Rates end in /s and are better when higher; of everything else less is better.
"""

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import load
from bench.adapters import BASE as OPENAI
from bench.processes import cpu_s, output, rss_mib
from bench.targets import Rest, Typed

PACED = "paced"
PER_S = 50.0  # the modest rate
CHUNKS = 200  # of a stream of the mocks
LEAST_MS = 0.05  # what a server adds is a difference of medians, which may come out below nothing
# A measurement by the checkout's own bench, whose modules know the names of its package.
OWN = """
import asyncio, inspect, json
from bench import {module} as own
own.COUNT, own.ROUNDS = own.COUNT // 4, 4
found = own.measured()
print(json.dumps(asyncio.run(found) if inspect.iscoroutine(found) else found))
"""

Values = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two servers, and its callers by the name of the API that answers them."""

    tree: Path
    pid: int
    typed: Mapping[str, Typed]
    rest: Mapping[str, Rest]  # through Envoy
    direct: Mapping[str, Rest]  # past the server

    async def cpu_us(self, call: load.Call, count: int, workers: int) -> float:
        """CPU time of the server for a call."""
        before = cpu_s(self.pid)
        await load.rate(call, count, workers)
        return (cpu_s(self.pid) - before) / count * 1e6

    async def close(self) -> None:
        targets: list[Typed | Rest] = [*self.typed.values(), *self.rest.values(), *self.direct.values()]
        for target in targets:
            await target.close()


async def unary(side: Side) -> Values:
    return {
        "unary over gRPC, calls/s": await load.rate(side.typed[OPENAI].unary, 150),
        "unary over REST, calls/s": await load.rate(side.rest[OPENAI].unary, 120),
    }


async def added(side: Side) -> Values:
    base = await load.p50_ms(side.direct[OPENAI].unary, 12, PER_S)
    over_grpc = await load.p50_ms(side.typed[OPENAI].unary, 12, PER_S)
    over_rest = await load.p50_ms(side.rest[OPENAI].unary, 12, PER_S)
    return {
        f"added p50 at {PER_S:g}/s over gRPC, ms": max(LEAST_MS, over_grpc - base),
        f"added p50 at {PER_S:g}/s over REST, ms": max(LEAST_MS, over_rest - base),
    }


async def alone(side: Side) -> Values:
    return {"p50 of one caller over gRPC, ms": await load.alone_ms(side.typed[OPENAI].unary, 40)}


async def paced(side: Side) -> Values:
    """A paced stream each way: the time to its first chunk, and the CPU time of all its chunks."""
    base = await load.first_ms(side.direct[PACED].first_s, 1)
    before = cpu_s(side.pid)
    over_grpc = await load.first_ms(side.typed[PACED].first_s, 1)
    cpu_us = (cpu_s(side.pid) - before) / CHUNKS * 1e6
    over_rest = await load.first_ms(side.rest[PACED].first_s, 1)
    return {
        f"added to the first of {CHUNKS} chunks over gRPC, ms": max(LEAST_MS, over_grpc - base),
        f"added to the first of {CHUNKS} chunks over REST, ms": max(LEAST_MS, over_rest - base),
        "CPU of a paced chunk over gRPC, us": cpu_us,
    }


async def burst(side: Side) -> Values:
    streams_per_s = await load.rate(side.typed[OPENAI].stream, 32, 16)
    return {"burst over gRPC, chunks/s": streams_per_s * CHUNKS}


async def adapters(side: Side) -> Values:
    """By CPU time of the whole server, so that it needs no names of modules."""
    found = {}
    for api, typed in side.typed.items():
        if api != PACED:
            found[f"CPU of a call through {api}, us"] = await side.cpu_us(typed.unary, 60, 8)
            found[f"CPU of a stream through {api}, us"] = await side.cpu_us(typed.stream, 12, 8)
    return found


async def own(side: Side) -> Values:
    """Prices and routing, without any server. What a checkout's bench cannot measure is left out."""
    found: dict[str, float] = {}
    for module in ("prices", "routing"):
        try:
            found |= json.loads(output("-c", OWN.format(module=module), tree=side.tree))
        except subprocess.CalledProcessError as error:
            print(f"{side.tree}: bench.{module}: {error.stderr[-500:]}", file=sys.stderr)
    return found


async def memory(side: Side) -> Values:
    """After all that was measured before, which is as much on both sides."""
    return {"RSS of the server, MiB": rss_mib(side.pid)}


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured in a slice, and in how many slices of each side in a round."""

    run: Callable[[Side], Awaitable[Values]]
    slices: int


MEASURES = {
    "unary": Measure(unary, 12),
    "added": Measure(added, 8),
    "alone": Measure(alone, 12),
    "paced": Measure(paced, 6),
    "burst": Measure(burst, 12),
    "adapters": Measure(adapters, 8),
    "own": Measure(own, 2),
    "memory": Measure(memory, 2),
}
