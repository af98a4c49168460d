"""What real servers do to HTTP, as public bug reports have it: compression, ends of connections."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from genai_spine.providers.base import Endpoint
from tests.service.public_reports import COUNTS, Read, check, chunk, counted, event, read, reported
from tests.service.running import TIMEOUTS, Running, Upstreams, running
from tests.unit.providers.http.raw_server import Answer, RawServer, Then, response

pytestmark = pytest.mark.asyncio(loop_scope="session")
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
MESSAGE = {"role": "assistant", "content": "Hi"}
WHOLE = json.dumps(
    {
        "id": "x",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
        "usage": COUNTS,
    }
).encode()
EVENTS = [
    event(each).encode()
    for each in (chunk(content="H"), chunk(content="i"), chunk("stop"), counted(), "[DONE]")
]
HI = Read(text="Hi", finish="stop", tokens=(7, 5))
SSE = "content-type: text/event-stream\r\n"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest_asyncio.fixture(loop_scope="session")
async def service(raw: RawServer, upstreams: Upstreams, module_sqlite_url: str) -> AsyncIterator[Running]:
    endpoints = {"openai": Endpoint("openai", f"{raw.url}/v1", "sk-a-long-key", timeouts=TIMEOUTS)}
    async with running(upstreams, module_sqlite_url, endpoints=endpoints, provider_retries=1) as found:
        yield found


async def said(service: Running, streamed: bool, report: str, **headers: str) -> Read:
    body: dict[str, Any] = {"model": "openai:gpt-4o", "messages": [{"role": "user", "content": report}]}
    if streamed:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return read(await service.post("/v1/chat/completions", body, **headers), streamed)


def good(streamed: bool) -> bytes:
    return response(b"".join(EVENTS), headers=SSE) if streamed else response(WHOLE)


@pytest.mark.parametrize(("coding", "wbits"), [("gzip", 31), ("deflate", 15), ("deflate", -15)])
@STREAMED
@reported("Z1", "epam/ai-dial-core#1643, ai-ecoverse/slicc#3037, agentgateway/agentgateway#3040")
async def test_what_is_compressed_unasked_is_read(
    service: Running, raw: RawServer, report: str, streamed: bool, coding: str, wbits: int
) -> None:
    packer = zlib.compressobj(wbits=wbits)
    parts = EVENTS if streamed else [WHOLE]
    pieces = [packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH) for part in parts] + [packer.flush()]
    head = (
        f"HTTP/1.1 200 OK\r\n{SSE}transfer-encoding: chunked\r\ncontent-encoding: {coding}\r\n\r\n".encode()
    )
    raw.answers = [[head, *(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces), b"0\r\n\r\n"]]
    check(await said(service, streamed, report), HI)
    assert b"accept-encoding: " in raw.requests[-1]


@STREAMED
@reported("Z1", "ai-ecoverse/slicc#3037")
async def test_an_error_that_is_compressed_says_its_words(
    service: Running, raw: RawServer, report: str, streamed: bool
) -> None:
    body = gzip.compress(json.dumps({"error": {"message": "no such field"}}).encode())
    raw.answers = [[response(body, status="400 Bad Request", headers="content-encoding: gzip\r\n")]]
    check(await said(service, streamed, report), Read(error="no such field"))


@STREAMED
@reported("Z2", "HTTP 1.0 upstreams")
async def test_the_end_of_the_connection_ends_a_body_of_http_1_0(
    service: Running, raw: RawServer, report: str, streamed: bool
) -> None:
    head = f"HTTP/1.0 200 OK\r\n{SSE if streamed else ''}\r\n".encode()
    raw.answers = [[head, *(EVENTS if streamed else [WHOLE]), Then.CLOSE]]
    check(await said(service, streamed, report), HI)


@STREAMED
@reported("Z4", "defilantech/LLMKube#459, vllm-project/vllm#41567, NousResearch/hermes-agent#60044")
async def test_an_idle_connection_that_ends_is_not_seen_by_the_caller(
    service: Running, raw: RawServer, report: str, streamed: bool
) -> None:
    answers: list[Answer] = [[good(streamed)], [Then.CLOSE], [good(streamed)]]
    raw.answers = list(map(list, answers))
    check(await said(service, streamed, report), HI)
    check(await said(service, streamed, report), HI)
    assert raw.connections == 2
    assert len(raw.requests) == 3


@pytest.mark.parametrize("status", [307, 308])
@STREAMED
@reported("Z5", "BerriAI/litellm#11946, CNSeniorious000/oai2ollama#11")
async def test_another_address_of_the_same_server_is_followed(
    service: Running, raw: RawServer, report: str, streamed: bool, status: int
) -> None:
    for location in ("/v2/chat/completions", f"{raw.url}/v2/chat/completions"):
        moved = response(b"", status=f"{status} Moved", headers=f"location: {location}\r\n")
        raw.answers = [[moved], [good(streamed)]]
        check(await said(service, streamed, report), HI)
        first, second = raw.requests[-2:]
        assert second.startswith(b"POST /v2/chat/completions HTTP/1.1\r\n")
        assert first.partition(b"\r\n")[2] == second.partition(b"\r\n")[2]


@STREAMED
@reported("N2", "sgl-project/sglang#25159, truefoundry/skills#52, MervinPraison/PraisonAI#4102")
async def test_the_callers_trace_reaches_the_upstream(
    service: Running, raw: RawServer, report: str, streamed: bool
) -> None:
    raw.answers = [[good(streamed)]]
    check(await said(service, streamed, report, traceparent=TRACE), HI)
    assert f"traceparent: {TRACE}\r\n".encode() in raw.requests[-1]
