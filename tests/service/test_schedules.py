"""Schedules through the channel, on both databases: made, changed, due, paused, triggered, deleted."""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import grpc
import pytest
import pytest_asyncio
import sqlalchemy as sa
from google.protobuf.json_format import ParseDict
from google.protobuf.timestamp_pb2 import Timestamp

from genai_spine.schedules import daily_costs
from genai_spine.store.schedules.schedules import ScheduleRows
from genai_spine.v1 import run_service_pb2, run_service_pb2_grpc, schedule_service_pb2_grpc
from genai_spine.v1 import schedule_service_pb2 as pb
from genai_spine.v1.run_pb2 import Run
from tests.service.running import Running, failure
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

SUMMARIZE = {
    "target_name": "summarize",
    "params": {"content": "Rain fell. Wind blew.", "model": "extractive"},
}
NEVER = {"cron_expression": "0 0 1 1 *"}


class Scheduled:
    """Server with stubs of schedules and runs."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.schedules: Any = schedule_service_pb2_grpc.ScheduleServiceStub(server.channel)
        self.runs: Any = run_service_pb2_grpc.RunServiceStub(server.channel)
        self.made: list[str] = []

    async def make(self, name: str, **fields: Any) -> pb.Schedule:
        """Schedule of a summary, with these fields."""
        request = pb.CreateScheduleRequest()
        work = {} if "work" in fields or "target_name" in fields else SUMMARIZE
        ParseDict({"name": name, **work, **fields}, request.schedule)
        made: pb.Schedule = await self.schedules.CreateSchedule(request)
        self.made.append(made.schedule_id)
        return made

    async def get(self, id: str) -> pb.Schedule:
        """Schedule by id or name."""
        found: pb.Schedule = await self.schedules.GetSchedule(pb.GetScheduleRequest(schedule_id=id))
        return found

    async def update(self, id: str, *mask: str, **fields: Any) -> pb.Schedule:
        """Change of a schedule."""
        request = pb.UpdateScheduleRequest(schedule_id=id)
        request.schedule.SetInParent()
        ParseDict(fields, request.schedule)
        request.update_mask.paths.extend(mask)
        changed: pb.Schedule = await self.schedules.UpdateSchedule(request)
        return changed

    async def ticks(self, id: str) -> list[pb.ScheduleTick]:
        """Due times that have passed, the newest first."""
        request = pb.ListScheduleTicksRequest(schedule_id=id, page_size=500)
        return list((await self.schedules.ListScheduleTicks(request)).ticks)

    async def of(self, id: str) -> list[Run]:
        """Runs of a schedule, the newest first."""
        request = run_service_pb2.ListRunsRequest(schedule_id=id, page_size=500)
        return list((await self.runs.ListRuns(request)).runs)

    async def move(self, id: str, seconds: float) -> datetime:
        """Makes a schedule due so many seconds from now."""
        due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
        async with self.server.database.begin() as connection:
            table = sa.table("schedules", sa.column("id"), sa.column("next_at", sa.DateTime(timezone=True)))
            value = due if self.server.database.dialect != "sqlite" else due.replace(tzinfo=None)
            await connection.execute(sa.update(table).where(table.c.id == id).values(next_at=value))
        return due

    async def outcomes(self, id: str, count: int = 1) -> list[str]:
        """Outcomes of due times, the newest first, once there are so many."""

        async def enough() -> bool:
            return len(await self.ticks(id)) >= count

        await until(enough)
        return [tick.outcome for tick in await self.ticks(id)]


@pytest_asyncio.fixture(loop_scope="session")
async def scheduled(booked: Running) -> AsyncIterator[Scheduled]:
    found = Scheduled(booked)
    yield found
    for id in found.made:
        with suppress(grpc.aio.AioRpcError):  # a test has deleted it
            await found.schedules.DeleteSchedule(pb.DeleteScheduleRequest(schedule_id=id))


class TestMaking:
    async def test_schedule_is_found_by_id_and_by_name_with_all_that_was_given(self, scheduled: Scheduled):
        made = await scheduled.make(
            "nightly", cron_expression="30 2 * * *", timezone="Europe/Berlin", max_instances=3
        )
        assert await scheduled.get(made.schedule_id) == await scheduled.get("nightly") == made
        assert (made.enabled, made.version, made.etag, made.principal) == (True, 1, "1", "anonymous")
        assert made.next_run_time.ToDatetime(UTC) > datetime.now(UTC)
        assert (made.timezone, made.max_instances, made.target_name) == ("Europe/Berlin", 3, "summarize")
        assert not made.HasField("last_run_time")

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({}, "schedule.cron_expression"),
            ({"cron_expression": "61 * * * *"}, "schedule.cron_expression"),
            ({"cron_expression": "daily"}, "schedule.cron_expression"),
            ({"cron_expression": "0 0 30 2 *"}, "schedule.cron_expression"),
            ({**NEVER, "interval_seconds": 5}, "schedule.interval_seconds"),
            ({**NEVER, "run_time": "2099-01-01T00:00:00Z"}, "schedule.run_time"),
            ({"run_time": "2020-01-01T00:00:00Z"}, "schedule.run_time"),
            ({**NEVER, "timezone": "Mars/Olympus"}, "schedule.timezone"),
            ({**NEVER, "timezone": "../etc/passwd"}, "schedule.timezone"),
            ({"interval_seconds": 0.5}, "schedule.interval_seconds"),
            ({**NEVER, "max_instances": 0}, "schedule.max_instances"),
            ({**NEVER, "options": {"idempotency_key": "always"}}, "schedule.options.idempotency_key"),
            ({**NEVER, "work": {}}, "schedule.work"),
            (
                {**NEVER, "target_name": "summarize", "work": {"summarize": {"content": "Rain."}}},
                "schedule.target_name",
            ),
            ({**NEVER, "target_name": "summarize", "params": {"words": 3}}, "params"),
        ],
    )
    async def test_what_cannot_be_is_refused_by_its_field(
        self, scheduled: Scheduled, fields: dict[str, Any], named: str
    ):
        refused = await failure(scheduled.make("refused", **fields))
        assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
        assert refused.fields == [named]

    async def test_work_that_nobody_knows_is_not_found(self, scheduled: Scheduled):
        refused = await failure(scheduled.make("refused", target_name="genai.levitate", **NEVER))
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "WORK_NOT_FOUND")
        assert "genai.summarize" in refused.message

    async def test_name_is_required_and_taken_once(self, scheduled: Scheduled):
        assert (await failure(scheduled.make("", **NEVER))).fields == ["schedule.name"]
        await scheduled.make("once", **NEVER)
        assert (await failure(scheduled.make("once", **NEVER))).reason == "CONFLICT"
        other = await scheduled.make("another", **NEVER)
        assert (await failure(scheduled.update(other.schedule_id, name="once"))).reason == "CONFLICT"

    async def test_list_is_paged_by_name_and_narrowed_to_the_paused(self, scheduled: Scheduled):
        for name in ("b", "a", "c"):
            await scheduled.make(f"list-{name}", **NEVER, enabled=name != "b")
        request, names = pb.ListSchedulesRequest(page_size=2), []
        while True:
            page = await scheduled.schedules.ListSchedules(request)
            names += [one.name for one in page.schedules if one.name.startswith("list-")]
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        assert names == ["list-a", "list-b", "list-c"]
        paused = await scheduled.schedules.ListSchedules(pb.ListSchedulesRequest(enabled=False))
        assert [one.name for one in paused.schedules] == ["list-b"]


class TestChanging:
    async def test_change_takes_what_is_set_and_leaves_the_rest(self, scheduled: Scheduled):
        made = await scheduled.make("change", cron_expression="0 5 * * *", max_instances=2)
        changed = await scheduled.update(made.schedule_id, interval_seconds=3600)
        assert not changed.HasField("cron_expression")
        assert (changed.interval_seconds, changed.max_instances, changed.version) == (3600, 2, 2)
        ahead = changed.next_run_time.ToDatetime(UTC) - datetime.now(UTC)
        assert timedelta(minutes=59) < ahead <= timedelta(hours=1)

    async def test_change_of_a_name_keeps_the_next_due_time(self, scheduled: Scheduled):
        made = await scheduled.make("renamed", interval_seconds=3600)
        changed = await scheduled.update(made.schedule_id, name="other")
        assert changed.next_run_time == made.next_run_time

    async def test_mask_clears_what_it_names(self, scheduled: Scheduled):
        made = await scheduled.make("mask", **NEVER, max_instances=2)
        changed = await scheduled.update(made.schedule_id, "max_instances", max_instances=None)
        assert not changed.HasField("max_instances")
        refused = await failure(scheduled.update(made.schedule_id, "version"))
        assert refused.fields == ["update_mask"]

    async def test_older_etag_changes_and_deletes_nothing(self, scheduled: Scheduled):
        made = await scheduled.make("etag", **NEVER)
        await scheduled.update(made.schedule_id, max_instances=5, etag=made.etag)
        refused = await failure(scheduled.update(made.schedule_id, max_instances=9, etag=made.etag))
        assert refused.reason == "ETAG_MISMATCH"
        delete = pb.DeleteScheduleRequest(schedule_id=made.schedule_id, etag=made.etag)
        assert (await failure(scheduled.schedules.DeleteSchedule(delete))).reason == "ETAG_MISMATCH"
        assert (await scheduled.get("etag")).max_instances == 5

    async def test_bad_change_leaves_all_as_it_was(self, scheduled: Scheduled):
        made = await scheduled.make("bad change", **NEVER)
        refused = await failure(scheduled.update(made.schedule_id, cron_expression="x"))
        assert refused.fields == ["schedule.cron_expression"]
        assert await scheduled.get("bad change") == made

    async def test_deleted_schedule_is_gone_and_its_runs_stay(self, scheduled: Scheduled):
        made = await scheduled.make("deleted", **NEVER)
        request = pb.TriggerScheduleRequest(schedule_id=made.schedule_id)
        run = await scheduled.schedules.TriggerSchedule(request)
        await scheduled.schedules.DeleteSchedule(pb.DeleteScheduleRequest(schedule_id="deleted"))
        assert (await failure(scheduled.get("deleted"))).reason == "SCHEDULE_NOT_FOUND"
        assert (await failure(scheduled.ticks("deleted"))).reason == "SCHEDULE_NOT_FOUND"
        assert [one.run_id for one in await scheduled.of(made.schedule_id)] == [run.run_id]


class TestDueTimes:
    async def test_due_time_makes_a_run_that_is_the_schedules(self, scheduled: Scheduled):
        made = await scheduled.make("due", **NEVER, options={"lane": "cpu", "priority": "high"})
        due = await scheduled.move(made.schedule_id, 0)
        assert await scheduled.outcomes(made.schedule_id) == ["submitted"]
        [tick] = await scheduled.ticks(made.schedule_id)
        assert tick.due_time.ToDatetime(UTC) == due
        waiting = run_service_pb2.WaitRunRequest(run_id=tick.run_id)
        run = await scheduled.runs.WaitRun(waiting)
        assert (run.status, run.name, run.priority) == ("completed", "genai.summarize", "high")
        assert run.principal == f"schedule/{made.schedule_id}"
        assert (run.schedule_id, run.options.trigger_source) == (made.schedule_id, "schedule")
        assert run.idempotency_key == f"schedule/{made.schedule_id}/{due.isoformat().replace('+00:00', 'Z')}"
        found = await scheduled.get("due")
        assert found.last_run_time.ToDatetime(UTC) == due
        assert found.next_run_time == made.next_run_time
        assert found.etag == made.etag

    async def test_interval_comes_again_and_again_a_step_behind_the_last(self, scheduled: Scheduled):
        made = await scheduled.make("interval", interval_seconds=1, max_instances=1000)
        await scheduled.outcomes(made.schedule_id, 3)
        times = [tick.due_time.ToDatetime(UTC) for tick in reversed(await scheduled.ticks(made.schedule_id))]
        steps = {later - earlier for earlier, later in pairwise(times)}
        assert steps == {timedelta(seconds=1)}
        assert times[0] == made.next_run_time.ToDatetime(UTC)

    async def test_one_single_time_comes_once(self, scheduled: Scheduled):
        at = Timestamp()
        at.FromDatetime(datetime.now(UTC) + timedelta(seconds=0.5))
        made = await scheduled.make("date", run_time=at.ToJsonString(), options={"idempotency_key": "single"})
        assert await scheduled.outcomes(made.schedule_id) == ["submitted"]
        assert not (await scheduled.get("date")).HasField("next_run_time")
        [run] = await scheduled.of(made.schedule_id)
        assert run.idempotency_key == "single"

    async def test_due_time_that_nobody_looked_at_in_time_is_missed(self, scheduled: Scheduled):
        made = await scheduled.make("missed", interval_seconds=7200, misfire_grace_seconds=30)
        due = await scheduled.move(made.schedule_id, -7100)
        assert await scheduled.outcomes(made.schedule_id) == ["missed"]
        assert await scheduled.of(made.schedule_id) == []
        found = await scheduled.get("missed")
        assert found.next_run_time.ToDatetime(UTC) == due + timedelta(seconds=7200)
        [tick] = await scheduled.ticks(made.schedule_id)
        assert tick.delay.ToTimedelta() >= timedelta(seconds=7100)
        assert not tick.HasField("run_id")

    async def test_late_due_time_within_the_grace_is_made_up_for(self, scheduled: Scheduled):
        made = await scheduled.make("late", **NEVER, misfire_grace_seconds=600)
        await scheduled.move(made.schedule_id, -300)
        assert await scheduled.outcomes(made.schedule_id) == ["submitted"]

    async def test_due_time_beyond_the_most_instances_is_skipped(self, scheduled: Scheduled):
        made = await scheduled.make("skipped", **NEVER, options={"hold": True})
        for seconds in (-2, -1):
            await scheduled.move(made.schedule_id, seconds)
            await scheduled.outcomes(made.schedule_id, 3 + seconds)
        assert await scheduled.outcomes(made.schedule_id, 2) == ["skipped", "submitted"]
        [run] = await scheduled.of(made.schedule_id)
        await scheduled.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id=run.run_id))
        await scheduled.move(made.schedule_id, 0)
        assert (await scheduled.outcomes(made.schedule_id, 3))[0] == "submitted"

    async def test_key_and_params_name_the_due_time_and_its_days(self, scheduled: Scheduled):
        params = {"content": "{due}", "model": "extractive", "focus": "on {date}"}
        made = await scheduled.make(
            "places",
            **NEVER,
            timezone="Pacific/Auckland",
            target_name="genai.summarize",
            params=params,
            options={"idempotency_key": "report_{date}_{day_before}_{due}"},
            misfire_grace_seconds=604_800,
        )
        async with scheduled.server.database.begin() as connection:
            due = datetime.now(UTC).replace(hour=0, minute=30, second=0, microsecond=0) - timedelta(days=1)
            due = due.replace(hour=20)  # of the next day in Auckland
            value = due if scheduled.server.database.dialect != "sqlite" else due.replace(tzinfo=None)
            table = sa.table("schedules", sa.column("id"), sa.column("next_at", sa.DateTime(timezone=True)))
            statement = sa.update(table).where(table.c.id == made.schedule_id).values(next_at=value)
            await connection.execute(statement)
        assert await scheduled.outcomes(made.schedule_id) == ["submitted"]
        [run] = await scheduled.of(made.schedule_id)
        text = due.isoformat().replace("+00:00", "Z")
        day = due.date() + timedelta(days=1)
        assert run.idempotency_key == f"report_{day}_{due.date()}_{text}"
        whole = await scheduled.runs.GetRun(run_service_pb2.GetRunRequest(run_id=run.run_id))
        assert whole.work.summarize.content == text

    async def test_key_that_stands_for_other_work_is_refused_and_the_schedule_goes_on(
        self, scheduled: Scheduled
    ):
        today = f"taken_{datetime.now(UTC).date()}"
        made = await scheduled.make("refused", **NEVER, options={"idempotency_key": "taken_{date}"})
        other = run_service_pb2.CreateRunRequest(name="summarize", idempotency_key=today)
        ParseDict({"content": "Other words.", "model": "extractive"}, other.params)
        await scheduled.runs.CreateRun(other)
        await scheduled.move(made.schedule_id, 0)
        assert await scheduled.outcomes(made.schedule_id) == ["refused"]
        assert (await scheduled.get("refused")).next_run_time == made.next_run_time


class TestPausing:
    async def test_paused_schedule_makes_no_run_and_goes_on_from_now(self, scheduled: Scheduled):
        made = await scheduled.make("paused", interval_seconds=1, max_instances=1000)
        await scheduled.outcomes(made.schedule_id)
        paused = await scheduled.schedules.PauseSchedule(pb.PauseScheduleRequest(schedule_id="paused"))
        assert (paused.enabled, paused.HasField("next_run_time")) == (False, False)
        before = await scheduled.ticks(made.schedule_id)
        other = await scheduled.make("clock", interval_seconds=1, max_instances=1000)
        await scheduled.outcomes(other.schedule_id, 2)
        assert await scheduled.ticks(made.schedule_id) == before
        resumed = await scheduled.schedules.ResumeSchedule(pb.ResumeScheduleRequest(schedule_id="paused"))
        assert resumed.enabled
        after = await scheduled.outcomes(made.schedule_id, len(before) + 1)
        assert set(after) == {"submitted"}
        newest = (await scheduled.ticks(made.schedule_id))[0]
        assert newest.due_time.ToDatetime(UTC) >= resumed.next_run_time.ToDatetime(UTC)

    async def test_pause_of_one_that_is_paused_changes_nothing(self, scheduled: Scheduled):
        await scheduled.make("twice", **NEVER)
        request = pb.PauseScheduleRequest(schedule_id="twice")
        first = await scheduled.schedules.PauseSchedule(request)
        assert await scheduled.schedules.PauseSchedule(request) == first


class TestTriggering:
    async def test_trigger_submits_the_work_now_and_moves_no_time(self, scheduled: Scheduled):
        made = await scheduled.make("trigger", **NEVER)
        request = pb.TriggerScheduleRequest(schedule_id="trigger")
        one, other = [await scheduled.schedules.TriggerSchedule(request) for _ in range(2)]
        assert one.run_id != other.run_id
        assert (one.schedule_id, one.options.trigger_source) == (made.schedule_id, "event")
        assert one.principal == f"schedule/{made.schedule_id}"
        assert await scheduled.get("trigger") == made
        assert await scheduled.ticks("trigger") == []

    async def test_params_stand_in_the_place_of_the_schedules(self, scheduled: Scheduled):
        await scheduled.make("hook", **NEVER, enabled=False)
        request = pb.TriggerScheduleRequest(schedule_id="hook")
        ParseDict({"content": "Snow fell."}, request.params)
        run = await scheduled.schedules.TriggerSchedule(request)
        assert (run.work.summarize.content, run.work.summarize.model) == ("Snow fell.", "extractive")
        ParseDict({"words": 3}, request.params)
        assert (await failure(scheduled.schedules.TriggerSchedule(request))).fields == ["params"]

    async def test_one_idempotency_key_is_one_run(self, scheduled: Scheduled):
        made = await scheduled.make("keyed", **NEVER)
        request = pb.TriggerScheduleRequest(schedule_id="keyed")
        key = [("idempotency-key", f"hook-{made.schedule_id}")]
        runs = [await scheduled.schedules.TriggerSchedule(request, metadata=key) for _ in range(2)]
        assert runs[0].run_id == runs[1].run_id
        assert [run.is_existing for run in runs] == [False, True]


class TestDailyCosts:
    async def test_first_server_makes_the_daily_cost_rollup(self, scheduled: Scheduled):
        found = await scheduled.get(daily_costs.NAME)
        assert (found.cron_expression, found.timezone) == ("10 0 * * *", "UTC")
        assert found.target_name == "genai.aggregate_costs"
        assert found.principal == "system"

    async def test_its_run_is_about_the_day_before_and_is_made_once(self, scheduled: Scheduled):
        due = await scheduled.move(daily_costs.ID, 0)
        day = str(due.date() - timedelta(days=1))
        assert await scheduled.outcomes(daily_costs.ID) == ["submitted"]
        [run] = await scheduled.of(daily_costs.ID)
        assert run.idempotency_key == f"cost_rollup_{day}"
        done = await scheduled.runs.WaitRun(run_service_pb2.WaitRunRequest(run_id=run.run_id))
        assert done.response.aggregate_costs.date == day
        again = run_service_pb2.CreateRunRequest(name="aggregate_costs", idempotency_key=run.idempotency_key)
        ParseDict({"date": day}, again.params)
        assert (await scheduled.runs.CreateRun(again)).run_id == run.run_id

    async def test_deleted_one_is_not_made_again(self, scheduled: Scheduled):
        rows = ScheduleRows(scheduled.server.database)
        assert not await daily_costs.install(rows)
        delete = pb.DeleteScheduleRequest(schedule_id=daily_costs.NAME)
        await scheduled.schedules.DeleteSchedule(delete)
        assert not await daily_costs.install(rows)
        assert (await failure(scheduled.get(daily_costs.NAME))).reason == "SCHEDULE_NOT_FOUND"
        assert (await failure(scheduled.get(daily_costs.ID))).reason == "SCHEDULE_NOT_FOUND"
        own = await scheduled.make(daily_costs.NAME, **NEVER)  # the name is free
        assert own.schedule_id != daily_costs.ID
