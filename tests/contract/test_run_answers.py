"""Answers of runs' calls on both databases: with the settlement of their call or not at all, and only by the
process that makes the run.
"""

import asyncio

import pytest
import sqlalchemy as sa

from genai_spine.billing.ledger import writer
from genai_spine.billing.ledger.ledger import watched
from genai_spine.call import Call, PaidAnswer
from genai_spine.runs.execution.failures import MAX_ANSWER_BYTES
from genai_spine.runs.execution.paid_answers import RunPaidAnswers
from genai_spine.store.booking.writers import RowsRefused
from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.executions import Booking, Executions
from genai_spine.store.idempotency.paid_answers import RunAnswers
from genai_spine.store.runs.events import Owner
from genai_spine.store.runs.queue import RunQueue
from genai_spine.store.runs.retention import RunRetention
from genai_spine.store.runs.tables import run_answers, runs
from genai_spine.store.runs.transitions import Failure, Transitions
from genai_spine.store.tables import leases
from genai_spine.v1 import run_pb2
from genai_spine.v1.completion_service_pb2 import Completion, CreateCompletionRequest
from genai_spine.v1.work_pb2 import WorkResponse
from tests.contract.test_run_results import again, claimed, completed
from tests.ledgers import call, chained, running, succeed
from tests.waiting import until

REQUEST = CreateCompletionRequest(model="m")
ANSWER = Completion(id="x")


@pytest.fixture(params=[False, True], ids=["plain", "chained"])
def executions(database: Database, request: pytest.FixtureRequest) -> Executions:
    return chained(database) if request.param else Executions(database)


def answer_of(owner: Owner, request: CreateCompletionRequest = REQUEST, text: str = "x") -> PaidAnswer:
    made = Call(run_id=owner.run_id, step_id="s.0")
    written = RunPaidAnswers(owner).written(made, request, Completion(id=text))
    assert written is not None
    return written


async def paid(database: Database, executions: Executions, *answers: PaidAnswer) -> None:
    """Calls of a run, each with an answer, all at once."""
    async with running(executions, database) as ledger:
        rows = []
        for answer in answers:
            row = call()
            row.run_id, row.step_id = answer.run_id, answer.step_id
            await ledger.reserve(row)
            rows.append(row)
        await asyncio.gather(
            *(ledger.settle(succeed(row), one) for row, one in zip(rows, answers, strict=True))
        )


async def stored(database: Database, run_id: str) -> list[bytes]:
    return [one.response for one in await RunAnswers(database).of_run(run_id)]


async def test_answer_comes_with_its_settlement_and_serves_one_call(
    database: Database, executions: Executions
):
    owner = await claimed(database)
    other = CreateCompletionRequest(model="other")
    given = [answer_of(owner, text="a"), answer_of(owner, text="b"), answer_of(owner, other)]
    await paid(database, executions, *given)
    answers, made = RunPaidAnswers(owner), Call(run_id=owner.run_id, step_id="s.0")
    assert answers.find(made, REQUEST) is None
    answers.add(await RunAnswers(database).of_run(owner.run_id))
    with watched() as rows:
        assert answers.find(Call(step_id="s.1"), REQUEST) is None
        found = [answers.find(made, REQUEST) for _ in range(3)]
    assert found == [Completion(id="a").SerializeToString(), Completion(id="b").SerializeToString(), None]
    assert [row.run_id for row in rows.values()] == [owner.run_id] * 2
    assert answers.find(made, other) == ANSWER.SerializeToString()


async def test_process_that_makes_the_run_no_more_writes_none(database: Database, executions: Executions):
    owner = await claimed(database)
    strangers = [
        Owner(owner.run_id, owner.attempt, "b"),
        Owner(owner.run_id, owner.attempt + 1, owner.executor_id),
        Owner("00000000-0000-0000-0000-000000000000", owner.attempt, owner.executor_id),
    ]
    await paid(database, executions, *map(answer_of, strangers), answer_of(owner))
    assert await stored(database, owner.run_id) == [ANSWER.SerializeToString()]
    async with database.connect() as connection:
        assert len((await connection.execute(sa.select(run_answers.c.run_id))).all()) == 1
    await completed(database, owner, WorkResponse())
    await paid(database, executions, answer_of(owner))
    assert await stored(database, owner.run_id) == []


async def test_call_taken_for_lost_brings_its_answer_late(database: Database, executions: Executions):
    owner = await claimed(database)
    async with running(executions, database) as ledger:
        row = call()
        row.run_id, row.step_id = owner.run_id, "s.0"
        await ledger.reserve(row)
        async with database.begin() as connection:
            await connection.execute(sa.delete(leases))
        assert await executions.sweep() == [row.id]
        await ledger.settle(succeed(row), answer_of(owner))
        await ledger.settle(succeed(row), answer_of(owner, text="again"))
    assert await stored(database, owner.run_id) == [ANSWER.SerializeToString()]


async def test_settlement_that_is_refused_leaves_no_answer(database: Database, executions: Executions):
    owner = await claimed(database)
    row = succeed(call())
    row.id, row.run_id, row.tenant_id = "id", owner.run_id, "t"
    row.create_time.GetCurrentTime()
    row.create_time.seconds = 1 << 40  # beyond the calendar
    with pytest.raises(RowsRefused):
        await executions.book([Booking(row, answer=answer_of(owner))])
    assert await stored(database, owner.run_id) == []


async def test_large_answers_are_written_a_few_at_a_time(
    database: Database, executions: Executions, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writer, "MAX_ANSWERS_BYTES", 1 << 20)
    owner = await claimed(database)
    sizes = [1 << 19, 1 << 21, 1, 1 << 19, 1 << 20]
    await paid(database, executions, *(answer_of(owner, text="x" * size) for size in sizes))
    found = [len(Completion.FromString(one).id) for one in await stored(database, owner.run_id)]
    assert sorted(found) == sorted(sizes)


def test_answer_that_no_run_could_give_is_not_kept():
    owner = Owner("r", 1, "a")
    huge = Completion(id="x" * (MAX_ANSWER_BYTES + 1))
    assert RunPaidAnswers(owner).written(Call(), REQUEST, huge) is None


async def ended(database: Database, owner: Owner, how: str) -> None:
    transitions, error = Transitions(database), run_pb2.RunError(type="t", message="m")
    if how == "plain":
        await completed(database, owner, WorkResponse())
    elif how == "complete":
        await transitions.complete(owner, WorkResponse(), [], None)
    elif how == "cancel":
        await transitions.cancel_running(owner, "enough")
    elif how == "fail":
        await transitions.fail(owner, Failure(error))
    elif how == "expire":
        await transitions.fail(owner, Failure(error, retry_delay_s=600.0))
        async with database.begin() as connection:
            await connection.execute(sa.update(runs).values(deadline_at=Now()))
        await until(transitions.expire)


@pytest.mark.parametrize("how", ["plain", "complete", "cancel", "fail", "expire"])
async def test_run_that_has_ended_has_no_answers(database: Database, how: str):
    owner = await claimed(database)
    await paid(database, Executions(database), answer_of(owner))
    assert await stored(database, owner.run_id)
    await ended(database, owner, how)
    assert await stored(database, owner.run_id) == []


async def test_retry_and_dead_letter_keep_what_is_paid(database: Database):
    owner, error = await claimed(database), run_pb2.RunError(type="t", message="m")
    await paid(database, Executions(database), answer_of(owner))
    await Transitions(database).fail(owner, Failure(error, retry_delay_s=0.0))
    assert len(await stored(database, owner.run_id)) == 1
    await until(lambda: _waits(database))
    owner = await again(database)
    await Transitions(database).fail(owner, Failure(error, is_final=True))
    assert len(await stored(database, owner.run_id)) == 1
    async with database.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM dead_letters")
        await connection.execute(sa.update(runs).values(ended_at=Now(-60.0)))
    await RunRetention(database).sweep(30.0)
    assert await stored(database, owner.run_id) == []


async def _waits(database: Database) -> bool:
    await RunQueue(database).promote()
    async with database.connect() as connection:
        return (await connection.execute(sa.select(runs.c.status))).scalar_one() == "queued"
