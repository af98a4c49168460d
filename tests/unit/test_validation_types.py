"""validation.check: protobuf's own types, whose values a library lets through that nobody can read."""

import pytest
from google.protobuf import struct_pb2
from google.protobuf.message import Message

from genai_spine.errors import InvalidFields
from genai_spine.v1.execution_service_pb2 import ListExecutionsRequest
from genai_spine.validation import check


def problems(message: Message) -> list[tuple[str, str]]:
    with pytest.raises(InvalidFields) as refused:
        check(message)
    return list(refused.value.violations)


def test_json_value_that_is_not_even_null_is_refused() -> None:
    value = struct_pb2.Struct()
    value.fields["empty"].SetInParent()
    [(path, problem)] = problems(value)
    assert (path, problem.startswith("must have one of null_value, ")) == ("fields[empty]", True)


@pytest.mark.parametrize(
    ("seconds", "nanos", "path"),
    [
        (-(2**63), 0, "start_time.seconds"),
        (-62_135_596_801, 0, "start_time.seconds"),
        (253_402_300_800, 0, "start_time.seconds"),
        (0, -1, "start_time.nanos"),
        (0, 10**9, "start_time.nanos"),
    ],
)
def test_time_beyond_the_calendar_is_refused(seconds: int, nanos: int, path: str) -> None:
    request = ListExecutionsRequest()
    request.start_time.seconds, request.start_time.nanos = seconds, nanos
    assert [found for found, _ in problems(request)] == [path]


@pytest.mark.parametrize(("seconds", "nanos"), [(-62_135_596_800, 0), (253_402_300_799, 10**9 - 1)])
def test_time_within_the_calendar_passes(seconds: int, nanos: int) -> None:
    request = ListExecutionsRequest()
    request.end_time.seconds, request.end_time.nanos = seconds, nanos
    check(request)
