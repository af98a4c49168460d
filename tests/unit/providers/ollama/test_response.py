"""Answers of Ollama and of what imitates it: each kind of oddity is read one way, whole and line by line."""

import json
from typing import Any, NoReturn

import pytest

from genai_spine.call import Call
from genai_spine.chunks import ChunkBuilder, fold, text_of
from genai_spine.errors import (
    ModelNotFound,
    ProviderAuthentication,
    ProviderError,
    ProviderFailure,
    ProviderRateLimited,
    ProviderUnavailable,
)
from genai_spine.providers.base import Endpoint, Timeouts
from genai_spine.providers.ollama.adapter import Ollama
from genai_spine.providers.ollama.response import AnswerReader
from genai_spine.providers.ollama.wire_types import CHAT, Chat
from genai_spine.v1 import completion_service_pb2 as pb
from tests.direct import direct
from tests.unit.providers.http.raw_server import RawServer, Then, response

REQUEST = pb.CreateCompletionRequest(model="some", prompt=pb.TextPrompt(text="Hi"))
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
END = {"model": "m", "done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2}


async def answered(*answer: bytes | Then, stream: bool) -> pb.Completion:
    """What an upstream's bytes come to."""
    timeouts = Timeouts(first_token_s=20, between_tokens_s=20)
    async with RawServer(answer) as server:
        ollama = Ollama(Endpoint("ollama", server.url, timeouts=timeouts))
        try:
            if stream:
                return await fold(direct(ollama).stream(REQUEST, Call()))
            return await direct(ollama).complete(REQUEST, Call())
        finally:
            await ollama.close()


async def both(*lines: Any) -> list[pb.Completion]:
    """As a stream of lines, and as an answer that streams although it was not to."""
    body = response("".join(json.dumps(line) + "\n" for line in lines).encode())
    return [await answered(body, stream=stream) for stream in (True, False)]


def said(**message: Any) -> dict[str, Any]:
    return {"model": "m", "message": {"role": "assistant", **message}}


def read_calls(answer: pb.Completion) -> list[tuple[str, str, str]]:
    calls = answer.choices[0].message.tool_calls
    assert len({call.id for call in calls}) == len(calls)
    assert all(call.id for call in calls)
    found = [(call.id, call.function.name, call.function.arguments_json) for call in calls]
    return [("" if id.startswith("call_") else id, name, arguments) for id, name, arguments in found]


@pytest.mark.parametrize(
    ("calls", "found"),
    [
        ([{"function": {"name": "a", "arguments": {"n": 1}}}] * 2, [("", "a", '{"n":1}')] * 2),
        ([{"id": "x", "function": {"name": "a", "arguments": '{"n":1}'}}], [("x", "a", '{"n":1}')]),
        ([{"id": "x", "function": {"name": n}} for n in "ab"], [("x", "a", "{}"), ("", "b", "{}")]),
        ([{"id": "", "function": {"name": "a", "arguments": None}}, None], [("", "a", "{}")]),
        ({"id": 7, "function": {"name": "a", "arguments": ""}}, [("7", "a", "{}")]),
    ],
)
async def test_calls_of_any_form_have_ids_of_their_own(calls: Any, found: Any) -> None:
    for answer in await both(said(content="", tool_calls=calls), END):
        assert [(id, name, json.loads(text)) for id, name, text in read_calls(answer)] == [
            (id, name, json.loads(text)) for id, name, text in found
        ]
        assert answer.choices[0].finish_reason == pb.FINISH_REASON_TOOL_CALLS


async def test_call_without_a_name_is_no_answer() -> None:
    with pytest.raises(ProviderError, match="without naming it"):
        await both(said(tool_calls=[{"function": {"arguments": {}}}]), END)


@pytest.mark.parametrize(
    "message",
    [
        {"content": [{"type": "text", "text": "Hi"}], "thinking": "Hm."},
        {"content": [{"type": "thinking", "thinking": "Hm."}, "Hi"], "tool_calls": {}},
        {"content": {"text": "Hi"}, "thinking": [{"text": "Hm."}], "images": None},
        {"content": "Hi", "thinking": "Hm.", "tool_calls": [None]},
        {"content": "Hi", "thinking": {"content": "Hm."}},
    ],
)
async def test_message_of_any_form_has_its_text(message: Any) -> None:
    odd = {"eval_count": "2", "prompt_eval_count": 3.0, "prompt_eval_cached_count": None, "logprobs": {}}
    for answer in await both(said(**message), END | odd):
        assert (text_of(answer.choices[0]), answer.choices[0].message.reasoning) == ("Hi", "Hm.")
        assert answer.usage.total_tokens == 5


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "body",
    [
        json.dumps(END | said(content="Hi")),
        json.dumps(END | said(content="Hi"), indent=2) + "\n",
        "\ufeff" + json.dumps(said(content="Hi")) + "\r\n\r\n" + json.dumps(END),
        f"data: {json.dumps(said(content='Hi'))}\n\n: ping\n\ndata: {json.dumps(END)}\n\ndata: [DONE]\n\n",
        '{"message":{"content":"Hi"},"x":NaN}\n' + json.dumps(END | {"done": "true"}),
        '{"message":{"content":"no","content":"Hi"}}\n{}\n' + json.dumps(END),
    ],
)
async def test_lines_and_an_answer_are_read_whichever_was_asked_for(body: str, stream: bool) -> None:
    answer = await answered(response(body.encode()), stream=stream)
    assert (text_of(answer.choices[0]), answer.usage.total_tokens) == ("Hi", 5)


@pytest.mark.parametrize("then", [Then.STALL, Then.CLOSE])
async def test_stream_ends_with_its_last_line_though_its_connection_does_not(then: Then) -> None:
    lines = json.dumps(said(content="Hi")).encode() + b"\n" + json.dumps(END).encode() + b"\n"
    answer = await answered(HEAD, b"%x\r\n%b\r\n" % (len(lines), lines), then, stream=True)
    assert (text_of(answer.choices[0]), answer.usage.total_tokens) == ("Hi", 5)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ({"error": "no memory"}, ProviderUnavailable),
        ({"error": {"message": "no memory", "code": "429"}}, ProviderRateLimited),
        ({"object": "error", "message": "no memory", "code": 401}, ProviderAuthentication),
        ({"detail": "no memory"}, ProviderUnavailable),
        ({"error": {"message": "no memory", "code": 404}}, ModelNotFound),
        (END | {"done_reason": "error", "message": {"content": ""}}, ProviderUnavailable),
        (END | {"error": "no memory"}, ProviderUnavailable),
    ],
)
async def test_error_in_a_good_looking_answer_is_one(line: Any, kind: Any, stream: bool) -> None:
    with pytest.raises(kind, match=r"no memory|ended with 'error'") as failure:
        await answered(response(json.dumps(line).encode()), stream=stream)
    assert (failure.value.usage is not None) == ("eval_count" in line)


async def test_answer_that_is_not_done_tells_its_usage_and_not_its_text() -> None:
    line = END | said(content="what it said") | {"done": False}
    with pytest.raises(ProviderFailure) as failure:
        await answered(response(json.dumps(line).encode()), stream=False)
    assert failure.value.usage
    assert failure.value.usage.total_tokens == 5
    assert "what it said" not in str(failure.value)


async def test_halves_of_a_character_are_joined() -> None:
    lines = [rb'{"message":{"content":"%b"}}' % half for half in (rb"a\ud83d", rb"\ude80", rb"\ude80")]
    body = b"\n".join([*lines, json.dumps(END).encode()])
    assert text_of((await answered(response(body), stream=True)).choices[0]) == "a\U0001f680\ufffd"


@pytest.mark.parametrize("nothing", [None, "", {}])
async def test_error_that_is_none_is_no_error(nothing: Any) -> None:
    for answer in await both(said(content="Hi") | {"error": nothing}, END | {"error": nothing}):
        assert (text_of(answer.choices[0]), answer.usage.total_tokens) == ("Hi", 5)


async def test_last_line_that_comes_twice_ends_the_answer_once() -> None:
    lines = [said(content="Hi"), END | {"done_reason": "length"}, END]
    body = [json.dumps(line).encode() + b"\n" for line in lines]
    reader, ends = AnswerReader(Ollama(Endpoint("ollama", "http://127.0.0.1:9")).http, _never), []
    for line in body:
        builder = ChunkBuilder(reader.halves)
        reader.add(CHAT.decode(line), line, builder)
        ends += [delta.finish_reason for delta in builder.build().choices if delta.finish_reason]
    assert ends == [pb.FINISH_REASON_LENGTH]


def _never(line: bytes, answer: Chat) -> NoReturn:
    raise AssertionError(line)


async def test_call_without_a_name_is_booked_by_its_answer() -> None:
    nameless = said(content="", tool_calls=[{"function": {"arguments": {}}}])
    lines = [nameless, END]
    for body, stream in ((json.dumps(END | nameless), False), ("\n".join(map(json.dumps, lines)), True)):
        with pytest.raises(ProviderError, match="without naming it") as failure:
            await answered(response(body.encode()), stream=stream)
        assert failure.value.usage is not None
        assert failure.value.usage.total_tokens == 5
