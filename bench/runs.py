"""`python -m bench.runs`: durable runs, from their submission to their start and their end.

Embedded: one server on SQLite. Pools: a server that makes no runs, a worker, and PostgreSQL, which
GENAI_DATABASE_URL names; without it that half is left out. The work is an embedding of the built-in provider,
which costs nothing. Beside runs a second stand the commits a second that the database took from one
connection in turn at the time, which bound them.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from time import monotonic
from typing import Any

import grpc
import sqlalchemy as sa
import uvloop

from bench.processes import ROOT, cpu_s, output, process
from genai_spine.store.database import Database
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.run_service_pb2_grpc import RunServiceStub

COUNT = 600  # runs of a rate
SINGLE = 100  # runs one after another
IN_FLIGHT = 32
COMMITS = 300
IDLE_S = 10.0
START_MS = {"sqlite": 15.0, "postgresql": 60.0}
RUNS_PER_S = 150.0
IDLE_CPU = 0.01


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of one database."""

    database: str
    start_p50_ms: float
    start_p99_ms: float
    runs_per_s: float
    commits_per_s: float
    cpu_ms: float  # of our processes, for a run
    idle_cpu: float  # share of a core while nothing is to do

    def __str__(self) -> str:
        return (
            f"{self.database}: submit to start p50 {self.start_p50_ms:.1f} ms "
            f"(goal {START_MS[self.database]:g}), p99 {self.start_p99_ms:.1f} ms; "
            f"{self.runs_per_s:.0f} runs/s (goal {RUNS_PER_S:g}), of {self.commits_per_s:.0f} commits/s: "
            f"{self.runs_per_s / self.commits_per_s:.2f}; "
            f"{self.cpu_ms:.1f} CPU ms a run; idle {self.idle_cpu:.2%} of a core"
        )


async def measured(url: str) -> Measured:
    """Figures of a database, which is migrated first."""
    settings = {
        "GENAI_DATABASE_URL": url,
        "GENAI_DEFAULT_PROVIDER": "builtin",
        "GENAI_BUILTIN_BASE_URL": "builtin:",
        "GENAI_RATE_LIMIT_REQUESTS_PER_MINUTE": "0",
        "GENAI_LOG_LEVEL": "WARNING",
    }
    output("-m", "genai_spine", "migrate", tree=ROOT, **settings)
    async with _processes(url, settings) as (pids, stub):
        await _made(stub)
        idle = await _idle(pids)
        waits = [await _start_ms(stub) for _ in range(SINGLE)]
        before = sum(cpu_s(pid) for pid in pids)
        rate = await _rate(stub)
        cpu_ms = (sum(cpu_s(pid) for pid in pids) - before) / COUNT * 1e3
    commits = await _commits_per_s(url)
    return Measured(
        url.partition(":")[0], median(waits), quantiles(waits, n=100)[98], rate, commits, cpu_ms, idle
    )


@asynccontextmanager
async def _processes(url: str, settings: dict[str, str]) -> AsyncIterator[tuple[list[int], Any]]:
    """Our processes, and the service of the one that takes calls."""
    async with AsyncExitStack() as stack:
        embedded = url.startswith("sqlite")
        serving = settings if embedded else settings | {"GENAI_RUN_CONCURRENCY": "0"}
        started = [stack.enter_context(process("genai_spine", "serve", "--port", "0", tree=ROOT, **serving))]
        if not embedded:
            started.append(
                stack.enter_context(process("genai_spine", "work", "--others", tree=ROOT, **settings))
            )
        address = f"127.0.0.1:{started[0].said['port']}"
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        yield [one.process.pid for one in started], RunServiceStub(channel)


def _request() -> pb.CreateRunRequest:
    request = pb.CreateRunRequest(name="genai.embeddings", kind="task")
    request.params.update({"texts": ["hello"], "model": "builtin:hashing"})
    request.wait.FromMilliseconds(30_000)
    return request


async def _made(stub: Any) -> Any:
    run = await stub.CreateRun(_request())
    if run.status != "completed":
        raise RuntimeError(f"a run ended as {run.status}: {run.error.message}")
    return run


async def _start_ms(stub: Any) -> float:
    run = await _made(stub)
    waited = run.start_time.ToDatetime() - run.create_time.ToDatetime()
    return float(waited.total_seconds() * 1e3)


async def _rate(stub: Any) -> float:
    places = asyncio.Semaphore(IN_FLIGHT)

    async def one() -> None:
        async with places:
            await _made(stub)

    since = monotonic()
    await asyncio.gather(*(one() for _ in range(COUNT)))
    return COUNT / (monotonic() - since)


async def _idle(pids: list[int]) -> float:
    before = sum(cpu_s(pid) for pid in pids)
    await asyncio.sleep(IDLE_S)
    return (sum(cpu_s(pid) for pid in pids) - before) / IDLE_S


async def _commits_per_s(url: str) -> float:
    """Commits of one connection, one after another."""
    database = Database(url)
    table = sa.text("CREATE TABLE IF NOT EXISTS bench_commits (n bigint)")
    try:
        async with database.begin() as connection:
            await connection.execute(table)
        since = monotonic()
        for number in range(COMMITS):
            async with database.begin() as connection:
                await connection.execute(sa.text("INSERT INTO bench_commits VALUES (:n)"), {"n": number})
        took_s = monotonic() - since
        async with database.begin() as connection:
            await connection.execute(sa.text("DROP TABLE bench_commits"))
    finally:
        await database.close()
    return COMMITS / took_s


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(uvloop.run(measured(f"sqlite:///{Path(folder)}/spine.db")))
    if url := os.environ.get("GENAI_DATABASE_URL"):
        print(uvloop.run(measured(url)))


if __name__ == "__main__":
    main()
