"""One torture: servers, provider, callers and kills together, until nothing runs any more, and its report."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.ledger_torture import verdict
from bench.ledger_torture.callers import Callers, Ending
from bench.ledger_torture.kills import Kills
from bench.ledger_torture.schedule import Schedule, drawn
from bench.ledger_torture.servers import Servers
from bench.ledger_torture.upstream import BilledUpstream
from bench.ledger_torture.watch import SLACK_S, Watch
from genai_spine.access.secrets import LEDGER, parsed
from genai_spine.errors import ServiceUnavailable
from genai_spine.store.budgets.budgets import BudgetRows
from genai_spine.store.database import Database
from genai_spine.v1 import budget_pb2

BUDGET_TICKS = 10**15  # nobody reaches it; its counters must be right all the same
REPLAYS = 100  # answered calls with a key that are asked again at the end
SECRET_KEY = "70" * 32  # of the servers; the chain is sealed with a key of it
CHAIN_KEYS = parsed(SECRET_KEY).keys(LEDGER)
FAULTS = ("Traceback", '"internal_error"')  # in a line of a log


@dataclass(frozen=True, slots=True)
class Options:
    """What is tortured, and how much. lease_s: seconds."""

    seed: int = 1
    calls: int = 10_000
    kills: int = 200
    servers: int = 3
    at_once: int = 40
    lease_s: float = 2.0


@dataclass(slots=True)
class Report:
    """What came of a torture."""

    schedule: Schedule
    callers: Callers
    kills: Kills
    watch: Watch
    upstream: BilledUpstream
    verdict: verdict.Verdict
    took_s: float
    replays: int = 0

    @property
    def sends(self) -> int:
        """Calls on the provider's bill."""
        return len(self.upstream.bill.calls)

    @property
    def problems(self) -> list[str]:
        """Everything that is wrong; empty: nothing is."""
        broken = [f"{rule}: broken at {looks} looks" for rule, looks in self.watch.broken.items()]
        return broken + self.verdict.problems


async def torture(
    options: Options,
    database_url: str,
    folder: Path,
    meanwhile: Callable[[Callers], Awaitable[None]] | None = None,
) -> Report:
    """Tortures a migrated, empty database. meanwhile: is awaited beside the calls."""
    began, schedule = time.monotonic(), drawn(options.seed, options.calls, options.kills)
    database = Database(database_url)
    try:
        await _limit(database)
        async with BilledUpstream(schedule) as upstream:
            variables = _variables(options, database_url, upstream.base_url)
            async with Servers(options.servers, folder, variables) as servers:
                kills, watch = Kills(schedule.kills, servers), Watch(database, options.lease_s, CHAIN_KEYS)
                upstream.reached = kills.reached
                callers = Callers(schedule, servers, kills, f"s{options.seed}")
                watching = asyncio.create_task(watch.run())
                beside = [] if meanwhile is None else [meanwhile(callers)]
                await asyncio.gather(callers.all(options.at_once), *beside)
                await servers.all_there()
                sends = len(upstream.bill.calls)
                wrong, replays = await _replayed(callers)
                wrong += [] if len(upstream.bill.calls) == sends else ["a replay was sent to the provider"]
                wrong += [f"{servers.ended} servers ended by themselves"] if servers.ended else []
                await _settled(database, options.lease_s)
                watching.cancel()
                with suppress(asyncio.CancelledError, ServiceUnavailable):  # as a query that is cut ends
                    await watching
                await watch.look()
                await watch.verify()
                found = await verdict.found(database, upstream, callers.heard)
    finally:
        await database.close()
    found.problems += wrong + _faults(servers.log)
    return Report(schedule, callers, kills, watch, upstream, found, time.monotonic() - began, replays)


def _variables(options: Options, database_url: str, base_url: str) -> dict[str, str]:
    return {
        "GENAI_OPENAI_BASE_URL": base_url,
        "GENAI_OPENAI_API_KEY": "torture",
        "GENAI_DATABASE_URL": database_url,
        "GENAI_SECRET_KEY": SECRET_KEY,
        "GENAI_LEASE_TTL": str(options.lease_s),
        "GENAI_CIRCUIT_FAILURES": "0",  # the provider fails on purpose
        "GENAI_DRAIN_DELAY": "0",
    }


async def _limit(database: Database) -> None:
    """Sets budgets, so that every call has two or three counters."""
    nodes = {
        (budget_pb2.BUDGET_NODE_TENANT, budget_pb2.BUDGET_PERIOD_DAILY): budget_pb2.BUDGET_POLICY_SOFT_BLOCK,
        (budget_pb2.BUDGET_NODE_TENANT, budget_pb2.BUDGET_PERIOD_TOTAL): budget_pb2.BUDGET_POLICY_WARN,
        (
            budget_pb2.BUDGET_NODE_END_USER,
            budget_pb2.BUDGET_PERIOD_MONTHLY,
        ): budget_pb2.BUDGET_POLICY_SOFT_BLOCK,
    }
    for (node, period), policy in nodes.items():
        budget = budget_pb2.Budget(tenant_id="default-tenant", node=node, node_key="*", period=period)
        budget.policy, budget.limit_ticks, budget.warn_percent, budget.enabled = (
            policy,
            BUDGET_TICKS,
            80,
            True,
        )
        await BudgetRows(database).upsert(budget)


async def _replayed(callers: Callers) -> tuple[list[str], int]:
    """What is wrong with replays of answered calls, and how many there were."""
    keyed = [
        number for number, one in callers.heard.items() if one.planned.keyed and one.ending is Ending.ANSWERED
    ]
    asked = keyed[:: max(1, len(keyed) // REPLAYS)]
    same = await asyncio.gather(*map(callers.replayed, asked))
    wrong = [
        f"call {number}: its replay differs"
        for number, is_same in zip(asked, same, strict=True)
        if not is_same
    ]
    return wrong, len(asked)


async def _settled(database: Database, lease_s: float) -> None:
    """Returns when no call is PENDING, or when all of them should have been booked by now."""
    limit = time.monotonic() + lease_s * 1.25 + SLACK_S
    while time.monotonic() < limit:
        async with database.engine.connect() as connection:
            query = "SELECT count(*) FROM executions WHERE state = 'PENDING'"
            if not (await connection.exec_driver_sql(query)).scalar():
                return
        await asyncio.sleep(0.1)


def _faults(log: Path) -> list[str]:
    """Lines of a log that tell of a fault of ours."""
    lines = log.read_text(errors="replace").splitlines()
    return [f"logged: {line[:300]}" for line in lines if any(word in line for word in FAULTS)]
