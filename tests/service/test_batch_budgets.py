"""Batches of providers and budgets: what their lines cost is counted, and a full budget lets none begin."""

from itertools import count

import grpc
import pytest

from genai_spine.store.budgets.budgets import BudgetRows
from genai_spine.v1 import budget_pb2
from tests.contract.test_budgets import budget, counter
from tests.money import violations
from tests.service.running import Running, failure
from tests.service.test_batches import asked, begun, ended, lines

pytestmark = pytest.mark.asyncio(loop_scope="session")

numbers = count(1)


async def limit(service: Running, label: str, ticks: int) -> budget_pb2.Budget:
    """Sets the budget of a label in all."""
    made = await BudgetRows(service.database).upsert(
        budget(
            node=budget_pb2.BUDGET_NODE_LABEL,
            node_key=label,
            period=budget_pb2.BUDGET_PERIOD_TOTAL,
            limit_ticks=ticks,
        )
    )
    await service.server.foundation.budgets.refresh()
    return made


async def drop(service: Running, made: budget_pb2.Budget) -> None:
    await BudgetRows(service.database).delete(made.id)
    await service.server.foundation.budgets.refresh()


async def test_lines_of_a_batch_are_counted_once_and_then_no_further_batch_begins(booked: Running) -> None:
    name = f"budget-{next(numbers)}"
    labels = {"batch": name}
    made = await limit(booked, f"batch={name}", 10**9)
    id = await begun(booked, lines("a", "b"), name=name, cost_labels=labels)
    batch = await ended(booked, id)
    await asked(booked, id)
    found = await counter(booked.database, made.id)
    assert (found.spent_ticks, found.reserved_ticks) == (batch.cost.cost_ticks, 0)
    assert found.spent_ticks > 0
    assert await violations(booked.database) == {}
    await limit(booked, f"batch={name}", found.spent_ticks)
    sent = len(booked.openai.bill)
    refused = await failure(begun(booked, lines("a"), name=f"{name}-full", cost_labels=labels))
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED")
    assert (refused.metadata["node"], refused.metadata["period"]) == ("label", "total")
    assert not [entry for entry in booked.openai.bill.entries[sent:] if entry.path.endswith("/batches")]
    await drop(booked, made)


async def test_budget_that_warns_lets_a_batch_begin(booked: Running) -> None:
    name = f"budget-{next(numbers)}"
    made = await limit(booked, f"batch={name}", 0)
    made.policy = budget_pb2.BUDGET_POLICY_WARN
    await BudgetRows(booked.database).upsert(made)
    await booked.server.foundation.budgets.refresh()
    await ended(booked, await begun(booked, lines("a"), name=name, cost_labels={"batch": name}))
    await drop(booked, made)
