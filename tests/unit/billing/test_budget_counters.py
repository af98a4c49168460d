"""Counters of budgets: made once for all calls that wait, which a hanging database fails together."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from genai_spine.billing import budget_counters
from genai_spine.billing.budget_counters import BudgetCounters
from genai_spine.errors import InternalError, ServiceUnavailable
from genai_spine.v1 import budget_pb2 as pb

NOW = Timestamp(seconds=1_795_953_600)  # 2026-11-29 12:00
DAILY, GONE = (pb.Budget(id=id, period=pb.BUDGET_PERIOD_DAILY) for id in (1, 2))
ANN, BOB, NONE = (DAILY, "ann"), (DAILY, "bob"), (GONE, "ann")


class Rows:
    """Makes counters while its gate is open; those of budget 2 are gone."""

    def __init__(self, *failures: Exception) -> None:
        self.gate = asyncio.Event()
        self.made: list[Any] = []
        self.failures = list(failures)

    async def open_counters(self, keys: Any) -> dict[Any, int]:
        self.made += keys
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop()
        return {key: len(self.made) for key in keys if key[0] == 1}


def counters(rows: Any) -> BudgetCounters:
    return BudgetCounters(rows)


async def test_counter_is_made_once_for_all_calls_that_wait() -> None:
    rows = Rows()
    found = counters(rows)
    calls = [asyncio.create_task(found.open([ANN, BOB, NONE], NOW)) for _ in range(300)]
    await asyncio.sleep(0)
    calls.pop().cancel()  # who goes away takes nothing along
    rows.gate.set()
    await asyncio.gather(*calls)
    start = datetime(2026, 11, 29, tzinfo=UTC)
    assert sorted(rows.made) == [(1, "ann", start), (1, "bob", start), (2, "ann", start)]
    rows.gate.clear()
    assert await found.open([ANN, BOB], NOW) == {1: ANN, 2: BOB}


async def test_database_that_hangs_fails_all_that_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_counters, "MAKING_S", 0.02)
    rows = Rows()
    found = counters(rows)
    async with asyncio.timeout(1):
        waited = await asyncio.gather(*(found.open([ANN], NOW) for _ in range(100)), return_exceptions=True)
    assert {type(error) for error in waited} == {ServiceUnavailable}
    assert len({id(error) for error in waited}) == 100  # each is written into by itself
    rows.gate.set()
    assert await found.open([ANN], NOW) == {2: ANN}


@pytest.mark.parametrize(
    ("failure", "told"), [(ServiceUnavailable(cause="x"), ServiceUnavailable), (KeyError("x"), InternalError)]
)
async def test_counter_that_could_not_be_made_is_made_by_the_next_call(
    failure: Exception, told: type[Exception]
) -> None:
    rows = Rows(failure)
    rows.gate.set()
    found = counters(rows)
    with pytest.raises(told) as caught:
        await found.open([ANN], NOW)
    assert caught.value.__cause__ is failure
    assert await found.open([ANN], NOW) == {2: ANN}


async def test_counters_are_forgotten_one_by_one_and_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = Rows()
    rows.gate.set()
    found = counters(rows)
    await found.open([ANN, BOB], NOW)
    assert not found.forget_many()
    found.forget([ANN], NOW)
    assert await found.open([ANN, BOB], NOW) == {3: ANN, 4: BOB}
    monkeypatch.setattr(budget_counters, "MOST_COUNTERS", 0)
    assert found.forget_many()
    assert await found.open([ANN], NOW) == {5: ANN}


async def test_period_that_begins_has_counters_of_its_own() -> None:
    rows = Rows()
    rows.gate.set()
    found = counters(rows)
    await found.open([ANN], NOW)
    tomorrow = Timestamp(seconds=NOW.seconds + 43_200)
    assert await found.open([ANN], tomorrow) == {2: ANN}
    assert rows.made[-1][2] == datetime(2026, 11, 30, tzinfo=UTC)
