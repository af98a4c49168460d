"""Counts of runs that wait, run and have ended."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, func, select, text

from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.runs.plain.limits import NO_LIMITS, Key, Limits
from genai_spine.store.runs.plain.statements import COUNT_RUNNING
from genai_spine.store.runs.tables import PRIORITIES, dead_letters, runs
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
            for provider, status, count in await connection.execute(_of_providers(tenant_id)):
                if not stats.providers or stats.providers[-1].provider != provider:
                    stats.providers.add(provider=provider)
                setattr(stats.providers[-1], status, count)
            if self._limits:
                found = (await connection.execute(text(COUNT_RUNNING))).all()
                self._add_limits(stats, {(row[0], row[1]): row[2] for row in found})
        return stats

    def _add_limits(self, stats: pb.QueueStats, running: Mapping[Key, int]) -> None:
        """Writes the limits of lanes and providers. running: runs of all tenants by what is limited."""
        for depth in stats.depths:
            if (limit := self._limits.get(key := ("lane", depth.lane))) is not None:
                depth.lane_limit = limit
                depth.is_at_limit = running.get(key, 0) >= limit
        for of in stats.providers:
            if (limit := self._limits.get(key := ("provider", of.provider))) is not None:
                of.provider_limit = limit
                of.is_at_limit = running.get(key, 0) >= limit


def _of_providers(tenant_id: str) -> Select[Any]:
    """Runs of a tenant that wait for a worker or run, by the provider that they call first."""
    columns = runs.c
    return (
        select(columns.provider, columns.status, func.count())
        .where(columns.tenant_id == tenant_id, columns.status.in_(("queued", "running")))
        .where(columns.provider != "")
        .group_by(columns.provider, columns.status)
        .order_by(columns.provider)
    )


def _depth(stats: pb.QueueStats, lane: str, priority: str) -> pb.QueueDepth:
    last = stats.depths[-1] if stats.depths else None
    if last is not None and (last.lane, last.priority) == (lane, priority):
        return last
    return stats.depths.add(lane=lane, priority=priority)
