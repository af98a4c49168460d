"""A process that spends: `python -m tests.spending URL '{"calls": 300}'`.

It says {"ready"}, waits for a line, reserves its calls at once, and prints what became of them. `actual` is
the part of its estimate that a call costs; null: no call ends.
"""

import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import structlog

from genai_spine.billing.alerts.alerts import BudgetAlerts
from genai_spine.billing.budgets import Budgets
from genai_spine.billing.ledger.ledger import Ledger
from genai_spine.call import DEFAULT_TENANT, RunNodes
from genai_spine.errors import BudgetExceeded
from genai_spine.store.booking.chain import Chain
from genai_spine.store.budgets.alerts import AlertRows
from genai_spine.store.budgets.budgets import BudgetRows
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.store.leases import Leases
from genai_spine.v1.execution_pb2 import EXECUTION_STATE_SUCCEEDED, Execution


@dataclass(slots=True)
class Spender:
    """One process's share of a test."""

    ledger: Ledger
    budgets: Budgets
    actual: float | None = 1.0
    admitted_ticks: int = 0
    spent_ticks: int = 0
    refused: int = 0
    holding: set[str] = field(default_factory=set)  # runs that have a reservation

    @classmethod
    def of(
        cls,
        database: Database,
        *,
        lease_s: float = 10.0,
        actual: float | None = 1.0,
        chain: Chain | None = None,
    ) -> "Spender":
        ledger = Ledger(Executions(database, chain), Leases(database), lane="cpu", lease_ttl_s=lease_s)
        alerts = BudgetAlerts(AlertRows(database))
        return cls(ledger, Budgets(BudgetRows(database), ledger, alerts), actual)

    async def stop(self) -> None:
        """Ends: alerts that are being written use the database, too."""
        await self.budgets.alerts.stop()
        await self.ledger.stop()

    async def call(self, ticks: int, **fields: Any) -> Execution | None:
        """One call; None: a budget refused it."""
        execution = Execution(request_id=str(random.getrandbits(64)), provider="openai", model="m", **fields)
        execution.attempt, execution.reserved_ticks = 1, ticks
        execution.tenant_id = execution.tenant_id or DEFAULT_TENANT
        run = None
        if execution.run_id:
            own = await self.budgets.of_runs(execution.tenant_id, [execution.run_id])
            run = RunNodes(execution.run_id, own, execution.run_id in self.holding)
        applied = self.budgets.applying(execution, run)
        try:
            await self.budgets.reserve(execution, applied, None, run)
        except BudgetExceeded:
            self.refused += 1
            return None
        self.admitted_ticks += ticks
        if self.actual is not None:
            await self.settle(execution, int(ticks * self.actual))
        return execution

    async def settle(self, execution: Execution, ticks: int) -> None:
        execution.state = EXECUTION_STATE_SUCCEEDED
        execution.cost.cost_ticks, execution.cost.price_known = ticks, True
        self.spent_ticks += ticks
        await self.ledger.settle(execution)


async def main(url: str, seed: int, calls: int, actual: float | None = 1.0, lease_s: float = 10.0) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    database = Database(url)
    spender = Spender.of(database, lease_s=lease_s, actual=actual)
    await spender.ledger.start()
    print(json.dumps({"ready": True}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    chance, start = random.Random(seed), time.monotonic()
    await asyncio.gather(*(spender.call(chance.randrange(50, 1500)) for _ in range(calls)))
    said: dict[str, Any] = {
        "admitted": spender.admitted_ticks,
        "refused": spender.refused,
        "spent": spender.spent_ticks,
    }
    said["server_id"] = spender.ledger.server_id.partition(".")[0]
    print(json.dumps({**said, "took_s": time.monotonic() - start}), flush=True)
    if actual is None:
        await asyncio.sleep(60)
    await spender.stop()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], **json.loads(sys.argv[2])))
