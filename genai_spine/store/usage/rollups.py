"""Rollups: sums of the ledger by hour and day, made again from its rows wherever these have changed.

An hour is made again as a whole, in the transaction that takes its entries out of usage_changes; what is
settled meanwhile leaves an entry of its own. So each row counts once, whoever rolls up when, and whatever
dies. The hour that runs keeps an entry: readers take it, as every hour that has one, from the ledger.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.costs import TICKS_PER_USD
from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.usage.tables import (
    DIMENSIONS,
    FEW_DIMENSIONS,
    MEASURES,
    ROW,
    Hour,
    daily_costs,
    dimension,
    summed,
    usage_changes,
    usage_rollup,
    usage_rollup_days,
    usage_rollup_models,
    usage_rollup_state,
)
from genai_spine.v1.work_pb2 import AggregatedCost

AN_HOUR = timedelta(hours=1)
PAUSE_S = 0.1  # between two days: SQLite has one writer at a time, and does not queue who waits
_changed = usage_changes.c


class Rollups:
    """Tables usage_rollup, usage_rollup_days, usage_rollup_models and daily_costs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def roll(self) -> int:
        """Brings the sums up to date, a day at a time; the number of days that had changed."""
        async with self._database.connect() as connection:
            query = sa.select(_changed.day).distinct().order_by(_changed.day)
            days = (await connection.execute(query)).scalars().all()
        for day in days:
            await self.roll_day(day)
            await asyncio.sleep(PAUSE_S)
        return len(days)

    async def costs_of_day(self, day: datetime, tenant_id: str) -> list[AggregatedCost]:
        """Sums of a tenant's day by provider and model, as they were brought up to date last."""
        found = usage_rollup_models.c
        names = ("request_count", "input_tokens", "output_tokens", "cost_ticks")
        query = (
            sa.select(found.provider, found.model, *(summed(found[name]) for name in names))
            .where(found.day == day, found.tenant_id == tenant_id)
            .group_by(found.provider, found.model)
            .order_by(found.provider, found.model)
        )
        async with self._database.connect() as connection:
            rows = (await connection.execute(query)).all()
        return [
            AggregatedCost(
                provider=provider,
                model=model,
                request_count=int(count),
                total_input_tokens=int(read),
                total_output_tokens=int(written),
                total_cost_ticks=int(ticks),
            )
            for provider, model, count, read, written, ticks in rows
        ]

    async def roll_day(self, day: datetime) -> None:
        """Brings one day's sums up to date, in one transaction. Others wait for its end."""
        async with self._database.begin() as connection:
            await connection.execute(sa.update(usage_rollup_state).values(rolled_at=Now()))
            entries = sa.delete(usage_changes).where(_changed.day == day).returning(_changed.hour)
            hours = sorted(set((await connection.execute(entries)).scalars()))
            if not hours:
                return
            await _roll_hours(connection, day, hours)
            await _roll_days(connection, day)
            if hours[-1] + AN_HOUR > datetime.now(UTC):
                row = {"hour": hours[-1], "next_hour": hours[-1] + AN_HOUR, "day": day}
                await connection.execute(sa.insert(usage_changes).values(row))


async def _roll_hours(connection: AsyncConnection, day: datetime, hours: Sequence[datetime]) -> None:
    """Sums of hours of a day from the ledger's rows."""
    old = sa.delete(usage_rollup).where(usage_rollup.c.day == day, usage_rollup.c.hour.in_(hours))
    await connection.execute(old)
    hour = Hour(ROW.created_at)
    start = sa.literal(day, usage_rollup.c.day.type).label("day")
    keys = [hour.label("hour"), start, *(dimension(name).label(name) for name in DIMENSIONS)]
    rows = (
        sa.select(*keys, *(summed(column).label(name) for name, column in MEASURES.items()))
        .where(ROW.created_at >= hours[0], ROW.created_at < hours[-1] + AN_HOUR)
        .where(ROW.state != "PENDING", hour.in_(hours))
        .group_by(*(sa.literal_column(str(place + 1)) for place in range(len(keys))))
    )
    names = ["hour", "day", *DIMENSIONS, *MEASURES]
    await connection.execute(sa.insert(usage_rollup).from_select(names, rows, include_defaults=False))


async def _roll_days(connection: AsyncConnection, day: datetime) -> None:
    """Sums of a day from those of its hours."""
    await _sum_up(connection, day, usage_rollup, usage_rollup_days, DIMENSIONS)
    await _sum_up(connection, day, usage_rollup_days, usage_rollup_models, FEW_DIMENSIONS)
    found = usage_rollup_models.c
    ticks = summed(found.cost_ticks)
    costs = (
        sa.select(
            sa.literal(day.date(), sa.Date),
            found.provider,
            found.model,
            summed(found.input_tokens),
            summed(found.output_tokens),
            sa.cast(ticks, sa.Double) / float(TICKS_PER_USD),
            summed(found.request_count),
            ticks,
            summed(found.estimated_ticks),
        )
        .where(found.day == day)
        .group_by(found.provider, found.model)
    )
    await connection.execute(sa.delete(daily_costs).where(daily_costs.c.date == day.date()))
    columns = [column.name for column in daily_costs.columns]
    await connection.execute(sa.insert(daily_costs).from_select(columns, costs, include_defaults=False))


async def _sum_up(
    connection: AsyncConnection, day: datetime, finer: sa.Table, coarser: sa.Table, names: Iterable[str]
) -> None:
    """Rows of a day in the coarser table, from those in the finer one."""
    keys = [finer.c[name] for name in names]
    sums = [summed(finer.c[name]).label(name) for name in MEASURES]
    start = sa.literal(day, coarser.c.day.type).label("day")
    rows = sa.select(start, *keys, *sums).where(finer.c.day == day).group_by(*keys)
    await connection.execute(sa.delete(coarser).where(coarser.c.day == day))
    columns = ["day", *names, *MEASURES]
    await connection.execute(sa.insert(coarser).from_select(columns, rows, include_defaults=False))
