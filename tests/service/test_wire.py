"""What real servers do to HTTP: compression unasked, redirects; and the caller's trace and time."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import brotli
import pytest
import pytest_asyncio

from genai_spine.providers.base import Endpoint
from genai_spine.v1 import media_service_pb2 as media
from tests.service.running import TIMEOUTS, Running, Upstreams, asked, running
from tests.unit.providers.http.raw_server import Answer, RawServer, response

pytestmark = pytest.mark.asyncio(loop_scope="session")

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
IMAGE = media.CreateImagesRequest(model="openai:gpt-image-1", prompt="A fox")
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
MESSAGE = {"role": "assistant", "content": "Hello Ann"}
CHOICE = {"index": 0, "message": MESSAGE, "finish_reason": "stop"}
WHOLE = json.dumps({"choices": [CHOICE], "usage": USAGE}).encode()
EVENTS = [
    b"data: %b\n\n" % json.dumps(chunk).encode()
    for chunk in (
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hello "}}]},
        {"choices": [{"index": 0, "delta": {"content": "Ann"}, "finish_reason": "stop"}]},
        {"choices": [], "usage": USAGE},
    )
] + [b"data: [DONE]\n\n"]
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"


@pytest_asyncio.fixture(loop_scope="session")
async def service(raw: RawServer, upstreams: Upstreams, module_sqlite_url: str) -> AsyncIterator[Running]:
    endpoints = {"openai": Endpoint("openai", f"{raw.url}/v1", "sk-a-long-key", timeouts=TIMEOUTS)}
    async with running(upstreams, module_sqlite_url, endpoints=endpoints) as found:
        yield found


def press(wbits: int, parts: list[bytes]) -> list[bytes]:
    """Chunks of a body that is flushed after each part."""
    stream = zlib.compressobj(wbits=wbits)
    flushed = [stream.compress(part) + stream.flush(zlib.Z_SYNC_FLUSH) for part in parts] + [stream.flush()]
    return [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in flushed] + [b"0\r\n\r\n"]


CODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15, "deflate, raw": -15}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("stream", [False, True])
async def test_answer_that_is_compressed_unasked_is_read(
    service: Running, raw: RawServer, coding: str, stream: bool
) -> None:
    head = CHUNKED + f"content-encoding: {coding.partition(',')[0]}\r\n\r\n".encode()
    raw.answers = [[head, *press(CODINGS[coding], EVENTS if stream else [WHOLE])]]
    answer = await service.chat(stream=stream)
    if stream:
        said = [choice["delta"] for event in answer.events[:-1] for choice in event["choices"]]
        assert "".join(delta.get("content") or "" for delta in said) == "Hello Ann"
    else:
        assert answer.json["choices"][0]["message"]["content"] == "Hello Ann"
        assert answer.json["usage"]["total_tokens"] == 5
    assert b"accept-encoding: identity\r\n" in raw.requests[-1]


@pytest.mark.parametrize("stream", [False, True])
async def test_answer_in_brotli_is_read(service: Running, raw: RawServer, stream: bool) -> None:
    body = brotli.compress(b"".join(EVENTS) if stream else WHOLE)
    raw.answers = [[CHUNKED + b"content-encoding: br\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)]]
    answer = await service.chat(stream=stream)
    if stream:
        said = [choice["delta"] for event in answer.events[:-1] for choice in event["choices"]]
        assert "".join(delta.get("content") or "" for delta in said) == "Hello Ann"
    else:
        assert answer.json["choices"][0]["message"]["content"] == "Hello Ann"


@pytest.mark.parametrize("stream", [False, True])
async def test_coding_that_is_unknown_is_an_error_that_names_it(
    service: Running, raw: RawServer, stream: bool
) -> None:
    raw.answers = [[response(b"\x0b\x01\x80{}", headers="content-encoding: zstd\r\n")]]
    problem = (await service.chat(stream=stream)).problem
    assert (problem["status"], problem["details"]["provider_code"]) == (502, "undecodable_body")
    assert "content-encoding 'zstd'" in problem["message"]


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("stream", [False, True])
async def test_redirect_within_the_origin_is_followed_with_body_and_key(
    service: Running, raw: RawServer, status: int, stream: bool
) -> None:
    moved = response(b"", status=f"{status} Moved", headers="location: /v2/chat/completions/\r\n")
    good: Answer = [response(b"".join(EVENTS) if stream else WHOLE)]
    raw.answers = [[moved], good]
    assert (await service.chat(stream=stream)).data
    first, second = raw.requests[-2:]
    assert second.startswith(b"POST /v2/chat/completions/ HTTP/1.1\r\n")
    assert first.partition(b"\r\n")[2] == second.partition(b"\r\n")[2]


@pytest.mark.parametrize("stream", [False, True])
async def test_redirect_elsewhere_is_an_error_that_says_where(
    service: Running, raw: RawServer, stream: bool
) -> None:
    raw.answers = [[response(b"", status="307 Moved", headers="location: http://127.0.0.1:1/v1\r\n")]]
    problem = (await service.chat(stream=stream)).problem
    assert problem["status"] == 502
    assert "HTTP 307 to another address: http://127.0.0.1:1/v1" in problem["message"]


async def test_sdk_follows_no_redirect_with_its_key(service: Running, raw: RawServer) -> None:
    raw.answers = [[response(b"", status="302 Moved", headers="location: http://127.0.0.1:1/v1\r\n")]]
    with pytest.raises(Exception, match=r"HTTP 302 to another address: http://127\.0\.0\.1:1/v1"):
        await service.media.CreateImages(
            media.CreateImagesRequest(model="openai:gpt-image-1", prompt="A fox")
        )


async def test_sdk_reads_what_is_compressed(service: Running, raw: RawServer) -> None:
    body = gzip.compress(json.dumps({"created": 1, "data": [{"b64_json": "aGk="}]}).encode())
    raw.answers = [[response(body, headers="content-encoding: gzip\r\ncontent-type: application/json\r\n")]]
    answer = await service.media.CreateImages(IMAGE)
    assert answer.images[0].data == b"hi"


async def test_callers_trace_reaches_the_provider(service: Running, raw: RawServer) -> None:
    trace = {"traceparent": PARENT, "tracestate": "a=1"}
    raw.answers = [[response(WHOLE)]]
    await service.post("/v1/chat/completions", chat_body(), **trace)
    await service.completions.CreateCompletion(asked(model="openai:gpt-4o"), metadata=tuple(trace.items()))
    raw.answers = [[response(b"".join(EVENTS))]]
    await service.post("/v1/chat/completions", chat_body() | {"stream": True}, **trace)
    image = json.dumps({"created": 1, "data": [{"b64_json": "aGk="}]}).encode()
    raw.answers = [[response(image, headers="content-type: application/json\r\n")]]
    await service.media.CreateImages(IMAGE, metadata=tuple(trace.items()))
    assert len(raw.requests) == 4
    for sent in raw.requests:
        assert f"traceparent: {PARENT}\r\n".encode() in sent
        assert b"tracestate: a=1\r\n" in sent


async def test_trace_that_is_none_stays_here(service: Running, raw: RawServer) -> None:
    raw.answers = [[response(WHOLE)]]
    await service.post("/v1/chat/completions", chat_body(), traceparent="00-0-0-00", tracestate="a=1")
    assert b"trace" not in raw.requests[-1]


def chat_body() -> dict[str, Any]:
    return {"model": "openai:gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}


async def test_whole_answer_ends_when_its_sdk_would_not_read_it(service: Running, raw: RawServer) -> None:
    raw.answers = [[b""]]
    answer = await service.post("/v1/chat/completions", chat_body(), x_stainless_read_timeout="0.2")
    assert answer.problem["status"] == 504
