"""Runs tortured: the worker of a batch killed again and again, and once frozen; nothing is done twice."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from bench.runs_torture.losses import Losses
from bench.runs_torture.run import Options, torture
from genai_spine.call import uuid7
from genai_spine.store.database import Database
from genai_spine.store.tables import executions
from genai_spine.v1.run_pb2 import RunEvent

# A worker that loses its lease because the machine is busy is taken over as well, which counts as a death.
TORTURED = Options(seed=5, items=200, kills=5, freezes=1, lease_s=4.0)
UNHURT = Options(seed=1, items=40, kills=0, freezes=0, workers=1)
STEP = "item.7"


@pytest.mark.timeout(400)
async def test_batch_whose_workers_are_killed_is_made_once_and_paid_once(
    database_url: str, tmp_path: Path
) -> None:
    report = await torture(TORTURED, database_url, tmp_path)
    assert report.verdict.problems == []
    assert (report.killed, report.frozen) == (TORTURED.kills, TORTURED.freezes)
    assert report.event_types["item_completed"] == TORTURED.items
    assert report.event_types["completed"] == 1
    assert report.event_types["orphan_detected"] > 2  # a kill may also come before a takeover
    assert 0 < report.verdict.repeated <= report.verdict.at_kills + report.verdict.at_lost_leases


@pytest.mark.timeout(200)
async def test_verdict_names_a_call_that_no_loss_explains(sqlite_url: str, tmp_path: Path) -> None:
    report = await torture(UNHURT, sqlite_url, tmp_path)
    assert (report.verdict.problems, report.verdict.repeated) == ([], 0)
    database = Database(sqlite_url)
    async with database.begin() as connection:
        query = sa.select(executions).where(executions.c.step_id == STEP)
        [row] = (await connection.execute(query)).mappings()
        await connection.execute(sa.insert(executions).values({**row, "id": uuid7(), "request_id": uuid7()}))
    losses = Losses(database, row["run_id"])
    assert await losses.at_lost_leases([]) == 1
    assert losses.problems == [
        f"{STEP} was called twice by one worker",
        f"{STEP} was called again, and was not in flight at a kill",
    ]
    async with database.begin() as connection:
        later = sa.update(executions).where(executions.c.id != row["id"], executions.c.step_id == STEP)
        await connection.execute(later.values(created_at=datetime(2999, 1, 1, tzinfo=UTC), server_id="b"))
    lost = RunEvent(event_type="orphan_detected")
    lost.data["previous_worker"] = row["server_id"]
    losses = Losses(database, row["run_id"])
    assert await losses.at_lost_leases([lost]) == 1
    [problem] = losses.problems
    assert "after its end" in problem
    await database.close()
