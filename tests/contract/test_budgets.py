"""Budgets on SQLite and on a real PostgreSQL: no overshoot, no leak, whoever dies."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import pytest
import sqlalchemy as sa

from genai_spine.call import DEFAULT_TENANT
from genai_spine.errors import BudgetExceeded, ServiceUnavailable
from genai_spine.store.budgets.budgets import BudgetRows
from genai_spine.store.budgets.periods import period_start
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.v1 import budget_pb2 as pb
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.usage_pb2 import Cost
from tests.databases import PostgresServer
from tests.ledgers import states
from tests.money import violations
from tests.spending import Spender
from tests.waiting import until

CAP = 300_000
RESOLVED = "SELECT DISTINCT resolution, price_known FROM executions WHERE state <> 'PENDING'"
LEASE_S, SLACK_S = 8.0, 2.0
OVER = "no limit is passed but by calls that cost more than estimated"


def budget(**fields: Any) -> pb.Budget:
    given = {
        "tenant_id": "default-tenant",
        "node": pb.BUDGET_NODE_TENANT,
        "node_key": "default-tenant",
        "period": pb.BUDGET_PERIOD_DAILY,
        "limit_ticks": CAP,
        "policy": pb.BUDGET_POLICY_SOFT_BLOCK,
        "warn_percent": 80,
        "enabled": True,
    }
    return pb.Budget(**(given | fields))


@asynccontextmanager
async def spending(database: Database, **fields: Any) -> AsyncIterator[Spender]:
    spender = Spender.of(database, **fields)
    await spender.ledger.start()
    try:
        yield spender
    finally:
        await spender.stop()


async def counter(database: Database, id: int) -> pb.BudgetCounter:
    [found] = await BudgetRows(database).counters([id], datetime.now(UTC))
    return found


async def spenders(url: str, count: int, **fields: Any) -> list[asyncio.subprocess.Process]:
    """Processes that are ready to spend."""
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    started = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.spending", url, json.dumps({"seed": seed, **fields})), **pipes
        )
        for seed in range(count)
    ]
    for process in started:
        assert await process.stdout.readline() == b'{"ready": true}\n'
    return started


async def said(processes: Sequence[asyncio.subprocess.Process]) -> list[dict[str, Any]]:
    for process in processes:
        process.stdin.write(b"go\n")
    return [json.loads(await process.stdout.readline()) for process in processes]


async def ended(processes: Sequence[asyncio.subprocess.Process]) -> None:
    for process in processes:
        process.stdin.close()
        await process.wait()


@pytest.mark.parametrize(
    ("period", "start"),
    [
        (pb.BUDGET_PERIOD_DAILY, "2026-03-01"),
        (pb.BUDGET_PERIOD_WEEKLY, "2026-02-23"),
        (pb.BUDGET_PERIOD_MONTHLY, "2026-03-01"),
        (pb.BUDGET_PERIOD_TOTAL, "1970-01-01"),
    ],
)
def test_periods_are_those_of_the_calendar_in_utc(period, start):
    sunday = datetime.fromisoformat("2026-03-02T00:59:00+01:00")
    assert period_start(period, sunday) == datetime.fromisoformat(f"{start}T00:00:00+00:00")


async def test_1000_parallel_calls_of_3_processes_fill_a_cap_and_never_pass_it(database, database_url):
    made = await BudgetRows(database).upsert(budget())
    processes = await spenders(database_url, 3, calls=334)
    told = await said(processes)
    assert await violations(database) == {}
    await ended(processes)
    found = await counter(database, made.id)
    admitted = sum(one["admitted"] for one in told)
    assert sum(one["refused"] for one in told) > 300
    assert (found.spent_ticks, found.reserved_ticks) == (admitted, 0)
    assert 0.95 * CAP <= admitted <= CAP
    assert await violations(database) == {}


async def test_what_calls_cost_less_than_estimated_is_free_for_others(database):
    made = await BudgetRows(database).upsert(budget(limit_ticks=1000))
    async with spending(database, actual=0.3) as spender:
        for _ in range(2):
            assert await spender.call(1000) is not None or spender.refused
        assert spender.refused == 1
        assert await spender.call(700) is not None
    assert (await counter(database, made.id)).spent_ticks == 510
    assert await violations(database) == {}


async def test_reservations_of_a_killed_process_become_its_spending_within_its_lease(database, database_url):
    made = await BudgetRows(database).upsert(budget())
    processes = await spenders(database_url, 3, calls=334, actual=None, lease_s=LEASE_S)
    told = await said(processes)
    dead, total = max(told, key=itemgetter("admitted")), sum(one["admitted"] for one in told)
    assert 0.95 * CAP <= total <= CAP
    killed_process = processes[told.index(dead)]
    killed_process.kill()
    await killed_process.wait()
    killed = time.monotonic()

    async def booked() -> bool:
        open_calls = sa.text("SELECT count(*) FROM executions WHERE server_id LIKE :id AND state = 'PENDING'")
        async with database.engine.connect() as connection:
            found = await connection.execute(open_calls, {"id": f"{dead['server_id']}%"})
            return found.scalar_one() == 0

    await until(booked)
    assert time.monotonic() - killed < LEASE_S * 1.25 + SLACK_S  # a sweep comes with each quarter of a lease
    found = await counter(database, made.id)
    assert found.spent_ticks >= dead["admitted"]
    assert found.spent_ticks + found.reserved_ticks == total
    assert await violations(database) == {}
    async with database.engine.connect() as connection:
        resolved = await connection.execute(sa.text(RESOLVED))
        assert [tuple(row) for row in resolved] == [("RESERVE", True)]
    for process in processes:
        if process is not killed_process:
            process.kill()
            await process.wait()


async def test_truth_that_comes_late_replaces_what_was_booked_for_a_lost_call(database):
    made = await BudgetRows(database).upsert(budget())
    async with spending(database, actual=None, lease_s=60.0) as spender:
        execution = await spender.call(1000)
        async with database.engine.begin() as connection:
            await connection.execute(sa.text("UPDATE leases SET lease_until = started_at"))
        async with spending(database):
            assert (await counter(database, made.id)).spent_ticks == 1000
        await spender.settle(execution, 400)
        await spender.settle(execution, 500)  # the first one counts
    found = await counter(database, made.id)
    assert (found.spent_ticks, found.reserved_ticks) == (400, 0)
    assert await violations(database) == {}


async def test_lowered_limit_counts_at_the_next_call_and_a_raise_at_once(database):
    rows = BudgetRows(database)
    made = await rows.upsert(budget(limit_ticks=10_000))
    async with spending(database, actual=None) as spender:
        assert await spender.call(6000) is not None
        await rows.upsert(budget(limit_ticks=5000))
        assert await spender.call(1) is None
        assert await violations(database, besides=OVER) == {}
        raised = budget(limit_ticks=5000, raise_ticks=2000)
        raised.raise_end_time.FromJsonString("2999-01-01T00:00:00Z")
        await rows.upsert(raised)
        assert await spender.call(1001) is None
        assert await spender.call(1000) is not None
        raised.raise_end_time.FromJsonString("2001-01-01T00:00:00Z")
        await rows.upsert(raised)
        assert await spender.call(1) is None
    assert (await counter(database, made.id)).limit_ticks == 5000


async def test_budget_that_warns_refuses_nothing_and_alerts_once(database):
    made = await BudgetRows(database).upsert(budget(limit_ticks=1000, policy=pb.BUDGET_POLICY_WARN))
    async with spending(database) as spender:
        for ticks in (700, 150, 50, 500, 500):
            assert await spender.call(ticks) is not None
    assert (await counter(database, made.id)).spent_ticks == 1900
    async with database.engine.connect() as connection:
        alerts = await connection.execute(sa.text("SELECT percent, used_ticks FROM budget_alerts ORDER BY 1"))
        assert [tuple(row) for row in alerts] == [(80, 850), (100, 1400)]


async def test_exactly_the_limit_is_not_over_it(database):
    await BudgetRows(database).upsert(budget(limit_ticks=1000))
    async with spending(database) as spender:
        assert await spender.call(1000) is not None
        assert await spender.call(1) is None
        assert await spender.call(0) is not None  # what costs nothing takes no room


async def test_every_budget_of_a_call_counts_it_and_the_narrowest_refuses(database):
    rows = BudgetRows(database)
    tenant = await rows.upsert(budget())
    each = await rows.upsert(budget(node=pb.BUDGET_NODE_END_USER, node_key="*", limit_ticks=1000))
    ann = await rows.upsert(budget(node=pb.BUDGET_NODE_END_USER, node_key="ann", limit_ticks=2000))
    async with spending(database) as spender:
        assert await spender.call(1000, end_user="bob") is not None
        assert await spender.call(1, end_user="bob") is None
        assert await spender.call(1000, end_user="eve") is not None
        assert await spender.call(2000, end_user="ann") is not None
        execution = Execution(end_user="bob", reserved_ticks=7, request_id="r", attempt=1)
        execution.tenant_id = DEFAULT_TENANT
        applied = spender.budgets.applying(execution)
        with pytest.raises(BudgetExceeded) as refused:
            await spender.budgets.reserve(execution, applied)
    assert refused.value.metadata == {
        "node": "end_user",
        "key": "bob",
        "period": "daily",
        "limit_usd": "0.0000001",
        "used_usd": "0.0000001",
        "estimate_usd": "0.0000000007",
    }
    assert (await counter(database, tenant.id)).spent_ticks == 4000
    assert (await counter(database, ann.id)).spent_ticks == 2000
    found = await rows.counters([each.id], datetime.now(UTC))
    assert {one.node_key: one.spent_ticks for one in found} == {"bob": 1000, "eve": 1000}
    assert await violations(database) == {}


async def test_default_of_all_tenants_is_for_those_without_a_budget_of_their_own(database):
    rows = BudgetRows(database)
    default = await rows.upsert(budget(tenant_id="*", node_key="*", limit_ticks=500))
    async with spending(database) as spender:
        assert await spender.call(500) is not None
        assert await spender.call(1) is None
        await rows.upsert(budget(limit_ticks=5000))
        await spender.budgets.refresh()
        assert await spender.call(1000) is not None
        assert await rows.delete(default.id)
        assert not await rows.delete(default.id)


async def test_disabled_and_deleted_budgets_count_nothing(database):
    rows = BudgetRows(database)
    made = await rows.upsert(budget(limit_ticks=1))
    async with spending(database) as spender:
        assert await spender.call(2) is None
        await rows.upsert(budget(limit_ticks=1, enabled=False))
        await spender.budgets.refresh()
        assert not spender.budgets.any
        assert await spender.call(2) is not None
        await rows.upsert(budget(limit_ticks=1))
        await spender.budgets.refresh()
        assert await spender.call(2) is None
        await rows.delete(made.id)
        await spender.budgets.refresh()
        assert await spender.call(2) is not None
    assert await rows.find() == []


async def test_counter_that_was_deleted_is_made_again(database):
    made = await BudgetRows(database).upsert(budget())
    async with spending(database) as spender:
        assert await spender.call(5) is not None
        async with database.engine.begin() as connection:
            await connection.execute(sa.text("DELETE FROM budget_counters"))
        assert await spender.call(7) is not None
    assert (await counter(database, made.id)).spent_ticks == 12  # with what the period has cost before


async def test_process_that_lost_its_lease_reserves_under_another_id(database):
    made = await BudgetRows(database).upsert(budget())
    async with spending(database, lease_s=60.0) as spender:
        first = spender.ledger.server_id
        async with database.engine.begin() as connection:
            await connection.execute(sa.text("UPDATE leases SET lease_until = started_at"))
        execution = await spender.call(9)
        assert execution.server_id == spender.ledger.server_id != first
    assert (await counter(database, made.id)).spent_ticks == 9
    assert await violations(database) == {}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"node": pb.BUDGET_NODE_END_USER, "node_key": "*"},
        {"node": pb.BUDGET_NODE_LABEL, "node_key": "team=search"},
        {"node": pb.BUDGET_NODE_RUN, "node_key": "run-1"},
    ],
)
async def test_new_budget_begins_with_what_its_period_has_cost(database, fields):
    mine = {"end_user": "ann", "cost_labels": {"team": "search"}, "run_id": "run-1"}
    rows = BudgetRows(database)
    async with spending(database, actual=None) as spender:
        settled, running = await spender.call(100, **mine), await spender.call(30, **mine)
        await spender.call(1000, tenant_id="other", **mine)
        await spender.settle(settled, 70)
        made = await rows.upsert(budget(limit_ticks=250, policy=pb.BUDGET_POLICY_HARD_BLOCK, **fields))
        await spender.budgets.refresh()
        assert await spender.call(151, **mine) is None
        found = await counter(database, made.id)
        assert (found.spent_ticks, found.reserved_ticks) == (70, 30)
        await spender.settle(running, 20)
        assert await spender.call(160, **mine) is not None
    found = await counter(database, made.id)
    assert (found.spent_ticks, found.reserved_ticks) == (90, 160)
    assert await violations(database, besides="nobody dead holds any") == {}


async def test_rated_again_a_call_changes_what_its_budgets_have_spent(database):
    made = await BudgetRows(database).upsert(budget())
    async with spending(database) as spender:
        execution = await spender.call(100)
    executions = Executions(database)
    again = (execution, Cost(cost_ticks=130, price_known=True, price_book="new"))
    await executions.reprice([again])
    await executions.reprice([again])  # it has the price of another book now
    assert (await counter(database, made.id)).spent_ticks == 130
    assert await violations(database) == {}


async def test_extension_is_reserved_in_every_counter_and_given_back_with_the_rest(database):
    rows = BudgetRows(database)
    tenant = await rows.upsert(budget(limit_ticks=160))
    ann = await rows.upsert(budget(node=pb.BUDGET_NODE_END_USER, node_key="ann"))
    async with spending(database, actual=None) as spender:
        execution = await spender.call(100, end_user="ann")
        assert await spender.budgets.extend(execution, 60) is None
        assert execution.reserved_ticks == 160
        for made in (tenant, ann):
            found = await counter(database, made.id)
            assert (found.spent_ticks, found.reserved_ticks) == (0, 160)
        assert await spender.budgets.extend(execution, 1) is None  # SOFT_BLOCK lets it go on
        assert (await counter(database, tenant.id)).reserved_ticks == execution.reserved_ticks == 160
        assert await violations(database) == {}
        await spender.settle(execution, 130)
        assert await spender.budgets.extend(execution, 60) is None  # it runs no more
    found = await counter(database, tenant.id)
    assert (found.spent_ticks, found.reserved_ticks) == (130, 0)
    assert await violations(database) == {}


@pytest.mark.parametrize(("run", "is_refused"), [("", True), ("run-1", False)])
async def test_extension_is_refused_by_a_hard_block_outside_of_runs(database, run, is_refused):
    rows = BudgetRows(database)
    await rows.upsert(budget(limit_ticks=150))
    hard = await rows.upsert(
        budget(node=pb.BUDGET_NODE_KEY, node_key="k", limit_ticks=150, policy=pb.BUDGET_POLICY_HARD_BLOCK)
    )
    async with spending(database, actual=None) as spender:
        execution = await spender.call(100, api_key_id="k", **({"run_id": run} if run else {}))
        assert await spender.budgets.extend(execution, 50) is None  # exactly the limit
        refusal = await spender.budgets.extend(execution, 1)
        assert (refusal is not None) == is_refused
        if refusal is not None:
            assert (refusal.metadata["node"], refusal.metadata["estimate_usd"]) == ("key", "0.0000000151")
        assert (await counter(database, hard.id)).reserved_ticks == execution.reserved_ticks == 150


async def test_extensions_at_once_never_pass_the_limit_of_a_hard_block(database):
    made = await BudgetRows(database).upsert(budget(limit_ticks=1000, policy=pb.BUDGET_POLICY_HARD_BLOCK))
    async with spending(database, actual=None) as spender:
        running = [await spender.call(10) for _ in range(20)]
        refused = await asyncio.gather(*(spender.budgets.extend(one, 100) for one in running))
        assert len([refusal for refusal in refused if refusal is None]) == 8
        assert (await counter(database, made.id)).reserved_ticks == 1000
    assert await violations(database, besides="nobody dead holds any") == {}


async def test_postgresql_that_dies_under_load_loses_and_doubles_nothing(
    postgres_server: PostgresServer, postgres_url: str
):
    database = Database(postgres_url)
    made = await BudgetRows(database).upsert(budget(limit_ticks=10**12))
    refused = 0
    stopping = asyncio.Event()

    async def caller(spender: Spender) -> None:
        nonlocal refused
        while not stopping.is_set():
            try:
                await spender.call(1000)
            except ServiceUnavailable:
                refused += 1
            await asyncio.sleep(0.005)

    async with spending(database, actual=0.5, lease_s=5.0) as spender:
        callers = [asyncio.create_task(caller(spender)) for _ in range(20)]
        await asyncio.sleep(0.5)
        await asyncio.to_thread(postgres_server.stop)
        await until(lambda: refused > 0)  # said so, while it is away
        await asyncio.to_thread(postgres_server.start)
        before = spender.spent_ticks
        await until(lambda: spender.spent_ticks > before + 20_000)  # without a restart
        stopping.set()
        await asyncio.gather(*callers)
    found = await counter(database, made.id)
    assert (found.spent_ticks, found.reserved_ticks) == (spender.spent_ticks, 0)
    assert set(await states(database)) <= {"SUCCEEDED", "CANCELLED"}
    assert await violations(database) == {}
    await database.close()
