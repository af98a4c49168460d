"""Bytes that go from one side to the other as they came: the same answers and rows as by messages."""

import asyncio
import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from genai_spine.openai_api import facade
from genai_spine.providers.openai import embeddings, pass_through
from genai_spine.v1 import budget_pb2, execution_pb2
from tests.service.running import Posted, Running, Upstreams, running
from tests.upstreams.reply import Reply, ToolCall, Usage

pytestmark = pytest.mark.asyncio(loop_scope="session")
VECTORS, CHAT = "/v1/embeddings", "/v1/chat/completions"
PASSED, TYPED = "passed", "typed"
OWN_FIELDS = ("id", "request_id", "execution_id", "created")


@pytest.fixture
def service(on_sqlite: Running, upstreams: Upstreams) -> Running:
    return on_sqlite


def row_of(execution: execution_pb2.Execution) -> execution_pb2.Execution:
    """Row without what differs from one call to the next."""
    row = execution_pb2.Execution()
    row.CopyFrom(execution)
    for name in ("id", "request_id", "create_time", "settle_time", "latency_ms", "first_token_ms"):
        row.ClearField(name)
    return row


async def by_each_way(
    service: Running, monkeypatch: pytest.MonkeyPatch, path: str, body: Any, *replies: Reply
) -> dict[str, tuple[Posted, list[execution_pb2.Execution], list[Any]]]:
    """Answer, rows of the ledger, and what the upstream got, as bytes passed on and by messages."""
    found = {}
    for way in (PASSED, TYPED):
        with monkeypatch.context() as patch:
            if way == TYPED:
                patch.setattr(facade, "passing_of", lambda *_: None)
            service.openai.reset()
            service.openai.script(*replies)
            posted = await service.post(path, body, x_request_id=f"{way}-{id(body)}")
        rows = await service.executions.by_request(f"{way}-{id(body)}")
        sent = [entry.body for entry in service.openai.bill]
        found[way] = posted, [row_of(row) for row in rows], sent
    return found


def floats(entry: dict[str, Any]) -> bytes:
    """A vector as a client sees it, in float32."""
    vector = entry["embedding"]
    return base64.b64decode(vector) if isinstance(vector, str) else struct.pack(f"<{len(vector)}f", *vector)


def vectors_of(answer: Any) -> Any:
    """Answer without what differs, with its vectors in float32 and the form that they came in."""
    data = [entry | {"embedding": (type(entry["embedding"]), floats(entry))} for entry in answer["data"]]
    return {name: value for name, value in answer.items() if name not in OWN_FIELDS} | {"data": data}


def vectors(data: str) -> str:
    """Body of an answer; data may bring its own usage along."""
    usage = "" if '"usage"' in data else ',"usage":{"prompt_tokens":2,"total_tokens":2}'
    return f'{{"object":"list","model":"e","data":{data}{usage}}}'


class TestEmbeddings:
    @pytest.mark.parametrize("form", ["base64", "float", None])
    @pytest.mark.parametrize("model", ["text-embedding-3-small", "vllm:any", "ollama:nomic-embed-text"])
    @pytest.mark.parametrize(
        "given",
        [
            'é\n"',
            ["a", "b\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")],
            [1, 2],
            [[1], [2, 3]],
        ],
    )
    async def test_answers_and_rows_are_those_of_messages(
        self, service: Running, monkeypatch: pytest.MonkeyPatch, form: str | None, model: str, given: Any
    ) -> None:
        if model.startswith("ollama") and not isinstance(given, str) and not isinstance(given[0], str):
            given = "a"  # it takes no token ids
        body = {"model": model, "input": given, "dimensions": 5} | ({"encoding_format": form} if form else {})
        ways = await by_each_way(service, monkeypatch, VECTORS, body)
        (passed, rows, sent), (typed, typed_rows, typed_sent) = ways[PASSED], ways[TYPED]
        assert vectors_of(passed.json) == vectors_of(typed.json)
        assert rows == typed_rows
        assert [one["input"] for one in sent] == [one["input"] for one in typed_sent]
        assert passed.headers.keys() == typed.headers.keys()

    @pytest.mark.parametrize("form", ["base64", "float"])
    async def test_vectors_are_those_bytes(
        self, service: Running, monkeypatch: pytest.MonkeyPatch, form: str
    ) -> None:
        numbers = "[0.10000000149011612, -1e-7,3,\n 0.123456789012345678]"
        packed = base64.b64encode(struct.pack("<4f", 0.1, -1e-7, 3, 0.12345)).decode()
        vector = json.dumps(packed) if form == "base64" else numbers
        answer = vectors(f'[{{"object":"embedding","index":0,"embedding":{vector}}}]')
        service.openai.script(Reply(body=answer))
        body = {"model": "text-embedding-3-small", "input": "one", "encoding_format": form}
        assert f'"embedding":{vector}'.encode() in (await service.post(VECTORS, body)).data
        assert service.openai.bill[0].body["encoding_format"] == form

    @pytest.mark.parametrize(
        "data",
        [
            '[{"index":0,"embedding":[1]},{"index":1,"embedding":[2]}]',
            "[]",
            '[{"index":1,"embedding":[1]}]',
            '[{"embedding":[1]}]',
            '[{"index":0,"embedding":["1"]}]',
            '[{"index":0,"embedding":[[1]]}]',
            '[{"index":0,"embedding":[null]}]',
            '[{"index":0,"embedding":[true]}]',
            '[{"index":0,"embedding":null}]',
            '[{"index":0,"embedding":{"a":1}}]',
            '[{"index":0,"embedding":"AACAPw=="}]',
            '[{"index":0,"embedding":"AACAPw"}]',
            '[{"index":0,"embedding":"AACA"}]',
            '[{"index":0,"embedding":"AACA\\\\u0050w=="}]',
            '[{"index":0,"embedding":"no base64"}]',
            '[{"index":0,"embedding":[1],"extra":1}]',
            '[{"index":0,"embedding":[NaN]}]',
            '[{"index":0,"embedding":[1]}],"error":{"message":"m"}',
            '[{"index":0,"embedding":[1]}],"usage":null',
            '[{"index":0,"embedding":[1]}],"model":""',
            '[{"index":0,"embedding":[1]}',
        ],
    )
    @pytest.mark.parametrize("form", ["base64", "float"])
    async def test_odd_answers_are_read_as_messages_of_the_same_call(
        self, service: Running, monkeypatch: pytest.MonkeyPatch, data: str, form: str
    ) -> None:
        reply = Reply(body=vectors(data))
        body = {"model": "text-embedding-3-small", "input": "one", "encoding_format": form}
        ways = await by_each_way(service, monkeypatch, VECTORS, body, reply)
        (passed, rows, sent), (typed, typed_rows, _) = ways[PASSED], ways[TYPED]
        assert len(sent) == 1
        assert rows == typed_rows
        assert (passed.error is None) == (typed.error is None)
        if typed.error is None:
            assert vectors_of(passed.json) == vectors_of(typed.json)
        else:
            assert passed.problem | {"request_id": ""} == typed.problem | {"request_id": ""}

    async def test_cached_and_keyed_answers_are_whole_messages(
        self, service: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(embeddings, "pass_on", _never)
        body = {"model": "text-embedding-3-small", "input": "one", "dimensions": 3}
        cached = [await service.post(VECTORS, body, x_cache_control="max-age=60") for _ in range(2)]
        keyed = [await service.post(VECTORS, body, idempotency_key="passed") for _ in range(2)]
        for first, second in (cached, keyed):
            assert len(first.json["data"][0]["embedding"]) == 3
            assert first.json["data"] == second.json["data"]
        in_body = await service.post(VECTORS, body | {"idempotency_key": "other"})
        assert len(in_body.json["data"][0]["embedding"]) == 3


def chat_of(answer: Any) -> Any:
    """Answer without what differs from one call to the next."""
    own = {"id", "request_id", "execution_id", "created"}
    return {name: value for name, value in answer.items() if name not in own}


def said_by(posted: Posted) -> tuple[str, set[Any], Any]:
    """Words of a stream, its ends and its last event: what one read brings is up to the socket."""
    *events, end = posted.events
    picks = [pick for event in events for pick in event["choices"]]
    words = "".join(pick["delta"].get("content") or "" for pick in picks)
    usage = [event["usage"] for event in events if event.get("usage")]
    return words, {(pick["index"], pick["finish_reason"]) for pick in picks}, (usage, end)


CHATS: dict[str, dict[str, Any]] = {
    "plain": {},
    "options": {"temperature": 0.5, "top_p": 1, "stop": "x", "max_tokens": 5, "seed": 3, "user": "ann"},
    "earlier turns": {
        "messages": [
            {"role": "system", "content": 'Be \u00e9 "brief"'},
            {"role": "user", "content": "\U0001f680"},
            {"role": "assistant", "content": "yes\n"},
            {"role": "user", "content": "go"},
        ]
    },
    "developer": {"messages": [{"role": "developer", "content": "a"}, {"role": "user", "content": "b"}]},
    "unknown fields": {"service_tier": "auto", "x_of_a_gateway": {"z": 1, "a": [1.50]}},
    "unknown field of a message": {"messages": [{"role": "user", "content": "b", "weight": 1}]},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "b"}]}]},
    "name": {"messages": [{"role": "user", "content": "b", "name": "ann"}]},
    "no text": {"messages": [{"role": "user", "content": "b"}, {"role": "assistant", "content": ""}]},
    "several": {"n": 2},
    "json": {"response_format": {"type": "json_object"}},
    "text": {"response_format": {"type": "text"}},
    "tools": {"tools": [{"type": "function", "function": {"name": "f"}}]},
    "functions": {"functions": [{"name": "f"}]},
    "logprobs": {"logprobs": True},
    "nulls": {"temperature": None, "stop": None, "tools": None},
    "no streaming": {"stream": False, "stream_options": None},
    "another's model": {"model": "vllm:any"},
    "another protocol": {"model": "ollama:llama3.2:latest"},
    "stops that it lacks": {"model": "gpt-5", "stop": ["four"]},
    "refused option": {"model": "gpt-5", "temperature": 0.2},
}
REPLIES: dict[str, Reply] = {
    "text": Reply("four", usage=Usage(prompt_tokens=9, completion_tokens=4)),
    "usage by kind": Reply("four", usage=Usage(prompt_tokens=9, completion_tokens=4, cached_tokens=3)),
    "no usage": Reply("four", omit_usage=True),
    "cut by length": Reply("four", finish_reason="length"),
    "filtered": Reply("four", finish_reason="content_filter"),
    "thinking": Reply("four", reasoning="two and two"),
    "refusal": Reply(refusal="no"),
    "call": Reply(tool_calls=[ToolCall("f", "{}", id="c")]),
    "nothing": Reply(""),
    "more": Reply("four", extra={"of_a_gateway": 1}),
    "another model": Reply("four", model="gpt-4o-2024-08-06"),
    "error": Reply(body='{"error":{"message":"m","type":"server_error"}}'),
    "429": Reply(status=429, body='{"error":{"message":"slow down"}}'),
    "half": Reply("four", fault="malformed"),
    "cut": Reply("four", fault="close"),
    "page": Reply(body="<html>"),
}


class TestChats:
    @pytest.mark.parametrize("asked", CHATS)
    async def test_requests_answers_and_rows_are_those_of_messages(
        self, service: Running, monkeypatch: pytest.MonkeyPatch, asked: str
    ) -> None:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]} | CHATS[asked]
        await self.check(service, monkeypatch, body, REPLIES["text"])

    @pytest.mark.parametrize("asked", CHATS)
    async def test_streamed_requests_events_and_rows_are_those_of_messages(
        self, service: Running, monkeypatch: pytest.MonkeyPatch, asked: str
    ) -> None:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]} | CHATS[asked]
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        (passed, rows, sent), (typed, typed_rows, typed_sent) = (
            await by_each_way(service, monkeypatch, CHAT, body, REPLIES["text"])
        ).values()
        assert sent == typed_sent
        assert rows == typed_rows
        assert (passed.error is None) == (typed.error is None)
        if typed.error is None:
            assert said_by(passed) == said_by(typed)

    @pytest.mark.parametrize("reply", REPLIES)
    async def test_answers_of_every_kind_are_those_of_messages(
        self, service: Running, monkeypatch: pytest.MonkeyPatch, reply: str
    ) -> None:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
        await self.check(service, monkeypatch, body, REPLIES[reply])

    async def check(self, service: Running, monkeypatch: pytest.MonkeyPatch, body: Any, reply: Reply) -> None:
        (passed, rows, sent), (typed, typed_rows, typed_sent) = (
            await by_each_way(service, monkeypatch, CHAT, body, reply)
        ).values()
        assert sent == typed_sent
        assert rows == typed_rows
        assert (passed.error is None) == (typed.error is None)
        if typed.error is None:
            assert chat_of(passed.json) == chat_of(typed.json)
            assert passed.headers.keys() == typed.headers.keys()
        else:
            assert passed.problem | {"request_id": ""} == typed.problem | {"request_id": ""}

    async def test_text_is_the_bytes_that_came(self, service: Running) -> None:
        text = r'"a\u00e9\/\n\u0041"'
        answer = (
            '{"id":"x","created":7,"model":"gpt-4o","choices":[{"message":{"role":"assistant","content":'
            + text
            + '},"finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5}}'
        )
        service.openai.script(Reply(body=answer))
        posted = await service.chat(messages=[{"role": "user", "content": "é"}])
        assert f'"content":{text}'.encode() in posted.data
        assert '"content":"é"' in service.openai.bill[0].raw

    async def test_a_budget_that_bounds_the_answer_leaves_the_words_as_they_came(
        self, booked: Running, limited: Any
    ) -> None:
        await limited(10**12, policy=budget_pb2.BUDGET_POLICY_SOFT_BLOCK)
        text = r'"a\u00e9\/"'
        answer = (
            '{"id":"x","created":7,"model":"gpt-4o","choices":[{"message":{"role":"assistant","content":'
            + text
            + '},"finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5}}'
        )
        for _ in range(2):  # of the body, and of its template
            booked.openai.reset()
            booked.openai.script(Reply(body=answer))
            posted = await booked.chat(messages=[{"role": "user", "content": "é"}])
            assert f'"content":{text}'.encode() in posted.data
            assert '"content":"é"' in booked.openai.bill[0].raw
            assert booked.openai.bill[0].body["max_completion_tokens"] > 0

    async def test_answers_that_are_kept_or_checked_are_whole_messages(
        self, service: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pass_through, "pass_on", _never)
        for metadata in ({"x_cache_control": "max-age=60"}, {"idempotency_key": "chat"}):
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
            texts = [(await service.post(CHAT, body, **metadata)).json["choices"] for _ in range(2)]
            assert texts[0] == texts[1]
            assert texts[0][0]["message"]["content"]
        asked = [{"role": "user", "content": "Answer in JSON"}]
        of_json = {"response_format": {"type": "json_object"}, "messages": asked}
        for fields in ({"store": True}, of_json, {"idempotency_key": "k"}):
            service.openai.script(Reply("{}"))
            assert (await service.chat(**fields)).json["choices"][0]["message"]["content"] == "{}"

    async def test_recorded_answers_are_whole_messages(self, upstreams: Upstreams, tmp_path: Path) -> None:
        async with running(upstreams, "sqlite://", record=tmp_path) as recorded:
            recorded.openai.script(Reply("four"))
            assert (await recorded.chat()).json["choices"][0]["message"]["content"] == "four"
            vector = {"model": "text-embedding-3-small", "input": "one", "dimensions": 3}
            assert len((await recorded.post(VECTORS, vector)).json["data"][0]["embedding"]) == 3
        lines = await asyncio.to_thread(recorded_lines, tmp_path)
        assert [("four" in line, '"values"' in line) for line in lines] == [(True, False), (False, True)]


def recorded_lines(folder: Path) -> list[str]:
    return [line for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]


def _never(*_: Any, **__: Any) -> None:
    raise AssertionError("it was passed on")
