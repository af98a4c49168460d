"""Converse answers that are not quite what the documents say: each kind of oddity is read one way."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.chunks import ChunkBuilder, fold, text_of
from genai_spine.providers.base import Endpoint, Timeouts
from genai_spine.providers.bedrock.adapter import Bedrock
from genai_spine.providers.bedrock.response import ConverseReader
from genai_spine.v1 import completion_service_pb2 as pb
from tests.direct import direct
from tests.unit.providers.http.raw_server import RawServer, Then, response
from tests.upstreams import aws_wire
from tests.upstreams.bedrock import NOVA

REQUEST = pb.CreateCompletionRequest(model=NOVA, prompt=pb.TextPrompt(text="Hi"))
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
USAGE = {"inputTokens": 3, "outputTokens": 2}


async def answered(
    *answer: bytes | Then, stream: bool, heard: list[pb.CompletionChunk] | None = None
) -> pb.Completion:
    """What an upstream's bytes come to. heard: gets the chunks of a stream."""
    timeouts = Timeouts(first_token_s=20, between_tokens_s=20)
    async with RawServer(answer) as server:
        bedrock = Bedrock(Endpoint("bedrock", server.url, aws_wire.BEARER, timeouts=timeouts))
        try:
            if stream:
                chunks = [] if heard is None else heard
                async for chunk in direct(bedrock).stream(REQUEST, Call()):
                    chunks.append(chunk)
                return await fold(each(chunks))
            return await direct(bedrock).complete(REQUEST, Call())
        finally:
            await bedrock.close()


async def each(chunks: list[pb.CompletionChunk]) -> AsyncIterator[pb.CompletionChunk]:
    for chunk in chunks:
        yield chunk


def whole(content: Any, **fields: Any) -> bytes:
    body = {"output": {"message": {"content": content}}, "stopReason": "end_turn", "usage": USAGE, **fields}
    return response(json.dumps(body).encode())


def event(kind: str, **fields: Any) -> bytes:
    return aws_wire.event(kind, json.dumps(fields).encode())


def text_delta(text: str, index: Any = 0) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=index, delta={"text": text})


STOP = event("messageStop", stopReason="end_turn")
METADATA = event("metadata", usage=USAGE)


def read_calls(answer: pb.Completion) -> list[tuple[str, str, str]]:
    calls = answer.choices[0].message.tool_calls
    assert len({call.id for call in calls}) == len(calls)
    found = [(call.id, call.function.name, call.function.arguments_json) for call in calls]
    return [("" if id.startswith("call_") else id, name, arguments) for id, name, arguments in found]


@pytest.mark.parametrize(
    ("uses", "found"),
    [
        ([{"toolUseId": "a", "input": {"x": 1}}, {"toolUseId": "a"}], [("a", '{"x":1}'), ("", "{}")]),
        ([{"toolUseId": "", "input": {"x": 1}}, {"input": None}], [("", '{"x":1}'), ("", "{}")]),
        ([{"toolUseId": None, "input": '{"x":1}'}], [("", '{"x":1}')]),
        ([{"toolUseId": 7, "input": ""}], [("7", "{}")]),
        ([{"toolUseId": "a", "input": []}], [("a", "[]")]),
    ],
)
async def test_calls_of_any_form_have_ids_of_their_own(uses: Any, found: Any) -> None:
    answer = await answered(whole([{"toolUse": {"name": "f", **use}} for use in uses]), stream=False)
    assert [(id, arguments.replace(" ", "")) for id, _, arguments in read_calls(answer)] == found
    assert answer.choices[0].finish_reason == pb.FINISH_REASON_TOOL_CALLS


@pytest.mark.parametrize("index", [0, None, "0"])
async def test_blocks_of_one_index_or_of_none_are_calls_of_their_own(index: Any) -> None:
    blocks = b""
    for id in "abc":
        use = {"toolUseId": id, "name": "f"}
        blocks += event("contentBlockStart", contentBlockIndex=index, start={"toolUse": use})
        pieces = {"toolUse": {"input": {"x": id}}}
        blocks += event("contentBlockDelta", contentBlockIndex=index, delta=pieces)
        blocks += event("contentBlockStop", contentBlockIndex=index)
    answer = await answered(response(blocks + STOP + METADATA), stream=True)
    assert read_calls(answer) == [(id, "f", f'{{"x":"{id}"}}') for id in "abc"]


@pytest.mark.parametrize(
    "odd",
    [
        whole("Hi"),
        whole({"text": "Hi"}, stopReason=None),
        whole([None, {"text": "Hi"}, {"newBlock": {}}], serviceTier=[]),
        whole([{"text": "Hi"}], usage={"inputTokens": "3", "outputTokens": 2.0, "cacheDetails": [{}]}),
        whole([{"text": "Hi", "toolUse": None}], metrics={"latencyMs": "x"}, error=None),
    ],
)
async def test_answer_of_any_form_has_its_text(odd: bytes) -> None:
    for stream in (True, False):  # an answer that was to stream, too
        answer = await answered(odd, stream=stream)
        assert (text_of(answer.choices[0]), answer.usage.total_tokens) == ("Hi", 5)


@pytest.mark.parametrize("then", [Then.STALL, Then.CLOSE])
async def test_stream_ends_with_its_usage_though_its_connection_does_not(then: Then) -> None:
    body = text_delta("H", None) + text_delta("i", "0") + event("messageStop") + METADATA
    answer = await answered(HEAD, b"%x\r\n%b\r\n" % (len(body), body), then, stream=True)
    assert (text_of(answer.choices[0]), answer.usage.total_tokens) == ("Hi", 5)


async def test_halves_of_a_character_are_joined() -> None:
    halves = b"".join(text_delta(half) for half in ("a\ud83d", "\ude80", "\ude80"))
    answer = await answered(response(halves + STOP + METADATA), stream=True)
    assert text_of(answer.choices[0]) == "a\U0001f680\ufffd"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"message":"no memory"}', errors.ProviderUnavailable),
        (b'{"message":"no memory","code":"429"}', errors.ProviderRateLimited),
        (b'{"__type":"ThrottlingException","message":"no memory"}', errors.ProviderRateLimited),
        (b'{"error":{"message":"no memory","code":401}}', errors.ProviderAuthentication),
        (b'{"detail":"no memory"}', errors.ProviderUnavailable),
        (b"<html><title>no memory</title></html>", errors.ProviderError),
    ],
)
async def test_error_in_the_place_of_an_answer_is_one(body: bytes, kind: Any, stream: bool) -> None:
    with pytest.raises(kind, match="no memory"):
        await answered(response(body), stream=stream)


async def test_failed_answer_tells_its_usage() -> None:
    failing = [
        whole([{"text": "what it said"}], stopReason="error"),
        whole([{"toolUse": {"toolUseId": "a"}}]),
    ]
    failing.append(whole([{"text": "what it said"}], stopReason="malformed_model_output"))
    for body in failing:
        with pytest.raises(errors.ProviderFailure) as failure:
            await answered(body, stream=False)
        assert failure.value.usage
        assert failure.value.usage.total_tokens == 5
        assert "what it said" not in str(failure.value)


@pytest.mark.parametrize(
    "failing",
    [
        event("messageStop", stopReason="error"),
        event("contentBlockStart", start={"toolUse": {"toolUseId": "a"}}) + event("messageStop"),
    ],
    ids=["failure", "nameless call"],
)
async def test_failed_stream_tells_the_usage_that_comes_behind_its_end(failing: bytes) -> None:
    heard: list[pb.CompletionChunk] = []
    with pytest.raises(errors.ProviderFailure):
        await answered(response(failing + METADATA), stream=True, heard=heard)
    assert [(len(chunk.choices), chunk.usage.total_tokens) for chunk in heard] == [(0, 5)]
    with pytest.raises(errors.ProviderFailure) as failure:
        await answered(response(failing + METADATA), stream=False)
    assert failure.value.usage is not None
    assert failure.value.usage.total_tokens == 5


async def test_events_are_an_answer_although_none_were_asked_for() -> None:
    answer = await answered(response(text_delta("H") + text_delta("i") + STOP + METADATA), stream=False)
    assert (text_of(answer.choices[0]), answer.usage.total_tokens) == ("Hi", 5)
    with pytest.raises(errors.ProviderError, match="before it was complete"):
        await answered(response(text_delta("Hi")), stream=False)


def test_stop_reason_that_comes_twice_is_one() -> None:
    reader, builder = ConverseReader(), ChunkBuilder()
    reader.stop("max_tokens", builder.choice())
    reader.stop("end_turn", builder.choice())
    assert builder.build().choices[0].finish_reason == pb.FINISH_REASON_LENGTH
