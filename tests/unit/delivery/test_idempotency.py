"""Calls with a key, and the books: on SQLite and on a real PostgreSQL."""

import asyncio
from collections.abc import AsyncGenerator

from genai_spine.billing.ledger.writer import LedgerTimeouts
from genai_spine.call import Call
from genai_spine.delivery.idempotency import Idempotency
from genai_spine.delivery.keyed_answer import KeyedRequest, Origin
from genai_spine.store.database import Database
from genai_spine.store.idempotency.blocks import StreamBlocks
from genai_spine.store.idempotency.calls import IdempotentCalls, Scope
from genai_spine.store.idempotency.news import BlockNews
from tests.idempotent_rows import violations
from tests.ledgers import CountedExecutions, call, running, states, succeed
from tests.waiting import until


async def test_call_is_done_only_when_its_cost_is_on_the_books(database: Database) -> None:
    executions, away = CountedExecutions(database), asyncio.Event()
    calls = IdempotentCalls(database, ttl_s=100.0, resume_ttl_s=50.0)
    scope = Scope("t", "p", "k")

    async def while_away() -> None:
        if away.is_set():
            raise ConnectionError

    async def state() -> str | None:
        found = await calls.find(scope)
        return found and found.state

    executions.before = while_away
    async with running(executions, database, LedgerTimeouts(row_s=0.1)) as ledger:
        idempotency = Idempotency(calls, StreamBlocks(database), BlockNews(database), ledger, grace_s=5.0)

        async def answer(made: Call) -> AsyncGenerator[bytes]:
            row = call()
            row.request_id = made.request_id
            await ledger.reserve(row)
            away.set()
            await ledger.settle(succeed(row))  # given up for now
            yield b"answer"

        async def listen() -> list[bytes]:
            asked = KeyedRequest(scope, "/S/M", b"hash", is_stream=False)
            messages = idempotency.messages(asked, Call(request_id="request-1"), answer, Origin())
            return [message async for _, message in messages]

        listening = asyncio.create_task(listen())
        await until(
            lambda: bool(ledger.writer.rows) and all(row.shown for row in ledger.writer.rows.values())
        )
        await asyncio.sleep(0.2)  # an outcome would be written by now
        assert (await state(), await states(database)) == ("RUNNING", {"PENDING": 1})
        away.clear()
        assert await listening == [b"answer"]
        assert (await state(), await states(database)) == ("DONE", {"SUCCEEDED": 1})
        assert await violations(database) == {}
        await idempotency.drain(1.0)
