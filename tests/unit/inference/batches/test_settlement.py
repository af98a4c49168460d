"""Settlement of batches: one row for each line, and their ids."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

import pytest

from genai_spine.call import DEFAULT_TENANT, Call, Principal
from genai_spine.errors import BudgetExceeded
from genai_spine.inference.batches.settlement import BatchSettlement, row_id
from genai_spine.store.provider_objects import ProviderObject
from genai_spine.v1 import execution_pb2, usage_pb2
from genai_spine.v1 import provider_batch_service_pb2 as pb
from tests.unit.inference.scripted import MODEL, Rows, Scripted, World, usage

BATCH = pb.ProviderBatch(id="batch_1", times=pb.BatchTimes(create_time={"seconds": 1795219200}))


def test_row_id_is_the_same_for_whoever_makes_it() -> None:
    first = row_id("openai", BATCH, "a")
    assert first == row_id("openai", pb.ProviderBatch(id="batch_1", times=BATCH.times), "a")
    found = UUID(first)
    assert (found.version, found.variant) == (8, UUID("0" * 8 + "-0000-8000-8000-000000000000").variant)
    assert found.int >> 80 == 1795219200_000, "rows stand in the order of time"


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


class Objects:
    """Objects of providers, in memory."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, str], ProviderObject] = {}

    async def get(self, provider: str, id: str) -> ProviderObject | None:
        return self.made.get((provider, id))


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


ENDED = pb.ProviderBatch(
    id="batch_1",
    state=pb.BATCH_STATE_COMPLETED,
    output_file_id="f",
    completed_count=2,
    times=BATCH.times,
)


def settlement(world: World, objects: Objects) -> BatchSettlement:
    totals: Any = Totals(world.rows)
    kept: Any = objects
    return BatchSettlement(world.accounting, totals, kept)


async def test_batch_settlement_settle_books_each_line_once() -> None:
    provider = Batching("openai")
    world, objects = World(provider), Objects()
    objects.made["openai", "batch_1"] = ProviderObject(
        "openai", "batch", "batch_1", cost_labels={"team": "news"}
    )
    batch = pb.ProviderBatch()
    batch.CopyFrom(ENDED)
    for _ in range(2):
        await settlement(world, objects).settle(batch, provider, Call())
    assert [row.id for row in world.rows.settled] == [row_id("openai", batch, str(n)) for n in range(2)]
    assert {row.cost_labels["team"] for row in world.rows.settled} == {"news"}
    assert batch.booked_count == 2
    assert batch.cost.cost_ticks == sum(row.cost.cost_ticks for row in world.rows.settled) > 0


class FullBudgets:
    """Budgets without any room."""

    any = True

    def __init__(self) -> None:
        self.payers: list[execution_pb2.Execution] = []

    async def admit(self, execution: execution_pb2.Execution) -> None:
        self.payers.append(execution)
        money = {"limit_usd": "1", "used_usd": "1", "estimate_usd": "0"}
        raise BudgetExceeded(node="label", key="team=news", period="daily", **money)

    async def enter(self, execution: execution_pb2.Execution) -> None:
        execution.budget_counters.append(7)


async def test_batch_settlement_admit_asks_the_budgets_of_whoever_makes_the_batch() -> None:
    world, full = World(Batching("openai")), FullBudgets()
    await settlement(world, Objects()).admit(Call())  # there is no budget
    budgets: Any = full
    world.accounting = replace(world.accounting, budgets=budgets)
    call = Call(principal=Principal("key:1", "acme", None, "1"), cost_labels={"team": "news"})
    with pytest.raises(BudgetExceeded):
        await settlement(world, Objects()).admit(call)
    [payer] = full.payers
    assert (payer.tenant_id, payer.api_key_id, payer.cost_labels) == ("acme", "1", {"team": "news"})


async def test_batch_settlement_settle_enters_the_counters_of_each_line() -> None:
    provider, budgets = Batching("openai"), cast(Any, FullBudgets())
    world = World(provider)
    world.accounting = replace(world.accounting, budgets=budgets)
    batch = pb.ProviderBatch()
    batch.CopyFrom(ENDED)
    await settlement(world, Objects()).settle(batch, provider, Call())
    assert [list(row.budget_counters) for row in world.rows.settled] == [[7], [7]]


async def test_lines_are_charged_to_whoever_made_the_batch() -> None:
    provider = Batching("openai")
    world, objects = World(provider), Objects()
    maker = Principal("key:1", "acme", "project-1", "1")
    objects.made["openai", "batch_1"] = ProviderObject("openai", "batch", "batch_1", maker)
    batch = pb.ProviderBatch()
    batch.CopyFrom(ENDED)
    asking = Call(principal=Principal("key:2", "acme", None, "2"), correlation_id="of who asks")
    await settlement(world, objects).settle(batch, provider, asking)
    for row in world.rows.settled:
        paying = (row.principal, row.tenant_id, row.project_id, row.api_key_id, row.correlation_id)
        assert paying == ("key:1", "acme", "project-1", "1", "")


async def test_lines_of_a_batch_that_was_made_elsewhere_are_charged_to_whoever_asks() -> None:
    provider = Batching("openai")
    world = World(provider)
    batch = pb.ProviderBatch()
    batch.CopyFrom(ENDED)
    await settlement(world, Objects()).settle(batch, provider, Call())
    assert {row.tenant_id for row in world.rows.settled} == {DEFAULT_TENANT}
