"""Sums of usage on SQLite and on a real PostgreSQL: they follow the ledger, and every road to them agrees."""

import asyncio
import csv
import io
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from genai_spine.billing.price_book import PriceBook
from genai_spine.costs import usd_of
from genai_spine.store.database import Database
from genai_spine.store.execution_history import ExecutionHistory
from genai_spine.store.executions import Executions
from genai_spine.store.usage import rollups
from genai_spine.store.usage.rollups import Rollups
from genai_spine.store.usage.sums import Question, UsageSums
from genai_spine.usage.export import FOCUS, MANDATORY, csv_pieces, focus_pieces
from genai_spine.usage.reports import UsageReports
from genai_spine.v1 import usage_pb2
from genai_spine.v1 import usage_service_pb2 as pb
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.execution_service_pb2 import ListExecutionsRequest

TENANTS = ("default-tenant", "other")
STATES = ("SUCCEEDED", "SUCCEEDED", "FAILED", "CANCELLED", "LOST", "PENDING")
PROVENANCES = ("PROVIDER_REPORTED", "PARTIAL_STREAM", "ESTIMATED", "UNKNOWN")
MODELS = (("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("anthropic", "claude-sonnet-4-20250514"))
MODELS += (("nobody", "gpt-4o"), ("openai", "whisper-1"))
GROUPS = (
    *("provider", "model", "day", "project", "key", "end_user", "capability", "prompt", "operation"),
    *("run", "correlation_id", "session", "label:team", "label:none"),
)


def calls(seed: int, count: int = 150) -> list[Execution]:
    """Calls of ten days, some of them of this hour; many fields are left out here and there."""
    dice = random.Random(seed)
    now = datetime.now(UTC)

    def maybe(*choices: str) -> str | None:
        return dice.choice((None, *choices))

    rows = []
    for number in range(count):
        provider, model = dice.choice(MODELS)
        row = Execution(
            id=f"{seed}-{number:05}",
            request_id=f"{seed}-{number}",
            operation="OPERATION_COMPLETION",
            attempt=1,
            state=f"EXECUTION_STATE_{dice.choice(STATES)}",
            provider=provider,
            model=model,
            tenant_id=dice.choice(TENANTS),
            project_id=maybe("p1", "p2"),
            api_key_id=maybe("k1", "k2"),
            end_user=maybe("ann", 'b"ob', "Zo\u00eb"),
            capability=maybe("summarize", "extract"),
            prompt_id=maybe("prompt"),
            run_id=maybe("run-1"),
            session_id=maybe("session-1", "session-2"),
            correlation_id=maybe("c1"),
            latency_ms=dice.randrange(5000),
            discarded=dice.random() < 0.1,
        )
        if team := maybe("red", 'bl"ue'):
            row.cost_labels.update({"team": team, "app.x": "a=b"})
        at = now - timedelta(seconds=dice.randrange(3000) if number % 5 == 0 else dice.randrange(9 * 86400))
        row.create_time.FromDatetime(at)
        if row.state != 1:
            row.settle_time.FromDatetime(at)
            spend(row, dice)
        rows.append(row)
    return rows


def spend(row: Execution, dice: random.Random) -> None:
    """Gives a row usage and a cost that no double could add up without loss."""
    usage = row.usage
    usage.uncached_input_tokens, usage.cache_read_tokens = dice.randrange(9999), dice.choice((0, 77))
    usage.visible_output_tokens, usage.reasoning_tokens = dice.randrange(999), dice.choice((0, 13))
    usage.input_tokens = usage.uncached_input_tokens + usage.cache_read_tokens
    usage.output_tokens = usage.visible_output_tokens + usage.reasoning_tokens
    usage.total_tokens = usage.input_tokens + usage.output_tokens
    usage.input_provenance = usage_pb2.Provenance.Value(f"PROVENANCE_{dice.choice(PROVENANCES)}")
    usage.output_provenance = usage_pb2.Provenance.Value(f"PROVENANCE_{dice.choice(PROVENANCES)}")
    row.cost.price_known = dice.random() > 0.1
    row.cost.cost_ticks = dice.randrange(10**13) if row.cost.price_known else 0
    row.cost.price_book = "a book"


def settled(rows: Iterable[Execution], tenant: str) -> list[Execution]:
    return [row for row in rows if row.tenant_id == tenant and row.state != 1]


def ticks(rows: Iterable[Execution]) -> int:
    return sum(row.cost.cost_ticks for row in rows)


def period(tenant: str) -> Question:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Question(tenant, today - timedelta(days=15), today + timedelta(days=1))


async def listed(database: Database, tenant: str) -> list[Execution]:
    """All of a tenant's calls, page by page, as ListExecutions shows them."""
    history, found, end = ExecutionHistory(database), [], None
    while True:
        page = await history.page(ListExecutionsRequest(), tenant, 50, end)
        found += page.executions
        end = page.end
        if end is None:
            return found


async def money(database: Database, book: PriceBook, tenant: str) -> dict[str, int]:
    """The same question, asked at every place that shows money; ticks by the place."""
    sums = UsageSums(database)
    reports = UsageReports(sums)
    usage = await reports.usage(pb.GetUsageRequest(), tenant)
    costs = await reports.costs(pb.GetCostsRequest(), tenant)
    found = {
        "executions": ticks(await listed(database, tenant)),
        "usage": usage.total.cost_ticks,
        "by_provider": sum(total.cost_ticks for total in usage.by_provider.values()),
        "by_model": sum(total.cost_ticks for total in usage.by_model.values()),
        "daily_breakdown": sum(day.total.cost_ticks for day in usage.daily_breakdown),
        "costs": costs.total_cost_ticks,
        "days of costs": sum(day.cost_ticks for day in costs.daily),
        "summary": (await reports.summary(tenant)).last_30_days.cost_ticks,
        "no group": (await sums.by(period(tenant)))[0][1]["cost_ticks"],
    }
    for name in GROUPS:
        groups = await reports.usage(pb.GetUsageRequest(group_by=name, max_groups=2), tenant)
        found[f"by {name}"] = groups.other_groups.cost_ticks + sum(
            group.total.cost_ticks for group in groups.groups
        )
    lines = await rows_of(csv_pieces(sums, period(tenant)))
    found["CSV"] = sum(int(line["cost_ticks"]) for line in lines)
    lines = await rows_of(focus_pieces(sums, book, period(tenant)))
    found["FOCUS"] = sum(int(line["x_CostTicks"]) for line in lines)
    return found


async def rows_of(pieces: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join([piece async for piece in pieces]))))


@pytest.fixture(autouse=True)
def _no_pauses(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are for other writers."""
    if "several" not in request.node.name:
        monkeypatch.setattr(rollups, "PAUSE_S", 0)


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook.load()


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_place_that_shows_money_shows_the_same(
    executions: Executions, database: Database, book: PriceBook, seed: int
) -> None:
    rows = calls(seed)
    await executions.save(rows)
    for step, rolled in enumerate((False, True, False, True)):
        if rolled:
            await Rollups(database).roll()
        for tenant in TENANTS:
            found = await money(database, book, tenant)
            assert found == dict.fromkeys(found, ticks(settled(rows, tenant)))
        more = calls(seed + 100 + step, 20) if not rolled else []
        await executions.save(more)
        rows += more


async def test_groups_of_tenants_are_all_calls_of_the_service(
    executions: Executions, database: Database
) -> None:
    rows = calls(9)
    await executions.save(rows)
    for rolled in (False, True):
        if rolled:
            await Rollups(database).roll()
        for filters in ({}, {"provider": "openai"}, {"end_user": "ann"}, {"run_id": "run-1"}):
            wanted = [row for row in rows if all(getattr(row, name) == one for name, one in filters.items())]
            request = pb.GetUsageRequest(group_by="tenant", **filters)
            usage = await UsageReports(UsageSums(database)).usage(request, "other")
            found = {group.key: group.total.cost_ticks for group in usage.groups}
            assert found == {tenant: ticks(settled(wanted, tenant)) for tenant in TENANTS}
            assert usage.total.cost_ticks == sum(found.values()) > 0


async def test_the_older_services_table_has_all_tenants_by_day(
    executions: Executions, database: Database
) -> None:
    rows = calls(3)
    await executions.save(rows)
    await Rollups(database).roll()
    expected: dict[tuple[str, str, str], list[int]] = {}
    for tenant in TENANTS:
        for row in settled(rows, tenant):
            key = (row.create_time.ToDatetime().date().isoformat(), row.provider, row.model)
            sums = expected.setdefault(key, [0, 0, 0, 0])
            adds = (row.usage.input_tokens, row.usage.output_tokens, 1, row.cost.cost_ticks)
            sums[:] = [sum(pair) for pair in zip(sums, adds, strict=True)]
    async with database.connect() as connection:
        stored = (await connection.execute(sa.text("SELECT * FROM daily_costs"))).mappings().all()
    found = {
        (str(row["date"]), row["provider"], row["model"]): [
            *(row[f"total_{name}_tokens"] for name in ("input", "output")),
            *(row["request_count"], row["total_cost_ticks"]),
        ]
        for row in stored
    }
    assert found == expected
    assert all(row["total_cost_usd"] == usd_of(row["total_cost_ticks"]) for row in stored)


async def test_counts_are_those_of_the_rows(executions: Executions, database: Database) -> None:
    rows = calls(4)
    await executions.save(rows)
    await Rollups(database).roll()
    mine = settled(rows, "other")
    total = (await UsageReports(UsageSums(database)).usage(pb.GetUsageRequest(), "other")).total
    good = [row for row in mine if row.state == 2]
    assert (total.request_count, total.succeeded_count, total.failed_count) == (
        len(mine),
        len(good),
        len(mine) - len(good),
    )
    assert total.input_token_count == sum(row.usage.input_tokens for row in mine)
    assert total.total_token_count == sum(row.usage.total_tokens for row in mine)
    assert total.unpriced_count == sum(not row.cost.price_known for row in mine)
    assert total.cost_discarded_ticks == ticks(row for row in mine if row.discarded)
    reported = usage_pb2.PROVENANCE_PROVIDER_REPORTED
    assert total.cost_estimated_ticks == ticks(
        row for row in mine if {row.usage.input_provenance, row.usage.output_provenance} != {reported}
    )
    assert total.avg_latency_ms == pytest.approx(sum(row.latency_ms for row in mine) / len(mine))


async def test_rollup_follows_what_changes_later(executions: Executions, database: Database) -> None:
    old = datetime.now(UTC) - timedelta(days=3)
    row = Execution(id="1", request_id="1", attempt=1, provider="openai", model="m", tenant_id="t")
    row.operation, row.state = 1, 1
    row.create_time.FromDatetime(old)
    reports, rolled = UsageReports(UsageSums(database)), Rollups(database)

    async def shown() -> tuple[int, int, int]:
        total = (await reports.usage(pb.GetUsageRequest(), "t")).total
        return total.request_count, total.failed_count, total.cost_ticks

    await executions.save([row])
    await rolled.roll()
    assert await shown() == (0, 0, 0)
    row.state, row.cost.cost_ticks, row.cost.price_book = 5, 7, "a"  # LOST
    await executions.save([row])
    assert await shown() == (1, 1, 7)
    await rolled.roll()
    assert await shown() == (1, 1, 7)
    row.state, row.cost.cost_ticks = 2, 11  # the truth
    await executions.save([row])
    assert await shown() == (1, 0, 11)
    await rolled.roll()
    assert await shown() == (1, 0, 11)
    await executions.reprice([(row, usage_pb2.Cost(cost_ticks=13, price_known=True, price_book="b"))])
    assert await shown() == (1, 0, 13)
    await rolled.roll()
    assert (await shown(), await rolled.roll()) == ((1, 0, 13), 0)


async def test_several_processes_roll_up_while_calls_are_settled(
    executions: Executions, database: Database, database_url: str
) -> None:
    rows = calls(5, 300)
    others = [Database(database_url) for _ in range(2)]
    done = asyncio.Event()

    async def roll(mine: Database) -> None:
        while not done.is_set():
            await Rollups(mine).roll()
            await asyncio.sleep(0.1)

    async def look() -> None:
        seen = 0
        while not done.is_set():
            found = (await UsageSums(others[0]).by(period("other")))[0][1]["request_count"]
            assert found >= seen, "a settled call was not counted for a moment"
            seen = found
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(each) for each in (roll(others[0]), roll(others[1]), look())]
    for place in range(0, len(rows), 7):
        await executions.save(rows[place : place + 7])
        await asyncio.sleep(0.002)
    done.set()
    await asyncio.gather(*tasks)
    await Rollups(database).roll()
    async with database.connect() as connection:
        found = (await connection.execute(sa.text("SELECT sum(request_count) FROM usage_rollup"))).scalar()
        days = (await connection.execute(sa.text("SELECT sum(request_count) FROM daily_costs"))).scalar()
    assert found == days == sum(row.state != 1 for row in rows)
    for other in others:
        await other.close()


async def test_roll_that_dies_leaves_all_as_it_was(
    executions: Executions, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = calls(6)
    await executions.save(rows)

    async def die(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("genai_spine.store.usage.rollups._roll_days", die)
        with pytest.raises(RuntimeError):
            await Rollups(database).roll()
    for tenant in TENANTS:
        total = (await UsageSums(database).by(period(tenant)))[0][1]
        assert total["cost_ticks"] == ticks(settled(rows, tenant))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("provider", "openai"), ("model", "gpt-4o"), ("project_id", "p1"), ("api_key_id", "k2")),
        *(("end_user", 'b"ob'), ("capability", "extract"), ("prompt_id", "prompt")),
        *(("run_id", "run-1"), ("correlation_id", "c1"), ("session_id", "session-2")),
    ],
)
@pytest.mark.parametrize("rolled", [False, True])
async def test_filter_lets_its_calls_through(
    executions: Executions, database: Database, field: str, value: str, rolled: bool
) -> None:
    rows = calls(7)
    await executions.save(rows)
    if rolled:
        await Rollups(database).roll()
    request = pb.GetUsageRequest(**{field: value})
    found = await UsageReports(UsageSums(database)).usage(request, "other")
    expected = [row for row in settled(rows, "other") if getattr(row, field) == value]
    assert expected
    assert (found.total.request_count, found.total.cost_ticks) == (len(expected), ticks(expected))


async def test_labels_are_all_needed(executions: Executions, database: Database) -> None:
    rows = calls(8)
    await executions.save(rows)
    await Rollups(database).roll()
    reports = UsageReports(UsageSums(database))
    both = pb.GetUsageRequest(labels=['team=bl"ue', "app.x=a=b"])
    found = await reports.usage(both, "other")
    expected = [row for row in settled(rows, "other") if row.cost_labels["team"] == 'bl"ue']
    assert expected
    assert found.total.cost_ticks == ticks(expected)
    none = pb.GetUsageRequest(labels=["team=red", "app.x=b"])
    assert (await reports.usage(none, "other")).total.request_count == 0


async def test_focus_has_the_mandatory_columns_and_a_line_for_each_kind_of_token(
    executions: Executions, database: Database, book: PriceBook
) -> None:
    row = calls(9, 1)[0]
    row.MergeFrom(Execution(provider="openai", model="gpt-4o", tenant_id="t"))
    row.state = 2
    row.settle_time.CopyFrom(row.create_time)
    row.usage.CopyFrom(
        usage_pb2.Usage(
            input_tokens=150,
            uncached_input_tokens=100,
            cache_read_tokens=50,
            output_tokens=10,
            visible_output_tokens=10,
            total_tokens=160,
        )
    )
    row.cost.cost_ticks = 100 * 25_000 + 50 * 12_500 + 10 * 100_000
    await executions.save([row])
    lines = await rows_of(focus_pieces(UsageSums(database), book, period("t")))
    assert list(lines[0]) == list(FOCUS)
    assert len(MANDATORY) == 21
    nullable = {"BillingAccountName", "ChargeClass", "ChargeDescription", "HostProviderName"}
    assert all(line[name] for line in lines for name in set(MANDATORY) - nullable)
    assert {line["SkuMeter"]: (line["ConsumedQuantity"], line["BilledCost"]) for line in lines} == {
        "Input Tokens": ("100", "0.00025"),
        "Cached Input Tokens": ("50", "0.0000625"),
        "Output Tokens": ("10", "0.0001"),
    }


async def test_csv_cannot_run_in_a_spreadsheet(executions: Executions, database: Database) -> None:
    row = calls(10, 1)[0]
    row.MergeFrom(Execution(tenant_id="t", end_user="=cmd()", model='a,"b\n'))
    row.state = 2
    await executions.save([row])
    [line] = await rows_of(csv_pieces(UsageSums(database), period("t")))
    assert (line["user_id"], line["model"]) == ("'=cmd()", 'a,"b\n')
