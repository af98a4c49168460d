"""The queue of runs on both databases: order, aging, fairness, and claims that stay quick and exclusive."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from genai_spine.store.database import Database
from genai_spine.store.runs import queue
from genai_spine.store.runs.events import EventRows
from genai_spine.store.runs.plain.limits import Limits, run_limits
from genai_spine.store.runs.queue import MAX_CLAIMED, RunQueue, Waiting, in_order
from genai_spine.store.runs.queue_stats import QueueCounts
from genai_spine.store.runs.tables import PRIORITIES, runs
from genai_spine.store.runs.transitions import Transitions

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORKER = "worker"


def row(run_id: str, tenant: str = "a", priority: str = "normal", **values: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "id": run_id,
        "tenant_id": tenant,
        "principal": "p",
        "kind": "task",
        "name": "genai.completion",
        "work": b"",
        "options": b"",
        "status": "queued",
        "priority": PRIORITIES.index(priority),
        "lane": "cpu",
        "root_run_id": run_id,
        "trigger_source": "api",
        "metadata": {},
        "created_at": now,
        "queued_at": now,
        "progress_message": "",
    } | values


async def put(database: Database, *rows: dict[str, Any]) -> None:
    async with database.begin() as connection:
        for one in rows:
            await connection.execute(insert(runs), one)


def everything(lane: str) -> bool:
    return True


async def claimed(database: Database, most: int, **options: Any) -> list[str]:
    found = await RunQueue(database).claim(WORKER, everything, most, **options)
    return [run.run_id for run, _ in found]


def waiting(run_id: str, tenant: str = "a", priority: str = "normal", waits_s: float = 0.0) -> Waiting:
    return Waiting("cpu", PRIORITIES.index(priority), tenant, "", NOW - timedelta(seconds=waits_s), run_id)


def order(*given: Waiting, running: dict[str, int] | None = None) -> list[str]:
    load = Counter({("cpu", tenant): count for tenant, count in (running or {}).items()})
    return [one.run_id for one in in_order(given, load, len(given), NOW)]


def test_priorities_start_in_their_order() -> None:
    given = [waiting(priority, priority=priority) for priority in reversed(PRIORITIES)]
    assert order(*given) == list(PRIORITIES)


def test_older_run_of_a_class_starts_first() -> None:
    assert order(waiting("late", waits_s=1), waiting("early", waits_s=2)) == ["early", "late"]


def test_run_rises_one_class_a_minute_and_never_above_high() -> None:
    assert order(waiting("low", priority="low", waits_s=61), waiting("new", waits_s=59)) == ["low", "new"]
    assert order(waiting("low", priority="low", waits_s=59), waiting("new")) == ["new", "low"]
    given = (waiting("slow", priority="slow", waits_s=86400), waiting("now", priority="realtime"))
    assert order(*given) == ["now", "slow"]


def test_tenant_with_the_fewest_running_runs_goes_next() -> None:
    given = (waiting("busy", "a", waits_s=30), waiting("idle", "b"))
    assert order(*given, running={"a": 3, "b": 2}) == ["idle", "busy"]
    assert order(*given, running={"a": 2, "b": 2}) == ["busy", "idle"]


def test_single_run_of_a_tenant_starts_within_three_starts_behind_ten_thousand_of_another() -> None:
    flood = [waiting(f"a{number}", "a", waits_s=50) for number in range(10_000)]
    single = waiting("b", "b")
    load = Counter({("cpu", "a"): 32})
    started = in_order([*flood, single], load, 3, NOW)
    assert single in started


def test_low_run_starts_within_180_s_under_endless_normal_load() -> None:
    """One place, runs of 1 s, and two new normal runs each second: simulated time."""
    now, number = NOW, 0
    low = Waiting("cpu", PRIORITIES.index("low"), "a", "", NOW, "low")
    queue = [low]
    while low in queue:
        for _ in range(2):
            queue.append(Waiting("cpu", PRIORITIES.index("normal"), "a", "", now, f"n{number}"))
            number += 1
        [started] = in_order(queue, Counter(), 1, now)
        queue.remove(started)
        now += timedelta(seconds=1)
    assert now - NOW <= timedelta(seconds=180)


async def test_claim_takes_runs_in_order_and_as_many_as_are_asked_for(database: Database) -> None:
    now = datetime.now(UTC)
    rows = [
        row(f"r{place}", priority=priority, queued_at=now - timedelta(seconds=place))
        for place, priority in enumerate(("low", "normal", "normal", "high", "slow"))
    ]
    await put(database, *rows)
    assert await claimed(database, 1) == ["r3"]
    assert sorted(await claimed(database, 2)) == ["r1", "r2"]
    assert sorted(await claimed(database, 10)) == ["r0", "r4"]
    assert await claimed(database, 10) == []


async def test_claimed_run_is_running_and_its_event_is_numbered(database: Database) -> None:
    await put(database, row("r", last_sequence=2))
    [(run, _)] = await RunQueue(database).claim(WORKER, everything, 5)
    assert (run.status, run.worker_id, run.last_sequence) == ("running", WORKER, 3)
    [event] = await EventRows(database).after("r", 0, 10)
    assert (event.sequence, event.event_type) == (3, "started")
    assert run.HasField("start_time")


async def test_only_lanes_that_are_served_are_claimed(database: Database) -> None:
    await put(database, row("far", lane="far"), row("near"))
    found = await RunQueue(database).claim(WORKER, lambda lane: lane == "cpu", 5)
    assert [run.run_id for run, _ in found] == ["near"]


async def test_full_worker_takes_realtime_runs_alone(database: Database) -> None:
    await put(database, row("normal"), row("now", priority="realtime"))
    assert await claimed(database, 5, only_realtime=True) == ["now"]


async def test_tenants_take_turns(database: Database) -> None:
    now = datetime.now(UTC)
    flood = [row(f"a{n:03}", "a", queued_at=now - timedelta(seconds=20)) for n in range(50)]
    running = [row(f"run{n}", "a", status="running", executor_id=WORKER) for n in range(5)]
    await put(database, *flood, *running, row("b", "b"))
    assert "b" in await claimed(database, 1)
    assert await claimed(database, 2) != []


async def test_no_run_is_claimed_twice(database: Database) -> None:
    await put(database, *(row(f"r{n}", f"t{n % 3}") for n in range(60)))

    async def worker() -> list[str]:
        found: list[str] = []
        for _ in range(20):
            found += await claimed(database, 5)
        return found

    taken = [run_id for found in await asyncio.gather(*(worker() for _ in range(4))) for run_id in found]
    assert len(taken) == len(set(taken)) == 60


async def claimed_within(database: Database, limits: Limits, most: int) -> list[str]:
    found = await RunQueue(database, limits).claim(WORKER, everything, most)
    return [run.run_id for run, _ in found]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    yield database
    await database.close()


async def ended(database: Database, run_id: str) -> None:
    async with database.begin() as connection:
        await connection.execute(update(runs).where(runs.c.id == run_id).values(status="completed"))


async def test_lane_at_its_limit_waits_and_holds_up_no_other(database: Database) -> None:
    now = datetime.now(UTC)
    old = [row(f"g{n}", lane="gpu", queued_at=now - timedelta(seconds=90 - n)) for n in range(5)]
    await put(database, *old, row("c0"), row("c1", "b"))
    limits = run_limits({"gpu": 2})
    assert sorted(await claimed_within(database, limits, 10)) == ["c0", "c1", "g0", "g1"]
    assert await claimed_within(database, limits, 10) == []
    await ended(database, "g0")
    assert await claimed_within(database, limits, 10) == ["g2"]
    assert await claimed(database, 10) == ["g3", "g4"]  # by a worker that knows of no limit


async def test_provider_at_its_limit_waits_in_every_lane_and_holds_up_no_other(database: Database) -> None:
    now = datetime.now(UTC)
    slow = [
        row(f"o{n}", lane=lane, provider="ollama", queued_at=now - timedelta(seconds=50 - n))
        for n, lane in enumerate(("cpu", "gpu", "cpu", "gpu"))
    ]
    await put(database, *slow, row("free", provider="openai"), row("none"), row("b", "b", provider="ollama"))
    limits = run_limits({"gpu": 1}, {"ollama": 3})
    assert sorted(await claimed_within(database, limits, 10)) == ["b", "free", "none", "o0", "o1"]
    assert await claimed_within(database, limits, 10) == []
    await ended(database, "o0")
    assert await claimed_within(database, limits, 10) == ["o2"]  # o3 waits for its lane
    await ended(database, "o1")
    assert await claimed_within(database, limits, 10) == ["o3"]


async def test_runs_of_one_tenant_start_by_age_whatever_their_providers(database: Database) -> None:
    now = datetime.now(UTC)
    old = [(of, now - timedelta(seconds=50 - n)) for n, of in enumerate(("z", "", "a", "z", "m", "a"))]
    await put(database, *(row(f"r{n}", provider=of, queued_at=at) for n, (of, at) in enumerate(old)))
    assert [await claimed(database, 1) for _ in range(3)] == [["r0"], ["r1"], ["r2"]]
    assert sorted(await claimed(database, 10)) == ["r3", "r4", "r5"]


async def test_places_of_a_limited_lane_go_by_priority_and_in_turns(database: Database) -> None:
    now = datetime.now(UTC)
    flood = [row(f"a{n}", "a", queued_at=now - timedelta(seconds=30)) for n in range(5)]
    await put(database, *flood, row("b", "b"), row("high", "a", "high"))
    assert sorted(await claimed_within(database, run_limits({"cpu": 3}), 10)) == ["a0", "b", "high"]


@pytest.mark.parametrize("by", ["lane", "provider"])
async def test_workers_that_claim_at_once_keep_a_limit_together(database_url: str, by: str) -> None:
    """Each has its own connections, as processes have."""
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(opened(database_url)) for _ in range(4)]
        await put(workers[0], *(row(f"r{n:02}", f"t{n % 3}", provider="openai") for n in range(40)))
        limits = run_limits({"cpu": 7}) if by == "lane" else run_limits({}, {"openai": 7})

        async def work(database: Database) -> list[str]:
            return [run_id for _ in range(6) for run_id in await claimed_within(database, limits, 2)]

        found = await asyncio.gather(*map(work, workers))
    assert len({run_id for some in found for run_id in some}) == sum(map(len, found)) == 7


async def test_statistics_say_which_lane_is_at_its_limit(database: Database) -> None:
    running = [row(f"r{n}", tenant, status="running") for n, tenant in enumerate("ab")]
    await put(database, *running, row("far", lane="far"), row("free", lane="free"))
    stats = await QueueCounts(database, run_limits({"cpu": 2, "far": 1})).of_tenant("a")
    said = {depth.lane: depth for depth in stats.depths}
    assert (said["cpu"].lane_limit, said["cpu"].is_at_limit) == (2, True)  # with a run of another tenant
    assert (said["far"].lane_limit, said["far"].is_at_limit) == (1, False)
    assert not said["free"].HasField("lane_limit")


async def test_statistics_say_which_provider_is_at_its_limit(database: Database) -> None:
    running = [row(f"r{n}", tenant, status="running", provider="p") for n, tenant in enumerate("ab")]
    await put(database, *running, row("w", provider="p"), row("far", provider="q"), row("none"))
    stats = await QueueCounts(database, run_limits({}, {"p": 2, "q": 1})).of_tenant("a")
    found = [
        (of.provider, of.queued, of.running, of.provider_limit, of.is_at_limit) for of in stats.providers
    ]
    assert found == [("p", 1, 1, 2, True), ("q", 1, 0, 1, False)]
    [without, _] = (await QueueCounts(database).of_tenant("a")).providers
    assert not without.HasField("provider_limit")


async def test_pending_run_is_queued_when_its_time_has_come(database: Database) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    await put(
        database,
        row("due", status="pending", queued_at=None, ready_at=datetime.now(UTC) - timedelta(seconds=1)),
        row("later", status="pending", queued_at=None, ready_at=soon),
        row("held", status="pending", queued_at=None, is_held=True),
    )
    assert await RunQueue(database).promote() == 1
    assert await claimed(database, 5) == ["due"]


async def test_queue_is_empty_where_no_lane_has_a_waiting_run(database: Database) -> None:
    queue = RunQueue(database)
    assert not queue.is_empty  # nobody has looked
    await queue.claim(WORKER, everything, 5)
    assert queue.is_empty
    await put(database, row("a", lane="gpu"))
    assert await queue.claim(WORKER, lambda lane: lane == "cpu", 5) == []
    assert not queue.is_empty


async def test_queue_says_whether_the_time_of_a_pending_run_has_come(database: Database) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    await put(
        database,
        row("later", status="pending", queued_at=None, ready_at=soon),
        row("held", status="pending", queued_at=None, is_held=True),
    )
    assert not await RunQueue(database).has_due()
    await put(database, row("due", status="pending", queued_at=None, ready_at=None))
    assert await RunQueue(database).has_due()


@pytest.fixture
async def long_queue(database: Database) -> Database:
    """100,000 waiting runs of 200 tenants, made by the database."""
    await put(database, row("seed", "t0", queued_at=datetime(2030, 1, 1, tzinfo=UTC)))
    columns = [column.name for column in runs.c if column.name not in ("id", "tenant_id", "queued_at")]
    names = ", ".join(columns)
    if database.dialect == "sqlite":
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
        values = "printf('r%06d', i), 't' || (i % 200), '2026-01-01 00:00:00.' || printf('%06d', i)"
        query = f"{numbers} SELECT {values}, {names} FROM n, runs WHERE id = 'seed'"
    else:
        values = (
            "'r' || lpad(i::text, 6, '0'), 't' || (i % 200), "
            "timestamptz '2026-01-01' + i * interval '1 microsecond'"
        )
        query = f"SELECT {values}, {names} FROM generate_series(1, 100000) i, runs WHERE id = 'seed'"
    async with database.begin() as connection:
        await connection.execute(text(f"INSERT INTO runs (id, tenant_id, queued_at, {names}) {query}"))
        await connection.execute(text("ANALYZE"))
    return database


async def test_claim_looks_at_the_first_runs_of_each_group_and_not_at_all_that_wait(
    long_queue: Database,
) -> None:
    """No sequential scan, and a plan that uses the index of the queue."""
    compiled = queue._all_heads.compile(long_queue.engine.sync_engine)
    explain = "EXPLAIN QUERY PLAN" if long_queue.dialect == "sqlite" else "EXPLAIN"
    async with long_queue.connect() as connection:
        values = tuple(compiled.params[name] for name in compiled.positiontup or ())
        found = await connection.exec_driver_sql(f"{explain} {compiled.string}", values)
        plan = "\n".join(str(line) for line in found)
    assert "ix_runs_queue" in plan
    assert "Seq Scan on runs" not in plan
    first = await claimed(long_queue, 500)
    assert len(first) == MAX_CLAIMED
    async with long_queue.connect() as connection:
        query = select(runs.c.tenant_id).where(runs.c.id.in_(first))
        tenants = Counter((await connection.execute(query)).scalars())
    assert max(tenants.values()) == 1  # of 200 tenants each gets one before any gets two


async def test_move_that_is_not_legal_is_refused_by_the_database(database: Database) -> None:
    await put(database, row("r"))
    await claimed(database, 1)
    with pytest.raises(Exception, match="(?i)runs|status|constraint|abort"):  # noqa: RUF043
        async with database.begin() as connection:
            await connection.execute(update(runs).values(status="queued"))


@pytest.mark.parametrize("others", [{}, {"lane": "gpu"}], ids=["one group", "two groups"])
async def test_run_whose_deadline_has_passed_is_passed_over(
    database: Database, others: dict[str, str]
) -> None:
    now = datetime.now(UTC)
    early, late = now - timedelta(hours=1), now + timedelta(hours=1)
    await put(
        database,
        row("past", queued_at=early, deadline_at=now - timedelta(seconds=1)),
        row("future", queued_at=now, deadline_at=late),
        row("none", queued_at=now, **others),
    )
    assert sorted(await claimed(database, 5)) == ["future", "none"]
    assert await claimed(database, 5) == []
    assert await Transitions(database).expire() == 1
    assert [event.event_type for event in await EventRows(database).after("past", 0, 9)] == [
        "timed_out",
        "failed",
    ]
