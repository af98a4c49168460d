"""Counters of budgets that this process knows, by their budgets, nodes and periods.

Each is made once, however many calls need it at the same time: they wait for one task, and fail with it.
"""

import asyncio
from collections.abc import Iterable

from genai_spine.errors import InternalError, ServiceUnavailable, SpineError
from genai_spine.store.booking.budgets import BudgetRows, CounterKey

MOST_COUNTERS = 100_000  # ids that are kept in memory
MAKING_S = 5.0  # seconds until a call that waits for a counter is refused


class BudgetCounters:
    """Ids of counters."""

    def __init__(self, rows: BudgetRows) -> None:
        self._rows = rows
        self._ids: dict[CounterKey, int] = {}
        self._making: dict[CounterKey, asyncio.Task[None]] = {}

    def id_of(self, key: CounterKey) -> int | None:
        """Id of a counter; None: it is not open, or its budget is gone."""
        return self._ids.get(key)

    async def open(self, keys: Iterable[CounterKey]) -> None:
        """Makes the counters that are missing, but for those of budgets that are gone.

        Errors: ServiceUnavailable when the database does not answer.
        """
        tasks = [self._maker(key) for key in keys if key not in self._ids]
        if not tasks:
            return
        await asyncio.wait(tasks)  # a caller that goes away cancels none of them
        for task in tasks:
            if (error := task.exception()) is not None:
                raise _failure(error) from error

    def forget(self, keys: Iterable[CounterKey]) -> None:
        """Looks these up again when they are needed: one of them was deleted."""
        for key in keys:
            self._ids.pop(key, None)

    def forget_many(self) -> bool:
        """Whether there were too many, so that all were forgotten."""
        is_full = len(self._ids) > MOST_COUNTERS
        if is_full:
            self._ids.clear()
        return is_full

    def _maker(self, key: CounterKey) -> "asyncio.Task[None]":
        """Task that makes a counter; all calls that need it wait for this one."""
        task = self._making.get(key)
        if task is None:
            task = self._making[key] = asyncio.create_task(self._make(key))
            task.add_done_callback(_looked_at)
        return task

    async def _make(self, key: CounterKey) -> None:
        try:
            async with asyncio.timeout(MAKING_S):
                self._ids |= await self._rows.open_counters([key])
        finally:
            del self._making[key]


def _failure(error: BaseException) -> SpineError:
    """Error of one of the calls that waited: each gets its own, for they are written into."""
    is_away = isinstance(error, ServiceUnavailable | TimeoutError)
    return ServiceUnavailable(cause="its database does not answer") if is_away else InternalError()


def _looked_at(task: "asyncio.Task[None]") -> None:
    """Takes notice of a failure for which nobody waits any more."""
    if not task.cancelled():
        task.exception()
