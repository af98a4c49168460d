"""A batch whose worker is killed: another process goes on with it, and repeats only what was in flight."""

import asyncio
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from genai_spine.v1 import batch_pb2, item_work_pb2, run_pb2, work_pb2
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.message_pb2 import ROLE_USER, ContentPart, Message
from genai_spine.v1.run_service_pb2_grpc import RunServiceStub
from tests.acceptance.test_deaths import running
from tests.acceptance.test_run_deaths import TAKEN_OVER, maker, servers
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

ITEMS, IN_FLIGHT = 300, 10


@pytest.fixture
def variables(openai_upstream: UpstreamProcess, database_url: str) -> dict[str, str]:
    openai_upstream.script(default=Reply(["done"], headers_delay_s=0.02))
    return {
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_DATABASE_URL": database_url,
        "GENAI_LEASE_TTL": "4",
        "GENAI_DRAIN_DELAY": "0",
    }


def batch(items: int = ITEMS) -> work_pb2.Work:
    def item(number: int) -> batch_pb2.BatchItem:
        said = Message(role=ROLE_USER, content=[ContentPart(text=f"item {number}")])
        request = completions.CreateCompletionRequest(model="gpt-4o", messages=[said])
        return batch_pb2.BatchItem(work=item_work_pb2.ItemWork(completion=request))

    made = map(item, range(items))
    return work_pb2.Work(batch=batch_pb2.Batch(items=made, max_concurrency=IN_FLIGHT))


async def items_of(runs: Any, run_id: str) -> list[batch_pb2.RunItem]:
    request, found = pb.ListRunItemsRequest(run_id=run_id, page_size=100), []
    while True:
        page = await runs.ListRunItems(request)
        found += page.items
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_batch_survives_the_death_of_its_worker_and_repeats_only_what_was_in_flight(
    variables: dict[str, str], tmp_path: Path, openai_upstream: UpstreamProcess
) -> None:
    with running("serve", "--port", "0", folder=tmp_path, **variables) as (process, said):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{said['port']}") as channel:
            runs = RunServiceStub(channel)
            run = await runs.CreateRun(pb.CreateRunRequest(work=batch()))
            await until(lambda: len(openai_upstream.bill()) >= ITEMS // 3)
            process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(process.wait, 20)
    paid_before = len(openai_upstream.bill())
    assert paid_before < ITEMS, "the worker was killed in the middle of its work"
    with running("serve", "--port", "0", folder=tmp_path, **variables) as (_, said):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{said['port']}") as channel:
            runs = RunServiceStub(channel)
            waited = pb.WaitRunRequest(run_id=run.run_id, timeout=Duration(seconds=120))
            ended: run_pb2.Run = await runs.WaitRun(waited)
            found = await items_of(runs, run.run_id)
            events = [event async for event in runs.WatchRun(pb.WatchRunRequest(run_id=run.run_id))]
    assert (ended.status, ended.attempt) == ("completed", 1)
    assert (ended.item_counts.total, ended.item_counts.completed) == (ITEMS, ITEMS)
    assert [item.index for item in found] == list(range(ITEMS))
    assert all(item.response.completion.choices[0].message.content[0].text == "done" for item in found)
    calls = Counter(entry.body["messages"][0]["content"] for entry in openai_upstream.bill())
    assert set(calls) == {f"item {number}" for number in range(ITEMS)}
    assert calls.total() <= ITEMS + IN_FLIGHT
    assert ended.cost.cost_ticks == sum(item.cost.cost_ticks for item in found) > 0
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    told = Counter(int(event.data["index"]) for event in events if event.event_type == "item_completed")
    assert told == dict.fromkeys(range(ITEMS), 1)
    assert "orphan_detected" in [event.event_type for event in events]


async def test_batch_of_a_retiring_worker_is_left_to_another_one_and_no_item_is_paid_twice(
    variables: dict[str, str], tmp_path: Path, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(default=Reply(["done"], headers_delay_s=0.1))
    items, patient = 60, variables | {"GENAI_LEASE_TTL": "60"}
    url = patient.pop("GENAI_DATABASE_URL")
    async with servers(2, tmp_path, patient, url) as found:
        run = await found[0].runs.CreateRun(pb.CreateRunRequest(work=batch(items)))
        making, other = await maker(found, run.run_id)
        await until(lambda: len(openai_upstream.bill()) >= items // 4)
        making.process.send_signal(signal.SIGUSR2)
        ended = await other.wait(run.run_id)
        events = await other.events(run.run_id)
        assert (ended.status, ended.attempt, ended.item_counts.completed) == ("completed", 1, items)
        assert ended.worker_id != making.id
        assert await asyncio.to_thread(making.process.wait, 20) == 0
    assert [event for event in events if event in TAKEN_OVER] == TAKEN_OVER
    assert len(openai_upstream.bill()) == items
