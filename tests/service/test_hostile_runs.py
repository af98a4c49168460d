"""Hostile input to every RPC of runs, dead letters and schedules: typed refusals, nothing half-written."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import grpc
import pytest
import sqlalchemy as sa
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from genai_spine.store.runs.tables import run_events, run_items, runs
from genai_spine.v1 import dead_letter_service_pb2, run_service_pb2, schedule_service_pb2
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1 import schedule_service_pb2 as sched
from genai_spine.v1.run_pb2 import RunOptions
from genai_spine.v1.schedule_service_pb2_grpc import ScheduleServiceStub
from tests.service.run_calls import RunCalls, completion, free
from tests.service.running import Running, failure, failure_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

FILES = (run_service_pb2, dead_letter_service_pb2, schedule_service_pb2)
METHODS = [
    method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
ENDLESS = ("WatchRun", "ReadRunEvents", "WaitRun")  # which may rightly last
LIMIT_S = 10.0
OURS = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED)
TEXTS = (
    *(
        "",
        "\x00",
        "x" * 5000,
        "../../etc/passwd",
        "' OR 1=1 --",
        "\u202e\U0001f4a5\ufeff",
        "NaN",
        "-1",
        "%s%n",
    ),
    *("* * * * * *", "*/0 * * * *", "0-59/1,0-59 * * * *", "{{x}}", "[" * 500, "e30=", "AAAA", "%00"),
    *("00000000-0000-0000-0000-000000000000", "europe/berlin", "Mars/Olympus", "http://169.254.169.254/"),
)
WHOLE = (0, 1, -1, 2**31 - 1, -(2**31), 1000, 501)
LARGE = (*WHOLE, 2**63 - 1, -(2**63), 253402300800, -62135596801)
REALS = (0.0, -0.0, -1.0, 1e308, 5e-324, float("nan"), float("inf"), float("-inf"))
DEPTH = 4


def hostile(drawn: random.Random, kind: Any, depth: int = 0) -> Message:
    """Message with random fields of hostile values."""
    made = GetMessageClass(kind)()
    for field in kind.fields:
        is_message = field.type == FieldDescriptor.TYPE_MESSAGE
        if drawn.random() > 0.5 or (is_message and depth > DEPTH):
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _fill_map(drawn, made, field)
        elif field.is_repeated:
            several = getattr(made, field.name)
            for _ in range(drawn.choice((1, 2, 40))):
                if is_message:
                    several.add().CopyFrom(hostile(drawn, field.message_type, depth + 1))
                else:
                    several.append(_scalar(drawn, field))
        elif is_message:
            getattr(made, field.name).CopyFrom(hostile(drawn, field.message_type, depth + 1))
        else:
            setattr(made, field.name, _scalar(drawn, field))
    return made


def _fill_map(drawn: random.Random, made: Message, field: Any) -> None:
    key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    for _ in range(drawn.choice((1, 60))):
        if value.type == FieldDescriptor.TYPE_MESSAGE:
            getattr(made, field.name)[_scalar(drawn, key)].SetInParent()
        else:
            getattr(made, field.name)[_scalar(drawn, key)] = _scalar(drawn, value)


def _scalar(drawn: random.Random, field: FieldDescriptor) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        text = drawn.choice(TEXTS)
        return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
    if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return drawn.choice(REALS)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return drawn.random() < 0.5
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return drawn.choice((0, 1, 2, 999))
    if kind in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64):
        return drawn.choice((0, 1, 2**32 - 1))
    return drawn.choice(LARGE if kind == FieldDescriptor.CPPTYPE_INT64 else WHOLE)


async def asked_for(service: Running, method: Any, data: bytes) -> grpc.aio.AioRpcError | None:
    """Refusal of a call; None: it was answered, or lasts."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    kind: Any = service.channel.unary_stream if method.server_streaming else service.channel.unary_unary
    call: Any = kind(path, request_serializer=None, response_deserializer=None)(data, timeout=LIMIT_S)
    try:
        if not method.server_streaming:
            await call
            return None
        async for _ in call:
            break
        call.cancel()
    except grpc.aio.AioRpcError as error:
        lasts = error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and method.name in ENDLESS
        return None if lasts else error
    return None


async def check(service: Running, method: Any, data: bytes) -> None:
    """A call is answered, or refused with a reason, and with the fields that are wrong."""
    if (error := await asked_for(service, method, data)) is None:
        return
    assert error.code() not in OURS, (method.name, error.code(), error.details(), data[:500])
    found = failure_of(error)
    assert found.reason, (method.name, error.details())
    assert found.fields or found.reason != "VALIDATION_ERROR", (method.name, found.message)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("method", METHODS, ids=[method.name for method in METHODS])
async def test_hostile_requests_are_refused_by_name(booked: Running, method: Any) -> None:
    drawn = random.Random(f"hostile {method.full_name}")
    for _ in range(40):
        await check(booked, method, hostile(drawn, method.input_type).SerializeToString())
    for _ in range(40):
        data = drawn.randbytes(drawn.randrange(1, 200))
        try:
            GetMessageClass(method.input_type)().ParseFromString(data)
        except DecodeError:
            continue  # gRPC itself refuses these
        await check(booked, method, data)


def of_run(**options: Any) -> pb.CreateRunRequest:
    return pb.CreateRunRequest(work=free(), options=RunOptions(**options))


def far(seconds: int) -> pb.CreateRunRequest:
    request = of_run()
    request.options.not_before.seconds = seconds
    return request


def labels(count: int) -> pb.CreateRunRequest:
    return of_run(metadata={f"label-{number}": "x" for number in range(count)})


def schedule(**fields: Any) -> sched.CreateScheduleRequest:
    return sched.CreateScheduleRequest(schedule=sched.Schedule(name="hostile", work=free(), **fields))


BAD: dict[str, tuple[Callable[[], Message], str]] = {
    "10,000 labels": (lambda: labels(10_000), "options.metadata"),
    "a year beyond all": (lambda: far(2**62), "options.not_before"),
    "a year before all": (lambda: far(-(2**62)), "options.not_before"),
    "NaN of a delay": (lambda: of_run(retry_delay_seconds=float("nan")), "options.retry_delay_seconds"),
    "NaN of a budget": (lambda: of_run(budget_limit_usd=float("nan")), "options.budget_limit_usd"),
    "endless estimate": (lambda: of_run(estimate_usd=float("inf")), "options.estimate_usd"),
    "retries below none": (lambda: of_run(max_retries=-1), "options.max_retries"),
    "lane of a path": (lambda: of_run(lane="../gpu"), "options.lane"),
    "key with a zero byte": (lambda: of_run(idempotency_key="a\x00b"), "options.idempotency_key"),
    "cron of no step": (lambda: schedule(cron_expression="*/0 * * * *"), "schedule.cron_expression"),
    "cron of no day": (lambda: schedule(cron_expression="0 0 31 2 *"), "schedule.cron_expression"),
    "cron bomb": (lambda: schedule(cron_expression=",".join(["0-59"] * 60)), "schedule.cron_expression"),
    "cron of emoji": (lambda: schedule(cron_expression="\U0001f4a5 * * * *"), "schedule.cron_expression"),
    "zone of Mars": (
        lambda: schedule(cron_expression="0 0 * * *", timezone="Mars/Olympus"),
        "schedule.timezone",
    ),
    "zone of a path": (
        lambda: schedule(cron_expression="0 0 * * *", timezone="../../etc/passwd"),
        "schedule.timezone",
    ),
    "interval of NaN": (lambda: schedule(interval_seconds=float("nan")), "schedule.interval_seconds"),
    "interval below none": (lambda: schedule(interval_seconds=-5.0), "schedule.interval_seconds"),
}


@pytest.mark.parametrize("case", BAD)
async def test_refusal_names_the_field_and_nothing_is_written(booked: Running, case: str) -> None:
    make, field = BAD[case]
    request = make()
    before = await _counts(booked)
    stub: Any = (
        RunCalls(booked.channel).runs.CreateRun
        if isinstance(request, pb.CreateRunRequest)
        else ScheduleServiceStub(booked.channel).CreateSchedule
    )
    refused = await failure(stub(request, timeout=LIMIT_S))
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert any(found.startswith(field) for found in refused.fields), refused
    assert await _counts(booked) == before


async def _counts(service: Running) -> list[int]:
    """Rows of runs; those that others make meanwhile are none of these tests."""
    async with service.database.connect() as connection:
        tables = (runs, run_items, run_events)
        queries = [sa.select(sa.func.count()).select_from(table) for table in tables]
        return [int((await connection.execute(query)).scalar_one()) for query in queries]


async def test_page_token_of_another_list_is_refused(booked: Running) -> None:
    calls = RunCalls(booked.channel)
    for _ in range(3):
        await calls.ended(await calls.submit(free()))
    token = (await calls.runs.ListRuns(pb.ListRunsRequest(page_size=1))).next_page_token
    assert token
    run = await calls.submit(free())
    for stolen in (token, token[:-3], "\U0001f4a5", "x" * 2049):
        request = pb.ListRunEventsRequest(run_id=run.run_id, page_token=stolen)
        refused = await failure(calls.runs.ListRunEvents(request))
        assert (refused.code, refused.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_token"])


async def test_run_whose_deadline_is_past_calls_nobody(booked: Running) -> None:
    calls, text = RunCalls(booked.channel), f"too late {uuid4()}"
    request = pb.CreateRunRequest(work=completion(text, model="gpt-4o"))
    request.options.deadline.FromDatetime(datetime(2001, 1, 1, tzinfo=UTC))
    ended = await calls.ended(await calls.runs.CreateRun(request))
    assert (ended.status, ended.error.type) == ("failed", "timeout")
    assert await calls.log(ended) == ["created", "queued", "timed_out", "failed"], "it begins no attempt"
    assert not ended.HasField("start_time")
    assert not [entry for entry in booked.openai.bill if text in entry.raw]
