"""The store's rules, on SQLite and on a real PostgreSQL."""

import asyncio
from itertools import count
from uuid import uuid4

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_spine.call import DEFAULT_TENANT
from genai_spine.services.rest_aliases import alias_of
from genai_spine.store.booking.execution_rows import LOST_ERROR, MAX_NAME_CHARS
from genai_spine.store.booking.writers import RowsRefused
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.store.leases import Leases
from genai_spine.store.tables import leases as lease_table
from genai_spine.v1 import execution_pb2, usage_pb2
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.operation_pb2 import OPERATION_COMPLETION
from tests.waiting import until

PENDING = execution_pb2.EXECUTION_STATE_PENDING
SUCCEEDED = execution_pb2.EXECUTION_STATE_SUCCEEDED
FAILED = execution_pb2.EXECUTION_STATE_FAILED
CANCELLED = execution_pb2.EXECUTION_STATE_CANCELLED
LOST = execution_pb2.EXECUTION_STATE_LOST


@pytest.fixture
def leases(database: Database) -> Leases:
    return Leases(database)


_attempts = count(1)


def intent(server_id: str = "server-1", **fields) -> Execution:
    """Each is another attempt of one request."""
    execution = Execution(id=str(uuid4()), state=PENDING, provider="openai", model="gpt-4o")
    execution.attempt = next(_attempts)
    execution.tenant_id = DEFAULT_TENANT
    execution.request_id, execution.operation, execution.server_id = (
        "request-1",
        OPERATION_COMPLETION,
        server_id,
    )
    execution.create_time.FromJsonString("2026-11-21T10:11:12.345678Z")
    execution.MergeFrom(Execution(**fields))
    return execution


def settled(execution: Execution, state: int = SUCCEEDED, ticks: int = 12_345) -> Execution:
    outcome = Execution()
    outcome.CopyFrom(execution)
    outcome.state = state
    outcome.usage.input_tokens = outcome.usage.total_tokens = outcome.usage.uncached_input_tokens = 7
    outcome.usage.input_provenance = usage_pb2.PROVENANCE_PROVIDER_REPORTED
    outcome.cost.cost_ticks, outcome.cost.price_known = ticks, True
    outcome.cost.cost_usd = ticks / 1e10
    outcome.settle_time.FromJsonString("2026-11-21T10:11:13.000001Z")
    return outcome


async def columns(database: Database, id: str, names: str) -> tuple:
    async with database.engine.connect() as connection:
        query = sa.text(f"SELECT {names} FROM executions WHERE id = :id")
        return tuple((await connection.execute(query, {"id": id})).one())


async def expire(database: Database, server_id: str) -> None:
    async with database.engine.begin() as connection:
        past = sa.update(lease_table).values(lease_until=lease_table.c.started_at)
        await connection.execute(past.where(lease_table.c.server_id == server_id))


async def test_database_answers(database):
    await database.ping()


async def test_every_field_of_an_execution_survives_the_database(executions):
    execution = intent()
    for message in (execution, execution.usage, execution.cost, execution.units):
        for number, field in enumerate(message.DESCRIPTOR.fields, start=11):
            if field.message_type is None and not field.is_repeated and not alias_of(field):
                kinds = {field.TYPE_STRING: f"text {number}", field.TYPE_BOOL: True, field.TYPE_ENUM: 2}
                setattr(message, field.name, kinds.get(field.type, number))
    execution.usage.total_tokens = execution.usage.input_tokens + execution.usage.output_tokens
    execution.usage.ClearField("reported_json")  # that is usage_json
    execution.units.server_tools.update({"web_search": 3, "\u00fcber": 1})
    execution.usage.accepted_prediction_tokens = 2**32 - 1
    execution.cost.cost_ticks = 2**53 + 1
    execution.cost.cost_usd = (2**53 + 1) / 10**10
    execution.cost_labels.update({"team": "search", "feature.a": ""})
    execution.budget_counters.extend([3, 2**40])
    execution.warnings.add(option="seed", action=1, reason="no 'seed' \u00fc")
    execution.warnings.add(option="reasoning_effort", action=2, value_used="high", reason="nearest")
    execution.create_time.FromJsonString("2026-11-21T10:11:12Z")
    execution.settle_time.FromJsonString("2026-11-21T10:11:12.000001Z")
    assert [field.name for field, _ in execution.ListFields()] == [
        field.name for field in Execution.DESCRIPTOR.fields if not alias_of(field)
    ]
    await executions.save([execution])
    assert await executions.get(execution.id, execution.tenant_id) == execution


async def test_intent_comes_back_without_usage_cost_and_outcome(executions, database):
    execution = intent()
    await executions.save([execution])
    assert await executions.get(execution.id, DEFAULT_TENANT) == execution
    assert await columns(database, execution.id, "state, success, cost_usd") == ("PENDING", None, 0)


async def test_first_token_after_0_ms_is_not_mistaken_for_none(executions):
    execution = intent(first_token_ms=0)
    await executions.save([execution])
    assert (await executions.get(execution.id, DEFAULT_TENANT)).HasField("first_token_ms")


async def test_unknown_id_gives_nothing(executions):
    assert await executions.get("nobody", DEFAULT_TENANT) is None
    assert await executions.by_request("nobody") == []


async def test_calls_of_one_request_come_in_their_order(executions):
    first, second, other = intent(id="1"), intent(id="2"), intent()
    other.request_id = "request-2"
    first.id, second.id = "0192-1", "0192-2"
    await executions.save([second, other, first])
    assert await executions.by_request("request-1") == [first, second]


async def test_operators_read_dollars_and_success(executions, database):
    good, bad = settled(intent(), SUCCEEDED, ticks=25_000_000_001), settled(intent(), FAILED)
    await executions.save([good, bad])
    assert await columns(database, good.id, "cost_usd, cost_ticks, success") == (
        2.5000000001,
        25_000_000_001,
        True,
    )
    assert not (await columns(database, bad.id, "success"))[0]


async def test_saving_twice_changes_nothing(executions, database):
    execution = settled(intent())
    await executions.save([execution])
    await executions.save([execution, execution])
    assert await executions.by_request(execution.request_id) == [execution]


@pytest.mark.parametrize("first", [SUCCEEDED, FAILED, CANCELLED])
async def test_settled_row_is_never_overwritten(executions, first):
    execution = intent()
    await executions.save([settled(execution, first, ticks=1)])
    await executions.save([settled(execution, SUCCEEDED, ticks=2)])
    await executions.save([execution])
    assert await executions.get(execution.id, DEFAULT_TENANT) == settled(execution, first, ticks=1)


async def test_intent_and_settlement_in_one_batch_leave_the_settlement(executions):
    execution = intent()
    await executions.save([execution, settled(execution), settled(execution, FAILED)])
    assert await executions.get(execution.id, DEFAULT_TENANT) == settled(execution)


async def test_batch_with_a_row_that_cannot_be_stored_writes_nothing(executions):
    good, bad = intent(), intent()
    bad.create_time.seconds = 10**15
    with pytest.raises(RowsRefused):
        await executions.save([good, bad])
    assert await executions.get(good.id, DEFAULT_TENANT) is None


async def test_texts_that_postgresql_cannot_hold_are_made_to_fit(executions):
    execution = intent(error="a\0b", request_id="ü" * 5000)
    await executions.save([execution])
    stored = await executions.get(execution.id, DEFAULT_TENANT)
    assert stored.error == "a\ufffdb"
    assert stored.request_id == "ü" * MAX_NAME_CHARS


@pytest.mark.timeout(60)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 2), st.sampled_from([PENDING, SUCCEEDED, FAILED, CANCELLED]))),
        max_size=6,
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_order_of_saves_leaves_the_first_settlement_of_each_execution(executions, batches):
    ids = [intent() for _ in range(3)]
    expected: dict[str, Execution] = {}
    for number, batch in enumerate(batches):
        rows = [ids[i] if state == PENDING else settled(ids[i], state, number) for i, state in batch]
        await executions.save(rows)
        for row in rows:
            if row.id not in expected or expected[row.id].state == PENDING:
                expected[row.id] = row
    for execution in ids:
        assert await executions.get(execution.id, DEFAULT_TENANT) == expected.get(execution.id)


async def test_rows_of_a_server_with_a_live_lease_are_not_swept(executions, leases):
    await leases.take("server-1", "cpu", 60)
    execution = intent()
    await executions.save([execution])
    assert await executions.sweep() == []
    assert await executions.get(execution.id, DEFAULT_TENANT) == execution


async def test_rows_of_a_dead_server_become_lost_with_unknown_use(executions, leases, database):
    await leases.take("server-1", "cpu", 60)
    pending, done = intent(), settled(intent())
    await executions.save([pending, done])
    await expire(database, "server-1")
    assert await executions.sweep() == [pending.id]
    lost = await executions.get(pending.id, DEFAULT_TENANT)
    assert lost.state == LOST
    assert lost.error == LOST_ERROR
    assert lost.usage.input_provenance == lost.usage.output_provenance == usage_pb2.PROVENANCE_UNKNOWN
    assert lost.HasField("settle_time")
    assert not (await columns(database, pending.id, "success"))[0]
    assert await executions.get(done.id, DEFAULT_TENANT) == done


async def test_two_sweepers_at_once_take_each_row_once(executions, database_url):
    rows = [intent("dead") for _ in range(300)]
    await executions.save(rows)
    others = [Database(database_url) for _ in range(2)]
    swept = await asyncio.gather(*(Executions(other).sweep() for other in others))
    swept.append(await executions.sweep())
    for other in others:
        await other.close()
    assert sorted(id for ids in swept for id in ids) == sorted(row.id for row in rows)


async def test_late_settlement_beats_lost_and_a_late_intent_does_not(executions):
    execution = intent("dead")
    await executions.save([execution])
    assert await executions.sweep() == [execution.id]
    await executions.save([execution])
    assert (await executions.get(execution.id, DEFAULT_TENANT)).state == LOST
    await executions.save([settled(execution)])
    late = settled(execution)
    late.resolution = execution_pb2.LOSS_RESOLUTION_LATE
    assert await executions.get(execution.id, DEFAULT_TENANT) == late


async def test_lease_lives_until_it_runs_out_and_is_then_not_renewed(leases):
    await leases.take("server-1", "cpu", 60)
    assert await leases.live() == {"server-1": "cpu"}
    assert await leases.renew("server-1", 0.2)

    async def over() -> bool:
        return await leases.live() == {}

    await until(over)
    assert not await leases.renew("server-1", 60)
    assert await leases.live() == {}


async def test_lease_that_nobody_took_is_not_renewed(leases):
    assert not await leases.renew("server-1", 60)
    assert await leases.live() == {}


async def test_released_lease_is_gone_and_the_others_stay(leases):
    await leases.take("server-1", "cpu", 60)
    await leases.take("server-2", "gpu", 60)
    await leases.release("server-1")
    assert await leases.live() == {"server-2": "gpu"}


async def test_leases_that_ran_out_are_forgotten_when_a_server_starts(leases, database):
    await leases.take("old", "cpu", 60)
    await expire(database, "old")
    await leases.take("fresh", "cpu", 60)
    async with database.engine.connect() as connection:
        ids = (await connection.execute(sa.select(lease_table.c.server_id))).scalars().all()
    assert ids == ["fresh"]


async def test_total_of_a_batch_counts_its_lines_only(executions):
    lines = [settled(intent(operation="OPERATION_BATCH"), ticks=ticks) for ticks in (10, 2**40)]
    foreign = [
        settled(intent()),
        settled(intent(operation="OPERATION_BATCH", provider="azure")),
        settled(intent(operation="OPERATION_BATCH", request_id="request-2")),
    ]
    await executions.save(lines + foreign)
    count, cost = await executions.batch_total("openai", "request-1")
    assert (count, cost.cost_ticks, cost.price_known) == (2, 10 + 2**40, True)
    assert cost.cost_usd == (10 + 2**40) / 1e10
    unpriced = settled(intent(operation="OPERATION_BATCH"), ticks=0)
    unpriced.cost.price_known = False
    await executions.save([unpriced])
    count, cost = await executions.batch_total("openai", "request-1")
    assert (count, cost.cost_ticks, cost.price_known) == (3, 10 + 2**40, False)
    assert (await executions.batch_total("openai", "nothing"))[0] == 0
