"""Errors, cuts, silence and pace of the simulators as the official client sees them, and their processes."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest

from tests.upstreams import openai_errors
from tests.upstreams.clients import ECHO, HELLO, drain, openai_client, raw, stream_of, text_of
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.upstreams.samples import count_tokens


@pytest.fixture
async def up() -> AsyncIterator[OpenAIUpstream]:
    async with OpenAIUpstream() as upstream:
        yield upstream


@pytest.fixture
async def sdk(up: OpenAIUpstream) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai_client(up) as client:
        yield client


ERRORS = [
    (openai_errors.rate_limited(2), openai.RateLimitError, "rate_limit_exceeded"),
    (openai_errors.insufficient_quota(), openai.RateLimitError, "insufficient_quota"),
    (openai_errors.server_error(), openai.InternalServerError, None),
    (openai_errors.bad_gateway(503), openai.InternalServerError, None),
    (openai_errors.invalid_key(), openai.AuthenticationError, "invalid_api_key"),
    (openai_errors.context_length_exceeded(), openai.BadRequestError, "context_length_exceeded"),
    (openai_errors.content_filter(), openai.BadRequestError, "content_filter"),
    (openai_errors.model_not_found("x"), openai.NotFoundError, "model_not_found"),
]


class TestFaults:
    @pytest.mark.parametrize(("reply", "raised", "code"), ERRORS)
    async def test_scripted_errors_raise_the_sdks_types(
        self, up: OpenAIUpstream, sdk: Any, reply: Any, raised: Any, code: Any
    ) -> None:
        up.script(reply)
        with pytest.raises(raised) as failure:
            await stream_of(sdk)
        assert failure.value.code == code
        assert failure.value.response.headers["x-request-id"] == "req_" + "0" * 32
        assert (up.bill[0].status, up.bill[0].prompt_tokens) == (reply.status, 0)
        assert text_of(await stream_of(sdk)) == ECHO, "the script is used up"

    async def test_retry_after_is_seconds_or_a_date(self, up: OpenAIUpstream) -> None:
        up.script(openai_errors.rate_limited(2), openai_errors.rate_limited(60, as_date=True))
        async with openai_client(up) as client:
            seen = []
            for _ in range(2):
                with pytest.raises(openai.RateLimitError) as failure:
                    await client.chat.completions.create(model="gpt-4o", messages=HELLO)
                seen.append(client._parse_retry_after_header(failure.value.response.headers))
        assert seen[0] == 2
        assert 55 < (seen[1] or 0) <= 60

    async def test_the_sdk_retries_and_both_attempts_are_on_the_bill(self, up: OpenAIUpstream) -> None:
        up.script(openai_errors.rate_limited(0.01))
        async with openai_client(up, max_retries=2) as client:
            await client.chat.completions.create(model="gpt-4o", messages=HELLO)
        assert [entry.headers["x-stainless-retry-count"] for entry in up.bill] == ["0", "1"]
        assert [entry.completion_tokens for entry in up.bill] == [0, 4]

    @pytest.mark.parametrize("fault", ["close", "reset"])
    async def test_a_cut_stream_is_an_error_and_billed_to_the_cut(
        self, up: OpenAIUpstream, sdk: Any, fault: Any
    ) -> None:
        up.script(Reply(["one ", "two ", "three"], fault=fault, after=3))
        seen: list[Any] = []
        stream = await sdk.chat.completions.create(model="m", messages=HELLO, stream=True)
        with pytest.raises(openai.APIConnectionError):
            await drain(stream, seen)
        assert text_of(seen) == "one two "
        assert (up.bill[0].chunks, up.bill[0].completion_tokens) == (3, count_tokens("one two "))
        assert not up.bill[0].finished
        assert not up.bill[0].disconnected, "it was not the client that left"

    async def test_a_truncated_stream_ends_cleanly_without_done(self, up: OpenAIUpstream, sdk: Any) -> None:
        up.script(Reply("four", fault="truncate", after=-1), Reply("four", fault="truncate", after=-2))
        path, asked = "/v1/chat/completions", {"model": "m", "messages": HELLO, "stream": True}
        frames = (await raw(up, path, **asked)).split(b"\n\n")
        assert b'"finish_reason":"stop"' in frames[-2]
        frames = (await raw(up, path, **asked)).split(b"\n\n")
        assert b'"finish_reason":null' in frames[-2]

    @pytest.mark.parametrize("fault", ["close", "reset"])
    async def test_a_connection_lost_before_the_answer(
        self, up: OpenAIUpstream, sdk: Any, fault: Any
    ) -> None:
        up.script(Reply(fault=fault))
        with pytest.raises(openai.APIConnectionError):
            await sdk.chat.completions.create(model="m", messages=HELLO)
        assert (up.bill[0].status, up.bill[0].prompt_tokens) == (0, 0)

    async def test_an_upstream_that_never_answers_times_out(self, up: OpenAIUpstream, sdk: Any) -> None:
        up.script(Reply(fault="stall"))
        with pytest.raises(openai.APITimeoutError):
            await sdk.with_options(timeout=0.1).chat.completions.create(model="m", messages=HELLO)
        await up.bill.until(lambda bill: bill[0].disconnected)

    async def test_silence_inside_a_stream_times_out(self, up: OpenAIUpstream, sdk: Any) -> None:
        up.script(Reply(["one ", "two"], fault="stall", after=2))
        seen: list[Any] = []
        stream = await sdk.with_options(timeout=0.1).chat.completions.create(
            model="m", messages=HELLO, stream=True
        )
        with pytest.raises(openai.APITimeoutError):
            await drain(stream, seen)
        assert text_of(seen) == "one "
        await up.bill.until(lambda bill: bill[0].disconnected)

    async def test_malformed_json_in_an_answer_and_in_a_stream(self, up: OpenAIUpstream, sdk: Any) -> None:
        up.script(Reply(fault="malformed"), Reply(["one ", "two"], fault="malformed", after=2))
        with pytest.raises(json.JSONDecodeError):
            await sdk.chat.completions.create(model="m", messages=HELLO)
        seen: list[Any] = []
        stream = await sdk.chat.completions.create(model="m", messages=HELLO, stream=True)
        with pytest.raises(json.JSONDecodeError):
            await drain(stream, seen)
        assert text_of(seen) == "one "

    async def test_an_error_event_in_a_stream_raises(self, up: OpenAIUpstream, sdk: Any) -> None:
        up.script(Reply(["one ", "two"], fault="error", after=2, body=openai_errors.in_stream_error()))
        with pytest.raises(openai.APIError, match="had an error while processing"):
            await stream_of(sdk)
        assert up.bill[0].completion_tokens == count_tokens("one ")

    async def test_usage_can_be_missing_although_asked_for(self, up: OpenAIUpstream, sdk: Any) -> None:
        up.default = Reply(omit_usage=True)
        assert all(chunk.usage is None for chunk in await stream_of(sdk))
        answer = await sdk.chat.completions.create(model="m", messages=HELLO)
        assert answer.usage is None
        assert [entry.completion_tokens for entry in up.bill] == [4, 4], "the upstream bills it all the same"

    async def test_a_wrong_content_type_and_body_go_out_as_scripted(self, up: OpenAIUpstream) -> None:
        up.script(Reply(body="<html>login</html>"), Reply(content_type="text/plain"))
        async with aiohttp.ClientSession() as session:
            for content_type in ("text/html", "text/plain"):
                async with session.post(
                    f"{up.base_url}/chat/completions", json={"model": "m", "messages": HELLO}
                ) as got:
                    assert (got.status, got.content_type) == (200, content_type)

    @pytest.mark.parametrize(
        "pace",
        [
            {"events_per_write": 0},
            {"events_per_write": 3},
            {"bytes_per_write": 7},
            {"bytes_per_write": 1, "line_end": "\r\n"},
            {"comment": "ping", "interval_s": 0.001},
        ],
    )
    async def test_how_bytes_are_cut_changes_nothing_for_the_client(
        self, up: OpenAIUpstream, sdk: Any, pace: Any
    ) -> None:
        text = ["héllo ", "wörld ", "🙂🙂", "日本"]
        up.script(Reply(text, **pace))
        assert text_of(await stream_of(sdk)) == "".join(text)
        assert (up.bill[0].chunks, up.bill[0].completion_tokens) == (7, count_tokens("".join(text)))

    async def test_delays_come_where_they_are_scripted(self, up: OpenAIUpstream) -> None:
        up.script(Reply(["a", "b"], headers_delay_s=0.06, first_delay_s=0.5, interval_s=0.04))
        started = time.monotonic()
        asked = {"model": "m", "messages": HELLO, "stream": True}
        url = f"{up.base_url}/chat/completions"
        async with aiohttp.ClientSession() as session, session.post(url, json=asked) as response:
            at_headers = time.monotonic() - started
            await response.content.readline()
            at_first = time.monotonic() - started
            await response.read()
            at_end = time.monotonic() - started
        assert 0.06 <= at_headers < at_first - 0.1, "the headers do not wait for the first event"
        assert at_first >= 0.56
        assert at_end >= 0.56 + 4 * 0.04, "five events, four pauses"

    async def test_a_client_that_leaves_is_noticed_and_billed_no_further(
        self, up: OpenAIUpstream, sdk: Any
    ) -> None:
        up.script(Reply(["tok "] * 500, interval_s=0.01))
        stream = await sdk.chat.completions.create(model="m", messages=HELLO, stream=True)
        seen = [await anext(stream) for _ in range(4)]
        await stream.close()
        await up.bill.until(lambda bill: bill[0].disconnected)
        entry = up.bill[0]
        assert not entry.finished
        assert 4 <= entry.chunks < 500
        assert entry.completion_tokens == count_tokens("tok " * (entry.chunks - 1))
        assert text_of(seen) == "tok tok tok "

    async def test_a_client_that_leaves_before_the_headers_is_noticed(self, up: OpenAIUpstream) -> None:
        up.script(Reply(headers_delay_s=30))
        asked = {"model": "m", "messages": HELLO}
        async with aiohttp.ClientSession() as session:
            asking = asyncio.ensure_future(session.post(f"{up.base_url}/chat/completions", json=asked))
            await up.bill.until(lambda bill: len(bill) == 1)
            asking.cancel()
            await asyncio.wait({asking})
        await up.bill.until(lambda bill: bill[0].disconnected)
        assert (up.bill[0].status, up.bill[0].prompt_tokens, up.bill[0].completion_tokens) == (0, 0, 0)


class TestProcesses:
    def test_a_process_is_scripted_and_read_over_http_and_ends_on_sigterm(self) -> None:
        with UpstreamProcess("openai", "--chunks", "3") as up:
            with openai.OpenAI(base_url=up.base_url, api_key="k", max_retries=0) as client:
                up.script(openai_errors.insufficient_quota(), Reply("from afar"))
                with pytest.raises(openai.RateLimitError):
                    client.chat.completions.create(model="m", messages=HELLO)
                answer = client.chat.completions.create(model="m", messages=HELLO)
                assert answer.choices[0].message.content == "from afar"
                up.script(default=Reply("small"), on="gpt-4o-mini")
                answer = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
                assert answer.choices[0].message.content == "small"
                assert [entry.completion_tokens for entry in up.bill()] == [0, count_tokens("from afar"), 2]
                up.reset()
                answer = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
                assert answer.choices[0].message.content == " tok" * 3
            process = up._process
        assert process is not None
        assert process.returncode == 0

    def test_the_fast_one_speaks_to_the_sdk_and_counts(self) -> None:
        with (
            UpstreamProcess("openai", "--fast", "--chunks", "20", "--interval-ms", "2") as up,
            openai.OpenAI(base_url=up.base_url, api_key="k", max_retries=0) as client,
        ):
            answer = client.chat.completions.create(model="m", messages=HELLO)
            assert answer.choices[0].message.content == " tok" * 20
            asked: Any = {"model": "m", "messages": HELLO, "stream": True}
            chunks = list(client.chat.completions.create(**asked, stream_options={"include_usage": True}))
            assert text_of(chunks) == " tok" * 20
            assert chunks[-1].usage.completion_tokens == 21
            assert [model.id for model in client.models.list()] == ["gpt-4o"]
            counts = up.counts()
        assert (counts["requests"], counts["streams"], counts["prompt_tokens"]) == (2, 1, 24)
        assert (counts["finished"], counts["disconnects"]) == (2, 0)
        assert counts["chunks"] == 1 + 23

    def test_the_fast_one_notices_who_leaves(self) -> None:
        asked: Any = {"model": "m", "messages": HELLO, "stream": True}
        with (
            UpstreamProcess("openai", "--fast", "--chunks", "10000", "--interval-ms", "2") as up,
            openai.OpenAI(base_url=up.base_url, api_key="k", max_retries=0) as client,
        ):
            stream = client.chat.completions.create(**asked)
            next(iter(stream))
            stream.close()
            while not (counts := up.counts())["disconnects"]:
                time.sleep(0.02)
        assert (counts["requests"], counts["finished"], counts["disconnects"]) == (1, 0, 1)
        assert 0 < counts["chunks"] < 10_000

    async def test_the_fast_one_takes_pipelined_and_split_requests(self) -> None:
        request = b'POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{"stream":0} '
        with UpstreamProcess("openai", "--fast", "--chunks", "2") as up:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(up.url.rsplit(":", 1)[1]))
            writer.write(request * 2 + request[:30])
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.write(request[30:])
            answers = [json.loads(await _read_answer(reader)) for _ in range(3)]
            writer.close()
            await writer.wait_closed()
        assert [answer["usage"]["completion_tokens"] for answer in answers] == [3, 3, 3]


async def _read_answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return await reader.readexactly(length)
