"""Counters of budgets: made once for all calls that wait, which a hanging database fails together."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from genai_spine.billing import budget_counters
from genai_spine.billing.budget_counters import BudgetCounters
from genai_spine.errors import InternalError, ServiceUnavailable

KEY = (1, "ann", datetime(2026, 11, 29, tzinfo=UTC))
OTHER = (1, "bob", datetime(2026, 11, 29, tzinfo=UTC))
GONE = (2, "ann", datetime(2026, 11, 29, tzinfo=UTC))


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
    calls = [asyncio.create_task(found.open([KEY, OTHER, GONE])) for _ in range(300)]
    await asyncio.sleep(0)
    calls.pop().cancel()  # who goes away takes nothing along
    rows.gate.set()
    await asyncio.gather(*calls)
    assert sorted(rows.made) == sorted([KEY, OTHER, GONE])
    assert None not in (found.id_of(KEY), found.id_of(OTHER))
    assert found.id_of(GONE) is None


async def test_database_that_hangs_fails_all_that_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_counters, "MAKING_S", 0.02)
    rows = Rows()
    found = counters(rows)
    async with asyncio.timeout(1):
        waited = await asyncio.gather(*(found.open([KEY]) for _ in range(100)), return_exceptions=True)
    assert {type(error) for error in waited} == {ServiceUnavailable}
    assert len({id(error) for error in waited}) == 100  # each is written into by itself
    rows.gate.set()
    await found.open([KEY])
    assert found.id_of(KEY) == 2


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
        await found.open([KEY])
    assert caught.value.__cause__ is failure
    await found.open([KEY])
    assert found.id_of(KEY) == 2


async def test_counters_are_forgotten_one_by_one_and_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = Rows()
    rows.gate.set()
    found = counters(rows)
    await found.open([KEY, OTHER])
    assert not found.forget_many()
    found.forget([KEY])
    assert (found.id_of(KEY), found.id_of(OTHER)) == (None, 2)
    monkeypatch.setattr(budget_counters, "MOST_COUNTERS", 0)
    assert found.forget_many()
    assert found.id_of(OTHER) is None
