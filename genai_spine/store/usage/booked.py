"""Sums of what is booked at a provider by day and answering model, of all tenants, to hold bills against."""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from genai_spine.store.database import Database
from genai_spine.store.usage.tables import BUCKETS, MEASURES, ROW, Day, summed

Booked = Mapping[tuple[str, str, str], Mapping[str, int]]  # by day, model and service tier; empty: none


async def booked(database: Database, provider: str, start: datetime, end: datetime) -> Booked:
    """Sums of the calls that began in [start, end), and unsure_count: of them, calls without their usage."""
    unsure = sa.case(
        (ROW.state.in_(("PENDING", "LOST")), 1),
        (sa.func.coalesce(ROW.input_provenance, "") == "UNKNOWN", 1),
        (sa.func.coalesce(ROW.output_provenance, "") == "UNKNOWN", 1),
        else_=0,
    )
    keys = [
        Day(ROW.created_at).label("day"),
        sa.func.coalesce(ROW.answered_model, ROW.model).label("model"),
        sa.func.coalesce(ROW.service_tier, "").label("tier"),
    ]
    names = ("request_count", "input_tokens", "output_tokens", *BUCKETS, "cost_ticks", "estimated_ticks")
    sums = [summed(MEASURES[name]).label(name) for name in names]
    query = (
        sa.select(*keys, *sums, summed(unsure).label("unsure_count"))
        .where(ROW.provider == provider, ROW.created_at >= start, ROW.created_at < end)
        .group_by(*(sa.literal_column(str(place + 1)) for place in range(len(keys))))
    )
    async with database.connect() as connection:
        rows = (await connection.execute(query)).mappings().all()
    return {
        (row["day"], row["model"], row["tier"]): {name: row[name] for name in (*names, "unsure_count")}
        for row in rows
    }
