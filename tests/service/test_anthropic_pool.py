"""Items of runs in Anthropic's Message Batches."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration

from genai_spine.v1 import batch_pb2
from tests.databases import BOTH
from tests.service.running import Running, Upstreams, running
from tests.service.test_provider_pool import NAMES, ONCE, paid, rows_of
from tests.service.test_run_batches import batch_of, item, items_of, made, text_of
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")
MODEL = "anthropic:claude-haiku-4-5-20251001"


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH)
async def on_each_database(
    request: pytest.FixtureRequest, all_upstreams: Upstreams
) -> AsyncIterator[Running]:
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    url = request.getfixturevalue(f"module_{kind}_url")
    endpoints = all_upstreams.one_of_each()
    async with running(
        all_upstreams, url, endpoints=endpoints, provider_batch_poll_s=0.05, provider_batch_grace_s=0.5
    ) as found:
        yield found


@pytest.fixture
def pooling(on_each_database: Running, upstreams: Upstreams) -> Running:
    on_each_database.upstreams.anthropic.batches.prefix = uuid4().hex[:8]
    return on_each_database


def asked() -> list[batch_pb2.BatchItem]:
    return [item(name, model=MODEL) for name in NAMES]


def direct(service: Running) -> list[str]:
    calls = [entry for entry in service.upstreams.anthropic.bill if entry.path == "/v1/messages"]
    return sorted(str(entry.body["messages"][0]["content"]) for entry in calls)


async def test_items_are_answered_by_one_batch_at_half_the_price(pooling: Running) -> None:
    batches = pooling.upstreams.anthropic.batches
    run = await made(pooling, batch_of(*asked(), provider_batch=True))
    assert (run.status, run.item_counts.completed) == ("completed", 7)
    assert direct(pooling) == []
    assert [one["request_counts"]["succeeded"] for one in batches.batches.values()] == [7]
    found = await items_of(pooling, run.run_id)
    assert [text_of(one) for one in found] == [f"You said: {name}" for name in NAMES]
    for row in await rows_of(pooling, run.run_id):  # 0.5 USD for 1M input, 2.5 for output in a batch
        assert row.cost.cost_ticks == row.usage.input_tokens * 5_000 + row.usage.output_tokens * 25_000 > 0


async def test_batch_is_pulled_back_and_each_item_is_paid_once(pooling: Running) -> None:
    batches = pooling.upstreams.anthropic.batches
    batches.holds, batches.stops_after = True, 3
    work = batch_of(*asked(), provider_batch=True, provider_batch_pull_back_s=18)
    run = await made(pooling, work, timeout=Duration(seconds=19))
    assert (run.status, run.item_counts.completed) == ("completed", 7)
    assert len(direct(pooling)) == 4
    assert await paid(pooling, run.run_id) == ONCE


async def test_batch_whose_making_was_not_heard_of_is_found_by_its_results(pooling: Running) -> None:
    batches = pooling.upstreams.anthropic.batches
    pooling.upstreams.anthropic.script(Reply(fault="close"), on="/v1/messages/batches")
    run = await made(pooling, batch_of(*asked(), provider_batch=True))
    assert (run.status, run.item_counts.completed) == ("completed", 7)
    assert len(batches.batches) == 1
    assert direct(pooling) == []
    assert await paid(pooling, run.run_id) == ONCE


async def test_errors_of_single_requests_are_data(pooling: Running) -> None:
    errors = {"text 1": "invalid_request_error", "text 2": "api_error"}
    pooling.upstreams.anthropic.batches.errors = errors
    run = await made(pooling, batch_of(*asked(), provider_batch=True))
    assert (run.item_counts.completed, run.item_counts.failed) == (6, 1)
    [failed] = await items_of(pooling, run.run_id, status="failed")
    assert (failed.index, failed.error_type) == (1, "PROVIDER_REJECTED")
    assert len(direct(pooling)) == 1
