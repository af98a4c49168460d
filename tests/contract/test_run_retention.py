"""Retention of runs on SQLite and PostgreSQL: what goes, and what stays however old it is."""

from typing import Any

import sqlalchemy as sa

from genai_spine.runs.budgets import budget_of
from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.runs.events import Owner
from genai_spine.store.runs.news import changing
from genai_spine.store.runs.queue import RunQueue
from genai_spine.store.runs.retention import MANY, RUNS_AT_ONCE, RunRetention
from genai_spine.store.runs.runs import RunRows
from genai_spine.store.runs.tables import run_events, run_output, runs
from genai_spine.store.runs.transitions import Failure, Transitions
from genai_spine.store.tables import budgets
from genai_spine.v1.work_pb2 import WorkResponse
from tests.contract.test_run_transitions import ERROR, a_run

DAY_S = 86_400.0


async def submitted(database: Database, **fields: Any) -> str:
    run = a_run(**fields)
    run.options.budget_limit_usd = 1.0
    async with changing(database) as change:
        await RunRows(database).add(change, run, {"request_hash": b""}, budget=budget_of(run))
        text = {"run_id": run.run_id, "step_id": "s.0", "begun": 1, "place": 0, "text": "text", "at": Now()}
        await change.execute(sa.insert(run_output).values(**text))
    return run.run_id


async def completed(database: Database, days_ago: float, **fields: Any) -> str:
    run_id = await submitted(database, **fields)
    await RunQueue(database).claim("a", lambda lane: True, 1)
    assert await Transitions(database).complete(Owner(run_id, 1, "a"), WorkResponse(), ())
    await aged(database, run_id, days_ago)
    return run_id


async def aged(database: Database, run_id: str, days_ago: float) -> None:
    async with database.begin() as connection:
        ended = sa.update(runs).where(runs.c.id == run_id)
        await connection.execute(ended.values(ended_at=Now(-days_ago * DAY_S)))


async def left(database: Database) -> set[str]:
    async with database.connect() as connection:
        return set((await connection.execute(sa.select(runs.c.id))).scalars())


async def count(database: Database, column: Any) -> int:
    async with database.connect() as connection:
        return int((await connection.execute(sa.select(sa.func.count(column)))).scalar_one())


async def test_a_run_that_ended_long_ago_goes_with_all_it_has(database: Database):
    await completed(database, 91)
    assert await RunRetention(database).sweep(90 * DAY_S) == 1
    assert await left(database) == set()
    for column in (run_events.c.run_id, run_output.c.run_id, budgets.c.id):
        assert await count(database, column) == 0


async def test_younger_ones_and_those_that_have_not_ended_stay(database: Database):
    young = await completed(database, 89)
    waiting = await submitted(database)
    async with database.begin() as connection:
        old = sa.update(runs).where(runs.c.id == waiting)
        await connection.execute(old.values(created_at=Now(-400 * DAY_S)))
    assert await RunRetention(database).sweep(90 * DAY_S) == 0
    assert await left(database) == {young, waiting}
    assert await count(database, run_events.c.run_id) == 6


async def test_a_child_stays_until_its_root_has_ended(database: Database):
    root = await submitted(database, status="pending")
    child = await completed(database, 91, root_run_id=root, parent_run_id=root)
    assert await RunRetention(database).sweep(90 * DAY_S) == 0
    assert await left(database) == {root, child}


async def test_a_dead_letter_keeps_its_run(database: Database):
    run_id = await submitted(database)
    await RunQueue(database).claim("a", lambda lane: True, 1)
    await Transitions(database).fail(Owner(run_id, 1, "a"), Failure(ERROR, is_final=True))
    await aged(database, run_id, 400)
    assert await RunRetention(database).sweep(90 * DAY_S) == 0
    assert await left(database) == {run_id}


async def test_many_are_swept_in_several_transactions(database: Database):
    for _ in range(RUNS_AT_ONCE + 1):
        await completed(database, 91)
    retention = RunRetention(database)
    assert await retention.sweep(90 * DAY_S) == MANY
    assert len(await left(database)) == 1
    assert await retention.sweep(90 * DAY_S) == 1


async def test_text_goes_some_minutes_after_the_end_of_its_run(database: Database):
    ended, fresh, running = (
        await completed(database, 1),
        await completed(database, 0),
        await submitted(database),
    )
    assert await RunRetention(database).sweep_output() == 1
    async with database.connect() as connection:
        found = set((await connection.execute(sa.select(run_output.c.run_id))).scalars())
    assert found == {fresh, running}
    assert ended in await left(database)
