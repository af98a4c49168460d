"""Processes are killed while items are in a provider's batch: one batch, each item answered and paid once."""

import json
import signal
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from genai_spine.store.database import Database
from genai_spine.store.tables import executions
from genai_spine.v1 import batch_pb2, item_work_pb2
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.work_pb2 import Work
from tests.acceptance.test_deaths import REQUEST
from tests.acceptance.test_run_deaths import Server, maker, servers
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

ITEMS = 30
STALLED = {
    "upload": "/v1/files",
    "create": "/v1/batches",
    "poll": "/v1/batches/batch_0001",
    "read": "/v1/files/file-0002/content",
}


@pytest.fixture
def variables(openai_upstream: UpstreamProcess) -> dict[str, str]:
    return {
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_LEASE_TTL": "6",
        "GENAI_DRAIN_DELAY": "0",
        "GENAI_DRAIN_TIMEOUT": "0.5",
        "GENAI_PROVIDER_BATCH_POLL_S": "0.2",
        "GENAI_PROVIDER_BATCH_GRACE_S": "3",
    }


async def submitted(server: Server, count: int = ITEMS) -> str:
    batch = batch_pb2.Batch(provider_batch=True)
    for number in range(count):
        work = item_work_pb2.ItemWork(completion=REQUEST)
        work.completion.messages[0].content[0].text = f"text {number}"
        batch.items.add(work=work)
    run = await server.runs.CreateRun(pb.CreateRunRequest(work=Work(batch=batch)))
    return str(run.run_id)


def batches_at(upstream: UpstreamProcess) -> list[dict[str, Any]]:
    asked = urllib.request.Request(f"{upstream.base_url}/batches", headers={"authorization": "Bearer k"})
    with urllib.request.urlopen(asked, timeout=10) as response:
        found: list[dict[str, Any]] = json.load(response)["data"]
    return found


async def rows_of(url: str, run_id: str) -> list[Any]:
    database = Database(url)
    try:
        async with database.connect() as connection:
            query = sa.select(executions).where(executions.c.run_id == run_id)
            return list((await connection.execute(query)).mappings())
    finally:
        await database.close()


async def check(server: Server, upstream: UpstreamProcess, url: str, run_id: str, count: int) -> None:
    """Each item has its answer, was answered by the provider once, and is paid once."""
    run = await server.get(run_id)
    assert (run.status, run.item_counts.completed) == ("completed", count)
    request = pb.ListRunItemsRequest(run_id=run_id, page_size=1000)
    items = (await server.runs.ListRunItems(request)).items
    texts = [one.response.completion.choices[0].message.content[0].text for one in items]
    assert texts == [f"You said: text {number}" for number in range(count)]
    direct = [entry for entry in upstream.bill() if entry.path == "/v1/chat/completions"]
    assert direct == []
    assert sum(batch["request_counts"]["total"] for batch in batches_at(upstream)) == count
    rows = await rows_of(url, run_id)
    paid = Counter(row["step_id"] for row in rows if row["cost_ticks"])
    assert paid == {f"item.{place}": 1 for place in range(count)}
    assert {row["state"] for row in rows if row["cost_ticks"]} == {"SUCCEEDED"}
    assert {row["state"] for row in rows} <= {"SUCCEEDED", "CANCELLED"}
    assert sum(row["cost_ticks"] for row in rows) == run.cost.cost_ticks


@pytest.mark.parametrize("stage", STALLED)
async def test_one_batch_is_made_whatever_stage_its_maker_dies_at(
    variables: dict[str, str],
    database_url: str,
    tmp_path: Path,
    openai_upstream: UpstreamProcess,
    stage: str,
) -> None:
    path = STALLED[stage]
    openai_upstream.script(Reply(fault="stall", after=0 if stage == "read" else None), on=path)
    async with servers(2, tmp_path, variables, database_url) as found:
        run_id = await submitted(found[-1])
        making, other = await maker(found, run_id)
        await until(lambda: any(entry.path == path for entry in openai_upstream.bill()))
        making.process.send_signal(signal.SIGKILL)
        await other.wait(run_id)
        await check(other, openai_upstream, database_url, run_id, ITEMS)
        assert len(batches_at(openai_upstream)) == 1
