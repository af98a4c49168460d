"""`python -m bench.bookkeeping`: what authentication, budget and ledger together add to a unary call.

And how long commits of the ledger take, whose rows come at a fixed rate.

One server asks for a key, reserves each call in a daily budget and books it; the other (bench/unbooked.py)
does the same without all three. Both run at the same time in front of one mock, and are measured in turn.
"""

import json
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import uvloop

from bench import commits, load
from bench.processes import ROOT, Running, address, cpu_s, output, process, serving
from bench.targets import Typed
from genai_spine.call import DEFAULT_TENANT
from genai_spine.store.budgets.budgets import BudgetRows
from genai_spine.store.database import Database
from genai_spine.v1 import budget_pb2 as pb

IN_FLIGHT = 1000
PER_S = 150.0
COUNT = 4000  # calls of a round
ROUNDS = 5
LIMIT_TICKS = 10**16  # of a budget that is never full
MOST_ADDED_MS = {"sqlite": 0.6, "postgresql": 1.0}
MOST_CPU = 1.2
MOST_COMMIT_MS = 20.0


@dataclass(frozen=True, slots=True)
class Added:
    """Medians of what is added to a call."""

    database: str
    cpu: float  # of the CPU time of a call without
    us: float  # CPU time of a call without
    p50_ms: float
    commit_p99_ms: float  # of the ledger alone


async def measured() -> Added:
    """Of SQLite, or of the database that GENAI_DATABASE_URL names."""
    with _settings() as settings:
        url = settings["GENAI_DATABASE_URL"]
        output("-m", "genai_spine", "migrate", tree=ROOT, **settings)
        said = output("-m", "genai_spine", "keys", "bootstrap", "--json", tree=ROOT, **settings)
        budget = await limit(url)
        booking = settings | {"GENAI_AUTH": "on", "GENAI_RATE_LIMIT_REQUESTS_PER_MINUTE": "0"}
        with (
            process("bench.unbooked", "serve", "--port", "0", tree=ROOT, **settings) as bare,
            process("genai_spine", "serve", "--port", "0", tree=ROOT, **booking) as booked,
        ):
            async with _sides({"bare": (bare, ""), "booked": (booked, json.loads(said)["secret"])}) as sides:
                cpu_us, added_ms = await _cpu_us(sides), await _added_ms(sides)
        commit_p99_ms = await commits.p99_ms(url, budget)
    ratio = median(more / less for less, more in zip(cpu_us["bare"], cpu_us["booked"], strict=True))
    return Added(url.partition(":")[0], ratio, median(cpu_us["bare"]), added_ms, commit_p99_ms)


Sides = dict[str, tuple[int, Typed]]  # process and its caller


async def _cpu_us(sides: Sides) -> dict[str, list[float]]:
    """CPU time of a call with many at a time, by rounds; the first one warms up."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(ROUNDS + 1):
        for name, (pid, typed) in sides.items():
            before = cpu_s(pid)
            await load.rate(typed.unary, COUNT, IN_FLIGHT)
            if number:
                found[name].append((cpu_s(pid) - before) / COUNT * 1e6)
    return found


async def _added_ms(sides: Sides) -> float:
    found: list[float] = []
    for _ in range(ROUNDS):
        p50 = {name: await load.p50_ms(typed.unary, 300, PER_S) for name, (_, typed) in sides.items()}
        found.append(p50["booked"] - p50["bare"])
    return median(found)


@asynccontextmanager
async def _sides(servers: dict[str, tuple[Running, str]]) -> AsyncIterator[Sides]:
    sides = {
        name: (running.server_pid, Typed(address(running), key=key))
        for name, (running, key) in servers.items()
    }
    try:
        yield sides
    finally:
        for _, typed in sides.values():
            await typed.close()


@contextmanager
def _settings() -> Iterator[dict[str, str]]:
    with (
        process("tests.upstreams.openai", "--fast", "--port", "0") as mock,
        tempfile.TemporaryDirectory(prefix="genai-spine-bench-") as folder,
    ):
        settings = serving(f"http://{address(mock)}", Path(folder))
        settings["GENAI_SECRET_KEY"] = "0" * 64
        if url := os.environ.get("GENAI_DATABASE_URL"):
            settings["GENAI_DATABASE_URL"] = url
        yield settings


async def limit(url: str) -> pb.Budget:
    """A daily budget of the tenant that all calls are of."""
    database = Database(url)
    try:
        return await BudgetRows(database).upsert(
            pb.Budget(
                tenant_id=DEFAULT_TENANT,
                node=pb.BUDGET_NODE_TENANT,
                node_key=DEFAULT_TENANT,
                period=pb.BUDGET_PERIOD_DAILY,
                limit_ticks=LIMIT_TICKS,
                policy=pb.BUDGET_POLICY_SOFT_BLOCK,
                warn_percent=80,
                enabled=True,
            )
        )
    finally:
        await database.close()


if __name__ == "__main__":
    added = uvloop.run(measured())
    print(f"{added.database}: CPU of a call without {added.us:.0f} us, with {added.cpu:.3f} of it")
    print(f"{added.database}: added p50 at {PER_S:g}/s {added.p50_ms:.2f} ms")
    print(f"{added.database}: p99 of commits at {commits.PER_S:g}/s {added.commit_p99_ms:.2f} ms")
