"""Counts of runs that wait, run and have ended."""

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import func, select

from genai_spine.store.database import Database, Now
from genai_spine.store.runs.plain.limits import NO_LIMITS, Limits
from genai_spine.store.runs.tables import PRIORITIES, dead_letters, runs, stands
from genai_spine.v1 import run_service_pb2 as pb

DAY_S = 86400.0
STALE_S = 3600.0


class QueueCounts:
    """Counts of a tenant's runs."""

    def __init__(self, database: Database, limits: Limits = NO_LIMITS) -> None:
        self._database = database
        self._limits = limits

    async def of_tenant(self, tenant_id: str) -> pb.QueueStats:
        """Depths by lane and priority, and what ended in the last 24 hours."""
        columns = runs.c
        open_runs = (
            select(columns.lane, columns.priority, columns.status, func.count(), func.min(columns.queued_at))
            .where(columns.tenant_id == tenant_id, columns.status.in_(("pending", "queued", "running")))
            .group_by(columns.lane, columns.priority, columns.status)
            .order_by(columns.lane, columns.priority)
        )
        ended = (
            select(columns.status, func.count())
            .where(columns.tenant_id == tenant_id, columns.ended_at >= Now(-DAY_S))
            .group_by(columns.status)
        )
        stale = select(func.count()).where(
            columns.tenant_id == tenant_id, columns.status == "running", columns.started_at < Now(-STALE_S)
        )
        letters = select(func.count()).where(
            dead_letters.c.tenant_id == tenant_id, dead_letters.c.resolved_at.is_(None)
        )
        stats = pb.QueueStats()
        async with self._database.connect() as connection:
            for lane, priority, status, count, oldest in await connection.execute(open_runs):
                depth = _depth(stats, lane, PRIORITIES[priority])
                setattr(depth, status, count)
                if status == "queued":
                    depth.oldest_wait_s = max(0.0, (datetime.now(UTC) - oldest).total_seconds())
            for status, count in await connection.execute(ended):
                name = "failed" if status == "dead_lettered" else status
                if name in ("completed", "failed", "cancelled"):
                    setattr(stats, f"{name}_24h", getattr(stats, f"{name}_24h") + count)
            stats.stale = (await connection.execute(stale)).scalar_one()
            stats.dead_letters = (await connection.execute(letters)).scalar_one()
            if self._limits:
                query = (
                    select(columns.lane, func.count().label("active"))
                    .where(stands("running"))
                    .group_by(columns.lane)
                )
                running = {row.lane: row.active for row in await connection.execute(query)}
                self._add_limits(stats, running)
        return stats

    def _add_limits(self, stats: pb.QueueStats, running: Mapping[str, int]) -> None:
        """Writes the limits of lanes. running: runs of all tenants by lane."""
        for depth in stats.depths:
            if (limit := self._limits.get(("lane", depth.lane))) is not None:
                depth.lane_limit = limit
                depth.is_at_limit = running.get(depth.lane, 0) >= limit


def _depth(stats: pb.QueueStats, lane: str, priority: str) -> pb.QueueDepth:
    last = stats.depths[-1] if stats.depths else None
    if last is not None and (last.lane, last.priority) == (lane, priority):
        return last
    return stats.depths.add(lane=lane, priority=priority)
