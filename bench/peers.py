"""Our gateway beside others, on one core each in turn, in one run: `make bench-peers`.

The gateways have one core, this process and the upstreams that it simulates the other. Rounds go from one
gateway to the next, so that a slow moment of the machine meets all; read the ratios.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass, field
from math import nan
from statistics import median
from time import perf_counter

import uvloop

from bench import gateways, load
from bench.gateways import Gateway
from bench.processes import address, process
from genai_spine.call import Call
from genai_spine.errors import SpineError
from genai_spine.providers.base import Endpoint
from genai_spine.providers.http.client import HttpClient, StatusError
from genai_spine.providers.http.event_stream import ServerSentEvents

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
TEXT = "Hello there, how are you today?"
WORKERS, STREAMS, BURSTS = 16, 40, 8
DIMENSIONS, FEW_DIMENSIONS = 1536, 256
OPEN_PER_S, OPEN_CALLS = 60.0, 120  # of the open loop
BOUNDS_MS = (1.0, 5.0, 10.0, 50.0)  # of the 99th percentile, for the highest rate within each
STEP, STEP_S, LEAST_CALLS = 1.3, 0.5, 60  # from one rate to the next, and for how long each is held
ARGUMENTS = {
    "chat": ("--api", "openai", "--chunks", "200"),
    "paced": ("--api", "openai", "--chunks", "100", "--interval-ms", "20"),
    "vectors": ("--api", "embeddings"),
    "few": ("--api", "embeddings-256"),
    "claude": ("--api", "anthropic", "--chunks", "60"),
}
VECTORS = ("vectors", "few")
# Of all other rows less is better.
RATES = {"calls/s", "embeddings of 1,536/s", "embeddings of 256/s", "translated/s", "burst chunks/s"} | {
    f"calls/s with p99 within {bound:g} ms" for bound in BOUNDS_MS
}


@dataclass
class Caller:
    """Calls of one gateway, or of the upstreams themselves."""

    http: Mapping[str, HttpClient]  # by lane
    models: Mapping[str, str]
    gateway: Gateway | None = None
    seen: dict[str, list[float]] = field(default_factory=dict)  # values of each row
    failing: set[str] = field(default_factory=set)  # lanes that it does not serve

    def body(self, lane: str, *, stream: bool = False) -> bytes:
        if lane in VECTORS:
            return json.dumps(
                {"model": self.models[lane], "input": TEXT, "encoding_format": "float"}
            ).encode()
        messages = [{"role": "user", "content": TEXT}]
        more = {"stream": True} if stream else {"max_tokens": 500} if lane == "claude" else {}
        return json.dumps({"model": self.models[lane], "messages": messages, **more}).encode()

    async def whole(self, lane: str) -> bytes:
        """Body of a good answer."""
        path = EMBEDDINGS if lane in VECTORS else CHAT
        reply = await self.http[lane].post(path, self.body(lane), Call())
        if reply.status != 200:
            raise RuntimeError(f"{self.name}, {lane}: HTTP {reply.status}: {reply.body[:300]!r}")
        return reply.body

    async def events(self, lane: str) -> int:
        """Events of a stream."""
        reads = self.http[lane].stream(CHAT, self.body(lane, stream=True), Call(), ServerSentEvents())
        async with aclosing(reads):
            return sum([len(payloads) async for payloads in reads])

    @property
    def name(self) -> str:
        return self.gateway.name if self.gateway else "direct"

    @property
    def cpu_s(self) -> float:
        return self.gateway.cpu_s() if self.gateway else 0.0

    def add(self, row: str, value: float) -> None:
        self.seen.setdefault(row, []).append(value)


def _caller(gateway: Gateway) -> Caller:
    http = {
        lane: HttpClient(Endpoint("bench", f"http://{gateway.netloc}", headers=headers))
        for lane, headers in gateway.headers.items()
    }
    return Caller(http, gateway.models, gateway)


def _direct(upstreams: Mapping[str, str]) -> Caller:
    http = {lane: HttpClient(Endpoint("bench", url)) for lane, url in upstreams.items()}
    return Caller(http, gateways.MODELS)


def _is_whole(lane: str, answer: bytes) -> bool:
    """Whether an answer is what the upstream says."""
    said = json.loads(answer)
    if lane in VECTORS:
        wanted = DIMENSIONS if lane == "vectors" else FEW_DIMENSIONS
        return len(said["data"][0]["embedding"]) == wanted
    words = " tok" * (60 if lane == "claude" else 200)
    return bool(said["choices"][0]["message"]["content"].strip() == words.strip())


async def _check(caller: Caller) -> None:
    """Leaves out what a gateway does not answer as it should, and says so."""
    for lane in ("chat", "claude", *VECTORS, "streams"):
        try:
            if lane == "streams":
                is_good = await caller.events("chat") > 0
            else:
                is_good = _is_whole(lane, await caller.whole(lane))
            reason = "" if is_good else "the answer is not the upstream's"
        except StatusError as refused:
            reason = f"HTTP {refused.reply.status}: {refused.reply.body[:300]!r}"
        except (RuntimeError, SpineError, ValueError, KeyError) as error:
            reason = str(error)
        if reason:
            caller.failing.add(lane)
            print(f"{caller.name} is not measured with {lane}: {reason}", file=sys.stderr)


async def _rate(caller: Caller, lane: str, row: str, count: int) -> None:
    if lane in caller.failing:
        caller.add(row, nan)
        caller.add(f"CPU us/call, {lane}", nan)
        return
    before = caller.cpu_s
    caller.add(row, await load.rate(lambda: caller.whole(lane), count, WORKERS))
    caller.add(f"CPU us/call, {lane}", (caller.cpu_s - before) / count * 1e6)


async def _round(caller: Caller, direct: Caller, share: float) -> None:
    """One value of each row. share: of the calls, for a gateway that takes longer."""
    await _rate(caller, "chat", "calls/s", int(1600 * share))
    await _rate(caller, "vectors", "embeddings of 1,536/s", int(800 * share))
    await _rate(caller, "few", "embeddings of 256/s", int(800 * share))
    await _rate(caller, "claude", "translated/s", int(800 * share))
    base = await load.alone_ms(lambda: direct.whole("chat"), 100)
    alone = await load.alone_ms(lambda: caller.whole("chat"), int(200 * share))
    caller.add("added p50 at concurrency 1, ms", alone - base)
    await _open(caller, direct)
    await _streams(caller)


async def _open(caller: Caller, direct: Caller) -> None:
    """Delay that is added at a fixed rate, whether or not the call before has ended."""
    base = await load.percentiles_ms(lambda: direct.whole("chat"), OPEN_CALLS, OPEN_PER_S)
    taken = await load.percentiles_ms(lambda: caller.whole("chat"), OPEN_CALLS, OPEN_PER_S)
    for name, less, more in zip(("p50", "p99"), base, taken, strict=True):
        caller.add(f"added {name} at {OPEN_PER_S:g}/s, ms", more - less)


async def _highest(caller: Caller) -> None:
    """Highest rate of an open loop at which the 99th percentile stays within each bound; 0: at none."""
    first = 20.0 if caller.name == "LiteLLM" else 100.0
    found, per_s = dict.fromkeys(BOUNDS_MS, 0.0), first
    while True:
        count = max(LEAST_CALLS, int(per_s * STEP_S))
        _, p99_ms = await load.percentiles_ms(lambda: caller.whole("chat"), count, per_s)
        found |= {bound: per_s for bound in BOUNDS_MS if p99_ms <= bound}
        if p99_ms > BOUNDS_MS[-1]:
            break
        per_s *= STEP
    for bound, rate in found.items():
        caller.add(f"calls/s with p99 within {bound:g} ms", rate)


async def _streams(caller: Caller) -> None:
    """CPU time of paced chunks, and chunks a second of streams without a pause."""
    if "streams" in caller.failing:
        caller.add("CPU us/paced chunk", nan)
        caller.add("burst chunks/s", nan)
        return
    before = caller.cpu_s
    chunks = sum(await asyncio.gather(*(caller.events("paced") for _ in range(STREAMS))))
    caller.add("CPU us/paced chunk", (caller.cpu_s - before) / chunks * 1e6)
    began = perf_counter()
    await asyncio.gather(*(caller.events("chat") for _ in range(BURSTS)))
    caller.add("burst chunks/s", BURSTS * 200 / (perf_counter() - began))


async def _measured(found: Sequence[Gateway], upstreams: Mapping[str, str], rounds: int) -> list[Caller]:
    direct, callers = _direct(upstreams), [_caller(gateway) for gateway in found]
    for caller in callers:
        await _check(caller)
        await _round(caller, direct, 0.1)  # warms up
        caller.seen.clear()
    for _ in range(rounds):
        for caller in callers:
            await _round(caller, direct, 0.1 if caller.name == "LiteLLM" else 1.0)
            await _highest(caller)
    for caller in callers:
        caller.add("memory, MiB", caller.gateway.rss_mib() if caller.gateway else nan)
    return callers


@contextmanager
def _on(core: int) -> Iterator[None]:
    """What is started meanwhile stays on that core; this process comes back."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run(rounds: int) -> list[Caller]:
    """All gateways that can be had, measured."""
    ours, others = sorted(os.sched_getaffinity(0))[:2]
    with ExitStack() as opened:
        with _on(others):
            mocks = {
                lane: opened.enter_context(process("tests.upstreams.fast", "--port", "0", *arguments))
                for lane, arguments in ARGUMENTS.items()
            }
        upstreams = {lane: f"http://{address(mock)}" for lane, mock in mocks.items()}
        with _on(ours):
            found = opened.enter_context(gateways.all_of(upstreams))
        with _on(others):
            return uvloop.run(_measured(found, upstreams, rounds))


def _ratio(row: str, value: float, other: float) -> float:
    """Ratio of which more is better for us; nan: one of them has no such value."""
    less, more = (other, value) if row in RATES else (value, other)
    return more / less if less > 0 else nan


def printed(callers: Sequence[Caller]) -> str:
    """Medians of each gateway, and ours by the others': of each ratio more is better for us."""
    lines = [f"{'':<34}" + "".join(f"{caller.name:>20}" for caller in callers)]
    for row in callers[0].seen:
        values = [median(caller.seen[row]) for caller in callers]
        lines.append(f"{row:<34}" + "".join(f"{value:>20,.2f}" for value in values))
        for mine, value in zip(callers[:2], values[:2], strict=True):
            ratios = [_ratio(row, value, other) for other in values[2:]]
            if ratios:
                lines.append(f"  {mine.name:<52}" + "".join(f"{f'{ratio:.2f} x':>20}" for ratio in ratios))
    return "\n".join(lines)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    print(printed(run(options.parse_args().rounds)))


if __name__ == "__main__":
    main()
