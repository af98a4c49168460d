"""Settlement of batches: one row for each line, and their ids."""

from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

from genai_spine.call import Call
from genai_spine.inference.batch_settlement import BatchSettlement, row_id
from genai_spine.v1 import execution_pb2, usage_pb2
from genai_spine.v1 import provider_batch_service_pb2 as pb
from tests.unit.inference.scripted import MODEL, PRICES, Rows, Scripted, World, usage

BATCH = pb.ProviderBatch(id="batch_1", times=pb.BatchTimes(create_time={"seconds": 1763683200}))


def test_row_id_is_the_same_for_whoever_makes_it() -> None:
    first = row_id("openai", BATCH, "a")
    assert first == row_id("openai", pb.ProviderBatch(id="batch_1", times=BATCH.times), "a")
    found = UUID(first)
    assert (found.version, found.variant) == (8, UUID("0" * 8 + "-0000-8000-8000-000000000000").variant)
    assert found.int >> 80 == 1763683200_000, "rows stand in the order of time"


def test_row_id_differs_by_line_batch_and_provider() -> None:
    other = pb.ProviderBatch(id="batch_2", times=BATCH.times)
    ids = [
        *(row_id("openai", BATCH, str(number)) for number in range(1000)),
        row_id("azure", BATCH, "0"),
        row_id("openai", other, "0"),
    ]
    assert len(set(ids)) == len(ids)


class Totals:
    """The database's sums over what the ledger in memory has of the batch."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    async def batch_total(self, provider: str, batch_id: str) -> tuple[int, usage_pb2.Cost]:
        booked = [row for row in self.rows.settled if row.request_id == batch_id]
        return len(booked), usage_pb2.Cost(cost_ticks=sum(row.cost.cost_ticks for row in booked))


class Labels:
    """Cost labels of batches, in memory."""

    def __init__(self) -> None:
        self.saved: dict[tuple[str, str], dict[str, str]] = {}

    async def save(self, provider: str, batch_id: str, labels: dict[str, str]) -> None:
        self.saved[provider, batch_id] = dict(labels)

    async def get(self, provider: str, batch_id: str) -> dict[str, str]:
        return self.saved.get((provider, batch_id), {})


class Batching(Scripted):
    async def batch_lines(
        self, batch: pb.ProviderBatch, call: Call
    ) -> AsyncGenerator[tuple[str, execution_pb2.Execution]]:
        state = execution_pb2.EXECUTION_STATE_SUCCEEDED
        for number in range(2):
            yield (
                str(number),
                execution_pb2.Execution(provider=self.name, model=MODEL, state=state, usage=usage()),
            )


async def test_batch_settlement_settle_books_each_line_once() -> None:
    provider = Batching("openai")
    world = World(provider)
    rows: Any = world.rows
    totals: Any = Totals(world.rows)
    labels: Any = Labels()
    labels.saved["openai", "batch_1"] = {"team": "news"}
    settlement = BatchSettlement(rows, PRICES, totals, labels)
    batch = pb.ProviderBatch(
        id="batch_1",
        state=pb.BATCH_STATE_COMPLETED,
        output_file_id="f",
        completed_count=2,
        times=BATCH.times,
    )
    for _ in range(2):
        await settlement.settle(batch, provider, Call())
    assert [row.id for row in world.rows.settled] == [row_id("openai", batch, str(n)) for n in range(2)]
    assert {row.cost_labels["team"] for row in world.rows.settled} == {"news"}
    assert batch.booked_count == 2
    assert batch.cost.cost_ticks == sum(row.cost.cost_ticks for row in world.rows.settled) > 0


async def test_batch_settlement_label_keeps_the_labels_of_the_call_that_made_the_batch() -> None:
    labels: Any = Labels()
    rows: Any = World(Batching("openai")).rows
    totals: Any = Totals(rows)
    settlement = BatchSettlement(rows, PRICES, totals, labels)
    batch = pb.ProviderBatch(id="batch_1", provider="openai")
    await settlement.label(batch, Call())
    assert labels.saved == {}
    await settlement.label(batch, Call(cost_labels={"team": "news"}))
    assert labels.saved == {("openai", "batch_1"): {"team": "news"}}
