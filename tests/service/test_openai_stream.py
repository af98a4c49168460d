"""Streams of POST /v1/chat/completions, frame by frame (openai.md, section 1.1)."""

import asyncio
from itertools import groupby
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody

from genai_spine.openai_api import facade
from tests.service.running import IMPATIENT, Posted, Running
from tests.upstreams import openai_errors
from tests.upstreams.reply import Content, Reply, ToolCall, Usage

pytestmark = pytest.mark.asyncio(loop_scope="session")

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
USAGE = {"stream_options": {"include_usage": True}}


def choices(posted: Posted, index: int = 0) -> list[dict[str, Any]]:
    """The choice with this index out of each frame that has it."""
    frames = [event for event in posted.events if event != "[DONE]"]
    return [choice for frame in frames for choice in frame["choices"] if choice["index"] == index]


def deltas(posted: Posted, index: int = 0) -> list[dict[str, Any]]:
    return [choice["delta"] for choice in choices(posted, index)]


def text(posted: Posted, index: int = 0) -> str:
    return "".join(delta.get("content") or "" for delta in deltas(posted, index))


class TestFrames:
    async def test_a_stream_is_exactly_these_bytes(self, service: Running) -> None:
        service.openai.script(Reply(["Hé", "llo"], created=7, interval_s=0.01))
        posted = await service.chat(stream=True)
        head = posted.data.split(b'"choices"')[0].removeprefix(b"data: ")
        assert head.startswith(b'{"id":"chatcmpl-')
        assert head.endswith(
            b'","object":"chat.completion.chunk","created":7,"model":"gpt-4o",'
            b'"system_fingerprint":"fp_5d2f9c0a1b","service_tier":"default",'
        )
        rest = (
            b'"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},'
            b'"logprobs":null,"finish_reason":null}]}',
            '"choices":[{"index":0,"delta":{"content":"Hé"},"logprobs":null,"finish_reason":null}]}'.encode(),
            b'"choices":[{"index":0,"delta":{"content":"llo"},"logprobs":null,"finish_reason":null}]}',
            b'"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}',
        )
        frames = [b"data: " + head + frame + b"\n\n" for frame in rest]
        assert posted.data == b"".join(frames) + b"data: [DONE]\n\n"

    async def test_headers_come_before_the_first_byte(self, service: Running) -> None:
        posted = await service.chat(stream=True)
        assert posted.content_type == "text/event-stream; charset=utf-8"
        assert posted.headers["cache-control"] == "no-cache"
        assert posted.headers["x-genai-provider"] == "openai"
        assert posted.headers["openai-version"] == "2020-10-01"
        assert posted.headers["openai-processing-ms"].isdigit()
        [row] = await service.rows(posted.headers["x-request-id"])
        assert row.id == posted.headers["x-genai-execution-id"]

    async def test_all_frames_have_one_id_time_and_model(self, service: Running) -> None:
        posted = await service.chat(stream=True, **USAGE)
        frames = posted.events[:-1]
        for name in ("id", "created", "model", "object", "system_fingerprint", "service_tier"):
            assert len({frame[name] for frame in frames}) == 1, name
        assert isinstance(frames[0]["created"], int)
        assert len(frames[0]["id"]) == len("chatcmpl-") + 24
        assert all("error" not in frame for frame in frames)

    async def test_role_first_and_finish_reason_last_and_once(self, service: Running) -> None:
        for reply in (Reply(["a", "b"]), Reply(""), Reply("all at once", events_per_write=0)):
            service.openai.script(reply)
            found = choices(await service.chat(stream=True))
            assert found[0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
            assert all("role" not in choice["delta"] for choice in found[1:])
            assert [choice["finish_reason"] for choice in found] == [None] * (len(found) - 1) + ["stop"]
            assert found[-1]["delta"] == {}

    @pytest.mark.parametrize(
        ("said", "told"),
        [("stop", "stop"), ("length", "length"), ("content_filter", "content_filter"), ("eos", "stop")],
    )
    async def test_finish_reasons_are_openais(self, service: Running, said: str, told: str) -> None:
        service.openai.script(Reply("a", finish_reason=said))
        assert choices(await service.chat(stream=True))[-1]["finish_reason"] == told

    async def test_reasoning_refusals_and_annotations_are_passed_on(self, service: Running) -> None:
        notes = [{"type": "url_citation", "url_citation": {"url": "https://x", "n": 12345678901234567890}}]
        service.openai.script(
            Reply("a", reasoning=["hm, ", "well"], message_extra={"annotations": notes}),
            Reply(refusal=["I will ", "not"]),
        )
        found = deltas(await service.chat(stream=True))
        assert "".join(delta.get("reasoning_content", "") for delta in found) == "hm, well"
        assert [delta["annotations"] for delta in found if "annotations" in delta] == [notes]
        found = deltas(await service.chat(stream=True))
        assert "".join(delta.get("refusal") or "" for delta in found) == "I will not"

    async def test_logprobs_stand_beside_their_text(self, service: Running) -> None:
        service.openai.script(Reply(["a", "b"]))
        found = choices(await service.chat(stream=True, logprobs=True, top_logprobs=1))
        tokens = [token for choice in found for token in (choice["logprobs"] or {"content": []})["content"]]
        assert [token["token"] for token in tokens] == ["a", "b"]
        assert tokens[0] == {
            "token": "a",
            "logprob": -0.25,
            "bytes": [97],
            "top_logprobs": [{"token": "a", "logprob": -0.25, "bytes": [97]}],
        }


class TestUsage:
    async def test_it_comes_when_asked_for_in_a_frame_of_its_own(self, service: Running) -> None:
        service.openai.script(
            Reply(
                "a", usage=Usage(prompt_tokens=100, completion_tokens=9, cached_tokens=64, reasoning_tokens=5)
            )
        )
        *frames, done = (await service.chat(stream=True, **USAGE)).events
        assert done == "[DONE]"
        assert all(frame["usage"] is None for frame in frames[:-1])
        assert frames[-1]["choices"] == []
        usage = frames[-1]["usage"]
        assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (100, 9, 109)
        assert usage["prompt_tokens_details"] == {
            "cached_tokens": 64,
            "audio_tokens": 0,
            "cache_write_tokens": 0,
            "text_tokens": 100,
            "image_tokens": 0,
        }
        assert usage["completion_tokens_details"]["reasoning_tokens"] == 5
        assert usage["cost_usd"] == (36 * 2.5 + 64 * 1.25 + 9 * 10) / 1e6
        assert usage["provenance"] == "PROVIDER_REPORTED"

    @pytest.mark.parametrize(
        "options", [{}, {"stream_options": None}, {"stream_options": {"include_usage": False}}]
    )
    async def test_otherwise_no_frame_speaks_of_it_although_the_upstream_was_asked(
        self, service: Running, options: dict[str, Any]
    ) -> None:
        posted = await service.chat(stream=True, **options)
        assert all("usage" not in frame and frame["choices"] for frame in posted.events[:-1])
        assert service.openai.bill[0].body["stream_options"] == {"include_usage": True}
        [row] = await service.rows(posted.headers["x-request-id"])
        assert row.usage.output_tokens == service.openai.bill[0].completion_tokens

    async def test_obfuscation_may_be_asked_for(self, service: Running) -> None:
        posted = await service.chat(stream=True, stream_options={"include_obfuscation": True})
        assert text(posted) == "You said: Hello"


class TestSeveral:
    async def test_choices_interleave_by_their_index(self, service: Running) -> None:
        service.openai.script(Reply(choices=[Content(["a", "b"]), Content(["c", "d"])], interval_s=0.002))
        posted = await service.chat(stream=True, n=2, **USAGE)
        assert (text(posted, 0), text(posted, 1)) == ("ab", "cd")
        for index in (0, 1):
            found = choices(posted, index)
            assert found[0]["delta"]["role"] == "assistant"
            assert found[-1]["finish_reason"] == "stop"
        order = [frame["choices"][0]["index"] for frame in posted.events[:-2]]
        assert len(list(groupby(order))) > 2, "they take turns"
        assert posted.events[-2]["usage"]["completion_tokens"] == service.openai.bill[0].completion_tokens

    @pytest.mark.parametrize("events_per_write", [0, 1])
    async def test_tool_calls_have_an_index_always_and_a_head_once(
        self, service: Running, events_per_write: int
    ) -> None:
        calls = [ToolCall("weather", ['{"ci', 'ty":1}'], id="a"), ToolCall("time", ["{", "}"], id="b")]
        service.openai.script(Reply(tool_calls=calls, events_per_write=events_per_write, interval_s=0.002))
        posted = await service.chat(stream=True, tools=[WEATHER])
        pieces = [piece for delta in deltas(posted) for piece in delta.get("tool_calls", [])]
        for index, (id_, name, arguments) in enumerate([("a", "weather", '{"city":1}'), ("b", "time", "{}")]):
            first, *rest = [piece for piece in pieces if piece["index"] == index]
            assert (first["id"], first["type"], first["function"]["name"]) == (id_, "function", name)
            assert all(set(piece) == {"index", "function"} for piece in rest)
            assert all(set(piece["function"]) == {"arguments"} for piece in rest)
            assert "".join(piece["function"]["arguments"] for piece in (first, *rest)) == arguments
        assert choices(posted)[-1]["finish_reason"] == "tool_calls"

    async def test_a_custom_tools_input_stays_an_input(self, service: Running) -> None:
        call = ToolCall("write", ["free ", "text"], kind="custom", id="c")
        service.openai.script(Reply(tool_calls=[call], interval_s=0.005))
        tool = {"type": "custom", "custom": {"name": "write"}}
        posted = await service.chat(stream=True, tools=[tool])
        first, *rest = [piece for delta in deltas(posted) for piece in delta.get("tool_calls", [])]
        assert (first["type"], first["custom"]["name"]) == ("custom", "write")
        assert all(set(piece) == {"index", "custom"} for piece in rest)
        assert "".join(piece["custom"]["input"] for piece in (first, *rest)) == "free text"

    async def test_functions_of_the_old_style_are_called_in_the_old_style(self, service: Running) -> None:
        calls = [ToolCall("weather", ['{"a"', ":1}"], id="a"), ToolCall("time", ["{", "}"], id="b")]
        service.openai.script(Reply(tool_calls=calls, interval_s=0.002))
        posted = await service.chat(stream=True, functions=[WEATHER["function"]])
        called = [delta["function_call"] for delta in deltas(posted) if "function_call" in delta]
        assert "".join(piece["arguments"] for piece in called) == '{"a":1}', "the old style has one call"
        assert [piece["name"] for piece in called if "name" in piece] == ["weather"]
        assert not any("tool_calls" in delta for delta in deltas(posted))
        assert choices(posted)[-1]["finish_reason"] == "function_call"


class TestErrors:
    async def test_an_error_before_the_first_byte_is_a_status(self, service: Running) -> None:
        service.openai.script(openai_errors.context_length_exceeded())
        posted = await service.chat(stream=True)
        assert posted.parts == []
        assert (posted.problem["status"], posted.problem["code"]) == (400, "context_length_exceeded")

    @pytest.mark.parametrize(
        ("fault", "code"),
        [("reset", "PROVIDER_ERROR"), ("truncate", "PROVIDER_ERROR"), ("stall", "PROVIDER_TIMEOUT")],
    )
    async def test_an_error_after_the_first_byte_is_the_last_event(
        self, service: Running, fault: Any, code: str
    ) -> None:
        service.openai.script(Reply(["one ", "two"], fault=fault, after=2))
        posted = await service.chat(stream=True, model=IMPATIENT, **USAGE)
        *frames, last = posted.events
        assert b"[DONE]" not in posted.data
        assert "".join(frame["choices"][0]["delta"].get("content", "") for frame in frames) == "one "
        assert set(last) == {"error", "detail"}
        assert set(last["error"]) == {"message", "type", "param", "code", "details", "request_id"}
        assert (last["error"]["code"], last["error"]["type"]) == (code, "api_error")
        assert last["detail"] == last["error"]["message"]
        assert last["error"]["request_id"] == posted.headers["x-request-id"]
        assert all(frame["choices"][0]["finish_reason"] is None for frame in frames)

    async def test_an_error_that_the_upstream_sends_within_its_stream_is_told(self, service: Running) -> None:
        service.openai.script(
            Reply(["one ", "two"], fault="error", after=2, body=openai_errors.rate_limited().body)
        )
        *_, last = (await service.chat(stream=True)).events
        assert last["error"]["code"] == "rate_limit_exceeded"
        assert last["error"]["details"]["provider"] == "openai"


class TestSilence:
    async def test_comments_keep_a_silent_stream_alive(
        self, service: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(facade, "PING_INTERVAL_S", 0.03)
        service.openai.script(Reply(["one ", "two"], interval_s=0.1))
        posted = await service.chat(stream=True)
        assert posted.data.count(b": ping\n") >= 4
        assert b": ping\n\n" not in posted.data
        assert text(posted) == "one two"
        assert posted.events[-1] == "[DONE]"

    async def test_leaving_while_a_ping_is_due_stops_the_upstream(
        self, service: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(facade, "PING_INTERVAL_S", 0.02)
        service.openai.script(Reply(["one ", "two"], fault="stall", after=2))
        body = b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Hi"}]}'
        call = service.facade.CreateChatCompletion(HttpBody(data=body))
        seen = b""
        async with asyncio.timeout(2):
            while b": ping" not in seen:
                seen += (await call.read()).data
        call.cancel()
        await service.openai.bill.until(lambda bill: bill[0].disconnected)

    async def test_a_native_client_gets_the_bare_bytes_and_content_type(self, service: Running) -> None:
        body = b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Hi"}]}'
        call = service.facade.CreateChatCompletion(HttpBody(data=body))
        first = await call.read()
        assert first.content_type == "text/event-stream; charset=utf-8"
        while await call.read() is not grpc.aio.EOF:
            pass
        assert await call.code() == grpc.StatusCode.OK
