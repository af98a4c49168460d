"""Group commit of items: what is written together, what is told, and what a lost database or run does."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from genai_spine.errors import ServiceUnavailable
from genai_spine.runs.batches import item_ends
from genai_spine.runs.batches.item_ends import ItemEnds
from genai_spine.runs.execution.context import OwnerLost
from genai_spine.store.runs.events import Owner
from genai_spine.store.runs.items import BatchProgress, ItemEnd
from genai_spine.v1.batch_pb2 import BatchCounts
from tests.waiting import until

OWNER = Owner("run", 1, "process")


class Rows:
    """Table of items that answers as it is told: None, False or an error, one a write."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.writes: list[tuple[list[int], dict[int, int], BatchProgress, bool]] = []

    async def write(
        self,
        owner: Owner,
        ends: Sequence[ItemEnd],
        begun: Mapping[int, int],
        progress: BatchProgress,
        *,
        is_repeat: bool = False,
    ) -> bool:
        await asyncio.sleep(0)
        self.writes.append(([end.place for end in ends], dict(begun), progress, is_repeat))
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)


def ends_of(rows: Rows, total: int, most: int = 4) -> ItemEnds:
    return ItemEnds(rows, OWNER, BatchCounts(total=total, pending=total), most)  # type: ignore[arg-type]


def end(place: int, status: str = "completed") -> ItemEnd:
    return ItemEnd(place, str(place), status, 1, [])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_ends, "RETRY_S", 0.001)


async def test_ends_that_come_together_are_written_together():
    rows = Rows()
    async with ends_of(rows, 8) as ends:
        await asyncio.gather(
            *(ends.write(end(place, "failed" if place == 3 else "completed")) for place in range(8))
        )
        assert (ends.counts.completed, ends.counts.failed, ends.counts.pending) == (7, 1, 0)
    assert sorted(place for places, *_ in rows.writes for place in places) == list(range(8))
    assert len(rows.writes) <= 2
    assert rows.writes[-1][2].share == 1.0
    assert rows.writes[-1][2].message == "8 of 8"


async def test_write_returns_with_the_commit_and_not_before():
    rows = Rows()
    async with ends_of(rows, 1, most=1) as ends:
        await ends.write(end(0))
        assert [places for places, *_ in rows.writes] == [[0]]


async def test_database_that_was_away_gets_the_same_ends_again_as_a_repeat():
    rows = Rows(ServiceUnavailable(cause="away"), ServiceUnavailable(cause="away"))
    async with ends_of(rows, 1, most=1) as ends:
        await ends.write(end(0))
    assert [(places, is_repeat) for places, _, _, is_repeat in rows.writes] == [
        ([0], False),
        ([0], True),
        ([0], True),
    ]
    assert ends.counts.completed == 1


async def test_process_that_lost_its_run_writes_nothing_more():
    rows = Rows(False)
    heard: list[BaseException | None] = []

    async def made() -> None:
        async with ends_of(rows, 2, most=1) as ends:
            for place in range(2):
                heard.extend(await asyncio.gather(ends.write(end(place)), return_exceptions=True))

    with pytest.raises(OwnerLost):
        await made()
    assert [type(error) for error in heard] == [OwnerLost, OwnerLost]
    assert len(rows.writes) == 1


async def test_refused_write_fails_all_that_wait_and_hides_nothing():
    rows = Rows(ValueError("no such column"))
    with pytest.raises(ValueError, match="no such column"):
        async with ends_of(rows, 1, most=1) as ends:
            await ends.write(end(0))


async def test_work_that_is_cut_off_still_writes_what_has_ended():
    rows = Rows()

    async def made() -> None:
        async with ends_of(rows, 4, most=4) as ends:
            waiting = [asyncio.create_task(ends.write(end(place))) for place in range(1)]
            await asyncio.sleep(0)
            await asyncio.gather(*waiting, asyncio.sleep(3600))

    task = asyncio.create_task(made())
    await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [place for places, *_ in rows.writes for place in places] == [0]


async def test_items_that_take_long_are_shown_as_running_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(item_ends, "SHOWN_AFTER_S", 0.01)
    rows = Rows()
    async with ends_of(rows, 2, most=2) as ends:
        ends.begin(0, 1)
        ends.begin(1, 3)
        await until(lambda: bool(rows.writes))
        await ends.write(end(0))
        await ends.write(end(1))
    assert rows.writes[0][:2] == ([], {0: 1, 1: 3})
    assert not rows.writes[0][2].has_event
    assert all(not begun for _, begun, *_ in rows.writes[1:])
