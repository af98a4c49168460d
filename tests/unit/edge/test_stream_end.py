"""What ends a stream over REST, by the type of its messages, and streams that a stop cuts."""

import asyncio

import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import DecodeError

from genai_spine.call import Call
from genai_spine.edge.running_calls import RunningStreams
from genai_spine.edge.stream_end import NO_MESSAGE, last_message
from genai_spine.errors import ProviderError, ServiceUnavailable, SpineError
from genai_spine.http_answer import error_body
from genai_spine.v1 import capability_service_pb2, completion_service_pb2

CALL = Call(request_id="r1", path="/v1/completions:stream")
ERROR = ProviderError(provider="openai", provider_message="broken \u2713", provider_code="cut_stream")


def test_error_is_the_object_of_the_unary_body() -> None:
    last = last_message(completion_service_pb2.CompletionChunk(id="c1"), 3, ERROR, CALL)
    assert isinstance(last, completion_service_pb2.CompletionChunk)
    told = last.error
    given = {"code": told.code, "message": told.message, "request_id": told.request_id}
    assert given | {"details": dict(told.details)} == error_body(ERROR, CALL, openai=False)["error"]
    assert [field.name for field, _ in last.ListFields()] == ["error", "sequence"]


def test_events_that_are_numbered_go_on_being_so() -> None:
    last = last_message(capability_service_pb2.CapabilityEvent(sequence=1, text="a"), 2, ERROR, CALL)
    assert isinstance(last, capability_service_pb2.CapabilityEvent)
    assert (last.sequence, last.WhichOneof("event")) == (2, "error")


def test_bytes_end_with_what_is_no_message() -> None:
    assert last_message(HttpBody(data=b"x"), 1, ERROR, CALL) == NO_MESSAGE
    with pytest.raises(DecodeError):
        HttpBody.FromString(NO_MESSAGE)


async def test_streams_that_are_cut_say_why_and_one_that_is_left_does_not() -> None:
    streams = RunningStreams()

    async def stream() -> None:
        with streams.begin():
            await asyncio.Event().wait()

    left, cut = asyncio.create_task(stream()), asyncio.create_task(stream())
    await asyncio.sleep(0)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    streams.cut()
    with pytest.raises(ServiceUnavailable) as caught:
        await cut
    assert isinstance(caught.value, SpineError)
    assert not cut.cancelling()
