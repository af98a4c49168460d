"""Budgets as rows, on SQLite and on a real PostgreSQL: changes that meet, periods, and pages."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from genai_spine.access.audit import AuditLog
from genai_spine.budgets import defaults
from genai_spine.errors import BudgetNotFound, EtagMismatch
from genai_spine.store.access.audit import AuditRows
from genai_spine.store.budgets.budgets import BudgetRows
from genai_spine.store.budgets.periods import period_start
from genai_spine.store.database import Database
from genai_spine.v1 import budget_pb2 as pb
from genai_spine.v1.budget_service_pb2 import ListBudgetsRequest
from tests.contract.test_budgets import budget

DAILY, WEEKLY, MONTHLY = pb.BUDGET_PERIOD_DAILY, pb.BUDGET_PERIOD_WEEKLY, pb.BUDGET_PERIOD_MONTHLY


async def test_every_change_is_another_revision_whichever_process_makes_it(
    database: Database, database_url: str
) -> None:
    rows, seen = BudgetRows(database), []
    others = [Database(database_url) for _ in range(5)]  # each with connections and locks of its own
    for _ in range(2):
        named = [budget(node="BUDGET_NODE_KEY", node_key=str(number)) for number in range(10)]
        made = await asyncio.gather(
            *(BudgetRows(others[number % 5]).upsert(one) for number, one in enumerate(named))
        )
        seen.append(await rows.revision())
    for other in others:
        await other.close()
    assert len({one.revision for one in made}) == 10
    await rows.delete(made[-1].id)
    seen.append(await rows.revision())
    again = await rows.upsert(budget(node="BUDGET_NODE_KEY", node_key="new"))
    seen.append(await rows.revision())
    for one in [*made[:-1], again]:
        await rows.delete(one.id)
    seen.append(await rows.revision())
    assert len(set(seen)) == len(seen)


async def test_change_of_what_somebody_else_has_changed_is_refused(database: Database) -> None:
    rows = BudgetRows(database)
    made = await rows.upsert(budget(), seen=0)
    with pytest.raises(EtagMismatch):
        await rows.upsert(budget(), seen=0)
    changed = await rows.upsert(budget(limit_ticks=7), seen=made.revision)
    with pytest.raises(EtagMismatch):
        await rows.upsert(budget(limit_ticks=8), seen=made.revision)
    with pytest.raises(EtagMismatch):
        await rows.delete(made.id, seen=made.revision)
    assert (await rows.get(made.id)).limit_ticks == 7
    assert await rows.delete(made.id, seen=changed.revision)
    with pytest.raises(BudgetNotFound):
        await rows.get(made.id)


async def test_deletion_changes_no_etag_of_others(database: Database) -> None:
    rows = BudgetRows(database)
    kept, gone = await rows.upsert(budget(period=DAILY)), await rows.upsert(budget(period=MONTHLY))
    await rows.delete(gone.id)
    assert (await rows.get(kept.id)).etag == kept.etag


async def test_counter_of_another_day_of_the_week_and_month_is_not_that_of_today(database: Database) -> None:
    rows = BudgetRows(database)
    made = await rows.upsert(budget(node="BUDGET_NODE_END_USER", node_key="*", period=DAILY))
    at = datetime(2026, 9, 3, 12, tzinfo=UTC)  # a Thursday, behind a Monday of the same month and week
    starts = {period_start(period, at) for period in (DAILY, WEEKLY, MONTHLY)}
    await rows.open_counters([(made.id, "ann", start) for start in starts])
    assert len(starts) == 3
    [found] = await rows.counters([made.id], at)
    assert found.period_start_time.ToDatetime(UTC) == period_start(DAILY, at)
    assert found.period_end_time.ToDatetime(UTC) == period_start(DAILY, at) + timedelta(days=1)


async def test_counters_come_in_pages_and_the_fullest_by_itself(database: Database) -> None:
    rows, now = BudgetRows(database), datetime.now(UTC)
    made = await rows.upsert(budget(node="BUDGET_NODE_END_USER", node_key="*", limit_ticks=100))
    other = await rows.upsert(budget())
    start = period_start(DAILY, now)
    ids = await rows.open_counters([(made.id, name, start) for name in ("ann", "bob", "eve")])
    async with database.engine.begin() as connection:
        change = sa.text("UPDATE budget_counters SET spent_ticks = 30, reserved_ticks = 40 WHERE id = :id")
        await connection.execute(change, {"id": ids[made.id, "bob", start]})
    first = await rows.counters([made.id], now, size=2)
    rest = await rows.counters([made.id], now, size=2, after=first[-1].id)
    assert [one.node_key for one in (*first, *rest)] == ["ann", "bob", "eve"]
    fullest = await rows.fullest([made.id, other.id], now)
    assert fullest.keys() == {made.id}
    found = fullest[made.id]
    assert (found.node_key, found.remaining_ticks, found.used_percent) == ("bob", 30, 70.0)


async def test_pages_hold_what_the_filters_let_through(database: Database) -> None:
    rows = BudgetRows(database)
    made = [await rows.upsert(budget(node="BUDGET_NODE_KEY", node_key=str(number))) for number in range(3)]
    await rows.upsert(budget())
    await rows.upsert(budget(tenant_id="other", node_key="other"))

    async def ids(size: int = 9, after: int = 0, **filters: Any) -> list[int]:
        request = ListBudgetsRequest(**filters)
        return [one.id for one in await rows.page(request, "default-tenant", size, after)]

    assert await ids(node="BUDGET_NODE_KEY") == [one.id for one in made]
    assert await ids(2, made[0].id, node="BUDGET_NODE_KEY") == [made[1].id, made[2].id]
    assert await ids(node_key="1") == [made[1].id]
    assert len(await ids()) == 4


async def install(database: Database, *wanted: pb.Budget) -> None:
    await defaults.install(BudgetRows(database), AuditLog(AuditRows(database), None), wanted)


async def actions(database: Database) -> list[str]:
    query = sa.text("SELECT action FROM audit_log WHERE actor = 'settings' ORDER BY created_at")
    async with database.engine.connect() as connection:
        return list((await connection.execute(query)).scalars())


async def test_defaults_of_the_settings_are_made_changed_and_taken_away(
    database: Database, database_url: str
) -> None:
    rows = BudgetRows(database)
    servers = [Database(database_url) for _ in range(5)]
    daily = defaults.default(DAILY, 100, pb.BUDGET_POLICY_SOFT_BLOCK, 0.8)
    await asyncio.gather(*(install(server, daily) for server in servers))
    for server in servers:
        await server.close()
    [made] = await rows.find()
    assert (made.from_settings, made.limit_ticks, made.warn_percent) == (True, 100, 80)
    assert await actions(database) == ["budgets.set"]
    await install(database, daily)
    assert (await rows.get(made.id)).revision == made.revision  # nothing to change, nothing changed
    await install(database, defaults.default(DAILY, 200, pb.BUDGET_POLICY_WARN, 0.5))
    [changed] = await rows.find()
    assert (changed.id, changed.limit_ticks, changed.policy) == (made.id, 200, pb.BUDGET_POLICY_WARN)
    await install(database)
    assert await rows.find() == []
    assert await actions(database) == ["budgets.set", "budgets.set", "budgets.delete"]


async def test_default_that_somebody_has_set_is_left_to_him(database: Database) -> None:
    rows = BudgetRows(database)
    own = await rows.upsert(budget(tenant_id="*", node_key="*", limit_ticks=5))
    await install(database, defaults.default(DAILY, 100, pb.BUDGET_POLICY_SOFT_BLOCK, 0.8))
    assert await rows.find() == [own]
    await install(database)
    assert await rows.find() == [own]


TOTAL = pb.BUDGET_PERIOD_TOTAL


async def counters_left(database: Database) -> list[int]:
    async with database.engine.connect() as connection:
        return list(
            (await connection.execute(sa.text("SELECT id FROM budget_counters ORDER BY id"))).scalars()
        )


async def test_counters_are_kept_for_their_days_after_the_end_of_their_period(database: Database) -> None:
    rows, now = BudgetRows(database, counters_days=30), datetime.now(UTC)
    made = {period: await rows.upsert(budget(period=period)) for period in (DAILY, MONTHLY, TOTAL)}

    async def opened(period: Any, days_ago: int) -> int:
        key = (made[period].id, "default-tenant", period_start(period, now - timedelta(days=days_ago)))
        return (await rows.open_counters([key]))[key]

    kept = [
        await opened(DAILY, 30),
        await opened(MONTHLY, 30),
        await opened(TOTAL, 4000),
        await opened(DAILY, 0),
    ]
    gone = [await opened(DAILY, 31), await opened(MONTHLY, 62)]
    assert (await rows.sweep(), await counters_left(database)) == (len(gone), sorted(kept))


async def test_counter_without_an_end_goes_some_days_after_its_budget(database: Database) -> None:
    rows = BudgetRows(database, counters_days=30)
    made = await rows.upsert(budget(period=TOTAL))
    key = (made.id, "default-tenant", period_start(TOTAL, datetime.now(UTC)))
    [id] = (await rows.open_counters([key])).values()
    await rows.delete(made.id)
    assert (await rows.sweep(), await counters_left(database)) == (0, [id])  # running calls are charged to it
    again = BudgetRows(database, counters_days=0)
    made = await again.upsert(budget(period=TOTAL))
    await again.open_counters([(made.id, *key[1:])])
    await again.delete(made.id)
    assert (await rows.sweep(), await counters_left(database)) == (1, [id])
