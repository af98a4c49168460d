"""How long the ledger waits for its commits where many calls begin and end."""

import asyncio
from datetime import UTC, datetime
from time import perf_counter
from uuid import uuid4

from genai_spine.billing.ledger.ledger import Ledger
from genai_spine.call import DEFAULT_TENANT
from genai_spine.store.booking.chain import Chain
from genai_spine.store.budgets.budgets import BudgetRows
from genai_spine.store.budgets.periods import period_start
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.store.leases import Leases
from genai_spine.v1 import budget_pb2, execution_pb2, usage_pb2
from genai_spine.v1.execution_pb2 import Execution

PER_S = 1000.0
COUNT = 5000  # calls
WARM = 1000  # of them that are not counted
PROVIDER_S = 0.02
TICKS = 1000


async def p99_ms(url: str, budget: budget_pb2.Budget) -> float:
    """Milliseconds in which 99 of 100 commits are made at 1,000 calls a second. budget: counts each call."""
    database = Database(url)
    ledger = Ledger(Executions(database, Chain(bytes(32))), Leases(database), lane="cpu")
    await ledger.start()
    try:
        start = period_start(budget.period, datetime.now(UTC))
        key = (int(budget.id), budget.node_key, start)
        [counter] = (await BudgetRows(database).open_counters([key])).values()
        taken: list[float] = []
        began, calls = perf_counter(), []
        for number in range(COUNT):
            await asyncio.sleep(max(0.0, began + number / PER_S - perf_counter()))
            times: list[float] = [] if number < WARM else taken
            calls.append(asyncio.create_task(_call(ledger, counter, times)))
        await asyncio.gather(*calls)
    finally:
        await ledger.stop()
        await database.close()
    return sorted(taken)[len(taken) * 99 // 100] * 1000


async def _call(ledger: Ledger, counter: int, taken: list[float]) -> None:
    execution = Execution(
        request_id=str(uuid4()),
        operation="OPERATION_COMPLETION",
        provider="openai",
        model="gpt-4o-mini",
        attempt=1,
        tenant_id=DEFAULT_TENANT,
        reserved_ticks=TICKS,
        budget_counters=[counter],
    )
    began = perf_counter()
    await ledger.reserve(execution)
    taken.append(perf_counter() - began)
    await asyncio.sleep(PROVIDER_S)
    execution.state = execution_pb2.EXECUTION_STATE_SUCCEEDED
    execution.usage.CopyFrom(usage_pb2.Usage(input_tokens=9, uncached_input_tokens=9, total_tokens=9))
    execution.cost.CopyFrom(usage_pb2.Cost(cost_ticks=TICKS, price_known=True))
    began = perf_counter()
    await ledger.settle(execution)
    taken.append(perf_counter() - began)
