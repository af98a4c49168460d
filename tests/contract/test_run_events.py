"""Events that a process reports of its runs: on SQLite and PostgreSQL."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import pytest
import sqlalchemy as sa

from genai_spine.errors import ServiceUnavailable
from genai_spine.runs.events import EventWriter
from genai_spine.runs.watching import Events, Place, RunWatcher
from genai_spine.store.database import Database
from genai_spine.store.runs import news
from genai_spine.store.runs.events import EventRows, Owner, PendingEvent
from genai_spine.store.runs.news import Output
from genai_spine.store.runs.tables import runs
from genai_spine.v1.run_pb2 import RunEvent
from tests.contract.test_run_transitions import a_run, submit


class FailingRows(EventRows):
    """Rows of a database that fails once: before it commits, or behind that, so that nobody hears of it."""

    def __init__(self, database: Database, *, is_behind: bool) -> None:
        super().__init__(database)
        self.is_behind, self.failures = is_behind, 1

    async def add(
        self,
        events: Mapping[Owner, Sequence[PendingEvent]],
        output: Mapping[Owner, Sequence[Output]],
        again: Collection[Owner] = (),
    ) -> None:
        fails, self.failures = self.failures > 0, 0
        if not fails or self.is_behind:
            await super().add(events, output, again)
        if fails:
            raise ServiceUnavailable(cause="the database is away")


async def owned(database: Database) -> Owner:
    run = a_run()
    await submit(database, run)
    await made_by(database, run.run_id, "one", status="running")
    return Owner(run.run_id, 1, "one")


async def made_by(database: Database, run_id: str, process: str, **fields: str) -> None:
    async with database.begin() as connection:
        values = {"executor_id": process, **fields}
        await connection.execute(sa.update(runs).where(runs.c.id == run_id).values(values))


async def reported(database: Database, owner: Owner) -> list[RunEvent]:
    log = await EventRows(database).after(owner.run_id, 0, 100)
    assert [event.sequence for event in log] == list(range(1, len(log) + 1))
    return [event for event in log if event.event_type.startswith("told")]


@pytest.mark.parametrize("is_behind", [False, True], ids=["before", "behind"])
async def test_events_that_a_database_did_not_take_are_written_again_and_once(
    database: Database, is_behind: bool
):
    owner, writer = await owned(database), EventWriter(FailingRows(database, is_behind=is_behind))
    for number in (1, 2):
        writer.event(owner, PendingEvent(f"told.{number}", {"number": number}))
    with pytest.raises(ServiceUnavailable):
        await writer.flush(owner)
    writer.event(owner, PendingEvent("told.3"))
    await writer.flush(owner)
    await writer.stop()
    assert [one.event_type for one in await reported(database, owner)] == ["told.1", "told.2", "told.3"]


async def test_what_waits_is_written_at_the_end_of_the_writer(database: Database):
    owner, writer = await owned(database), EventWriter(EventRows(database))
    writer.event(owner, PendingEvent("told"))
    writer.progress(owner, 0.5, "half")
    await writer.stop()
    assert [one.event_type for one in await reported(database, owner)] == ["told"]


async def test_a_process_that_lost_its_run_reports_nothing(database: Database):
    owner, writer = await owned(database), EventWriter(EventRows(database))
    await made_by(database, owner.run_id, "two")
    writer.event(owner, PendingEvent("told"))
    writer.progress(owner, 0.5, "half")
    await writer.flush(owner)
    await writer.stop()
    assert await reported(database, owner) == []
    writer.event(later := Owner(owner.run_id, 1, "two"), PendingEvent("told"))
    await writer.flush(later)
    await writer.stop()
    assert len(await reported(database, owner)) == 1


async def test_text_with_a_character_zero_is_kept_and_loses_no_other(database: Database):
    owner, other, rows = await owned(database), await owned(database), EventRows(database)
    await rows.add({}, {owner: [Output("s", 1, 0, "a\0b\0")], other: [Output("s", 1, 0, "whole")]})
    assert [piece.text for piece in await rows.output(owner.run_id)] == ["a\ufffdb\ufffd"]
    assert [piece.text for piece in await rows.output(other.run_id)] == ["whole"]


@pytest.mark.parametrize(
    "change",
    [{"executor_id": "two"}, {"attempt": 2}, {"status": "completed"}],
    ids=["taken over", "begun again", "ended"],
)
async def test_text_of_a_process_that_does_not_make_the_run_any_more_is_not_written(
    database: Database, change: dict[str, Any]
):
    owner, rows = await owned(database), EventRows(database)
    mine, other = await owned(database), Output("s", 1, 0, "mine")
    before = Output("s", 1, 0, "before")
    await rows.add({}, {owner: [before]})
    async with database.begin() as connection:
        await connection.execute(sa.update(runs).where(runs.c.id == owner.run_id).values(change))
    await rows.add({}, {owner: [Output("s", 1, 6, "woken")], mine: [other]})
    assert await rows.output(owner.run_id) == [before]
    assert await rows.output(mine.run_id) == [other]


async def test_watcher_is_told_of_its_begin_and_of_each_silence(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(news, "POLL_S", 0.01)  # nothing tells it of other processes yet
    owner, place = await owned(database), Place()
    watch = RunWatcher(database).watch(owner.run_id, place, 0.0)
    try:
        async with aclosing(watch) as events:
            assert await anext(events) is None
            log = [event.event_type async for event in _until_silence(events)]
            assert log[0] == "created"
            assert await anext(events) is None  # the next one
            await EventRows(database).add({owner: [PendingEvent("told")]}, {})
            assert "told" in [event.event_type async for event in _until_silence(events)]
    finally:
        await news.RunNews.of(database).close()


async def _until_silence(events: Events) -> AsyncGenerator[RunEvent]:
    """Events until the first silence behind one."""
    has_any = False
    async for event in events:
        if event is not None:
            has_any = True
            yield event
        elif has_any:
            return
