"""Group commit of runs on both databases: what is written together is what one by one would have been."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from genai_spine.store.booking.writers import RowsRefused
from genai_spine.store.database import Database
from genai_spine.store.runs.events import EventRows
from genai_spine.store.runs.news import CHANNEL, END, QUEUE, TEXT_CHANNEL, Output, RunNews, changing
from genai_spine.store.runs.plain import statements
from genai_spine.store.runs.plain.commits import Completion, RunCommits
from genai_spine.store.runs.plain.text import WrittenText, write_text
from genai_spine.store.runs.queue import RunQueue
from genai_spine.store.runs.runs import KeyTaken, RunRows, new_run_id
from genai_spine.store.runs.steps import StepRows
from genai_spine.store.runs.tables import runs
from genai_spine.v1 import run_pb2 as pb
from genai_spine.v1.completion_service_pb2 import CreateCompletionRequest
from genai_spine.v1.work_pb2 import Work, WorkResponse
from tests.waiting import until

FIELDS = {"request_hash": b"hash", "api_key_id": "key", "permissions": b""}
WORKER = "worker"


def a_run(**fields: Any) -> pb.Run:
    id = new_run_id()
    given = {
        "run_id": id,
        "root_run_id": id,
        "kind": "task",
        "name": "genai.completion",
        "work": Work(completion=CreateCompletionRequest(model="m")),
        "options": pb.RunOptions(priority="normal", trigger_source="api"),
        "status": "queued",
        "attempt": 1,
        "tenant_id": "t",
        "principal": "anonymous",
        "priority": "normal",
        "lane": "cpu",
    }
    return pb.Run(**(given | fields))


def everything(lane: str) -> bool:
    return True


async def row_of(database: Database, run_id: str) -> dict[str, Any]:
    async with database.connect() as connection:
        found = await connection.execute(sa.select(runs).where(runs.c.id == run_id))
        return dict(found.mappings().one())


async def submitted(database: Database, count: int) -> list[str]:
    made = [a_run() for _ in range(count)]
    await asyncio.gather(*(RunRows(database).add_plain(run, FIELDS) for run in made))
    return [run.run_id for run in made]


def completion(run_id: str, executor_id: str = WORKER) -> Completion:
    step = {"run_id": run_id, "step_id": "s.0", "name": "genai.completion", "type": "completion"}
    step |= {"ordinal": 1, "status": "completed", "attempt": 1, "started_at": datetime.now(UTC)}
    step["execution_ids"] = ["x"]
    return Completion(run_id, 1, executor_id, WorkResponse().SerializeToString(), step)


async def test_plain_run_has_the_row_and_the_events_of_any_other(database: Database) -> None:
    options = pb.RunOptions(priority="high", trigger_source="schedule", hold=True, metadata={"a": "ä"})
    options.not_before.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    options.deadline.FromDatetime(datetime.now(UTC) + timedelta(hours=2))
    texts = {name: name for name in ("project_id", "correlation_id", "parent_run_id", "schedule_id")}
    given = {"options": options, "status": "pending", "priority": "high", **texts}
    plain, other = a_run(**given), a_run(**given)
    await RunRows(database).add_plain(plain, FIELDS)
    async with changing(database) as change:
        await RunRows(database).add(change, other, FIELDS)
    rows = [await row_of(database, run.run_id) for run in (plain, other)]
    for row in rows:
        for name in ("id", "root_run_id", "created_at"):
            assert row.pop(name)
    assert rows[0] == rows[1]
    logs = [await EventRows(database).after(run.run_id, 0, 9) for run in (plain, other)]
    said = [[(event.sequence, event.event_type, event.source, event.data) for event in log] for log in logs]
    assert said[0] == said[1]


async def test_every_column_of_a_new_run_is_written() -> None:
    by_the_database = {"created_at", "queued_at"}
    of_later = {"started_at", "ended_at", "executor_id", "recoveries", "cancel_mode", "cancel_reason"}
    written = {*statements.RUN} | by_the_database | of_later | {"error", "response"}
    assert written == {column.name for column in runs.c}


async def test_of_many_with_one_key_one_is_new_and_the_others_hear_which(database: Database) -> None:
    rows = RunRows(database)
    made = [a_run(idempotency_key="k") for _ in range(20)]
    done = await asyncio.gather(*(rows.add_plain(run, FIELDS) for run in made), return_exceptions=True)
    [new] = [run.run_id for run, outcome in zip(made, done, strict=True) if outcome is None]
    assert {(error.run_id, error.request_hash) for error in done if isinstance(error, KeyTaken)} == {
        (new, b"hash")
    }
    assert [event.sequence for event in await EventRows(database).after(new, 0, 9)] == [1, 2]


async def test_claims_and_ends_are_the_owners_alone_and_are_told(database: Database) -> None:
    ids = await submitted(database, 5)
    claimed = await RunQueue(database).claim(WORKER, everything, 4)
    ids = sorted(ids, key=lambda id: id not in {run.run_id for run, _ in claimed})
    assert len(claimed) == 4
    commits, news = RunCommits.of(database), RunNews.of(database)
    ends = [completion(id) for id in ids[:3]] + [completion(ids[3], "other"), completion(ids[4])]
    with news.subscribed(END + ids[0]) as told:
        assert await asyncio.gather(*map(commits.complete, ends)) == [True, True, True, False, False]
        assert told.is_set()
    await news.close()
    assert [(await row_of(database, id))["status"] for id in ids] == ["completed"] * 3 + ["running", "queued"]
    for id in ids[:3]:
        log = await EventRows(database).after(id, 0, 9)
        assert [event.event_type for event in log] == ["created", "queued", "started", "completed"]
        assert [event.sequence for event in log] == [1, 2, 3, 4]
        assert 0 <= log[-1].data["duration_seconds"] < 600
        assert log[2].data["worker"] == WORKER
        [step] = await StepRows(database).page(id, 0, 9)
        assert list(step.execution_ids) == ["x"]
        assert (await row_of(database, id))["last_sequence"] == 4
    assert not await StepRows(database).page(ids[3], 0, 9)


async def test_two_workers_never_claim_one_run(database: Database) -> None:
    ids = await submitted(database, 40)
    queue = RunQueue(database)
    found = await asyncio.gather(*(queue.claim(f"w{number}", everything, 5) for number in range(8)))
    taken = [run.run_id for some in found for run, _ in some]
    assert len(taken) == len({*taken})
    assert {*taken} <= {*ids}


async def test_row_that_breaks_a_rule_is_refused_alone(database: Database) -> None:
    ids = await submitted(database, 3)
    assert len(await RunQueue(database).claim(WORKER, everything, 3)) == 3
    ends = [completion(id) for id in ids]
    ends[1] = ends[1]._replace(step={**ends[1].step, "name": None})
    commits = RunCommits.of(database)
    outcomes = await asyncio.gather(*map(commits.complete, ends), return_exceptions=True)
    assert [outcomes[0], type(outcomes[1]), outcomes[2]] == [True, RowsRefused, True]
    rows = [await row_of(database, id) for id in ids]
    assert [row["status"] for row in rows] == ["completed", "running", "completed"]


async def test_text_reaches_readers_of_other_processes_and_stays_for_late_ones(database_url: str) -> None:
    writing, watching = Database(database_url), Database(database_url)
    run, long = await submitted(writing, 2)
    assert len(await RunQueue(writing).claim(WORKER, everything, 2)) == 2
    reading = watching if watching.dialect == "postgresql" else writing  # SQLite tells no other process
    news, piece = RunNews.of(reading), Output("s", 1, 0, "häl\nlo")
    try:
        with news.reading(run) as reader, news.reading("other") as other:
            await until(lambda: reading is writing or reader.is_told)  # it listens
            reader.is_told = False
            reader.event.clear()
            mine = WrittenText(run, 1, WORKER, piece)
            await write_text(writing, [mine, WrittenText(long, 1, WORKER, Output("s", 1, 0, "x" * 9000))])
            await write_text(writing, [mine])
            await until(lambda: len(reader.pieces) == 2)
            assert {*reader.pieces} == {piece}
            assert not other.pieces
        assert await EventRows(watching).output(run) == [piece]
        assert [len(one.text) for one in await EventRows(watching).output(long)] == [9000]
    finally:
        for opened in (writing, watching):
            await RunNews.of(opened).close()
            await opened.close()


@pytest.mark.parametrize("channel", [CHANNEL, TEXT_CHANNEL, ""])
async def test_listener_leaves_no_connection_whatever_ends_it(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, channel: str
) -> None:
    opened, connect, listen = [], asyncpg.connect, asyncpg.Connection.add_listener

    async def remembered(*args: Any, **named: Any) -> asyncpg.Connection:
        opened.append(await connect(*args, **named))
        return opened[-1]

    async def failing(self: asyncpg.Connection, name: str, tell: Any) -> None:
        if name == channel:
            raise asyncpg.TooManyConnectionsError("no")
        await listen(self, name, tell)

    monkeypatch.setattr(asyncpg, "connect", remembered)
    monkeypatch.setattr(asyncpg.Connection, "add_listener", failing)
    database = Database(postgres_url)
    news = RunNews.of(database)
    with news.subscribed(QUEUE) as told:
        await until(lambda: bool(opened))
        await until(lambda: opened[0].is_closed() if channel else told.is_set())
    await news.close()
    await database.close()
    assert [connection.is_closed() for connection in opened] == [True]
