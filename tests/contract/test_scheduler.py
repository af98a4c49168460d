"""Schedulers in several processes, on SQLite and PostgreSQL: each due time once, and none lost with them."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import sqlalchemy as sa

from genai_spine.call import DEFAULT_TENANT
from genai_spine.store.database import Database
from genai_spine.store.schedules.schedules import Maker, ScheduleRows, StoredSchedule
from genai_spine.v1.schedule_service_pb2 import Schedule
from tests.contract.scheduling import scheduler_of
from tests.waiting import until

SCHEDULES = 12
TICKS = 4  # of each schedule, before the last process is killed


async def begun(url: str) -> Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.contract.scheduling", url, stdout=PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"looking\n"
    return process


async def killed(process: Process) -> None:
    process.kill()
    await process.communicate()


def schedule(number: int, **fields: object) -> StoredSchedule:
    """Schedule of a summary each second."""
    made = Schedule(
        schedule_id=f"schedule-{number}",
        name=f"number {number}",
        target_name="summarize",
        interval_seconds=1,
        max_instances=1000,
        enabled=True,
    )
    made.params.update({"content": "Rain fell.", "model": "extractive"})
    for name, value in fields.items():
        setattr(made, name, value)
    return StoredSchedule(made, Maker(DEFAULT_TENANT, "anonymous"), datetime.now(UTC))


async def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    async with database.connect() as connection:
        return [tuple(row) for row in await connection.execute(sa.text(query))]


async def check_once(database: Database) -> None:
    """Each due time has one row and one run, and none is left out."""
    table = ScheduleRows(database)
    for number in range(SCHEDULES):
        ticks = [tick async for tick in _ticks(table, f"schedule-{number}")]
        assert {tick.outcome for tick in ticks} == {"submitted"}
        times = [tick.due_time.ToDatetime(UTC) for tick in reversed(ticks)]
        assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(seconds=1)}
        query = f"SELECT id FROM runs WHERE schedule_id = 'schedule-{number}'"
        assert {run_id for (run_id,) in await rows(database, query)} == {tick.run_id for tick in ticks}
        assert len({tick.run_id for tick in ticks}) == len(ticks)


async def _ticks(table: ScheduleRows, id: str):
    for tick in await table.ticks(id, None, 1000):
        yield tick


@pytest.mark.parametrize("kills", [0, 4])
async def test_each_due_time_is_submitted_once_whoever_dies(
    database: Database, database_url: str, kills: int
) -> None:
    table = ScheduleRows(database)
    for number in range(SCHEDULES):
        assert await table.add(schedule(number))
    processes = [await begun(database_url) for _ in range(2)]
    for _ in range(kills):
        await killed(processes.pop(0))
        processes.append(await begun(database_url))

    async def enough() -> bool:
        return len(await table.ticks("schedule-0", None, TICKS)) == TICKS

    await until(enough)
    for process in processes:
        await killed(process)
    await check_once(database)


async def test_death_between_the_claim_and_the_run_leaves_the_due_time_to_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = scheduler_of(database)
    assert await scheduler.rows.add(schedule(0))

    async def die(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ScheduleRows, "add_tick", die)
        with pytest.raises(KeyboardInterrupt):
            await scheduler.look()
    assert await rows(database, "SELECT * FROM runs") == []
    await scheduler.look()
    [tick] = await scheduler.rows.ticks("schedule-0", None, 10)
    assert await rows(database, "SELECT id FROM runs") == [(tick.run_id,)]


async def test_schedule_that_fails_in_a_way_nobody_knows_holds_up_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = scheduler_of(database)
    for number in range(2):
        assert await scheduler.rows.add(schedule(number))
    add_tick = ScheduleRows.add_tick

    async def broken(self: ScheduleRows, change: object, stored: StoredSchedule, *rest: object) -> bool:
        if stored.id == "schedule-0":
            raise ZeroDivisionError
        return await add_tick(self, change, stored, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ScheduleRows, "add_tick", broken)
    await scheduler.look()
    assert await scheduler.rows.ticks("schedule-0", None, 10) == []
    assert len(await scheduler.rows.ticks("schedule-1", None, 10)) == 1
