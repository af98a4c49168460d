"""The ledger tortured: servers killed, a database restarted, and the books held against the bill."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bench.ledger_torture import verdict
from bench.ledger_torture.callers import Callers, Ending
from bench.ledger_torture.run import CHAIN_KEYS, Options, torture
from bench.ledger_torture.schedule import Fault, Kind, Stage, drawn
from bench.ledger_torture.watch import CHAIN, Watch
from genai_spine.store.database import Database
from tests.acceptance.test_deaths import running
from tests.databases import PostgresServer
from tests.upstreams.process import UpstreamProcess
from tests.waiting import until

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
AWAY = "SERVICE_UNAVAILABLE"


def test_one_seed_is_always_the_same_schedule() -> None:
    assert drawn(3, 500, 10) == drawn(3, 500, 10)
    assert drawn(3, 500, 10).digest != drawn(4, 500, 10).digest


@pytest.mark.timeout(300)
async def test_killed_servers_leave_books_that_equal_the_bill(database_url: str, tmp_path: Path) -> None:
    report = await torture(Options(seed=9, calls=500, kills=10), database_url, tmp_path)
    assert report.problems == []
    assert set(report.kills.done) == set(Stage)
    assert report.kills.done.total() >= 9
    assert report.verdict.endings[Ending.ANSWERED] > 300
    told = (one for one in report.callers.heard.values() if one.ending is Ending.ANSWERED)
    assert {one.planned.kind for one in told} == set(Kind)
    verified = report.watch.verified
    assert report.watch.verifications > 1
    kills = report.kills.done.total()  # one chain a process, but for one that died before its first row
    assert kills <= len(verified.heads) <= 3 + kills
    assert verified.versions > 800
    assert any(kind.startswith("LOST") for kind in report.verdict.lines)


CHANGES = {
    "UPDATE executions SET cost_ticks = cost_ticks + 1 WHERE id = '{id}'": "ticks, billed",
    "UPDATE executions SET output_tokens = output_tokens + 1 WHERE id = '{id}'": "is booked and not billed",
    "DELETE FROM executions WHERE id = '{id}'": "ticks are billed and not booked",
    "UPDATE executions SET held_ticks = 1 WHERE id = '{id}'": "still holds 1 ticks",
}


async def test_verdict_and_watch_name_what_was_changed(sqlite_url: str, tmp_path: Path) -> None:
    report = await torture(Options(seed=1, calls=40, kills=0, servers=1), sqlite_url, tmp_path)
    assert report.problems == []
    database = Database(sqlite_url)
    async with database.begin() as connection:
        succeeded = "SELECT id FROM executions WHERE state = 'SUCCEEDED' ORDER BY id"
        ids = (await connection.exec_driver_sql(succeeded)).scalars().all()
        for change, id in zip(CHANGES, ids, strict=False):
            await connection.exec_driver_sql(change.format(id=id))
    report.verdict = await verdict.found(database, report.upstream, report.callers.heard)
    watch = report.watch = Watch(database, 2.0, CHAIN_KEYS)
    await watch.look()
    await watch.verify()
    chain = (f"{CHAIN}, row_changed", f"{CHAIN}, row_deleted")
    for said in (*CHANGES.values(), "counters equal their rows", "only open calls hold money", *chain):
        assert any(said in problem for problem in report.problems), (said, report.problems)
    await database.close()


@pytest.fixture
def rest(
    openai_upstream: UpstreamProcess, postgres_server: PostgresServer, postgres_template: str, tmp_path: Path
) -> Iterator[str]:
    """URL of Envoy in front of one more server, with a database of its own on the same PostgreSQL."""
    variables = {
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_DATABASE_URL": postgres_server.url(postgres_server.create(postgres_template)),
    }
    with running("up", "--json", "--port", "0", folder=tmp_path, **variables) as (_, said):
        yield said["url"]


async def posted(url: str) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/chat/completions", json=CHAT) as answer,
    ):
        return answer.status, await answer.json()


@pytest.mark.timeout(300)
async def test_postgresql_restarted_under_load_loses_no_call_and_no_server_is_restarted(
    postgres_server: PostgresServer, postgres_url: str, rest: str, tmp_path: Path
) -> None:
    back = 0

    async def restarted(callers: Callers) -> None:
        nonlocal back
        await until(lambda: len(callers.heard) > 100)
        assert (await posted(rest))[0] == 200
        await asyncio.to_thread(postgres_server.stop)
        status, body = await posted(rest)
        assert (status, body["error"]["code"]) == (503, AWAY)
        await until(lambda: any(one.reason == AWAY for one in callers.heard.values()))
        await asyncio.to_thread(postgres_server.start)
        back = max(callers.heard)
        assert (await posted(rest))[0] == 200

    options = Options(seed=5, calls=600, kills=0, servers=2)
    report = await torture(options, postgres_url, tmp_path, restarted)
    assert report.problems == []
    assert report.verdict.endings[Ending.BROKEN] == 0
    refused = [one for one in report.callers.heard.values() if one.ending is Ending.ERROR]
    assert {one.reason for one in refused if one.planned.fault is Fault.NONE} == {AWAY}
    assert all(one.planned.number <= back for one in refused if one.reason == AWAY)
