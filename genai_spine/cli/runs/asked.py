"""Calls of the services of runs, and exit statuses that say how a run ended."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message

from genai_spine.cli.client import connected
from genai_spine.cli.output import fail
from genai_spine.v1 import run_pb2
from genai_spine.v1.dead_letter_service_pb2_grpc import DeadLetterServiceStub
from genai_spine.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from genai_spine.v1.run_service_pb2_grpc import RunServiceStub
from genai_spine.v1.schedule_service_pb2_grpc import ScheduleServiceStub

# Exit statuses, beside 1 for a call that failed and 130 for Ctrl-C.
FAILED, CANCELLED, NOT_ENDED = 3, 4, 5
STATUSES = {"completed": 0, "failed": FAILED, "dead_lettered": FAILED, "cancelled": CANCELLED}


@dataclass(frozen=True, slots=True)
class Service:
    """Service whose methods the command line calls."""

    stub: Callable[[Any], Any]

    async def __call__(self, address: str, tenant: str | None, method: str, request: Any) -> Any:
        """Answer of a method."""
        async with connected(address, tenant) as channel:
            return await getattr(self.stub(channel), method)(request)


runs = Service(RunServiceStub)
schedules = Service(ScheduleServiceStub)
pipelines = Service(PipelineServiceStub)
dead_letters = Service(DeadLetterServiceStub)


def exit_status(run: run_pb2.Run) -> int:
    """Exit status of a command that waited for a run."""
    return STATUSES.get(run.status, NOT_ENDED) if run.HasField("end_time") else NOT_ENDED


def object_of(text: str, what: str) -> dict[str, Any]:
    """JSON object of a text; anything else ends the command."""
    try:
        found = json.loads(text)
    except ValueError as error:
        fail(f"{what} is not JSON: {error}")
    if not isinstance(found, dict):
        fail(f"{what} must be a JSON object")
    return found


def parse(given: dict[str, Any], into: Message, what: str) -> None:
    """Writes JSON into a message; what does not fit ends the command."""
    try:
        ParseDict(given, into)
    except ParseError as error:
        fail(f"{what}: {error}")


def pairs(given: list[str] | None, option: str) -> dict[str, str]:
    """Map of options key=value."""
    found = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not equals:
            fail(f"{option} must be key=value, not {text!r}")
        found[key] = value
    return found
