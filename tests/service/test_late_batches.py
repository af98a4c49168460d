"""Batches that show at their provider after they were given up: cancelled, and their cost is booked once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
import sqlalchemy as sa

from genai_spine.runs.provider_batches.batches import ProviderBatches
from genai_spine.runs.provider_batches.sweep import ProviderBatchSweep
from genai_spine.store.database import Now
from genai_spine.store.provider_batches.batches import DROPPED, LATE, ProviderBatchRows, SentBatch
from genai_spine.store.runs.tables import provider_batches
from genai_spine.store.tables import executions
from genai_spine.v1 import provider_batch_service_pb2 as batches_pb2
from genai_spine.v1 import run_pb2
from genai_spine.v1 import run_service_pb2 as pb
from tests.contract.test_budgets import counter
from tests.databases import BOTH
from tests.money import violations
from tests.service import test_anthropic_pool as anthropic_pool
from tests.service.running import Running, Upstreams, running
from tests.service.test_batch_budgets import drop, limit
from tests.service.test_provider_pool import NAMES, batches_of, direct
from tests.service.test_run_batches import batch_of, item, made, stub
from tests.upstreams.reply import Reply
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")
GRACE_S = 0.5


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH)
async def on_each_database(
    request: pytest.FixtureRequest, all_upstreams: Upstreams
) -> AsyncIterator[Running]:
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    url = request.getfixturevalue(f"module_{kind}_url")
    rules: dict[str, Any] = {"provider_batch_poll_s": 0.05, "provider_batch_grace_s": GRACE_S}
    endpoints = all_upstreams.one_of_each()
    async with running(all_upstreams, url, endpoints=endpoints, lease_ttl=60.0, **rules) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def pooling(on_each_database: Running, upstreams: Upstreams) -> AsyncIterator[Running]:
    on_each_database.openai.cabinet.prefix = uuid4().hex[:8]
    on_each_database.upstreams.anthropic.batches.prefix = uuid4().hex[:8]
    yield on_each_database
    async with on_each_database.database.begin_write() as connection:  # no sweep looks for what is left
        await connection.execute(sa.update(provider_batches).values(looked_at=Now(86400.0)))


async def given_up(service: Running, **options: Any) -> run_pb2.Run:
    """A run whose first batch was made without anybody hearing of it, and which has ended by another one."""
    cabinet = service.openai.cabinet
    cabinet.hides = {f"{cabinet.prefix}-batch_0001"}
    service.openai.script(Reply(fault="close"), on="/v1/batches")
    run = await made(service, batch_of(*map(item, NAMES), provider_batch=True), **options)
    assert (run.status, run.item_counts.completed) == ("completed", 7)
    assert [batch["status"] for batch in batches_of(service)] == ["validating", "completed"]
    return run


def shows(service: Running, *, answered: int | None = None) -> dict[str, Any]:
    """Has the provider list the batch. answered: lines before it is cancelled; None: all, it has ended."""
    cabinet, batch = service.openai.cabinet, batches_of(service)[0]
    cabinet.stops_after = answered
    if answered is None:
        cabinet._end(batch, "completed")
    cabinet.hides = set()
    return batch


async def states(service: Running, run_id: str) -> list[tuple[str, bool]]:
    """State of each batch of a run, and whether the provider's id of it is known."""
    columns = provider_batches.c
    query = sa.select(columns.state, columns.batch_id).where(columns.run_id == run_id).order_by(columns.part)
    async with service.database.connect() as connection:
        return [(state, id is not None) for state, id in await connection.execute(query)]


async def until_booked(service: Running, run_id: str) -> None:
    async def is_booked() -> bool:
        await ProviderBatchSweep(service.server.foundation.runs.provider_batches).sweep()
        return (await states(service, run_id))[0] == (DROPPED, True)

    await until(is_booked)


async def late_rows(service: Running, run_id: str) -> list[Any]:
    columns = executions.c
    query = sa.select(executions).where(columns.run_id == run_id, columns.request_id.like("%-late"))
    async with service.database.connect() as connection:
        return list((await connection.execute(query)).mappings())


async def ticks(service: Running, run_id: str) -> int:
    """All that the ledger has of a run."""
    query = sa.select(sa.func.sum(executions.c.cost_ticks)).where(executions.c.run_id == run_id)
    async with service.database.connect() as connection:
        return int((await connection.execute(query)).scalar_one())


async def get(service: Running, run_id: str) -> run_pb2.Run:
    found: run_pb2.Run = await stub(service).GetRun(pb.GetRunRequest(run_id=run_id))
    return found


@pytest.mark.parametrize("answered", [3, None])
async def test_late_batch_is_cancelled_and_what_was_answered_is_booked(
    pooling: Running, answered: int | None
) -> None:
    run = await given_up(pooling)
    batch = shows(pooling, answered=answered)
    await until_booked(pooling, run.run_id)
    assert batch["status"] == ("completed" if answered is None else "cancelled")
    rows = await late_rows(pooling, run.run_id)
    assert len(rows) == (answered or len(NAMES))
    for row in rows:
        assert (row["state"], row["wasted"], row["operation"]) == ("SUCCEEDED", True, "batch")
        assert (row["provider"], row["model"]) == ("openai", "gpt-4o")
        assert (row["input_provenance"], row["output_provenance"]) == ("PROVIDER_REPORTED",) * 2
        assert row["cost_ticks"] == row["input_tokens"] * 12_500 + row["output_tokens"] * 50_000 > 0
    steps = sorted(row["step_id"] for row in rows)
    assert len(set(steps)) == len(steps)
    after = await get(pooling, run.run_id)
    late = sum(row["cost_ticks"] for row in rows)
    assert after.cost.cost_ticks == run.cost.cost_ticks + late == await ticks(pooling, run.run_id)
    assert after.discarded_cost.cost_ticks == late
    assert (after.status, after.item_counts) == ("completed", run.item_counts)
    assert direct(pooling) == []
    assert await violations(pooling.database) == {}


async def test_late_batch_is_booked_once_by_many_sweeps_at_once(pooling: Running) -> None:
    run = await given_up(pooling)
    batch = shows(pooling)
    pooling.openai.cabinet.hides = {batch["id"]}  # the server's own sweep is not to find it
    sent = await found_by_hand(pooling, run.run_id, batch["id"])
    await asyncio.gather(*(sweep._book_late(sent) for sweep in sweeps(pooling, 5)))
    assert await states(pooling, run.run_id) == [(DROPPED, True), ("ended", True)]
    rows = await late_rows(pooling, run.run_id)
    assert sorted(row["step_id"] for row in rows) == [f"item.{place}" for place in range(len(NAMES))]
    assert {row["output_provenance"] for row in rows} == {"PROVIDER_REPORTED"}
    assert await ticks(pooling, run.run_id) == run.cost.cost_ticks + sum(row["cost_ticks"] for row in rows)


async def test_late_batch_is_booked_once_also_where_its_booking_is_repeated(pooling: Running) -> None:
    run = await given_up(pooling)
    batch = shows(pooling)
    await until_booked(pooling, run.run_id)
    before = await late_rows(pooling, run.run_id)
    sent = await found_by_hand(pooling, run.run_id, batch["id"])  # as after the death of who has booked it
    assert batch["output_file_id"] not in pooling.openai.cabinet.files, "what is booked is deleted"
    await sweeps(pooling, 1)[0]._book_late(sent)
    assert await late_rows(pooling, run.run_id) == before


async def test_late_batch_is_sought_by_one_sweep_at_a_time(pooling: Running) -> None:
    run = await given_up(pooling)
    [sent] = [one for one in await all_of(pooling, run.run_id) if one.state == "ended"]  # left alone by now
    rows = ProviderBatchRows(pooling.database)
    await looked(pooling, run.run_id, -60.0)
    claims = await asyncio.gather(*(rows.claim(sent.id, 30.0) for _ in range(5)))
    assert sum(claims) == 1


async def test_batch_that_was_deleted_before_it_was_read_is_booked_with_an_estimate(pooling: Running) -> None:
    run = await given_up(pooling)
    batch = shows(pooling)
    del pooling.openai.cabinet.files[batch["output_file_id"]]
    await until_booked(pooling, run.run_id)
    rows = await late_rows(pooling, run.run_id)
    assert [row["state"] for row in rows] == ["FAILED"] * len(NAMES)
    assert {row["input_provenance"] for row in rows} == {"ESTIMATED"}
    assert all(row["cost_ticks"] > 0 for row in rows)


async def test_what_a_late_batch_cost_is_counted_once_by_its_budgets(pooling: Running) -> None:
    name = f"late-{uuid4().hex[:8]}"
    budget = await limit(pooling, f"late={name}", 10**9)
    run = await given_up(pooling, cost_labels={"late": name})
    batch = shows(pooling)
    await until_booked(pooling, run.run_id)
    await sweeps(pooling, 1)[0]._book_late(await found_by_hand(pooling, run.run_id, batch["id"]))
    found = await counter(pooling.database, budget.id)
    assert (found.spent_ticks, found.reserved_ticks) == (await ticks(pooling, run.run_id), 0)
    assert found.spent_ticks > run.cost.cost_ticks
    assert await violations(pooling.database) == {}
    await drop(pooling, budget)


async def test_batch_of_a_run_is_not_booked_again_by_whoever_reads_it(pooling: Running) -> None:
    run = await given_up(pooling)
    batch = shows(pooling)
    pooling.openai.cabinet.hides = {batch["id"]}
    before = await ticks(pooling, run.run_id)
    request = batches_pb2.GetBatchRequest(provider="openai", batch_id=batch["id"])
    seen = await pooling.batches.GetBatch(request)
    assert seen.state == batches_pb2.BATCH_STATE_COMPLETED
    query = sa.select(sa.func.count()).where(executions.c.request_id == batch["id"])
    async with pooling.database.connect() as connection:
        assert (await connection.execute(query)).scalar_one() == 0
    pooling.openai.cabinet.hides = set()
    await until_booked(pooling, run.run_id)
    after = [row["cost_ticks"] for row in await late_rows(pooling, run.run_id)]
    assert await ticks(pooling, run.run_id) == before + sum(after)


async def test_batch_that_another_row_has_is_not_taken_for_a_late_one(pooling: Running) -> None:
    run = await given_up(pooling)
    first, second = await all_of(pooling, run.run_id)
    assert second.batch_id is not None
    assert not await ProviderBatchRows(pooling.database).found_late(first.id, second.batch_id)
    assert await states(pooling, run.run_id) == [(DROPPED, False), ("ended", True)]


async def test_late_message_batch_is_known_by_its_results_and_booked(pooling: Running) -> None:
    batches = pooling.upstreams.anthropic.batches
    first = f"msgbatch_{batches.prefix}0001"
    batches.hides = {first}
    pooling.upstreams.anthropic.script(Reply(fault="close"), on="/v1/messages/batches")
    run = await made(pooling, batch_of(*anthropic_pool.asked(), provider_batch=True))
    assert run.item_counts.completed == len(NAMES)
    batches.hides = set()
    await until_booked(pooling, run.run_id)
    rows = await late_rows(pooling, run.run_id)
    assert [row["state"] for row in rows] == ["SUCCEEDED"] * len(NAMES)
    for row in rows:
        assert row["cost_ticks"] == row["input_tokens"] * 5_000 + row["output_tokens"] * 25_000 > 0
    assert (await get(pooling, run.run_id)).cost.cost_ticks == await ticks(pooling, run.run_id)


def sweeps(service: Running, number: int) -> list[ProviderBatchSweep]:
    """Sweeps as of so many processes."""
    configured = service.server.foundation.runs.provider_batches.configured
    rows = ProviderBatchRows(service.database)
    return [ProviderBatchSweep(ProviderBatches(rows, 0.0, 0.0, configured)) for _ in range(number)]


async def all_of(service: Running, run_id: str) -> list[SentBatch]:
    return await ProviderBatchRows(service.database)._of_state(provider_batches.c.run_id == run_id)


async def looked(service: Running, run_id: str, in_s: float) -> None:
    """Sets when the batches of a run were looked at."""
    of_run = sa.update(provider_batches).where(provider_batches.c.run_id == run_id)
    async with service.database.begin_write() as connection:
        await connection.execute(of_run.values(looked_at=Now(in_s)))


async def found_by_hand(service: Running, run_id: str, batch_id: str) -> SentBatch:
    """Sets a batch to where its booking begins, out of the reach of the server's own sweep."""
    await looked(service, run_id, 3600.0)
    columns = provider_batches.c
    of_run = sa.update(provider_batches).where(columns.run_id == run_id, columns.state == DROPPED)
    async with service.database.begin_write() as connection:
        await connection.execute(of_run.values(state=LATE, batch_id=batch_id))
    [sent] = [one for one in await ProviderBatchRows(service.database).late() if one.run_id == run_id]
    return sent
