"""`python -m bench.runs`: durable runs, from their submission to their start and their end.

Embedded: one server on SQLite. Pools: a server that makes no runs, a worker, and PostgreSQL, which
GENAI_DATABASE_URL names; without it that half is left out. The work of plain runs and of items is an
embedding of the built-in provider, which costs nothing. Rows "by CPU time" say what two cores could do with
nothing else to do: of the server, the worker and the database's processes.
"""

import asyncio
import os
import tempfile
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import uvloop

from bench import run_streams
from bench.processes import address, cpu_s, process
from bench.rows import Row, printed, row
from bench.run_processes import CONCURRENCY, RunProcesses, run_processes
from genai_spine.v1 import run_service_pb2 as pb

COUNT = 600  # runs of a rate
SINGLE = 100  # runs one after another
ITEMS, AT_ONCE = 2_000, 50  # of a batch
IN_FLIGHT = 32
IDLE_S = 10.0
CORES = 2
START_MS = {"sqlite": 15.0, "postgresql": 60.0}
STEPS = 5  # of a pipeline
PIPELINE_MS = {"sqlite": 60.0}
RUNS_PER_S, ITEMS_PER_S = 150.0, 300.0
IDLE_CPU = 0.02


async def measured() -> list[Row]:
    """Rows of SQLite, and of PostgreSQL where it is named."""
    with tempfile.TemporaryDirectory(prefix="genai-spine-bench-") as folder:
        rows = await _measured(f"sqlite:///{Path(folder)}/spine.db")
    if url := os.environ.get("GENAI_DATABASE_URL"):
        rows += await _measured(url)
    return rows


async def _measured(url: str) -> list[Row]:
    streams = process("tests.upstreams.openai", "--fast", "--port", "0", *run_streams.upstream_arguments())
    with streams as upstream:
        upstream_url = f"http://{address(upstream)}"
        async with run_processes(url, upstream_url) as given:
            await _made(given)
            rows = [await _idle(given), await _start(given), *await _pipeline(given)]
            rows += [*await _rate(given), *await _batch(given)]
            rows += [await run_streams.watched(given), await run_streams.events(given, _request())]
        many = {"GENAI_RUN_CONCURRENCY": str(CONCURRENCY)}
        async with run_processes(url, upstream_url, **many) as given:
            await _made(given)
            return rows + await run_streams.many(given)


def _request() -> pb.CreateRunRequest:
    request = pb.CreateRunRequest(name="genai.embeddings", kind="task")
    request.params.update({"texts": ["hello"], "model": "builtin:hashing"})
    request.wait.FromMilliseconds(60_000)
    return request


async def _made(given: RunProcesses, request: pb.CreateRunRequest | None = None) -> Any:
    run = await given.stub.CreateRun(request or _request())
    if run.status != "completed":
        raise RuntimeError(f"a run ended as {run.status}: {run.error.message}")
    return run


async def _idle(given: RunProcesses) -> Row:
    before = sum(map(cpu_s, given.pids))
    await asyncio.sleep(IDLE_S)
    share = (sum(map(cpu_s, given.pids)) - before) / IDLE_S / len(given.pids)
    return row(f"{given.name}: idle, share of a core and process", share, IDLE_CPU)


async def _start(given: RunProcesses) -> Row:
    waits = []
    for _ in range(SINGLE):
        run = await _made(given)
        waits.append((run.start_time.ToNanoseconds() - run.create_time.ToNanoseconds()) / 1e6)
    return row(f"{given.name}: submission to start, p50 ms", median(waits), START_MS[given.name])


async def _pipeline(given: RunProcesses) -> list[Row]:
    """Submission to end of a pipeline whose steps cost a provider next to nothing: what the engine takes."""
    request = pb.CreateRunRequest()
    request.wait.FromMilliseconds(60_000)
    request.work.pipeline.input_data.update({"text": "hello"})
    request.work.pipeline.definition.name = "five"
    for number in range(STEPS):
        step = request.work.pipeline.definition.steps.add(name=f"s{number}", capability="embedding")
        step.preferred_providers.append("builtin")
        step.input_from = "text"
    took, before = [], await given.cpu_s()
    for _ in range(SINGLE):
        run = await _made(given, request)
        took.append((run.end_time.ToNanoseconds() - run.create_time.ToNanoseconds()) / 1e6)
    goal = PIPELINE_MS.get(given.name)
    name = f"{given.name}: pipeline of {STEPS} steps"
    used_ms = (await given.cpu_s() - before) / SINGLE * 1e3
    ended = f"{name}, submission to end, p50 ms"
    return [
        row(ended, median(took), goal) if goal else {"name": ended, "value": round(median(took), 1)},
        {"name": f"{name}: CPU ms of one", "value": round(used_ms, 1)},
    ]


async def _rate(given: RunProcesses) -> list[Row]:
    places = asyncio.Semaphore(IN_FLIGHT)

    async def one() -> None:
        async with places:
            await _made(given)

    before, since = await given.cpu_s(), monotonic()
    await asyncio.gather(*(one() for _ in range(COUNT)))
    took_s = monotonic() - since
    return _rates(f"{given.name}: runs/s", COUNT, took_s, await given.cpu_s() - before, RUNS_PER_S)


async def _batch(given: RunProcesses) -> list[Row]:
    request = pb.CreateRunRequest()
    request.wait.FromSeconds(600)
    request.work.batch.max_concurrency = AT_ONCE
    for number in range(ITEMS):
        item = request.work.batch.items.add().work.embeddings
        item.model = "builtin:hashing"
        item.inputs.add(text=f"item {number}")
    before, since = await given.cpu_s(), monotonic()
    run = await _made(given, request)
    took_s = monotonic() - since
    if run.item_counts.completed != ITEMS:
        raise RuntimeError(f"{run.item_counts.completed} of {ITEMS} items were made")
    return _rates(f"{given.name}: batch items/s", ITEMS, took_s, await given.cpu_s() - before, ITEMS_PER_S)


def _rates(name: str, count: int, took_s: float, used_s: float, goal: float) -> list[Row]:
    """By the clock, and by what the CPU time of two cores would do."""
    return [
        row(name, count / took_s, goal, least=True),
        row(f"{name}, by CPU time of {CORES} cores", count * CORES / used_s, goal, least=True),
        {"name": f"{name}: CPU ms of one", "value": round(used_s / count * 1e3, 2)},
    ]


def main() -> None:
    print(printed(uvloop.run(measured())))


if __name__ == "__main__":
    main()
