"""Ledgers for tests, and the calls that they book."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count

import sqlalchemy as sa

from genai_spine.billing.ledger import verification
from genai_spine.billing.ledger.ledger import Ledger
from genai_spine.billing.ledger.writer import LedgerTimeouts
from genai_spine.call import DEFAULT_TENANT
from genai_spine.store.booking.chain import Chain
from genai_spine.store.booking.chain_rows import ChainRows
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.store.leases import Leases
from genai_spine.v1 import execution_pb2
from genai_spine.v1.execution_pb2 import Execution
from tests.databases import PostgresServer


class CountedExecutions(Executions):
    """Remembers how many rows each transaction had; can be made to wait before it writes."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.batches: list[int] = []
        self.before: Callable[[], object] | None = None

    async def save(self, rows):
        if self.before is not None:
            await self.before()
        await super().save(rows)
        self.batches.append(len(rows))


@asynccontextmanager
async def running(
    executions: Executions, database: Database, timeouts: LedgerTimeouts | None = None, ttl_s: float = 15.0
) -> AsyncIterator[Ledger]:
    ledger = Ledger(executions, Leases(database), lane="cpu", lease_ttl_s=ttl_s, timeouts=timeouts)
    await ledger.start()
    try:
        yield ledger
    finally:
        await ledger.stop()


async def calls_through_a_restart(
    executions: Executions, database: Database, server: PostgresServer, calls: int = 60
) -> int:
    """Number of calls that were begun and settled around a restart of PostgreSQL."""

    async def one(number: int) -> None:
        row = call()
        ledger.begin(row)
        await asyncio.sleep(number / 50)
        await ledger.settle(succeed(row))

    async with running(executions, database, ttl_s=1.0) as ledger:
        tasks = [asyncio.create_task(one(number)) for number in range(calls)]
        await asyncio.sleep(0.2)
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(server.start)
        await asyncio.gather(*tasks)
    return calls


KEY = b"a key of thirty-two bytes: tests"  # of chains


def chained(database: Database) -> Executions:
    """Rows of a process that has a chain of its own."""
    return Executions(database, Chain(KEY))


async def verified(
    database: Database, *keys: bytes, before: Sequence[verification.ChainHead] = ()
) -> verification.Verification:
    """What a verification of the chains finds."""
    async with ChainRows.snapshot(database) as rows:
        return await verification.verify(rows, keys or (KEY,), before)


_attempts = count(1)


def call() -> Execution:
    """Another attempt of one request."""
    return Execution(
        request_id="request-1",
        operation="OPERATION_COMPLETION",
        provider="openai",
        model="m",
        attempt=next(_attempts),
        tenant_id=DEFAULT_TENANT,
    )


def succeed(
    execution: Execution, tokens: int = 7, state: int = execution_pb2.EXECUTION_STATE_SUCCEEDED
) -> Execution:
    execution.state = state
    execution.usage.input_tokens = execution.usage.total_tokens = tokens
    return execution


async def states(database: Database) -> dict[str, int]:
    async with database.engine.connect() as connection:
        query = sa.text("SELECT state, count(*) FROM executions GROUP BY state")
        return dict((await connection.execute(query)).all())
