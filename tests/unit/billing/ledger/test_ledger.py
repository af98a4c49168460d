"""The ledger on SQLite and on a real PostgreSQL: nothing lost, nothing doubled."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from genai_spine.billing.ledger import writer as ledger_writer
from genai_spine.billing.ledger.ledger import Ledger, watched
from genai_spine.call import DEFAULT_TENANT
from genai_spine.errors import ServiceUnavailable
from genai_spine.store.database import Database
from genai_spine.store.leases import Leases
from genai_spine.v1 import execution_pb2
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.lane_pb2 import LANE_CPU
from tests.ledgers import CountedExecutions, call, running, states, succeed
from tests.waiting import until

PENDING = execution_pb2.EXECUTION_STATE_PENDING
SUCCEEDED = execution_pb2.EXECUTION_STATE_SUCCEEDED
FAILED = execution_pb2.EXECUTION_STATE_FAILED
CANCELLED = execution_pb2.EXECUTION_STATE_CANCELLED
LOST = execution_pb2.EXECUTION_STATE_LOST


@pytest.fixture
def executions(database: Database) -> CountedExecutions:
    return CountedExecutions(database)


@pytest.fixture
async def ledger(executions: CountedExecutions, database: Database) -> AsyncIterator[Ledger]:
    async with running(executions, database) as ledger:
        yield ledger


async def test_begin_gives_what_identifies_a_row_and_recorded_makes_it_durable(ledger, executions):
    execution = call()
    ledger.begin(execution)
    assert (execution.state, execution.lane, execution.server_id) == (PENDING, LANE_CPU, ledger.server_id)
    await ledger.recorded(execution)
    assert await executions.get(execution.id, DEFAULT_TENANT) == execution


async def test_reserved_call_is_durable_before_its_provider_is_called(ledger, executions):
    execution = call()
    await ledger.reserve(execution)
    assert execution.state == PENDING
    assert await executions.get(execution.id, DEFAULT_TENANT) == execution


async def test_attempts_of_requests_with_one_id_are_rows_of_their_own(ledger, executions):
    """A client may send its request id again."""
    first, second, third = call(), call(), call()
    first.request_id = second.request_id = third.request_id = "sent twice"
    first.attempt = second.attempt = third.attempt = 1
    await ledger.reserve(first)
    await asyncio.gather(ledger.reserve(second), ledger.reserve(third))
    rows = await executions.by_request("sent twice")
    assert [row.attempt for row in rows] == [1, 2, 3]
    assert sorted([second.attempt, third.attempt]) == [2, 3]
    assert {row.id for row in rows} == {first.id, second.id, third.id}


async def test_caller_who_leaves_before_his_call_is_sent_pays_nothing(ledger, executions, database):
    writing = asyncio.Event()

    async def before() -> None:
        writing.set()
        await asyncio.sleep(0.05)

    executions.before = before
    execution = call()
    reserving = asyncio.create_task(ledger.reserve(execution))
    await writing.wait()
    queued = asyncio.create_task(ledger.reserve(call()))
    await asyncio.sleep(0)
    for task in (reserving, queued):
        task.cancel()
    await asyncio.gather(reserving, queued, return_exceptions=True)
    await ledger.stop()
    assert await states(database) == {"CANCELLED": 1}  # the other one never was in the database
    row = await executions.get(execution.id, DEFAULT_TENANT)
    assert (row.cost.cost_ticks, row.cost.price_known) == (0, True)


async def test_intent_on_the_books_is_what_it_was_when_the_call_began(ledger, executions):
    execution = call()
    ledger.begin(execution)
    intent = Execution()
    intent.CopyFrom(execution)
    succeed(execution)
    await ledger.recorded(execution)
    assert await executions.get(execution.id, DEFAULT_TENANT) == intent


async def test_settlement_is_durable_when_its_future_is_done(ledger, executions):
    execution = call()
    ledger.begin(execution)
    await ledger.recorded(execution)
    await ledger.settle(succeed(execution))
    assert await executions.get(execution.id, DEFAULT_TENANT) == execution
    await ledger.recorded(execution)


async def test_row_settled_while_its_intent_is_queued_is_written_once(ledger, executions):
    execution = call()
    ledger.begin(execution)
    await ledger.settle(succeed(execution))
    assert executions.batches == [1]
    assert await executions.get(execution.id, DEFAULT_TENANT) == execution


async def test_row_settled_while_its_intent_is_written_ends_settled(ledger, executions):
    writing, go_on = asyncio.Event(), asyncio.Event()

    async def before() -> None:
        writing.set()
        await go_on.wait()

    executions.before = before
    execution = call()
    ledger.begin(execution)
    await writing.wait()
    settlement = ledger.settle(succeed(execution))
    go_on.set()
    await ledger.recorded(execution)
    await settlement
    assert executions.batches == [1, 1]
    assert await executions.get(execution.id, DEFAULT_TENANT) == execution


async def test_second_settlement_changes_nothing_before_or_after_the_first_is_durable(ledger, executions):
    execution, other = call(), Execution()
    ledger.begin(execution)
    first = ledger.settle(succeed(execution))
    other.CopyFrom(execution)
    second = ledger.settle(succeed(other, tokens=9, state=CANCELLED))
    await first
    await second
    await ledger.settle(other)
    assert await executions.get(execution.id, DEFAULT_TENANT) == execution


@pytest.mark.parametrize("state", [0, PENDING, LOST])
async def test_state_that_is_no_outcome_cannot_be_settled(ledger, state):
    execution = call()
    ledger.begin(execution)
    execution.state = state
    with pytest.raises(ValueError, match="cannot be settled as"):
        ledger.settle(execution)


async def test_execution_that_was_not_begun_cannot_be_settled(ledger):
    with pytest.raises(ValueError, match="cannot be settled"):
        ledger.settle(succeed(call()))


async def test_ids_are_version_7_and_sort_by_time(ledger):
    batches = []
    for _ in range(3):
        batch = [call() for _ in range(20)]
        for execution in batch:
            ledger.begin(execution)
        batches.append({execution.id for execution in batch})
        await asyncio.sleep(0.002)
    ids = [id for batch in batches for id in sorted(batch)]
    assert len(set(ids)) == 60
    assert ids == sorted(ids)
    assert all(id[14] == "7" and id[19] in "89ab" for id in ids)


async def test_rows_that_come_one_by_one_share_a_commit_where_many_come(ledger, executions, monkeypatch):
    monkeypatch.setattr(ledger_writer.Load, "is_high", True)
    monkeypatch.setattr(ledger_writer, "GATHER_S", 0.1)
    first, second = call(), call()
    waiting = [asyncio.create_task(ledger.reserve(first))]
    await asyncio.sleep(0.01)
    waiting.append(asyncio.create_task(ledger.reserve(second)))
    await asyncio.gather(*waiting)
    assert executions.batches == [2]


async def test_a_commits_worth_of_rows_waits_for_no_more(ledger, executions, monkeypatch):
    monkeypatch.setattr(ledger_writer.Load, "is_high", True)
    monkeypatch.setattr(ledger_writer, "GATHER_S", 60.0)
    most = ledger_writer.GATHER_ROWS
    async with asyncio.timeout(10):
        await asyncio.gather(*(ledger.reserve(call()) for _ in range(most)))
    assert executions.batches == [most]


async def test_intent_that_nobody_waits_for_is_written_with_its_settlement(ledger, executions):
    execution = call()
    ledger.begin(execution)
    await ledger.settle(succeed(execution))
    assert executions.batches == [1]


async def test_settlement_is_durable_when_it_is_finished(ledger, executions, database):
    execution = call()
    await ledger.reserve(execution)
    await ledger.finish(succeed(execution))
    assert await states(database) == {"SUCCEEDED": 1}
    assert executions.batches == [1, 1]


async def test_caller_that_goes_away_while_it_writes_loses_no_row(ledger, executions, database):
    go = asyncio.Event()
    executions.before = go.wait
    first, second = call(), call()
    ledger.begin(first)
    finishing = asyncio.create_task(ledger.finish(succeed(first)))
    reserving = asyncio.create_task(ledger.reserve(second))
    await asyncio.sleep(0.05)
    finishing.cancel()
    reserving.cancel()
    await asyncio.gather(finishing, reserving, return_exceptions=True)
    go.set()
    await ledger.stop()
    found = await states(database)
    assert found.pop("SUCCEEDED") == 1
    assert found in ({}, {"CANCELLED": 1})


async def test_intent_that_nobody_waits_for_is_written_in_time(ledger, executions, database):
    ledger.begin(call())
    for _ in range(200):
        await asyncio.sleep(0.01)
        if executions.batches:
            break
    assert await states(database) == {"PENDING": 1}


async def test_intent_is_written_at_once_for_whom_waits(ledger, executions, monkeypatch):
    monkeypatch.setattr(ledger_writer, "LAZY_S", 60.0)
    execution = call()
    ledger.begin(execution)
    async with asyncio.timeout(10):
        await ledger.recorded(execution)
    assert executions.batches == [1]


async def test_intent_of_a_stream_is_written_while_its_provider_is_asked(
    ledger, executions, database, monkeypatch
):
    monkeypatch.setattr(ledger_writer, "LAZY_S", 60.0)
    stream = call()
    stream.streamed = True
    ledger.begin(call())
    ledger.begin(stream)
    await until(lambda: stream.id not in ledger.writer.rows)
    assert await states(database) == {"PENDING": 1}  # the other one waits


async def test_intents_that_nobody_waits_for_are_written_at_the_end(
    ledger, executions, database, monkeypatch
):
    monkeypatch.setattr(ledger_writer, "LAZY_S", 60.0)
    ledger.begin(call())
    await ledger.stop()
    assert await states(database) == {"PENDING": 1}


@pytest.mark.parametrize(
    ("rows", "worked", "is_high"),
    [(500, 0.5, True), (400, 0.5, False), (500, 0.3, False)],
    ids=["both", "few rows", "time left"],
)
def test_load_is_that_of_the_last_commits(monkeypatch, rows, worked, is_high):
    now, cpu = 100.0, 7.0
    monkeypatch.setattr(ledger_writer.time, "monotonic", lambda: now)
    monkeypatch.setattr(ledger_writer.time, "thread_time", lambda: cpu)
    load = ledger_writer.Load()
    for _ in range(ledger_writer.COMMITS):
        assert not load.is_high
        now, cpu = now + 0.2, cpu + 0.2 * worked
        load.add(rows // ledger_writer.COMMITS + 1)
    now, cpu = now + 0.1, cpu + 0.1 * worked
    load.add(1)
    assert load.is_high == is_high
    now += 2 * ledger_writer.STALE_S
    assert not load.is_high


async def test_500_concurrent_calls_give_500_rows_in_few_transactions(ledger, executions, database):
    async def one() -> None:
        execution = call()
        ledger.begin(execution)
        await ledger.recorded(execution)
        await asyncio.sleep(0)
        await ledger.settle(succeed(execution))

    await asyncio.gather(*(one() for _ in range(500)))
    assert await states(database) == {"SUCCEEDED": 500}
    assert sum(executions.batches) == 1000
    assert len(executions.batches) < 50


async def test_cancelled_caller_does_not_wait_and_its_row_is_booked(ledger, executions, database):
    async def caller() -> None:
        execution = call()
        ledger.begin(execution)
        await ledger.settle(succeed(execution, state=CANCELLED))

    with capture_logs() as logs:
        tasks = [asyncio.create_task(caller()) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)
        await ledger.stop()
    assert logs == []
    assert await states(database) == {"CANCELLED": 10}


async def test_settlement_that_nobody_awaits_is_booked(executions, database):
    async with running(executions, database) as ledger:
        execution = call()
        ledger.begin(execution)
        ledger.settle(succeed(execution))
        del execution
    assert await states(database) == {"SUCCEEDED": 1}


async def test_memory_stays_flat(executions, database):
    async def one() -> None:
        execution = call()
        ledger.begin(execution)
        await ledger.recorded(execution)
        await ledger.settle(succeed(execution))

    async with running(executions, database) as ledger:
        blocks = []
        for _ in range(4):
            for _ in range(10):
                await asyncio.gather(*(one() for _ in range(100)))
            gc.collect()
            blocks.append(sys.getallocatedblocks())
    # For 1,000 calls; a batch of a size that is new brings statements that are kept.
    assert min(later - earlier for earlier, later in pairwise(blocks)) < 500


async def test_stopped_ledger_begins_nothing_and_logs_what_settles_too_late(ledger, database):
    execution = call()
    ledger.begin(execution)
    await ledger.stop()
    with pytest.raises(ServiceUnavailable):
        ledger.begin(call())
    with capture_logs() as logs:
        await ledger.settle(succeed(execution))
    assert logs[0]["event"] == "execution_not_booked"
    assert logs[0]["execution"]["usage"]["input_tokens"] == 7
    assert await states(database) == {"PENDING": 1}
    assert await Leases(database).live() == {}


async def test_ledger_that_was_not_started_begins_nothing(executions, database):
    with pytest.raises(ServiceUnavailable):
        Ledger(executions, Leases(database), lane="cpu").begin(call())


async def test_stop_writes_what_waits(executions, database):
    async with running(executions, database) as ledger:
        for _ in range(700):
            execution = call()
            ledger.begin(execution)
            ledger.settle(succeed(execution))
    assert await states(database) == {"SUCCEEDED": 700}


async def test_lease_is_kept_while_the_ledger_runs(executions, database):
    async def lease_end() -> Any:
        async with database.engine.connect() as connection:
            return await connection.scalar(sa.text("SELECT lease_until FROM leases"))

    async def renewed() -> bool:
        return await lease_end() != first

    async with running(executions, database, ttl_s=3.0) as ledger:
        server_id, first = ledger.server_id, await lease_end()
        await until(renewed)
        assert await Leases(database).live() == {server_id: "cpu"}


async def test_starting_ledger_books_what_a_dead_server_left_as_lost(executions, database):
    async with running(executions, database) as dead:
        execution = call()
        dead.begin(execution)
    async with running(executions, database):
        assert (await executions.get(execution.id, DEFAULT_TENANT)).state == LOST


STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "settle", "recorded", "write"]), st.integers(0, 3)), max_size=25
)


@given(STEPS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_interleaving_leaves_one_row_with_the_first_outcome(executions, database, steps):
    calls: dict[int, Execution] = {}
    outcomes: dict[int, Execution] = {}
    async with running(executions, database) as ledger:
        for number, (step, key) in enumerate(steps):
            if step == "begin" and key not in calls:
                ledger.begin(calls.setdefault(key, call()))
            elif step == "settle" and key in calls:
                ledger.settle(succeed(calls[key], tokens=number + 1, state=[SUCCEEDED, FAILED][number % 2]))
                copy = Execution()
                copy.CopyFrom(calls[key])
                outcomes.setdefault(key, copy)
            elif step == "recorded" and key in calls:
                await ledger.recorded(calls[key])
            elif step == "write":
                await asyncio.sleep(key / 1000)
    for key, execution in calls.items():
        assert await executions.get(execution.id, DEFAULT_TENANT) == outcomes.get(key, execution)


async def test_call_that_was_made_elsewhere_is_booked_once_under_its_own_id(ledger, executions):
    async def booked(tokens: int) -> Execution:
        execution = succeed(call(), tokens)
        execution.id, execution.create_time.seconds = "00000000-0000-8000-8000-000000000001", 1_763_683_200
        await ledger.book(execution)
        return execution

    first = await booked(7)
    assert (first.lane, first.server_id) == (LANE_CPU, ledger.server_id)
    await booked(8)
    kept = await executions.get(first.id, DEFAULT_TENANT)
    assert kept == first
    assert kept.create_time.seconds == 1_763_683_200


async def test_stopped_ledger_books_nothing(executions, database):
    async with running(executions, database) as ledger:
        pass
    execution = succeed(call())
    execution.id = "00000000-0000-8000-8000-000000000002"
    with pytest.raises(ServiceUnavailable):
        ledger.book(execution)


async def test_settlements_are_seen_by_who_watches_and_by_nobody_else(ledger):
    """Also those of tasks that are begun inside, and each once."""

    async def one(text):
        execution = call()
        execution.request_id = text
        ledger.begin(execution)
        succeed(execution)
        await ledger.settle(execution)
        await ledger.settle(execution)

    async def watching(*texts):
        with watched() as rows:
            await asyncio.gather(*map(one, texts))
        return sorted(row.request_id for row in rows.values())

    await one("before")
    assert await asyncio.gather(watching("a", "b"), watching("c")) == [["a", "b"], ["c"]]
    await one("after")
