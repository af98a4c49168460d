"""Items of runs in batches of providers: sent and booked once, at half the price; others are made as ever."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from genai_spine.call import DEFAULT_TENANT
from genai_spine.store.runs.items import ItemRows
from genai_spine.v1 import execution_pb2
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.operation_pb2 import OPERATION_BATCH
from tests.databases import BOTH
from tests.service.running import Running, Upstreams, running
from tests.service.test_run_batches import batch_of, events_of, item, items_of, made, text_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH)
async def on_each_database(
    request: pytest.FixtureRequest, all_upstreams: Upstreams
) -> AsyncIterator[Running]:
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    url = request.getfixturevalue(f"module_{kind}_url")
    async with running(all_upstreams, url, provider_batch_poll_s=0.05) as found:
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
    told = [event.event_type for event in await events_of(pooling, run.run_id)]
    assert told.count("provider_batch_sent") == told.count("provider_batch_ended") == 1
