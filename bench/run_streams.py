"""Runs that write text while they are watched: what a token costs, and how late it is."""

import asyncio
import time
from statistics import median, quantiles
from typing import Any

from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from bench.processes import MODEL, rss_mib
from bench.rows import Row, row
from bench.run_processes import RunProcesses
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.message_pb2 import ROLE_USER

TOKENS, TOKENS_PER_S = 200, 50.0  # of a stream, by the simulated provider
WATCHED, MANY = 20, 500  # streams at once
EVENTS = 60  # runs whose events are timed
CPU_S_PER_1000 = 0.1
EVENT_MS = 30.0


def upstream_arguments() -> tuple[str, ...]:
    """Arguments of the simulated provider."""
    return "--chunks", str(TOKENS), "--interval-ms", f"{1000 / TOKENS_PER_S:g}"


async def watched(given: RunProcesses) -> Row:
    """CPU time of the server, the worker and the database for 1,000 tokens that are watched."""
    await asyncio.gather(*(_stream(given) for _ in range(2)))
    before = await given.cpu_s()
    await asyncio.gather(*(_stream(given) for _ in range(WATCHED)))
    took_s = await given.cpu_s() - before
    name = f"{given.name}: CPU s for 1,000 tokens of {WATCHED} watched streams"
    return row(name, took_s / (WATCHED * TOKENS / 1000), CPU_S_PER_1000)


async def events(given: RunProcesses, request: pb.CreateRunRequest) -> Row:
    """From the transaction of an event to who watches it over another process."""
    request.ClearField("wait")
    late: list[float] = []
    for _ in range(EVENTS):
        run = await given.stub.CreateRun(request)
        async for event in given.stub.WatchRun(pb.WatchRunRequest(run_id=run.run_id)):
            if event.event_type in ("started", "completed"):
                late.append(time.time() - event.timestamp.ToNanoseconds() / 1e9)
    return row(f"{given.name}: event to its watcher, p50 ms", median(late) * 1e3, EVENT_MS)


async def many(given: RunProcesses) -> list[Row]:
    """Memory and delay of one process while it makes many streaming runs at once."""
    before, lags, done = rss_mib(given.worker_pid), list[float](), asyncio.Event()
    watching = asyncio.create_task(_lag(given, lags, done))
    began = time.monotonic()
    await asyncio.gather(*(_stream(given, is_watched=False) for _ in range(MANY)))
    took_s = time.monotonic() - began
    done.set()
    await watching
    what = f"{given.name}: {MANY} streaming runs at once"
    return [
        {"name": f"{what}, s (each takes {TOKENS / TOKENS_PER_S:g})", "value": round(took_s, 1)},
        {"name": f"{what}, MiB more", "value": round(rss_mib(given.worker_pid) - before, 1)},
        {"name": f"{what}, lag p50 ms", "value": round(median(lags) * 1e3, 1)},
        {"name": f"{what}, lag p99 ms", "value": round(quantiles(lags, n=100)[98] * 1e3, 1)},
    ]


async def _stream(given: RunProcesses, *, is_watched: bool = True) -> None:
    request = pb.CreateRunRequest()
    completion = request.work.completion
    completion.model, completion.provider = MODEL, "openai"
    completion.messages.add(role=ROLE_USER).content.add(text="Say something.")
    if not is_watched:
        request.wait.FromSeconds(120)
        ended = await given.stub.CreateRun(request)
        _check(ended.status == "completed", ended.error.message)
        return
    run, seen = await given.stub.CreateRun(request), 0
    async for event in given.stub.WatchRun(pb.WatchRunRequest(run_id=run.run_id)):
        seen += len(event.output.text)
    _check(seen > 0, "nothing was seen of a stream")


async def _lag(given: RunProcesses, lags: list[float], done: asyncio.Event) -> None:
    """Round trips of a call that does next to nothing: how long the loop of the server lets it wait."""
    health: Any = HealthStub(given.channel)
    while not done.is_set():
        began = time.monotonic()
        await health.Check(HealthCheckRequest())
        lags.append(time.monotonic() - began)
        await asyncio.sleep(0.02)


def _check(is_right: bool, problem: str) -> None:
    if not is_right:
        raise RuntimeError(problem)
