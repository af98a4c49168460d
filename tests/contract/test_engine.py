"""The engine of runs: what it relies on in DBOS, and every state in which a death can leave a workflow."""

import asyncio
import base64
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from importlib.metadata import version
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from genai_spine.runs import engine as module
from genai_spine.runs.engine import Engine, workflow_id
from genai_spine.store.database import Database
from genai_spine.store.runs import engine_tables
from genai_spine.store.runs.events import Owner
from tests.waiting import until


class Work:
    """Body of workflows that counts, and waits where it is told to."""

    def __init__(self) -> None:
        self.done: list[Owner] = []
        self.begun: list[Owner] = []
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def execute(self, owner: Owner) -> None:
        self.begun.append(owner)
        await self.may_end.wait()
        self.done.append(owner)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def engine(database: Database, work: Work) -> AsyncIterator[Engine]:
    made = Engine(database.engine_url, work.execute)
    yield made
    await made.stop()


def owner(executor_id: str = "a", run_id: str | None = None) -> Owner:
    return Owner(run_id or str(uuid4()), 1, executor_id)


async def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    """Rows of the engine's tables; {schema} stands before a table's name."""
    if database.dialect == "sqlite":
        connection = sqlite3.connect(database.engine_url.removeprefix("sqlite:///"))
        try:
            found = connection.execute(query.format(schema="")).fetchall()
            connection.commit()
            return found
        finally:
            connection.close()
    opened = await asyncpg.connect(database.engine_url)
    try:
        return [tuple(row) for row in await opened.fetch(query.format(schema="dbos."))]
    finally:
        await opened.close()


async def status(database: Database, of: Owner) -> str:
    query = f"SELECT status FROM {{schema}}workflow_status WHERE workflow_uuid = '{workflow_id(of)}'"
    [[found]] = await rows(database, query)
    return str(found)


async def left_by_a_death(engine: Engine, work: Work, run_id: str) -> None:
    """A workflow whose process died in the middle of it."""
    work.may_end.clear()
    making = asyncio.create_task(engine.make(owner("dead", run_id)))
    await until(lambda: bool(work.begun))
    making.cancel()
    for task in asyncio.all_tasks():  # the workflow's own
        if "_execute_workflow_async" in repr(task.get_coro()):
            task.cancel()
    await engine.stop()
    work.may_end.set()
    work.begun.clear()


async def test_work_is_done_once_and_booked_as_done(engine: Engine, work: Work, database: Database) -> None:
    run = owner()
    await engine.make(run)
    assert work.done == [run]
    await until(lambda: _is(database, run, "SUCCESS"))


async def test_start_whose_caller_is_cancelled_is_ended_by_the_stop(engine: Engine, work: Work) -> None:
    making = asyncio.create_task(engine.make(owner()))
    await until(lambda: module._Process.engine is engine)  # its thread has begun
    making.cancel()
    await asyncio.gather(making, return_exceptions=True)
    await engine.stop()
    assert module._Process.engine is None
    assert work.begun == []


async def _is(database: Database, run: Owner, wanted: str) -> bool:
    return await status(database, run) == wanted


async def test_rows_say_executor_and_version_and_hold_json_alone(engine: Engine, database: Database) -> None:
    run = owner("process-7")
    await engine.make(run)
    [row] = await rows(
        database,
        "SELECT s.executor_id, s.application_version, s.serialization, i.inputs "
        "FROM {schema}workflow_status s JOIN {schema}workflow_input i ON i.workflow_uuid = s.workflow_uuid",
    )
    assert row[:3] == ("process-7", "1", "genai_spine_json")
    assert run.run_id in row[3]
    assert row[3].startswith("{")


async def test_pickle_in_a_row_is_not_read(
    engine: Engine, work: Work, database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    run_id = str(uuid4())
    await left_by_a_death(engine, work, run_id)
    bad = base64.b64encode(b"cbuiltins\nprint\n(S'unpickled'\ntR.").decode()
    await rows(database, f"UPDATE {{schema}}workflow_input SET inputs = '{bad}'")
    await rows(database, "UPDATE {schema}workflow_status SET serialization = 'py_pickle'")
    with pytest.raises(Exception, match="pickle"):
        await engine.make(owner("b", run_id), is_orphan=True)
    assert work.begun == []
    assert "unpickled" not in capfd.readouterr().out
    await engine.make(owner("b", run_id), is_orphan=True)  # its row says what is to be done
    assert len(work.done) == 1


async def test_claimed_run_that_the_engine_never_saw_is_made(engine: Engine, work: Work) -> None:
    run = owner("b")
    await engine.make(run, is_orphan=True)
    assert work.done == [run]


async def test_workflow_of_a_dead_process_goes_on_under_the_new_one(
    engine: Engine, work: Work, database: Database
) -> None:
    run_id = str(uuid4())
    await left_by_a_death(engine, work, run_id)
    run = owner("b", run_id)
    assert await status(database, run) == "PENDING"
    await engine.make(run, is_orphan=True)
    assert work.done == [run]
    await until(lambda: _is(database, run, "SUCCESS"))
    query = "SELECT executor_id FROM {schema}workflow_status"
    assert await rows(database, query) == [("b",)]


async def test_workflow_that_a_process_returned_and_never_claimed_is_made(
    engine: Engine, work: Work, database: Database
) -> None:
    run_id = str(uuid4())
    await left_by_a_death(engine, work, run_id)
    await engine.make(owner("b"))  # starts the engine
    run = owner("b", run_id)
    await asyncio.to_thread(
        engine._system().reenqueue_for_recovery, workflow_id(run), ["dead"], f"recovery.{run_id}"
    )
    assert await status(database, run) == "ENQUEUED"
    await engine.make(run, is_orphan=True)
    assert work.done.count(run) == 1


async def test_workflow_that_has_ended_while_our_row_has_not_is_made_without_it(
    engine: Engine, work: Work, database: Database
) -> None:
    run = owner()
    await engine.make(run)
    await until(lambda: _is(database, run, "SUCCESS"))
    await engine.make(run, is_orphan=True)
    assert work.done == [run, run]  # the row says whether there is anything to do


async def test_second_start_of_an_attempt_runs_no_second_workflow(engine: Engine, work: Work) -> None:
    run = owner()
    await asyncio.gather(engine.make(run), engine.make(run))
    assert work.begun == [run]


async def test_stale_read_of_a_recovery_gets_no_workflow_twice(engine: Engine, work: Work) -> None:
    run_id = str(uuid4())
    await left_by_a_death(engine, work, run_id)
    await engine.make(owner("b"))
    system, id = engine._system(), f"{run_id}.1"
    first = await asyncio.to_thread(system.reenqueue_for_recovery, id, ["dead"], f"recovery.{run_id}")
    work.begun.clear()
    work.may_end.clear()
    making = asyncio.create_task(engine.make(owner("b", run_id), is_orphan=True))
    await until(lambda: bool(work.begun))
    second = await asyncio.to_thread(system.reenqueue_for_recovery, id, ["dead"], f"recovery.{run_id}")
    assert (first, second) == (True, False)
    work.may_end.set()
    await making
    assert len(work.begun) == 1


async def test_engine_is_relaunched_under_another_id(engine: Engine, work: Work, database: Database) -> None:
    await engine.make(owner("a"))
    slow = asyncio.create_task(asyncio.to_thread(time.sleep, 1.0))  # somebody else's, in a thread
    await engine.make(owner("a.1"))
    assert await asyncio.to_thread(lambda: "still served") == "still served"
    await slow
    found = await rows(database, "SELECT executor_id FROM {schema}workflow_status ORDER BY created_at")
    assert sorted(found) == [("a",), ("a.1",)]
    assert len(work.done) == 2


async def test_engine_that_has_nothing_to_do_polls_for_nothing(engine: Engine) -> None:
    await engine.make(owner())
    pollers = ("queue_thread", "background-jobs", "scheduler_loop", "queue-worker")

    def polling() -> list[str]:
        names = [thread.name for thread in threading.enumerate()]
        return [name for name in names if any(poller in name for poller in pollers)]

    await until(lambda: not polling())


async def test_ended_workflows_are_deleted_and_open_ones_of_running_runs_are_kept(
    engine: Engine, work: Work, database: Database
) -> None:
    lost, running = str(uuid4()), str(uuid4())
    await left_by_a_death(engine, work, lost)
    await left_by_a_death(engine, work, running)
    ended = owner("b")
    await engine.make(ended)
    await until(lambda: _is(database, ended, "SUCCESS"))

    async def runs_now(ids: Any) -> set[str]:
        return set(ids) & {running}

    assert await engine.delete_ended(runs_now) == 0  # not yet
    await asyncio.sleep(0.01)
    assert await engine.delete_ended(runs_now, older_s=-timedelta(minutes=1).total_seconds()) == 2
    query = "SELECT workflow_uuid FROM {schema}workflow_status"
    assert await rows(database, query) == [(f"{running}.1",)]
    query = "SELECT workflow_uuid FROM {schema}workflow_input"
    assert await rows(database, query) == [(f"{running}.1",)]


async def test_tables_are_of_the_version_that_is_pinned(database: Database) -> None:
    [[found]] = await rows(database, "SELECT version FROM {schema}dbos_migrations")
    assert found == engine_tables.VERSIONS[database.dialect]
    assert version("dbos").startswith("3.4.")
    assert await engine_tables.upgrade(database) is False


async def test_file_of_the_engine_is_private_and_has_a_write_ahead_log(sqlite_url: str) -> None:
    path = f"{sqlite_url.removeprefix('sqlite:///')}.engine"
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_no_attempt_is_recovered_by_the_engine_itself() -> None:
    config = module._config("sqlite:///x", "e")
    assert config["run_migrations"] is False
    assert config["executor_id"] == "e"
    assert config["application_version"] == "1"
    assert config["serializer"].name() == "genai_spine_json"
