"""Webhooks of runs whose process is killed in the middle, on SQLite and PostgreSQL: told by the next one."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from datetime import UTC, datetime

import sqlalchemy as sa

from genai_spine.store.database import Database
from genai_spine.store.runs.tables import run_webhooks
from tests.unit.providers.http.raw_server import RawServer, Then, response
from tests.waiting import until

MESSAGES = 5


async def begun(url: str) -> Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.contract.telling", url, stdout=PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"telling\n"
    return process


async def killed(process: Process) -> None:
    process.kill()
    await process.communicate()


async def test_what_a_killed_process_was_telling_is_told_by_the_next_with_the_same_id(
    database: Database, database_url: str
) -> None:
    hangs = [[Then.STALL] for _ in range(MESSAGES)]
    async with RawServer(*hangs, response(b"")) as receiver:
        now = datetime.now(UTC)
        fields = {"run_id": "r", "url": receiver.url, "body": "{}", "status": "waiting", "attempt": 0}
        rows = [{"id": f"evt_{place}", "sequence": place, **fields} for place in range(MESSAGES)]
        async with database.begin() as connection:
            await connection.execute(sa.insert(run_webhooks).values(next_at=now, created_at=now), rows)
        first = await begun(database_url)
        await until(lambda: len(receiver.requests) == MESSAGES)
        await killed(first)
        second = await begun(database_url)
        query = sa.select(run_webhooks.c.status, run_webhooks.c.attempt)

        async def found() -> list[tuple[str, int]]:
            async with database.connect() as connection:
                return [(row.status, row.attempt) for row in await connection.execute(query)]

        async def are_told() -> bool:
            return {status for status, _ in await found()} == {"delivered"}

        await until(are_told)
        await killed(second)
        assert await found() == [("delivered", 2)] * MESSAGES
        ids = [
            line for request in receiver.requests for line in request.split(b"\r\n") if b"webhook-id" in line
        ]
    assert sorted(ids) == sorted([f"webhook-id: evt_{place}".encode() for place in range(MESSAGES)] * 2)
