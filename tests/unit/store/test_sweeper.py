"""The sweeper: again and again, and never stopped by an error."""

import asyncio

import pytest
from structlog.testing import capture_logs

from genai_spine.store import sweeper
from genai_spine.store.sweeper import BATCH_SIZE, Sweeper


class Table:
    """So many rows that have run out; an error for a negative number."""

    def __init__(self, *batches: int) -> None:
        self.batches = list(batches)
        self.done = asyncio.Event()

    async def sweep(self) -> int:
        batch = self.batches.pop(0)
        if not self.batches:
            self.done.set()
            self.batches = [0]
        if batch < 0:
            raise ConnectionError("gone")
        return batch


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "PAUSE_S", 0.0)


async def swept(sweeps: dict[str, Table], period_s: float) -> list[str]:
    running = Sweeper({name: table.sweep for name, table in sweeps.items()}, period_s)
    with capture_logs() as logs:
        running.start()
        async with asyncio.timeout(2):
            for table in sweeps.values():
                await table.done.wait()
        await running.stop()
    return [line["table"] for line in logs]


async def test_table_is_swept_until_nothing_is_left_before_the_next_one() -> None:
    assert await swept({"a": Table(BATCH_SIZE, BATCH_SIZE, 3), "b": Table(0)}, period_s=60) == []


async def test_sweeps_come_again_after_the_period() -> None:
    assert await swept({"a": Table(0, 0, 0)}, period_s=0.001) == []


async def test_table_that_cannot_be_swept_is_logged_and_the_others_are_swept() -> None:
    assert await swept({"a": Table(-1), "b": Table(BATCH_SIZE, 0)}, period_s=60) == ["a"]


async def test_sweeper_that_was_not_started_can_be_stopped() -> None:
    await Sweeper({}).stop()
