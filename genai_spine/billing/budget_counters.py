"""Counters of budgets that this process knows, by their budgets, nodes and periods.

Each is made once, however many calls need it at the same time: they wait for one task, and fail with it.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC

from google.protobuf.timestamp_pb2 import Timestamp

from genai_spine.errors import InternalError, ServiceUnavailable, SpineError
from genai_spine.store.booking.budgets import BudgetRows
from genai_spine.store.booking.counter_opening import CounterKey
from genai_spine.store.booking.periods import period_start
from genai_spine.v1 import budget_pb2 as pb

MOST_COUNTERS = 100_000  # ids that are kept in memory
MAKING_S = 5.0  # seconds until a call that waits for a counter is refused
DAY_S = 86_400

Applied = tuple[pb.Budget, str]  # a budget and the key of the node that it counts
DayKey = tuple[int, str, int]  # budget, node and day since 1970; no period ends within a day


class BudgetCounters:
    """Ids of counters."""

    def __init__(self, rows: BudgetRows) -> None:
        self._rows = rows
        self._ids: dict[DayKey, int] = {}
        self._making: dict[CounterKey, asyncio.Task[int | None]] = {}

    async def open(self, applied: Sequence[Applied], at: Timestamp) -> dict[int, Applied]:
        """Counters of budgets in their periods of a time, by id, made where they are missing.

        Those of budgets that are gone are left out. Errors: ServiceUnavailable when the database does not
        answer.
        """
        day, found = at.seconds // DAY_S, {}
        for one in applied:
            budget, key = one
            id = self._ids.get((budget.id, key, day))
            if id is None:
                return await self._opened(applied, at)
            found[id] = one
        return found

    def forget(self, applied: Sequence[Applied], at: Timestamp) -> None:
        """Looks these up again when they are needed: one of them was deleted."""
        for budget, key in applied:
            self._ids.pop((budget.id, key, at.seconds // DAY_S), None)

    def forget_many(self) -> bool:
        """Whether there were too many, so that all were forgotten."""
        is_full = len(self._ids) > MOST_COUNTERS
        if is_full:
            self._ids.clear()
        return is_full

    async def _opened(self, applied: Sequence[Applied], at: Timestamp) -> dict[int, Applied]:
        time = at.ToDatetime(UTC)
        tasks = [self._maker((budget.id, key, period_start(budget.period, time))) for budget, key in applied]
        await asyncio.wait(tasks)  # a caller that goes away cancels none of them
        found: dict[int, Applied] = {}
        for (budget, key), task in zip(applied, tasks, strict=True):
            if (error := task.exception()) is not None:
                raise _failure(error) from error
            if (id := task.result()) is not None:
                self._ids[budget.id, key, at.seconds // DAY_S] = id
                found[id] = budget, key
        return found

    def _maker(self, key: CounterKey) -> "asyncio.Task[int | None]":
        """Task that makes a counter; all calls that need it wait for this one."""
        task = self._making.get(key)
        if task is None:
            task = self._making[key] = asyncio.create_task(self._make(key))
            task.add_done_callback(_looked_at)
        return task

    async def _make(self, key: CounterKey) -> int | None:
        try:
            async with asyncio.timeout(MAKING_S):
                return (await self._rows.open_counters([key])).get(key)
        finally:
            del self._making[key]


def _failure(error: BaseException) -> SpineError:
    """Error of one of the calls that waited: each gets its own, for they are written into."""
    is_away = isinstance(error, ServiceUnavailable | TimeoutError)
    return ServiceUnavailable(cause="its database does not answer") if is_away else InternalError()


def _looked_at(task: "asyncio.Task[int | None]") -> None:
    """Takes notice of a failure for which nobody waits any more."""
    if not task.cancelled():
        task.exception()
