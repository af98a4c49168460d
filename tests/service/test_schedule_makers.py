"""Makers of schedules: whose key pays, what ends with it, and who takes one over; on both databases."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
import pytest_asyncio
import sqlalchemy as sa
from google.protobuf.json_format import ParseDict

from genai_spine.v1 import key_service_pb2, run_service_pb2, run_service_pb2_grpc, schedule_service_pb2_grpc
from genai_spine.v1 import schedule_service_pb2 as pb
from tests.databases import BOTH
from tests.service.keyed import Keyed, bearer, keyed
from tests.service.running import Upstreams, failure
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

ALL = ("runs:read", "runs:write", "completions:read", "completions:write")


class Making:
    """Server that asks for keys, with stubs of schedules."""

    def __init__(self, server: Keyed) -> None:
        self.keyed, self.database = server, server.service.database
        self.schedules: Any = schedule_service_pb2_grpc.ScheduleServiceStub(server.service.channel)
        self.runs: Any = run_service_pb2_grpc.RunServiceStub(server.service.channel)

    async def make(self, secret: str, name: str, **fields: Any) -> pb.Schedule:
        request = pb.CreateScheduleRequest()
        params = {"content": "Rain fell. Wind blew.", "model": "extractive"}
        work = {"target_name": "summarize", "params": params, "cron_expression": "0 0 1 1 *"}
        ParseDict({"name": name, **work, **fields}, request.schedule)
        made: pb.Schedule = await self.schedules.CreateSchedule(request, metadata=bearer(secret))
        return made

    async def get(self, secret: str, id: str) -> pb.Schedule:
        request = pb.GetScheduleRequest(schedule_id=id)
        found: pb.Schedule = await self.schedules.GetSchedule(request, metadata=bearer(secret))
        return found

    async def due(self, id: str) -> None:
        """Makes a schedule due now."""
        now = datetime.now(UTC)
        value = now if self.database.dialect != "sqlite" else now.replace(tzinfo=None)
        table = sa.table("schedules", sa.column("id"), sa.column("next_at", sa.DateTime(timezone=True)))
        async with self.database.begin() as connection:
            await connection.execute(sa.update(table).where(table.c.id == id).values(next_at=value))

    async def run_row(self, id: str) -> Any:
        """Row of the newest run of a schedule, once there is one."""
        query = sa.text("SELECT * FROM runs WHERE schedule_id = :id ORDER BY id DESC LIMIT 1")

        async def found() -> Any:
            async with self.database.connect() as connection:
                return (await connection.execute(query, {"id": id})).mappings().first()

        async def is_there() -> bool:
            return await found() is not None

        await until(is_there)
        return await found()

    async def paused(self, secret: str, id: str) -> str:
        """Why a schedule is paused, once it is."""

        async def is_paused() -> bool:
            return not (await self.get(secret, id)).enabled

        await until(is_paused)
        return (await self.get(secret, id)).pause_reason


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH)
async def making(request: pytest.FixtureRequest, all_upstreams: Upstreams) -> AsyncIterator[Making]:
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    async with keyed(all_upstreams, request.getfixturevalue(f"module_{kind}_url")) as found:
        yield Making(found)


async def test_run_has_the_tenant_project_key_and_permissions_of_the_maker(making: Making):
    permissions = key_service_pb2.KeyPermissions(allowed_providers=["builtin"])
    key = await making.keyed.key(*ALL, permissions=permissions)
    made = await making.make(key.secret, "of a key")
    assert made.principal == f"key:{key.key.id}"
    await making.due(made.schedule_id)
    row = await making.run_row(made.schedule_id)
    assert (row["tenant_id"], row["api_key_id"]) == (key.key.tenant_id, key.key.id)
    assert row["principal"] == f"schedule/{made.schedule_id}"
    assert key_service_pb2.KeyPermissions.FromString(row["permissions"]) == permissions


async def test_revoked_key_pauses_its_schedules_with_the_reason(making: Making):
    key = await making.keyed.key(*ALL)
    made = await making.make(key.secret, "revoked")
    admin = making.keyed.admin
    request = key_service_pb2.RevokeKeyRequest(key_id=key.key.id)
    await making.keyed.keys.RevokeKey(request, metadata=bearer(admin))
    await making.due(made.schedule_id)
    other = (await making.keyed.key(*ALL)).secret
    assert await making.paused(other, made.schedule_id) == "the key of its maker was revoked"
    ticks = pb.ListScheduleTicksRequest(schedule_id=made.schedule_id)
    assert not (await making.schedules.ListScheduleTicks(ticks, metadata=bearer(other))).ticks
    trigger = pb.TriggerScheduleRequest(schedule_id=made.schedule_id)
    refused = await failure(making.schedules.TriggerSchedule(trigger, metadata=bearer(other)))
    assert refused.reason == "SCHEDULE_PAUSED"
    assert "was revoked" in refused.message


async def test_expired_key_pauses_its_schedules(making: Making):
    key = await making.keyed.key(*ALL)
    made = await making.make(key.secret, "expired")
    past = datetime.now(UTC) - timedelta(seconds=1)
    value = past if making.database.dialect != "sqlite" else past.replace(tzinfo=None)
    table = sa.table("api_keys", sa.column("id"), sa.column("expires_at", sa.DateTime(timezone=True)))
    async with making.database.begin() as connection:
        await connection.execute(sa.update(table).where(table.c.id == key.key.id).values(expires_at=value))
    await making.due(made.schedule_id)
    other = (await making.keyed.key(*ALL)).secret
    assert await making.paused(other, made.schedule_id) == "the key of its maker has expired"


async def test_disabled_tenant_pauses_its_schedules(making: Making):
    await making.keyed.tenant("dormant")
    key = await making.keyed.key(*ALL, tenant="dormant")
    made = await making.make(key.secret, "dormant")
    async with making.database.begin() as connection:
        await connection.execute(sa.text("UPDATE tenants SET is_disabled = TRUE WHERE id = 'dormant'"))
    await making.due(made.schedule_id)

    async def is_paused() -> bool:
        query = sa.text("SELECT pause_reason FROM schedules WHERE id = :id")
        async with making.database.connect() as connection:
            row = await connection.execute(query, {"id": made.schedule_id})
            return bool(row.scalar_one() == "its tenant was disabled")

    await until(is_paused)


async def test_whoever_resumes_it_is_its_maker(making: Making):
    key = await making.keyed.key(*ALL)
    made = await making.make(key.secret, "taken over")
    request = key_service_pb2.RevokeKeyRequest(key_id=key.key.id)
    await making.keyed.keys.RevokeKey(request, metadata=bearer(making.keyed.admin))
    await making.due(made.schedule_id)
    other = await making.keyed.key(*ALL)
    await making.paused(other.secret, made.schedule_id)
    resume = pb.ResumeScheduleRequest(schedule_id=made.schedule_id)
    resumed = await making.schedules.ResumeSchedule(resume, metadata=bearer(other.secret))
    assert (resumed.enabled, resumed.pause_reason) == (True, "")
    assert resumed.principal == f"key:{other.key.id}"
    await making.due(made.schedule_id)
    assert (await making.run_row(made.schedule_id))["api_key_id"] == other.key.id


async def test_whoever_changes_the_work_is_its_maker_and_a_change_of_time_leaves_him(making: Making):
    key, other = await making.keyed.key(*ALL), await making.keyed.key(*ALL)
    made = await making.make(key.secret, "changed")
    request = pb.UpdateScheduleRequest(schedule_id=made.schedule_id)
    ParseDict({"interval_seconds": 60}, request.schedule)
    changed = await making.schedules.UpdateSchedule(request, metadata=bearer(other.secret))
    assert changed.principal == f"key:{key.key.id}"
    ParseDict({"params": {"content": "Snow fell."}}, request.schedule)
    changed = await making.schedules.UpdateSchedule(request, metadata=bearer(other.secret))
    assert changed.principal == f"key:{other.key.id}"


async def test_schedule_does_no_work_that_its_maker_may_not_do(making: Making):
    weak = (await making.keyed.key("runs:read", "runs:write")).secret
    refused = await failure(making.make(weak, "weak"))
    assert refused.code == grpc.StatusCode.PERMISSION_DENIED
    strong = (await making.keyed.key(*ALL)).secret
    made = await making.make(strong, "strong")
    request = pb.UpdateScheduleRequest(schedule_id=made.schedule_id)
    ParseDict({"params": {"content": "x"}}, request.schedule)
    refused = await failure(making.schedules.UpdateSchedule(request, metadata=bearer(weak)))
    assert refused.code == grpc.StatusCode.PERMISSION_DENIED


async def test_trigger_needs_the_scope_of_the_work_only_for_params_of_its_own(making: Making):
    strong, weak = (await making.keyed.key(*ALL)).secret, (await making.keyed.key("runs:write")).secret
    made = await making.make(strong, "hook")
    request = pb.TriggerScheduleRequest(schedule_id="hook")
    run = await making.schedules.TriggerSchedule(request, metadata=bearer(weak))
    assert run.schedule_id == made.schedule_id
    ParseDict({"content": "Mine."}, request.params)
    refused = await failure(making.schedules.TriggerSchedule(request, metadata=bearer(weak)))
    assert refused.code == grpc.StatusCode.PERMISSION_DENIED


async def test_another_tenant_finds_none_of_it(making: Making):
    await making.keyed.tenant("stranger")
    made = await making.make((await making.keyed.key(*ALL)).secret, "hidden")
    metadata = bearer((await making.keyed.key(*ALL, tenant="stranger")).secret)
    id = made.schedule_id
    for call in (
        making.schedules.GetSchedule(pb.GetScheduleRequest(schedule_id=id), metadata=metadata),
        making.schedules.GetSchedule(pb.GetScheduleRequest(schedule_id="hidden"), metadata=metadata),
        making.schedules.PauseSchedule(pb.PauseScheduleRequest(schedule_id=id), metadata=metadata),
        making.schedules.ResumeSchedule(pb.ResumeScheduleRequest(schedule_id=id), metadata=metadata),
        making.schedules.DeleteSchedule(pb.DeleteScheduleRequest(schedule_id=id), metadata=metadata),
        making.schedules.TriggerSchedule(pb.TriggerScheduleRequest(schedule_id=id), metadata=metadata),
        making.schedules.ListScheduleTicks(pb.ListScheduleTicksRequest(schedule_id=id), metadata=metadata),
        making.schedules.UpdateSchedule(
            pb.UpdateScheduleRequest(schedule_id=id, schedule=pb.Schedule(max_instances=9)), metadata=metadata
        ),
    ):
        assert (await failure(call)).reason == "SCHEDULE_NOT_FOUND"
    listed = await making.schedules.ListSchedules(pb.ListSchedulesRequest(), metadata=metadata)
    assert not listed.schedules
    runs = run_service_pb2.ListRunsRequest(schedule_id=id)
    assert not (await making.runs.ListRuns(runs, metadata=metadata)).runs
