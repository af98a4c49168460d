"""One torture: workers, provider, watchers and kills together, until the batch has ended, and its report."""

import asyncio
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bench.ledger_torture.servers import ServerProcess, Servers
from bench.runs_torture import verdict
from bench.runs_torture.losses import Losses
from bench.runs_torture.upstream import ItemUpstream, prompt
from bench.runs_torture.watchers import RunWatch
from genai_spine.store.database import Database
from genai_spine.v1.batch_pb2 import RunItem
from genai_spine.v1.message_pb2 import ROLE_USER
from genai_spine.v1.run_pb2 import Run
from genai_spine.v1.run_service_pb2 import CreateRunRequest, GetRunRequest, ListRunItemsRequest
from genai_spine.v1.run_service_pb2_grpc import RunServiceStub
from tests.upstreams.bill import Bill

MODEL = "openai:gpt-4o"
RPC_S = 60.0
MOMENT_S = 600.0  # until so many items were sent
SETTLED_S = 180.0  # until nothing holds money any more: the sweep of a lost lease, and a busy machine
FROZEN = 10  # leases, at most
FAULTS = ("Traceback", '"internal_error"', '"run_failed"')
LOOK_S = 0.1  # between two looks at the database


@dataclass(frozen=True, slots=True)
class Options:
    """What is tortured, and how much. lease_s: seconds."""

    seed: int = 1
    items: int = 5_000
    kills: int = 50
    freezes: int = 1  # workers stopped, and woken after others took over
    workers: int = 3
    at_once: int = 40  # items
    watchers: int = 3
    lease_s: float = 2.0


@dataclass(slots=True)
class Report:
    """What came of a torture."""

    options: Options
    verdict: verdict.Verdict
    took_s: float = 0.0
    killed: int = 0
    frozen: int = 0
    events: int = 0
    connections: int = 0
    event_types: Counter[str] = field(default_factory=Counter)


async def torture(options: Options, database_url: str, folder: Path) -> Report:
    """Tortures a migrated, empty database."""
    began, database = time.monotonic(), Database(database_url)
    report = Report(options, verdict.Verdict())
    try:
        async with ItemUpstream(options.seed) as upstream:
            variables = _variables(options, database_url, upstream.base_url)
            async with Servers(options.workers, folder, variables) as servers:
                run_id = await _submitted(options, servers)
                watches = [
                    RunWatch(run_id, random.Random(f"{options.seed}.watch.{place}"))
                    for place in range(options.watchers)
                ]
                losses = Losses(database, run_id)
                kills = asyncio.create_task(_kills(report, servers, upstream, losses))
                await asyncio.gather(*(watch.follow(servers) for watch in watches))
                kills.cancel()
                [fault] = await asyncio.gather(kills, return_exceptions=True)
                if fault is not None:
                    report.verdict.problems.append(f"not all kills and freezes were made: {fault!r}")
                await servers.all_there()
                await _settled(database)
                report.verdict.at_lost_leases = await losses.at_lost_leases(watches[0].events)
                report.verdict.at_kills = len(losses.at_kills)
                report.verdict.problems += losses.problems
                await _judge(report, servers, database, upstream, run_id)
                report.killed = servers.killed
                if servers.ended:
                    report.verdict.problems.append(f"{servers.ended} workers ended by themselves")
    finally:
        await database.close()
    for watch in watches:
        report.verdict.problems += watch.problems()
        report.connections += watch.connections
    report.events = len(watches[0].events)
    report.event_types.update(event.event_type for event in watches[0].events)
    lines = servers.log.read_text(errors="replace").splitlines()
    report.verdict.problems += [f"logged: {line[:300]}" for line in lines if any(f in line for f in FAULTS)]
    report.took_s = time.monotonic() - began
    return report


def _variables(options: Options, database_url: str, base_url: str) -> dict[str, str]:
    return {
        "GENAI_OPENAI_BASE_URL": base_url,
        "GENAI_OPENAI_API_KEY": "torture",
        "GENAI_DATABASE_URL": database_url,
        "GENAI_LEASE_TTL": str(options.lease_s),
        "GENAI_CIRCUIT_FAILURES": "0",
        "GENAI_DRAIN_DELAY": "0",
    }


async def _submitted(options: Options, servers: Servers) -> str:
    """Id of the batch, which is submitted by several callers with one key."""
    request = CreateRunRequest()
    request.options.idempotency_key = f"torture-{options.seed}"
    # A worker that dies takes one of an attempt's recoveries.
    request.options.max_retries, request.options.retry_delay_seconds = 100, 0.1
    batch = request.work.batch
    batch.max_concurrency = options.at_once
    for number in range(options.items):
        completion = batch.items.add().work.completion
        completion.model = MODEL
        completion.messages.add(role=ROLE_USER).content.add(text=prompt(number))
    callers = [
        RunServiceStub(servers.pick(place).channel).CreateRun(request, timeout=RPC_S) for place in range(5)
    ]
    runs = await asyncio.gather(*callers)
    assert len({run.run_id for run in runs}) == 1, "one key made several runs"
    return str(runs[0].run_id)


async def _kills(report: Report, servers: Servers, upstream: ItemUpstream, losses: Losses) -> None:
    """Kills and freezes, spread over the items by the seed."""
    options = report.options
    drawn = random.Random(f"{options.seed}.kills")
    most = int(options.items * 0.95)
    moments = sorted(drawn.sample(range(1, most), options.kills + options.freezes))
    freezes = set(drawn.sample(moments, options.freezes))
    ended = -1
    for moment in moments:
        upstream.hold()  # so that the batch does not end before the dead are replaced
        try:
            await servers.two_alive()
        finally:
            upstream.release()
        await upstream.bill.until(partial(_came, upstream, moment), MOMENT_S)
        ended = await _more_than(ended, losses)
        server = await losses.maker(servers) or servers.pick(drawn.randrange(100))
        if moment in freezes:
            await _freeze(server, losses, options.lease_s)
            report.frozen += 1
        elif servers.kill(server):
            await server.process.wait()
            await losses.note(server)


def _came(upstream: ItemUpstream, count: int, bill: Bill) -> bool:
    """Whether so many items were sent: repeats do not count, so that work is done between two kills."""
    return len(upstream.seen) >= count


async def _more_than(ended: int, losses: Losses) -> int:
    """Number of items that have ended, once it is larger.

    A run whose workers die again and again with nothing done between is a dead letter, as it should be.
    """
    async with asyncio.timeout(MOMENT_S):
        while True:
            if (now := await losses.ended()) > ended:
                return now
            await asyncio.sleep(LOOK_S)


async def _freeze(server: ServerProcess, losses: Losses, lease_s: float) -> None:
    """Stops a worker until others have taken its runs over, and wakes it.

    One that stands still with the lock of a SQLite database holds up all others, so it is woken in any case.
    """
    server.process.send_signal(signal.SIGSTOP)
    until = time.monotonic() + lease_s * FROZEN
    while time.monotonic() < until:
        if not await losses.makes(server):
            break
        await asyncio.sleep(LOOK_S)
    await losses.note(server)
    server.process.send_signal(signal.SIGCONT)


async def _settled(database: Database) -> None:
    """Returns when no call is PENDING, or when all of them should long have been booked."""
    limit = time.monotonic() + SETTLED_S
    while time.monotonic() < limit:
        async with database.engine.connect() as connection:
            query = "SELECT count(*) FROM executions WHERE state = 'PENDING'"
            if not (await connection.exec_driver_sql(query)).scalar():
                return
        await asyncio.sleep(LOOK_S)


async def _judge(
    report: Report, servers: Servers, database: Database, upstream: ItemUpstream, run_id: str
) -> None:
    stub, found = RunServiceStub(servers.pick(0).channel), report.verdict
    run: Run = await stub.GetRun(GetRunRequest(run_id=run_id), timeout=RPC_S)
    if run.status != "completed":
        found.problems.append(f"the batch is {run.status}: {run.error.message}")
    verdict.compare_items(found, await _items(stub, run_id), report.options.items)
    verdict.compare_sends(found, upstream)
    await verdict.compare_books(found, database, upstream)
    if run.cost.cost_ticks != found.reported_ticks + found.other_ticks:
        found.problems.append(f"the run says {run.cost.cost_ticks} ticks, and its rows are another sum")


async def _items(stub: Any, run_id: str) -> list[RunItem]:
    items: list[RunItem] = []
    request = ListRunItemsRequest(run_id=run_id, page_size=1000)
    while True:
        page = await stub.ListRunItems(request, timeout=RPC_S)
        items += page.items
        if not page.next_page_token:
            return items
        request.page_token = page.next_page_token
