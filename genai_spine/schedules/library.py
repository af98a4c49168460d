"""Library of schedules: made, found, changed, paused, resumed, triggered and deleted by their tenant.

Who changes what a schedule does is its maker from then on: nobody has work done at the expense, or with the
permissions, of somebody else's key.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from google.protobuf import json_format

from genai_spine import field_masks, page_tokens
from genai_spine.call import Call, Principal, uuid7
from genai_spine.errors import EtagMismatch, InvalidFields, ScheduleNotFound, SchedulePaused
from genai_spine.runs.library import RunLibrary
from genai_spine.schedules import daily_costs, due_times, submissions
from genai_spine.schedules.makers import MakerEnded, Makers, maker_of
from genai_spine.store.runs.news import changing
from genai_spine.store.schedules.schedules import ScheduleRows, StoredSchedule, name_taken
from genai_spine.v1 import schedule_service_pb2 as pb
from genai_spine.v1.run_pb2 import Run
from genai_spine.v1.schedule_service_pb2 import Schedule

DEFAULT_PAGE = 50
TRIES = 5  # of a change without an etag, while others change the same schedule
DOES = ("work", "target_type", "target_name", "params", "options")
TIMING = (*due_times.TIMES, "timezone")
EDITABLE = ("name", *DOES, *TIMING, "misfire_grace_seconds", "max_instances", "enabled")
WORKS = ("work", "target_name")


@dataclass(frozen=True, slots=True)
class ScheduleLibrary:
    """Schedules of all tenants; each method is about those of the call's tenant."""

    rows: ScheduleRows
    runs: RunLibrary
    makers: Makers

    async def create(self, request: pb.CreateScheduleRequest, call: Call) -> Schedule:
        """New schedule. Errors: InvalidFields, WorkNotFound, PermissionDenied, Conflict (the name)."""
        schedule = Schedule()
        schedule.CopyFrom(request.schedule)
        if not schedule.HasField("enabled"):
            schedule.enabled = True
        schedule.schedule_id, schedule.pause_reason = uuid7(), ""
        _check(schedule)
        await self._check_work(schedule, call)
        stored = StoredSchedule(schedule, maker_of(call.principal), _first(schedule, is_new=True))
        if not await self.rows.add(stored):
            raise name_taken(schedule.name)
        return (await self._found(schedule.schedule_id, call)).schedule

    async def get(self, schedule_id: str, call: Call) -> Schedule:
        """Schedule by its id or name. Errors: ScheduleNotFound."""
        return (await self._found(schedule_id, call)).schedule

    async def page(self, request: pb.ListSchedulesRequest, call: Call) -> pb.ListSchedulesResponse:
        """Page of a list, by names. Errors: InvalidFields."""
        size = page_tokens.size(request, DEFAULT_PAGE)
        (after,) = page_tokens.place(request, str) or ("",)
        found = await self.rows.page(request, call.principal.tenant_id, after, size + 1)
        response = pb.ListSchedulesResponse(schedules=found[:size])
        if len(found) > size:
            response.next_page_token = page_tokens.token(request, found[size - 1].name)
        return response

    async def update(self, request: pb.UpdateScheduleRequest, call: Call) -> Schedule:
        """Schedule with the fields that were named, or set.

        Errors: ScheduleNotFound, EtagMismatch, InvalidFields, WorkNotFound, PermissionDenied, Conflict.
        """
        given = request.schedule
        names = field_masks.chosen(request.update_mask.paths, given, EDITABLE)
        for _ in range(TRIES):
            stored = await self._found(request.schedule_id, call)
            _check_etag(stored, given.etag)
            changed = await self._changed(stored, given, names, call)
            if await self.rows.change(changed, seen=stored.schedule.version):
                return (await self._found(stored.id, call)).schedule
        raise EtagMismatch(resource=f"schedule '{request.schedule_id}'", etag="")

    async def delete(self, request: pb.DeleteScheduleRequest, call: Call) -> None:
        """End of a schedule; its runs stay. Errors: ScheduleNotFound, EtagMismatch."""
        stored = await self._found(request.schedule_id, call)
        _check_etag(stored, request.etag)
        seen = stored.schedule.version if request.etag else None
        is_shipped = stored.id == daily_costs.ID
        if not await self.rows.delete(stored.id, seen=seen, is_shipped=is_shipped):
            found = await self._found(request.schedule_id, call)
            raise EtagMismatch(resource=f"schedule '{stored.id}'", etag=found.schedule.etag)

    async def pause(self, schedule_id: str, call: Call) -> Schedule:
        """Schedule that makes no further run. Errors: ScheduleNotFound."""
        return await self._switched(schedule_id, call, enabled=False)

    async def resume(self, schedule_id: str, call: Call) -> Schedule:
        """Schedule that goes on from now. Errors: ScheduleNotFound, InvalidFields, PermissionDenied."""
        return await self._switched(schedule_id, call, enabled=True)

    async def trigger(self, request: pb.TriggerScheduleRequest, call: Call) -> Run:
        """Run of a schedule beside its times.

        Errors: ScheduleNotFound, SchedulePaused (nobody pays for it any more), InvalidFields,
        PermissionDenied, IdempotencyKeyReused.
        """
        stored = await self._found(request.schedule_id, call)
        try:
            principal = await self.makers.principal(stored)
        except MakerEnded as ended:
            raise SchedulePaused(schedule=request.schedule_id, problem=str(ended)) from None
        params = json_format.MessageToDict(request.params)
        asked = submissions.of_trigger(stored.schedule, datetime.now(UTC), params, call.idempotency_key)
        if params:  # which may be another work than the maker wanted
            await self.runs.submissions.prepared(asked, _plain(call, call.principal))
        run, submitter = await self.runs.submissions.prepared(asked, _plain(call, principal))
        run.schedule_id = stored.id
        async with changing(self.runs.database) as change:
            run_id = await self.runs.submissions.submit_in(change, run, submitter)
        found = await self.runs.get(run_id, call)
        found.is_existing = run_id != run.run_id
        return found

    async def ticks(self, request: pb.ListScheduleTicksRequest, call: Call) -> pb.ListScheduleTicksResponse:
        """Page of due times that have passed, the newest first. Errors: ScheduleNotFound, InvalidFields."""
        stored = await self._found(request.schedule_id, call)
        size = page_tokens.size(request, DEFAULT_PAGE)
        (before,) = page_tokens.place(request, page_tokens.TIME) or (None,)
        found = await self.rows.ticks(stored.id, before, size + 1)
        response = pb.ListScheduleTicksResponse(ticks=found[:size])
        if len(found) > size:
            last = found[size - 1].due_time.ToDatetime(UTC)
            response.next_page_token = page_tokens.token(request, last)
        return response

    async def _found(self, schedule_id: str, call: Call) -> StoredSchedule:
        """Errors: ScheduleNotFound."""
        stored = await self.rows.get(call.principal.tenant_id, schedule_id)
        if stored is None:
            raise ScheduleNotFound(schedule=schedule_id)
        return stored

    async def _check_work(self, schedule: Schedule, call: Call) -> None:
        """Errors: InvalidFields, WorkNotFound, PermissionDenied (the caller may not do the work at once)."""
        asked = submissions.of_due_time(schedule, datetime.now(UTC))
        await self.runs.submissions.prepared(asked, _plain(call, call.principal))

    async def _changed(
        self, stored: StoredSchedule, given: Schedule, names: list[str], call: Call
    ) -> StoredSchedule:
        """Schedule after a change. Errors: InvalidFields, WorkNotFound, PermissionDenied."""
        schedule, maker = _merged(stored.schedule, given, names), stored.maker
        if not schedule.enabled and names == ["enabled"]:
            return StoredSchedule(schedule, maker, None)
        _check(schedule)
        if any(name in DOES for name in names) or (schedule.pause_reason and schedule.enabled):
            await self._check_work(schedule, call)
            maker = maker_of(call.principal)
        if schedule.enabled:
            schedule.pause_reason = ""
        if stored.next_at is not None and {*TIMING, "enabled"}.isdisjoint(names):
            return StoredSchedule(schedule, maker, stored.next_at)
        return StoredSchedule(schedule, maker, _first(schedule, is_new="run_time" in names))

    async def _switched(self, schedule_id: str, call: Call, *, enabled: bool) -> Schedule:
        stored = await self._found(schedule_id, call)
        if stored.schedule.enabled == enabled:
            return stored.schedule
        request = pb.UpdateScheduleRequest(schedule_id=stored.id, schedule=Schedule(enabled=enabled))
        return await self.update(request, call)


def _check(schedule: Schedule) -> None:
    """Errors: InvalidFields."""
    if not schedule.name:
        raise InvalidFields([("schedule.name", "must be set")])
    given = [name for name in WORKS if schedule.HasField(name)]
    if len(given) != 1:
        problem = "cannot be used together with work" if given else "must be set, or work"
        raise InvalidFields([("schedule.target_name", problem)])
    due_times.check(schedule)
    submissions.check_key(schedule)


def _first(schedule: Schedule, *, is_new: bool) -> datetime | None:
    """First due time from now on. is_new: one single time must be to come. Errors: InvalidFields."""
    first = due_times.first(schedule, datetime.now(UTC))
    if is_new and first is None:
        raise InvalidFields([("schedule.run_time", "is in the past")])
    return first


def _plain(call: Call, principal: Principal) -> Call:
    """Call of a principal, without what the headers of this one would add to a run."""
    return replace(call, principal=principal, idempotency_key=None, correlation_id=None)


def _check_etag(stored: StoredSchedule, etag: str) -> None:
    """Errors: EtagMismatch. etag: empty: as it is."""
    if etag and etag != stored.schedule.etag:
        raise EtagMismatch(resource=f"schedule '{stored.id}'", etag=stored.schedule.etag)


def _merged(present: Schedule, given: Schedule, names: list[str]) -> Schedule:
    """Schedule with fields of another one; a new time, or other work, stands in the place of the old."""
    schedule = Schedule()
    schedule.CopyFrom(present)
    cleared = set(names)
    for rivals in (due_times.TIMES, WORKS):
        if any(given.HasField(name) for name in rivals if name in names):
            cleared |= set(rivals)
    for name in cleared:
        schedule.ClearField(name)
    fields = {field.name: value for field, value in given.ListFields()}
    taken = Schedule(**{name: value for name, value in fields.items() if name in names})
    schedule.MergeFrom(taken)
    if not schedule.HasField("enabled"):
        schedule.enabled = True
    return schedule
