"""Queue of runs: which one starts next, and its claim by a worker.

Order: priority, where a run rises one class for each minute that it waits, never above high; inside a class
the tenant with the fewest running runs; of one tenant the one that waits longest. Lanes and providers with
as many running runs as their limits allow are passed over. A claim skips what another worker is claiming. It
looks at the first run of each lane, class, tenant and provider, and never at all that wait.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import CTE, ScalarSelect, Select, func, or_, select, union_all, update

from genai_spine.store.database import Database, Now
from genai_spine.store.runs.events import DISPATCHER, PendingEvent, event_row, write_rows
from genai_spine.store.runs.news import QUEUE, changing
from genai_spine.store.runs.plain.commits import Picked, RunCommits
from genai_spine.store.runs.plain.limits import NO_LIMITS, UNLIMITED, Key, Limited, Limits, Room
from genai_spine.store.runs.rows import run_of
from genai_spine.store.runs.runs import Submitter, submitter_of_row
from genai_spine.store.runs.tables import PRIORITIES, QUEUE_COLUMNS, runs, stands
from genai_spine.v1 import run_pb2 as pb

AGING_S = 60.0  # after so long a waiting run rises one class
HIGHEST_BY_AGE = PRIORITIES.index("high")
REALTIME = PRIORITIES.index("realtime")
MAX_PROMOTED = 500  # runs whose time has come, in one transaction
MAX_CLAIMED = 64  # runs in one transaction
_queue = tuple(runs.c[name] for name in QUEUE_COLUMNS)
_due = (
    select(runs.c.id)
    .where(
        stands("pending"),
        runs.c.is_held.is_(False),
        or_(runs.c.ready_at.is_(None), runs.c.ready_at <= Now()),
    )
    .order_by(runs.c.ready_at)
)


Group = tuple[str, int, str, str]  # lane, class, tenant and provider


class Waiting(NamedTuple):
    """Queued run: the first one of its group, or one of those that follow it."""

    lane: str
    priority: int
    tenant_id: str
    provider: str
    queued_at: datetime
    run_id: str

    @property
    def group(self) -> Group:
        """Lane, class, tenant and provider."""
        return self.lane, self.priority, self.tenant_id, self.provider

    @property
    def keys(self) -> tuple[Key, ...]:
        """Keys of the limits that it may be under."""
        return ("lane", self.lane), ("provider", self.provider)


Load = Counter[tuple[str, str]]  # running runs by lane and tenant
Counts = Counter[tuple[str, str, str]]  # the same, and by provider


class RunQueue:
    """Waiting runs of all tenants."""

    def __init__(self, database: Database, limits: Limits = NO_LIMITS) -> None:
        self._database = database
        self._commits = RunCommits.of(database)
        self._limits = limits
        self.is_empty = False  # in all lanes, when it was looked at last

    async def has_due(self) -> bool:
        """Whether the time of a pending run has come."""
        async with self._database.glance() as connection:
            return (await connection.execute(_due.limit(1))).first() is not None

    async def promote(self) -> int:
        """Queues pending runs whose time has come; returns how many."""
        if not await self.has_due():
            return 0
        async with changing(self._database) as change:
            picked = _due.limit(MAX_PROMOTED).with_for_update(skip_locked=True).cte("picked")
            moved = await change.execute(
                update(runs)
                .where(runs.c.id.in_(select(picked.c.id)), runs.c.status == "pending")
                .values(status="queued", queued_at=Now(), last_sequence=runs.c.last_sequence + 1)
                .returning(runs.c.id, runs.c.attempt, runs.c.last_sequence, runs.c.options)
            )
            rows, options = [], {}
            for run_id, attempt, sequence, options[run_id] in moved:
                event = PendingEvent("queued", {"external_ref": f"{run_id}.{attempt}"}, DISPATCHER)
                rows.append(event_row(run_id, sequence, event))
                change.topics.add(QUEUE)
            await write_rows(change, rows, options)
        return len(rows)

    async def claim(
        self, executor_id: str, serves: Callable[[str], bool], most: int, *, only_realtime: bool = False
    ) -> list[tuple[pb.Run, Submitter]]:
        """Takes up to so many runs of the lanes that it serves, in their order; they run from then on."""
        most = min(most, MAX_CLAIMED)
        if most < 1:
            return []
        found = await self._heads()
        self.is_empty = not found
        heads = [head for head in found if serves(head.lane)]
        if only_realtime:
            heads = [head for head in heads if head.priority == REALTIME]
        if not heads:
            return []
        limits = {key: self._limits[key] for head in heads for key in head.keys if key in self._limits}
        if len(heads) == 1 and not limits:
            picked = Picked((*heads[0].group, most))
        elif chosen := await self._chosen(heads, most, limits):
            limited = Limited(limits, {one.run_id: one.keys for one in chosen}) if limits else UNLIMITED
            picked = Picked(ids=[one.run_id for one in chosen], limited=limited)
        else:
            return []
        taken = await self._commits.claim(executor_id, picked)
        return [(run_of(row), submitter_of_row(row, row["has_budget"])) for row in taken]

    async def _heads(self) -> list[Waiting]:
        """First run of each group that has waiting ones: as many steps in the index."""
        async with self._database.glance() as connection:
            return [Waiting(*row) for row in await connection.execute(_all_heads)]

    async def _chosen(self, heads: Sequence[Waiting], most: int, limits: Limits) -> list[Waiting]:
        """Runs that start next."""
        now = datetime.now(UTC)
        is_counted = bool(limits) or len({head.tenant_id for head in heads}) > 1
        counts = await self._counts() if is_counted else Counts()
        load, room = _load(counts), Room(limits, _running(counts))
        heads = sorted(
            (head for head in heads if room.has(head.keys)), key=lambda head: _place(head, load, now)
        )[:most]
        if not heads:
            return []
        parts = [select(_first(head, most).with_only_columns(*_queue).subquery()) for head in heads]
        async with self._database.connect() as connection:
            waiting = [Waiting(*row) for row in await connection.execute(union_all(*parts))]
        return in_order(waiting, load, most, now, room)

    async def _counts(self) -> Counts:
        columns = runs.c
        query = (
            select(columns.lane, columns.tenant_id, columns.provider, func.count())
            .where(stands("running"))
            .group_by(columns.lane, columns.tenant_id, columns.provider)
        )
        async with self._database.connect() as connection:
            found = await connection.execute(query)
            return Counter({(lane, tenant, provider): count for lane, tenant, provider, count in found})


def in_order(
    waiting: Sequence[Waiting], running: Load, most: int, now: datetime, room: Room | None = None
) -> list[Waiting]:
    """Runs that start next, the first one first. room: None: nothing is limited."""
    load = Counter(running)
    groups: dict[Group, list[Waiting]] = {}
    for one in sorted(waiting, key=lambda one: (one.queued_at, one.run_id), reverse=True):
        groups.setdefault(one.group, []).append(one)
    chosen: list[Waiting] = []
    while groups and len(chosen) < most:
        group = min(groups, key=lambda group: _place(groups[group][-1], load, now))
        if room is not None and not room.has(groups[group][-1].keys):
            del groups[group]
            continue
        one = groups[group].pop()
        chosen.append(one)
        if room is not None:
            room.take(one.keys)
        load[one.lane, one.tenant_id] += 1
        if not groups[group]:
            del groups[group]
    return chosen


def _load(counts: Counts) -> Load:
    """Running runs of a tenant in a lane, which decide whose turn it is."""
    found = Load()
    for (lane, tenant, _), count in counts.items():
        found[lane, tenant] += count
    return found


def _running(counts: Counts) -> Counter[Key]:
    """Running runs by what they count for."""
    found: Counter[Key] = Counter()
    for (lane, _, provider), count in counts.items():
        found["lane", lane] += count
        found["provider", provider] += count
    return found


def _place(waiting: Waiting, load: Load, now: datetime) -> tuple[int, int, datetime]:
    """Key of the order: class with age, running runs of its tenant, time."""
    return _rank(waiting, now), load[waiting.lane, waiting.tenant_id], waiting.queued_at


def _rank(waiting: Waiting, now: datetime) -> int:
    """Class of a run, with its age."""
    if waiting.priority <= HIGHEST_BY_AGE:
        return waiting.priority
    risen = int((now - waiting.queued_at).total_seconds() // AGING_S)
    return max(HIGHEST_BY_AGE, waiting.priority - risen)


def _first(head: Waiting, most: int) -> Select[Any]:
    """Longest-waiting runs of a group."""
    columns = runs.c
    return (
        select(columns.id)
        .where(
            stands("queued"),
            columns.lane == head.lane,
            columns.priority == head.priority,
            columns.tenant_id == head.tenant_id,
            columns.provider == head.provider,
            or_(columns.deadline_at.is_(None), columns.deadline_at > Now()),
        )
        .order_by(columns.queued_at, columns.id)
        .limit(most)
    )


def _heads_query() -> Select[Any]:
    """First run of each lane, class, tenant and provider: from one to the next in the index of the queue."""
    first = select(runs.c.id).where(stands("queued")).order_by(*_queue).limit(1).scalar_subquery()
    heads = select(*_queue).where(runs.c.id == first).cte("heads", recursive=True)
    behind = runs.alias("behind")
    # Four seeks: SQLite would use the first column alone of a comparison of rows.
    of_provider = _first_behind(heads, equal=("lane", "priority", "tenant_id"), greater="provider")
    of_tenant = _first_behind(heads, equal=("lane", "priority"), greater="tenant_id")
    of_class = _first_behind(heads, equal=("lane",), greater="priority")
    of_lane = _first_behind(heads, equal=(), greater="lane")
    following = func.coalesce(of_provider, of_tenant, of_class, of_lane)
    named = [behind.c[column.name] for column in _queue]
    heads = heads.union_all(select(*named).join_from(heads, behind, behind.c.id == following))
    return select(*(heads.c[column.name] for column in _queue))


def _first_behind(heads: CTE, equal: Sequence[str], greater: str) -> ScalarSelect[str]:
    """Id of the first run that has the same values in some columns, and a greater one in the next."""
    later = runs.alias()
    places = [later.c[column.name] for column in _queue]
    return (
        select(later.c.id)
        .where(
            stands("queued", later),
            *(later.c[name] == heads.c[name] for name in equal),
            later.c[greater] > heads.c[greater],
        )
        .order_by(*places[len(equal) :])
        .limit(1)
        .correlate(heads)
        .scalar_subquery()
    )


_all_heads = _heads_query()
