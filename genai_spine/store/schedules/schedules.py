"""Schedules of work and their due times: whoever inserts the row of a due time submits its run.

A row's version counts the changes of its maker; next_at moves on without it. The schedule that ships stays as
a row without a version once it is deleted, so that no server makes it again.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from genai_spine.errors import Conflict
from genai_spine.store.access.audit import clean
from genai_spine.store.database import Database, Now
from genai_spine.store.runs.news import SCHEDULES, Change, changing
from genai_spine.store.runs.rows import stamp
from genai_spine.store.runs.tables import runs, schedule_ticks, schedules
from genai_spine.v1.schedule_service_pb2 import ListSchedulesRequest, Schedule, ScheduleTick

MAX_DUE = 100  # schedules of one look
MAX_OPEN_SEEN = 1_100  # newest runs of a schedule among which those that have not ended are counted
TICKS_KEPT = timedelta(days=90)
SET_BY_SERVER = (
    *("schedule_id", "enabled", "next_run_time", "last_run_time", "version", "etag", "create_time"),
    *("update_time", "pause_reason", "principal"),
)

_schedule = schedules.c
_tick = schedule_ticks.c
_is_there = _schedule.version > 0


@dataclass(frozen=True, slots=True)
class Maker:
    """Maker of a schedule, who pays for its runs."""

    tenant_id: str
    principal: str = ""
    project_id: str | None = None
    api_key_id: str | None = None  # None: no key made it


@dataclass(frozen=True, slots=True)
class StoredSchedule:
    """Schedule as it is stored."""

    schedule: Schedule
    maker: Maker
    next_at: datetime | None  # None: no due time comes

    @property
    def id(self) -> str:
        """Id of the schedule."""
        return self.schedule.schedule_id


@dataclass(frozen=True, slots=True)
class Look:
    """Schedules that are due, and when to look again."""

    now: datetime  # by the database's clock
    due: list[StoredSchedule]
    next_at: datetime | None  # of the others; None: none is to come


class ScheduleRows:
    """Tables schedules and schedule_ticks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, stored: StoredSchedule) -> bool:
        """Adds a schedule; False: there is one with its name, or its id."""
        row = _values(stored) | {"id": stored.id, "version": 1, "created_at": Now(), "last_at": None}
        async with changing(self._database) as change:
            added = await change.execute(self._database.insert_once(schedules, row))
            change.topics.add(SCHEDULES)
        return bool(added.rowcount)

    async def get(self, tenant_id: str, id_or_name: str) -> StoredSchedule | None:
        """Schedule of a tenant, by its id, or else by its name."""
        named = sa.or_(_schedule.id == clean(id_or_name), _schedule.name == clean(id_or_name))
        query = sa.select(schedules).where(_schedule.tenant_id == tenant_id, named, _is_there)
        async with self._database.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        found = sorted(rows, key=lambda row: row["id"] != id_or_name)
        return _stored(found[0]) if found else None

    async def page(
        self, request: ListSchedulesRequest, tenant_id: str, after: str, size: int
    ) -> list[Schedule]:
        """Schedules of a tenant behind a name, by their names."""
        query = sa.select(schedules).where(
            _schedule.tenant_id == tenant_id, _schedule.name > after, _is_there
        )
        if request.HasField("enabled"):
            query = query.where(_schedule.is_enabled.is_(request.enabled))
        query = query.order_by(_schedule.name).limit(size)
        async with self._database.connect() as connection:
            return [_stored(row).schedule for row in (await connection.execute(query)).mappings()]

    async def change(self, stored: StoredSchedule, *, seen: int) -> bool:
        """Replaces the schedule that was read with that version; False: somebody else was faster.

        Errors: Conflict (another one has its name).
        """
        values = _values(stored) | {"version": seen + 1}
        same = (_schedule.id == stored.id, _schedule.version == seen)
        try:
            async with changing(self._database) as change:
                changed = await change.execute(sa.update(schedules).where(*same).values(values))
                change.topics.add(SCHEDULES)
        except sa.exc.IntegrityError:
            raise name_taken(stored.schedule.name) from None
        return bool(changed.rowcount)

    async def delete(self, id: str, *, seen: int | None = None, is_shipped: bool = False) -> bool:
        """Deletes a schedule and its due times; False: it is gone, or has another version than was seen."""
        same = [_schedule.id == id, _is_there]
        if seen is not None:
            same.append(_schedule.version == seen)
        gone = {"version": 0, "name": id, "body": b"", "is_enabled": False, "next_at": None}
        statement: Any = sa.update(schedules).values(gone) if is_shipped else sa.delete(schedules)
        async with changing(self._database) as change:
            deleted = await change.execute(statement.where(*same))
            if deleted.rowcount:
                await change.execute(sa.delete(schedule_ticks).where(_tick.schedule_id == id))
        return bool(deleted.rowcount)

    async def look(self) -> Look:
        """Schedules whose time has come, and when the next one is due."""
        waits = (_schedule.is_enabled, _schedule.next_at.is_not(None))
        due = sa.select(schedules).where(*waits, _schedule.next_at <= Now())
        due = due.order_by(_schedule.next_at).limit(MAX_DUE)
        clock = sa.select(
            Now().label("now"), sa.select(sa.func.min(_schedule.next_at)).where(*waits).scalar_subquery()
        )
        async with self._database.glance() as connection:
            now, next_at = (await connection.execute(clock)).one()
            if next_at is None or next_at > now:
                return Look(now, [], next_at)
            rows = (await connection.execute(due)).mappings().all()
        return Look(now, [_stored(row) for row in rows], next_at)

    async def claim(self, change: Change, stored: StoredSchedule, following: datetime | None) -> bool:
        """Takes a due time and moves the schedule on; False: somebody else did, or it was changed since."""
        columns = _schedule
        same = (
            columns.id == stored.id,
            columns.next_at == stored.next_at,
            columns.version == stored.schedule.version,
            columns.is_enabled,
        )
        values = {"next_at": following, "last_at": stored.next_at}
        moved = await change.execute(sa.update(schedules).where(*same).values(values))
        return bool(moved.rowcount)

    async def pause(self, stored: StoredSchedule, reason: str) -> bool:
        """Pauses a schedule whose runs nobody may pay for; False: somebody else was faster."""
        values = {"is_enabled": False, "next_at": None, "pause_reason": reason, "updated_at": Now()}
        seen = stored.schedule.version
        same = (_schedule.id == stored.id, _schedule.version == seen, _schedule.is_enabled)
        async with changing(self._database) as change:
            statement = sa.update(schedules).where(*same).values(values | {"version": seen + 1})
            return bool((await change.execute(statement)).rowcount)

    async def add_tick(
        self, change: Change, stored: StoredSchedule, outcome: str, run_id: str | None = None
    ) -> bool:
        """Writes what became of a due time; False: it is written already."""
        row: dict[str, Any] = {"schedule_id": stored.id, "due_at": stored.next_at, "outcome": outcome}
        row |= {"run_id": run_id, "seen_at": Now()}
        added = await change.execute(self._database.insert_once(schedule_ticks, row))
        old = (_tick.schedule_id == stored.id, _tick.due_at < datetime.now(UTC) - TICKS_KEPT)
        await change.execute(sa.delete(schedule_ticks).where(*old))
        return bool(added.rowcount)

    async def open_runs(self, change: Change, id: str) -> int:
        """Number of a schedule's runs that have not ended."""
        newest = (
            sa.select(runs.c.ended_at)
            .where(runs.c.schedule_id == id)
            .order_by(runs.c.id.desc())
            .limit(MAX_OPEN_SEEN)
            .subquery()
        )
        query = sa.select(sa.func.count()).select_from(newest).where(newest.c.ended_at.is_(None))
        return int((await change.execute(query)).scalar_one())

    async def ticks(self, id: str, before: datetime | None, size: int) -> list[ScheduleTick]:
        """Due times of a schedule before one of them, the newest first."""
        query = sa.select(schedule_ticks).where(_tick.schedule_id == id)
        if before is not None:
            query = query.where(_tick.due_at < before)
        query = query.order_by(_tick.due_at.desc()).limit(size)
        async with self._database.connect() as connection:
            return [_tick_of(row) for row in (await connection.execute(query)).mappings()]


def name_taken(name: str) -> Conflict:
    """Error of a name that another schedule of the tenant has."""
    return Conflict(field="schedule.name", problem=f"'{name}' is taken")


def _values(stored: StoredSchedule) -> dict[str, Any]:
    """Columns that a change may change."""
    schedule, maker = stored.schedule, stored.maker
    body = Schedule()
    body.CopyFrom(schedule)
    for field in SET_BY_SERVER:
        body.ClearField(field)
    return {
        "tenant_id": maker.tenant_id,
        "name": schedule.name,
        "body": body.SerializeToString(),
        "is_enabled": schedule.enabled,
        "next_at": stored.next_at if schedule.enabled else None,
        "project_id": maker.project_id,
        "api_key_id": maker.api_key_id,
        "principal": maker.principal,
        "pause_reason": schedule.pause_reason,
        "updated_at": Now(),
    }


def _stored(row: Any) -> StoredSchedule:
    schedule = Schedule.FromString(row["body"])
    schedule.schedule_id, schedule.name = row["id"], row["name"]
    schedule.enabled, schedule.pause_reason = row["is_enabled"], row["pause_reason"]
    schedule.version, schedule.etag = row["version"], str(row["version"])
    schedule.principal = row["principal"]
    stamp(schedule.next_run_time, row["next_at"])
    stamp(schedule.last_run_time, row["last_at"])
    stamp(schedule.create_time, row["created_at"])
    stamp(schedule.update_time, row["updated_at"])
    maker = Maker(row["tenant_id"], row["principal"], row["project_id"], row["api_key_id"])
    return StoredSchedule(schedule, maker, row["next_at"])


def _tick_of(row: Any) -> ScheduleTick:
    tick = ScheduleTick(outcome=row["outcome"], run_id=row["run_id"])
    tick.due_time.FromDatetime(row["due_at"])
    tick.delay.FromTimedelta(max(timedelta(), row["seen_at"] - row["due_at"]))
    return tick
