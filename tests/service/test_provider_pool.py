"""Items of runs in batches of providers: sent and booked once, at half the price, or made as usual."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration

from genai_spine.call import DEFAULT_TENANT
from genai_spine.store.provider_batches.batches import ProviderBatchRows
from genai_spine.store.runs.items import ItemRows
from genai_spine.v1 import batch_pb2, execution_pb2, item_work_pb2, run_pb2
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.completion_service_pb2 import CreateEmbeddingsRequest
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.operation_pb2 import OPERATION_BATCH
from tests.databases import BOTH
from tests.service.running import Running, Upstreams, running
from tests.service.test_run_batches import batch_of, events_of, item, items_of, made, stub, text_of
from tests.upstreams.reply import Reply
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH)
async def on_each_database(
    request: pytest.FixtureRequest, all_upstreams: Upstreams
) -> AsyncIterator[Running]:
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    url = request.getfixturevalue(f"module_{kind}_url")
    async with running(all_upstreams, url, provider_batch_poll_s=0.05, provider_batch_grace_s=0.5) as found:
        yield found


@pytest.fixture
def pooling(on_each_database: Running, upstreams: Upstreams) -> Running:
    """A server that looks often at the batches of a provider, whose ids are new with each test."""
    on_each_database.openai.cabinet.prefix = uuid4().hex[:8]
    return on_each_database


async def rows_of(service: Running, run_id: str) -> list[Execution]:
    ids = [id for found in (await ItemRows(service.database).calls(run_id)).values() for id in found]
    found = [await service.executions.get(id, DEFAULT_TENANT) for id in ids]
    return [row for row in found if row is not None]


def batches_of(service: Running) -> list[dict[str, Any]]:
    """What the provider has."""
    return list(service.openai.cabinet.batches.values())


def direct(service: Running) -> list[str]:
    """Texts that were asked one by one."""
    calls = [entry for entry in service.openai.bill if entry.path == "/v1/chat/completions"]
    return [entry.body["messages"][0]["content"] for entry in calls]


async def test_items_are_answered_by_one_batch_at_half_the_price(pooling: Running) -> None:
    run = await made(pooling, batch_of(item("one"), item("two"), provider_batch=True))
    assert (run.status, run.item_counts.completed) == ("completed", 2)
    assert direct(pooling) == []
    [batch] = batches_of(pooling)
    assert (batch["status"], batch["endpoint"]) == ("completed", "/v1/chat/completions")
    rows = await rows_of(pooling, run.run_id)
    assert [row.operation for row in rows] == [OPERATION_BATCH] * 2
    assert {row.state for row in rows} == {execution_pb2.EXECUTION_STATE_SUCCEEDED}
    for row in rows:  # gpt-4o in a batch: 1.25 USD for 1M input, 5 for output
        assert row.cost.cost_ticks == row.usage.input_tokens * 12_500 + row.usage.output_tokens * 50_000 > 0
    found = await items_of(pooling, run.run_id)
    assert [text_of(one) for one in found] == ["You said: one", "You said: two"]
    assert sum(one.cost.cost_ticks for one in found) == run.cost.cost_ticks
    assert run.cost.cost_ticks == sum(row.cost.cost_ticks for row in rows)
    events = await events_of(pooling, run.run_id)
    assert len(told(events, "provider_batch_sent")) == len(told(events, "provider_batch_ended")) == 1


async def paid(service: Running, run_id: str) -> dict[str, int]:
    """Calls that cost something, by the text of their item."""
    steps: dict[str, int] = {}
    for row in await rows_of(service, run_id):
        if row.cost.cost_ticks:
            steps[row.step_id] = steps.get(row.step_id, 0) + 1
    items = await items_of(service, run_id, include_work=True)
    texts = {f"item.{one.index}": one.work.completion.messages[0].content[0].text for one in items}
    return {texts[step]: number for step, number in steps.items()}


def told(events: list[run_pb2.RunEvent], kind: str) -> list[dict[str, Any]]:
    return [dict(event.data) for event in events if event.event_type == kind]


NAMES = [f"text {number}" for number in range(7)]
ONCE = dict.fromkeys(NAMES, 1)


async def test_other_work_is_made_beside_the_batch(pooling: Running) -> None:
    pooling.openai.cabinet.holds = True
    request = CreateEmbeddingsRequest(model="openai:text-embedding-3-small")
    request.inputs.add(text="a")
    embedding = batch_pb2.BatchItem(work=item_work_pb2.ItemWork(embeddings=request))
    elsewhere = item("there", model="vllm:m")
    work = batch_of(item("one"), embedding, elsewhere, provider_batch=True)
    run = await stub(pooling).CreateRun(pb.CreateRunRequest(work=work))

    async def are_made() -> bool:
        found = await stub(pooling).GetRun(pb.GetRunRequest(run_id=run.run_id))
        return bool(found.item_counts.completed == 2)

    await until(are_made)
    pooling.openai.cabinet.holds = False
    ended = await stub(pooling).WaitRun(pb.WaitRunRequest(run_id=run.run_id))
    assert (ended.status, ended.item_counts.completed) == ("completed", 3)
    assert direct(pooling) == ["there"]
    [batch] = batches_of(pooling)
    assert batch["request_counts"]["total"] == 1


async def test_each_model_has_a_batch_of_its_own(pooling: Running) -> None:
    work = batch_of(item("a"), item("b", model="gpt-4o-mini"), item("c"), provider_batch=True)
    run = await made(pooling, work)
    assert run.item_counts.completed == 3
    assert sorted(batch["request_counts"]["total"] for batch in batches_of(pooling)) == [1, 2]
    assert direct(pooling) == []


async def test_lines_that_fail_are_data_and_passing_faults_are_called_again(pooling: Running) -> None:
    pooling.openai.cabinet.errors = {"text 1": 400, "text 2": 500, "text 3": 429}
    run = await made(pooling, batch_of(*map(item, NAMES), provider_batch=True))
    assert (run.status, run.item_counts.completed, run.item_counts.failed) == ("completed", 6, 1)
    [failed] = await items_of(pooling, run.run_id, status="failed")
    assert (failed.index, failed.error_type) == (1, "PROVIDER_REJECTED")
    assert sorted(direct(pooling)) == ["text 2", "text 3"]
    assert await paid(pooling, run.run_id) == {name: 1 for name in NAMES if name != "text 1"}


async def test_missing_lines_are_made_as_usual(pooling: Running) -> None:
    pooling.openai.cabinet.omits = {"text 2"}
    run = await made(pooling, batch_of(*map(item, NAMES), provider_batch=True))
    assert run.item_counts.completed == 7
    assert direct(pooling) == ["text 2"]


@pytest.mark.parametrize("state", ["expired", "failed"])
async def test_unanswered_items_are_made_as_usual_and_paid_once(pooling: Running, state: str) -> None:
    pooling.openai.cabinet.ends_as, pooling.openai.cabinet.stops_after = state, 3
    run = await made(pooling, batch_of(*map(item, NAMES), provider_batch=True))
    assert (run.status, run.item_counts.completed) == ("completed", 7)
    assert sorted(direct(pooling)) == (NAMES[3:] if state == "expired" else NAMES)
    assert await paid(pooling, run.run_id) == ONCE
    assert len(batches_of(pooling)) == 1
    [event] = told(await events_of(pooling, run.run_id), "provider_batch_ended")
    assert (event["state"], event["left"]) == (state, 4 if state == "expired" else 7)


async def test_unanswered_items_fail_where_the_batch_says_so(pooling: Running) -> None:
    pooling.openai.cabinet.ends_as, pooling.openai.cabinet.stops_after = "expired", 3
    work = batch_of(*map(item, NAMES), provider_batch=True, provider_batch_fallback="fail")
    run = await made(pooling, work)
    assert (run.item_counts.completed, run.item_counts.failed) == (3, 4)
    assert direct(pooling) == []
    failed = await items_of(pooling, run.run_id, status="failed")
    assert {one.error_type for one in failed} == {"PROVIDER_UNAVAILABLE"}
    assert "expired" in failed[0].error


async def test_refused_batch_is_made_as_usual(pooling: Running) -> None:
    refusal = Reply(status=400, body={"error": {"message": "no batches for you"}})
    pooling.openai.script(refusal, on="/v1/batches")
    run = await made(pooling, batch_of(*map(item, NAMES), provider_batch=True))
    assert run.item_counts.completed == 7
    assert sorted(direct(pooling)) == NAMES
    assert await paid(pooling, run.run_id) == ONCE
    assert batches_of(pooling) == []
    assert pooling.openai.cabinet.files == {}, "what was uploaded is deleted"


async def test_batch_is_pulled_back_before_the_deadline(pooling: Running) -> None:
    pooling.openai.cabinet.holds, pooling.openai.cabinet.stops_after = True, 3
    work = batch_of(*map(item, NAMES), provider_batch=True, provider_batch_pull_back_s=18)
    run = await made(pooling, work, timeout=Duration(seconds=19))
    assert (run.status, run.item_counts.completed) == ("completed", 7)
    assert sorted(direct(pooling)) == NAMES[3:], "what was answered by then keeps its answer"
    assert await paid(pooling, run.run_id) == ONCE
    [batch] = batches_of(pooling)
    assert batch["status"] == "cancelled"
    events = await events_of(pooling, run.run_id)
    assert len(told(events, "provider_batch_pulled_back")) == 1


async def sent(service: Running, *texts: str, **fields: Any) -> str:
    """Id of a run whose items are in a batch that does not end."""
    service.openai.cabinet.holds = True
    work = batch_of(*map(item, texts or NAMES), provider_batch=True, **fields)
    run = await stub(service).CreateRun(pb.CreateRunRequest(work=work))
    await until(lambda: [one["status"] for one in batches_of(service)] == ["in_progress"])
    return str(run.run_id)


@pytest.mark.parametrize("mode", ["immediate", "boundary"])
async def test_cancelled_run_cancels_its_batch_and_books_what_was_answered(
    pooling: Running, mode: str
) -> None:
    run_id = await sent(pooling)
    pooling.openai.cabinet.stops_after = 3
    await stub(pooling).CancelRun(pb.CancelRunRequest(run_id=run_id, mode=mode))
    ended = await stub(pooling).WaitRun(pb.WaitRunRequest(run_id=run_id))
    assert ended.status == "cancelled"
    assert ended.item_counts.completed == (3 if mode == "boundary" else 0)
    await until(lambda: batches_of(pooling)[0]["status"] == "cancelled")

    async def are_booked() -> bool:
        return not await ProviderBatchRows(pooling.database).open_of(run_id)

    await until(are_booked)
    rows = await rows_of(pooling, run_id)
    assert len(rows) == 7
    assert sum(row.cost.cost_ticks > 0 for row in rows) == 3
    assert all(row.state != execution_pb2.EXECUTION_STATE_PENDING for row in rows)
    assert direct(pooling) == []


async def test_batch_whose_making_was_not_heard_of_is_found_again(pooling: Running) -> None:
    pooling.openai.script(Reply(fault="close"), on="/v1/batches")
    run = await made(pooling, batch_of(*map(item, NAMES), provider_batch=True))
    assert (run.status, run.item_counts.completed) == ("completed", 7)
    assert len(batches_of(pooling)) == 1
    assert direct(pooling) == []
    assert await paid(pooling, run.run_id) == ONCE


async def test_batch_that_never_came_to_be_is_sent_again(pooling: Running) -> None:
    pooling.openai.script(Reply(status=503, body={"error": {"message": "later"}}), on="/v1/batches")
    run = await made(pooling, batch_of(*map(item, NAMES), provider_batch=True))
    assert (run.status, run.item_counts.completed) == ("completed", 7)
    assert len(batches_of(pooling)) == 1
    assert direct(pooling) == []
    assert await paid(pooling, run.run_id) == ONCE
