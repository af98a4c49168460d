"""Queue of runs: which one starts next, and its claim by a worker.

Order: priority, where a run rises one class for each minute that it waits, never above high; inside a class
the tenant with the fewest running runs; of one tenant the one that waits longest. A claim skips what another
worker is claiming.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import case, func, null, or_, select, update

from genai_spine.store.database import Database, Now
from genai_spine.store.runs.events import DISPATCHER, PendingEvent, append
from genai_spine.store.runs.news import QUEUE, Change, changing
from genai_spine.store.runs.tables import PRIORITIES, runs

AGING_S = 60.0  # after so long a waiting run rises one class
HIGHEST_BY_AGE = PRIORITIES.index("high")
MAX_PROMOTED = 500  # runs whose time has come, in one transaction


class Waiting(NamedTuple):
    """Queued runs of one lane, class and tenant: how many, and since when the first one waits."""

    lane: str
    priority: int
    tenant_id: str
    queued_at: datetime
    size: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Run that this process makes from now on."""

    run_id: str
    attempt: int
    lane: str


class RunQueue:
    """Waiting runs of all tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def promote(self) -> int:
        """Queues pending runs whose time has come; returns how many."""
        due = (
            select(runs.c.id)
            .where(
                runs.c.status == "pending",
                runs.c.is_held.is_(False),
                or_(runs.c.ready_at.is_(None), runs.c.ready_at <= Now()),
            )
            .order_by(runs.c.ready_at)
            .limit(MAX_PROMOTED)
        )
        async with self._database.connect() as connection:
            if not (await connection.execute(due.limit(1))).first():
                return 0
        async with changing(self._database) as change:
            ids = (await change.execute(due.with_for_update(skip_locked=True))).scalars().all()
            return await self._queue(change, ids)

    async def _queue(self, change: Change, ids: Sequence[str]) -> int:
        for run_id in ids:
            moved = await change.execute(
                update(runs)
                .where(runs.c.id == run_id, runs.c.status == "pending")
                .values(status="queued", queued_at=Now())
                .returning(runs.c.attempt)
            )
            attempt = moved.scalar_one()
            await append(
                change, run_id, PendingEvent("queued", {"external_ref": f"{run_id}.{attempt}"}, DISPATCHER)
            )
            change.topics.add(QUEUE)
        return len(ids)

    async def lanes(self) -> set[str]:
        """Lanes in which a run waits."""
        async with self._database.connect() as connection:
            found = await connection.execute(select(runs.c.lane).where(runs.c.status == "queued").distinct())
            return set(found.scalars())

    async def claim(
        self, executor_id: str, lanes: Collection[str], most: int, *, only_realtime: bool = False
    ) -> list[Claim]:
        """Takes up to so many runs of these lanes, in their order; they are running from then on."""
        if not lanes or most < 1:
            return []
        async with self._database.connect() as connection:
            groups = await self._groups(connection, lanes, only_realtime)
            if not groups:
                return []
            running = await self._running(connection)
        claims: list[Claim] = []
        async with changing(self._database) as change:
            for group in _in_order(groups, running, most):
                claims += await self._take(change, group, executor_id)
        return claims

    async def _groups(self, connection: Any, lanes: Collection[str], only_realtime: bool) -> list[Waiting]:
        columns = runs.c
        keys = (columns.lane, columns.priority, columns.tenant_id)
        query = (
            select(*keys, func.min(columns.queued_at), func.count())
            .where(columns.status == "queued", columns.lane.in_(list(lanes)))
            .group_by(*keys)
        )
        if only_realtime:
            query = query.where(columns.priority == PRIORITIES.index("realtime"))
        return [Waiting(*row) for row in await connection.execute(query)]

    async def _running(self, connection: Any) -> dict[tuple[str, str], int]:
        """Running runs by lane and tenant."""
        columns = runs.c
        query = (
            select(columns.lane, columns.tenant_id, func.count())
            .where(columns.status == "running")
            .group_by(columns.lane, columns.tenant_id)
        )
        return {(lane, tenant): count for lane, tenant, count in await connection.execute(query)}

    async def _take(self, change: Change, group: tuple[Waiting, int], executor_id: str) -> list[Claim]:
        """Claims the longest-waiting runs of a group."""
        waiting, count = group
        columns = runs.c
        picked = (
            select(columns.id)
            .where(
                columns.status == "queued",
                columns.lane == waiting.lane,
                columns.priority == waiting.priority,
                columns.tenant_id == waiting.tenant_id,
            )
            .order_by(columns.queued_at, columns.id)
            .limit(count)
            .with_for_update(skip_locked=True)
        )
        ids = (await change.execute(picked)).scalars().all()
        if not ids:
            return []
        taken = await change.execute(
            update(runs)
            .where(columns.id.in_(ids), columns.status == "queued")
            .values(
                status="running",
                executor_id=executor_id,
                recoveries=0,
                ended_at=null(),
                started_at=case(
                    (columns.attempt == 1, Now()), else_=func.coalesce(columns.started_at, Now())
                ),
            )
            .returning(columns.id, columns.attempt, columns.lane)
        )
        claims = [Claim(*row) for row in taken]
        for claim in claims:
            await append(
                change,
                claim.run_id,
                PendingEvent("started", {"worker": executor_id, "attempt": claim.attempt}),
            )
        return claims


def _in_order(
    groups: Sequence[Waiting], running: dict[tuple[str, str], int], most: int
) -> list[tuple[Waiting, int]]:
    """Groups with how many runs of each are claimed, the first one first."""
    now = datetime.now(UTC)
    taken: dict[int, int] = {}
    load = dict(running)
    ranks = [(_rank(group, now), group.queued_at) for group in groups]
    order: list[int] = []
    for _ in range(most):
        left = [place for place, group in enumerate(groups) if taken.get(place, 0) < group.size]
        if not left:
            break
        best = min(
            left,
            key=lambda place: (
                ranks[place][0],
                load.get((groups[place].lane, groups[place].tenant_id), 0),
                ranks[place][1],
            ),
        )
        if best not in taken:
            order.append(best)
        taken[best] = taken.get(best, 0) + 1
        of = (groups[best].lane, groups[best].tenant_id)
        load[of] = load.get(of, 0) + 1
    return [(groups[place], taken[place]) for place in order]


def _rank(group: Waiting, now: datetime) -> int:
    """Class of a group's first run, with its age."""
    if group.priority <= HIGHEST_BY_AGE:
        return group.priority
    risen = int((now - group.queued_at).total_seconds() // AGING_S)
    return max(HIGHEST_BY_AGE, group.priority - risen)
