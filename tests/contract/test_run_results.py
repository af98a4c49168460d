"""Large answers of runs on both databases: apart from the row, and with the run whoever asks for it."""

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.runs.events import EventRows
from genai_spine.store.runs.queue import RunQueue
from genai_spine.store.runs.retention import RunRetention
from genai_spine.store.runs.rows import MAX_IN_ROW
from genai_spine.store.runs.runs import RunRows
from genai_spine.store.runs.tables import run_results, runs
from genai_spine.store.runs.transitions import Failure, Owner, Transitions
from genai_spine.v1 import run_pb2 as pb
from genai_spine.v1.completion_service_pb2 import Completion
from genai_spine.v1.work_pb2 import WorkResponse
from tests.contract.test_run_transitions import ERROR, a_run, everything, submit

LARGE = WorkResponse(completion=Completion(id="x" * MAX_IN_ROW))
SMALL = WorkResponse(completion=Completion(id="x"))
STEP = {
    "step_id": "s.0",
    "name": "n",
    "type": "completion",
    "ordinal": 1,
    "status": "completed",
    "attempt": 1,
}


async def claimed(database: Database) -> Owner:
    run = a_run()
    await submit(database, run)
    return await again(database)


async def again(database: Database) -> Owner:
    [(run, _)] = await RunQueue(database).claim("a", everything, 1)
    return Owner(run.run_id, run.attempt, "a")


async def completed(database: Database, owner: Owner, response: WorkResponse) -> None:
    step: dict[str, Any] = STEP | {"started_at": datetime.now(UTC), "execution_ids": []}
    assert await Transitions(database).complete(owner, response, [step], pb.RunOptions())


async def stored(database: Database) -> tuple[list[int | None], list[int]]:
    """Bytes of the answers in rows, and of those apart."""
    async with database.connect() as connection:
        rows = await connection.execute(sa.select(sa.func.length(runs.c.response)))
        apart = await connection.execute(sa.select(sa.func.length(run_results.c.response)))
        return list(rows.scalars()), list(apart.scalars())


async def answer(database: Database, owner: Owner) -> pb.Run:
    run = await RunRows(database).get(owner.run_id)
    assert run is not None
    return run


@pytest.mark.parametrize(("response", "is_apart"), [(LARGE, True), (SMALL, False)])
async def test_only_a_large_answer_is_apart_and_both_come_with_their_run(
    database: Database, response: WorkResponse, is_apart: bool
):
    owner = await claimed(database)
    await completed(database, owner, response)
    size = response.ByteSize()
    assert await stored(database) == (([None], [size]) if is_apart else ([size], []))
    run = await answer(database, owner)
    assert run.response == response
    log = await EventRows(database).after(owner.run_id, 0, 9)
    assert [event.sequence for event in log] == list(range(1, len(log) + 1))
    assert run.last_sequence == len(log)
    ready = [dict(event.data) for event in log if event.event_type == "artifact_ready"]
    data = {"object_key": f"runs/{owner.run_id}/response", "type": "completion", "size_bytes": size}
    assert ready == ([data] if is_apart else [])
    assert log[-1].event_type == "completed"


async def test_what_a_cancelled_run_had_is_kept_alike(database: Database):
    owner = await claimed(database)
    assert await Transitions(database).cancel_running(owner, "enough", LARGE.SerializeToString())
    assert await stored(database) == ([None], [LARGE.ByteSize()])
    assert (await answer(database, owner)).response == LARGE


async def test_answer_of_a_later_attempt_takes_the_place_of_a_large_one(database: Database):
    owner = await claimed(database)
    failure = Failure(ERROR, response=LARGE.SerializeToString(), retry_delay_s=0.0)
    assert await Transitions(database).fail(owner, failure)
    assert (await answer(database, owner)).response == LARGE
    assert await RunQueue(database).promote() == 1
    owner = await again(database)
    await completed(database, owner, SMALL)
    assert await stored(database) == ([SMALL.ByteSize()], [])
    assert (await answer(database, owner)).response == SMALL


async def test_who_does_not_make_the_run_any_more_writes_none(database: Database):
    owner = await claimed(database)
    other = Owner(owner.run_id, owner.attempt, "other")
    assert not await Transitions(database).complete(other, LARGE, ())
    assert await stored(database) == ([None], [])


async def test_large_answer_goes_with_its_run(database: Database):
    owner = await claimed(database)
    await completed(database, owner, LARGE)
    async with database.begin() as connection:
        await connection.execute(sa.update(runs).values(ended_at=Now(-100.0)))
    assert await RunRetention(database).sweep(50.0) == 1
    assert await stored(database) == ([], [])
