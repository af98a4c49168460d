"""Processes killed at every stage of a provider's batch, and a provider that lists late and answers untidily.

Whatever happens, no item is in two batches, and each is booked once.
"""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bench.ledger_torture.servers import Servers
from genai_spine.store.database import Database
from genai_spine.store.runs.tables import provider_batches, run_items, runs
from genai_spine.store.tables import executions
from genai_spine.v1 import batch_pb2, item_work_pb2
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.run_service_pb2_grpc import RunServiceStub
from genai_spine.v1.work_pb2 import Work
from tests.acceptance.test_deaths import REQUEST
from tests.acceptance.test_run_deaths import maker, servers
from tests.upstreams.anthropic import AnthropicUpstream
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.reply import Reply
from tests.waiting import until

MANY = 300  # items: enough for a kill in the middle of their intents, or of their answers
FEW = 30
MODELS = {"openai": "openai:gpt-4o", "anthropic": "anthropic:claude-haiku-4-5-20251001"}
# Path of the provider at which a call is stalled; None: where the database says so.
STAGES = {
    ("openai", "preparing"): None,
    ("openai", "booking"): None,
    ("anthropic", "preparing"): None,
    ("anthropic", "booking"): None,
    ("anthropic", "create"): "/v1/messages/batches",
    ("anthropic", "poll"): "/v1/messages/batches/msgbatch_0001",
    ("anthropic", "read"): "/v1/messages/batches/msgbatch_0001/results",
}
Upstream = OpenAIUpstream | AnthropicUpstream


def settings(upstream: Upstream, provider: str) -> dict[str, str]:
    url = f"{upstream.url}/v1" if provider == "openai" else upstream.url
    return {
        f"GENAI_{provider.upper()}_BASE_URL": url,
        f"GENAI_{provider.upper()}_API_KEY": "k",
        "GENAI_LEASE_TTL": "3",
        "GENAI_DRAIN_DELAY": "0",
        "GENAI_DRAIN_TIMEOUT": "0.5",
        "GENAI_CIRCUIT_FAILURES": "0",
        "GENAI_PROVIDER_BATCH_POLL_S": "0.2",
        "GENAI_PROVIDER_BATCH_GRACE_S": "4",
    }


def text(number: int) -> str:
    return f"text {number}"


def work(provider: str, count: int) -> pb.CreateRunRequest:
    batch = batch_pb2.Batch(provider_batch=True)
    for number in range(count):
        asked = item_work_pb2.ItemWork(completion=REQUEST)
        asked.completion.model = MODELS[provider]
        asked.completion.messages[0].content[0].text = text(number)
        batch.items.add(work=asked)
    return pb.CreateRunRequest(work=Work(batch=batch))


def pooled(upstream: Upstream) -> Counter[str]:
    """Texts of all lines of all batches that the provider has made."""
    found: Counter[str] = Counter()
    if isinstance(upstream, AnthropicUpstream):
        for requests in upstream.batches.requests.values():
            found.update(_said(one["params"]["messages"][0]["content"]) for one in requests)
        return found
    for batch in upstream.cabinet.batches.values():
        found.update(line["body"]["messages"][0]["content"] for line in upstream.cabinet._lines(batch))
    return found


def direct(upstream: Upstream) -> Counter[str]:
    """Texts that were asked one by one."""
    paths = ("/v1/chat/completions", "/v1/messages")
    calls = [entry for entry in upstream.bill.calls if entry.path in paths]
    return Counter(_said(entry.body["messages"][0]["content"]) for entry in calls)


def _said(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


async def selected(database: Database, query: sa.Select[Any]) -> list[Any]:
    async with database.connect() as connection:
        return list((await connection.execute(query)).mappings())


async def is_at(database: Database, stage: str) -> bool:
    """Whether intents are being written, or answers booked."""
    states = [row["state"] for row in await selected(database, sa.select(provider_batches))]
    if stage == "preparing":
        rows = await selected(database, sa.select(sa.func.count().label("rows")).select_from(executions))
        return states == ["preparing"] and rows[0]["rows"] > 0
    ended = sa.select(run_items.c.place).where(run_items.c.status == "completed").limit(1)
    return states == ["sent"] and bool(await selected(database, ended))


async def booked_once(database: Database, run_id: str) -> dict[str, int]:
    """Calls that the provider answered and that cost something, by the text of their item."""
    rows = await selected(database, sa.select(executions).where(executions.c.run_id == run_id))
    assert not [row for row in rows if row["state"] == "PENDING" or row["held_ticks"]]
    paid = [row for row in rows if row["cost_ticks"] and row["output_provenance"] == "PROVIDER_REPORTED"]
    found = Counter(text(int(row["step_id"].removeprefix("item."))) for row in paid)
    assert set(found.values()) <= {1}
    return dict(found)


@pytest.fixture(params=list(STAGES), ids=["-".join(stage) for stage in STAGES])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Upstream, str, str]]:
    """Provider with its name, and a stage."""
    provider, name = request.param
    made: Upstream = OpenAIUpstream() if provider == "openai" else AnthropicUpstream()
    async with made as upstream:
        yield upstream, provider, name


@pytest.mark.timeout(200)
async def test_no_item_is_in_two_batches_whatever_stage_their_maker_dies_at(
    stage: tuple[Upstream, str, str], database_url: str, database: Database, tmp_path: Path
) -> None:
    upstream, provider, name = stage
    path, count = STAGES[provider, name], FEW
    if path is None:
        count = MANY
    else:
        upstream.script(Reply(fault="stall", after=0 if name == "read" else None), on=path)
    async with servers(2, tmp_path, settings(upstream, provider), database_url) as found:
        run_id = (await found[-1].runs.CreateRun(work(provider, count))).run_id
        making, other = await maker(found, run_id)
        if path is None:
            await until(lambda: is_at(database, name))
        else:
            await until(lambda: any(entry.path == path for entry in upstream.bill))
        making.process.send_signal(signal.SIGKILL)
        run = await other.wait(run_id)
        assert (run.status, run.item_counts.completed) == ("completed", count)
        once = {text(number): 1 for number in range(count)}
        assert pooled(upstream) == once
        assert direct(upstream) == {}
        assert await booked_once(database, run_id) == once
        rows = await selected(database, sa.select(executions).where(executions.c.run_id == run_id))
        assert sum(row["cost_ticks"] for row in rows) == run.cost.cost_ticks


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
async def test_untidy_batches_are_booked_once_whoever_dies(
    database_url: str, database: Database, tmp_path: Path, seed: int
) -> None:
    drawn = random.Random(f"provider batches {seed}")
    moments = sorted(drawn.sample(range(1, 12), 3))  # requests that the provider has had
    async with OpenAIUpstream() as upstream:
        texts = [text(number) for number in range(FEW)]
        drawn.shuffle(texts)
        cabinet = upstream.cabinet
        cabinet.lists_after, cabinet.repeats = drawn.randrange(4), drawn.random() < 0.7
        cabinet.omits = set(texts[:3])
        cabinet.errors = {texts[3]: 400, texts[4]: 500, texts[5]: 429}
        cabinet.ends_as = drawn.choice(["completed", "expired"])
        cabinet.stops_after = 20
        variables = settings(upstream, "openai") | {"GENAI_DATABASE_URL": database_url}
        async with Servers(2, tmp_path, variables) as found:
            stub: Any = RunServiceStub(found.pick(0).channel)
            run_id = (await stub.CreateRun(work("openai", FEW))).run_id
            killing = asyncio.create_task(killed(found, upstream, moments, database))
            run = await ended(database, run_id)
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)
            await found.all_there()
            await until(lambda: _is_settled(database))
        assert run["status"] == "completed", (seed, moments)
    items = await selected(database, sa.select(run_items))
    assert Counter(row["status"] for row in items) == {"completed": FEW - 1, "failed": 1}
    assert [row["place"] for row in items if row["status"] == "failed"] == [int(texts[3].split()[1])]
    assert pooled(upstream) == {text(number): 1 for number in range(FEW)}
    answered = await booked_once(database, run_id)
    assert set(answered) == {*texts} - {texts[3]}
    alone = direct(upstream)
    assert {*texts[:3], texts[4], texts[5]} - set(alone) <= set(texts[20:])  # those may have expired
    assert max(alone.values(), default=0) <= 1 + len(moments)


async def killed(found: Servers, upstream: OpenAIUpstream, moments: list[int], database: Database) -> None:
    """Kills whoever makes the run, each time that the provider has had so many requests."""
    for moment in moments:
        await upstream.bill.until(lambda bill, most=moment: len(bill) >= most, 300)
        await found.two_alive()
        [run] = await selected(database, sa.select(runs.c.executor_id))
        found.kill(found.by_id(run["executor_id"] or "nobody") or found.pick(moment))


async def ended(database: Database, run_id: str) -> Any:
    """Row of a run at its end."""
    async with asyncio.timeout(200):
        while True:
            [row] = await selected(database, sa.select(runs).where(runs.c.id == run_id))
            if row["ended_at"] is not None:
                return row
            await asyncio.sleep(0.1)


async def _is_settled(database: Database) -> bool:
    return not await selected(database, sa.select(executions.c.id).where(executions.c.state == "PENDING"))
