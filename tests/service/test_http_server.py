"""The HTTP server beside gRPC: OpenAI's paths over HTTP/1.1, without Envoy."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from tests.acceptance.http import session
from tests.service.running import Running, Upstreams, running
from tests.upstreams.reply import Reply, Usage
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
EMBEDDINGS = b"POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\n"
JSON = {"content-type": "application/json"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def with_http(all_upstreams: Upstreams, module_sqlite_url: str) -> AsyncIterator[Running]:
    async with running(all_upstreams, module_sqlite_url, http_port=0) as found:
        yield found


@pytest.fixture
def service(with_http: Running, upstreams: Upstreams) -> Running:
    return with_http


@pytest_asyncio.fixture(loop_scope="session")
async def http(service: Running) -> AsyncIterator[aiohttp.ClientSession]:
    async with session(f"http://127.0.0.1:{port(service)}") as opened:
        yield opened


def port(service: Running) -> int:
    assert service.server.http is not None
    return service.server.http.port


async def raw(service: Running, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """Bytes as they are, with pauses between them, and all that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port(service))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


def request(body: bytes = b"", *, path: str = CHAT, headers: bytes = b"") -> bytes:
    return (
        b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n" % path.encode()
        + b"%bcontent-length: %d\r\n\r\n%b" % (headers, len(body), body)
    )


class TestAnswers:
    async def test_a_chat_is_answered_and_booked(self, service: Running, http: aiohttp.ClientSession) -> None:
        service.openai.script(Reply("four", created=7, usage=Usage(prompt_tokens=9, completion_tokens=4)))
        async with http.post(CHAT, json=BODY, headers={"x-request-id": "mine"}) as answer:
            found = await answer.json()
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert found["choices"][0]["message"]["content"] == "four"
        assert answer.headers["x-request-id"] == found["request_id"] == "mine"
        assert answer.headers["x-genai-cost-usd"] == "0.0000625000"
        assert answer.headers["server"] == "genai-spine"
        assert "content-length" in answer.headers
        assert [row.id for row in await service.rows("mine")] == [found["execution_id"]]

    async def test_both_transports_answer_alike(self, service: Running, http: aiohttp.ClientSession) -> None:
        replies = [
            Reply("four", created=7, usage=Usage(prompt_tokens=9, completion_tokens=4)) for _ in range(2)
        ]
        service.openai.script(*replies)
        posted = await service.chat()
        async with http.post(CHAT, json=BODY) as answer:
            body = await answer.json()
        own = ("id", "request_id", "execution_id")
        assert {k: v for k, v in body.items() if k not in own} == {
            k: v for k, v in posted.json.items() if k not in own
        }
        hops = {"date", "server", "content-length", "content-type"}
        assert {name.lower() for name in answer.headers} - hops == {*posted.headers, "x-request-id"}

    async def test_a_stream_comes_in_events(self, service: Running, http: aiohttp.ClientSession) -> None:
        service.openai.script(Reply("one two three"))
        body = BODY | {"stream": True, "stream_options": {"include_usage": True}}
        async with http.post(CHAT, json=body) as answer:
            data = await answer.read()
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["transfer-encoding"] == "chunked"
        frames = [frame.removeprefix(b"data: ") for frame in data.split(b"\n\n") if frame]
        assert frames.pop() == b"[DONE]"
        decoded = [msgspec.json.decode(frame) for frame in frames]
        text = "".join(c["delta"].get("content", "") for f in decoded for c in f["choices"])
        assert text == "one two three"
        assert decoded[-1]["usage"]["total_tokens"] > 0

    async def test_embeddings_are_answered(self, service: Running, http: aiohttp.ClientSession) -> None:
        async with http.post(
            "/v1/embeddings", json={"model": "text-embedding-3-small", "input": "x"}
        ) as answer:
            found = await answer.json()
        assert answer.status == 200
        assert found["data"][0]["object"] == "embedding"

    @pytest.mark.parametrize(
        "body", [b"{", b'{"model":"gpt-4o","temperature":9,"messages":[{"role":"user","content":"x"}]}']
    )
    async def test_errors_are_those_of_grpc(
        self, service: Running, http: aiohttp.ClientSession, body: bytes
    ) -> None:
        posted = await service.post(CHAT, body)
        async with http.post(CHAT, data=body, headers=JSON) as answer:
            found = await answer.json()
        wanted = posted.problem
        assert answer.status == wanted.pop("status")
        assert found["error"].pop("request_id") == answer.headers["x-request-id"]
        wanted.pop("request_id")
        assert found["error"] == wanted
        carried = {"x-genai-error", "x-genai-http-status", "grpc-status-details-bin", "retry-after"}
        assert set(posted.headers) - carried <= {name.lower() for name in answer.headers}

    async def test_a_key_makes_a_repeat_a_replay(self, service: Running, http: aiohttp.ClientSession) -> None:
        service.openai.script(Reply("once"))
        found = []
        for _ in range(2):
            async with http.post(CHAT, json=BODY, headers={"idempotency-key": "http-1"}) as answer:
                found.append((await answer.read(), answer.headers))
        assert found[0][0] == found[1][0]
        assert found[1][1]["x-genai-replay"] == "true"
        assert found[0][1]["x-request-id"] == found[1][1]["x-request-id"]

    async def test_respond_async_is_a_run(self, service: Running, http: aiohttp.ClientSession) -> None:
        async with http.post(CHAT, json=BODY, headers={"prefer": "respond-async"}) as answer:
            found = await answer.json()
        assert answer.status == 202
        assert answer.headers["location"] == f"/v1/runs/{found['run_id']}"

    async def test_a_connection_is_used_again(self, service: Running) -> None:
        body = msgspec.json.encode(BODY)
        found = await raw(
            service,
            request(body),
            request(body),
            request(body, headers=b"connection: close\r\n"),
            pause_s=0.5,
        )
        assert found.count(b"HTTP/1.1 200 OK\r\n") == 3


class TestRequests:
    @pytest.mark.parametrize(
        ("coding", "data"),
        [
            ("gzip", gzip.compress(msgspec.json.encode(BODY))),
            ("deflate", zlib.compress(msgspec.json.encode(BODY))),
            ("deflate", zlib.compress(msgspec.json.encode(BODY), wbits=-15)),
            ("identity", msgspec.json.encode(BODY)),
        ],
    )
    async def test_a_coded_body_is_decoded(
        self, http: aiohttp.ClientSession, coding: str, data: bytes
    ) -> None:
        async with http.post(CHAT, data=data, headers=JSON | {"content-encoding": coding}) as answer:
            assert answer.status == 200, await answer.text()

    @pytest.mark.parametrize(
        ("coding", "data", "status"),
        [
            ("br", b"x", 415),
            ("gzip", b"x", 400),
            ("gzip", gzip.compress(b"{}")[:-4], 400),
            ("gzip", gzip.compress(b" " * (33 << 20)), 413),
        ],
        ids=["unknown", "none", "cut", "bomb"],
    )
    async def test_a_wrongly_coded_body_is_refused(
        self, http: aiohttp.ClientSession, coding: str, data: bytes, status: int
    ) -> None:
        async with http.post(CHAT, data=data, headers=JSON | {"content-encoding": coding}) as answer:
            assert answer.status == status
            assert (await answer.json())["error"]["message"]

    @pytest.mark.parametrize(
        ("given", "status", "word"),
        [
            (request(path="/v1/nothing"), 404, b"nothing answers"),
            (b"GET /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n\r\n", 405, b"allow: POST"),
            (b"POST / HTTP/1.1\r\n\r\n", 400, b"host"),
            (b"POST / HTTP/1.0\r\nhost: localhost\r\n\r\n", 505, b"HTTP/1.1"),
            (request(headers=b"host: other\r\n"), 400, b"host: must be one name"),
            (request(headers=b"authorization: a\r\nauthorization: b\r\n"), 400, b"stands there twice"),
            (request(headers=b"transfer-encoding: chunked\r\n"), 400, b"Transfer-Encoding"),
            (request(headers=b"x-request-timeout: soon\r\n"), 400, b"x-request-timeout"),
            (request(headers=b"origin: http://localhost:1\r\n"), 403, b"pages call by way of"),
            (request().replace(b"localhost", b"evil.example"), 403, b"not a name of this machine"),
            (request(headers=b"expect: a-wonder\r\n"), 417, b"expect"),
            (request(headers=b"x-long: %b\r\n" % (b"x" * 40_000)), 431, b"larger than"),
            (request(headers=b"x: y\r\n" * 200), 431, b"too many"),
            (
                EMBEDDINGS + b"content-length: 99999999\r\n\r\n",
                413,
                b"larger than",
            ),
            (
                EMBEDDINGS + b"transfer-encoding: gzip, chunked\r\n\r\n",
                501,
                b"chunked",
            ),
            (b"CONNECT a:1 HTTP/1.1\r\nhost: localhost\r\n\r\n", 400, b""),
            (b"\x16\x03\x01\x02\x00\x01\x00", 400, b"no HTTP/1.1"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, b"no HTTP/1.1"),
        ],
    )
    async def test_what_is_no_request_of_ours_is_refused(
        self, service: Running, given: bytes, status: int, word: bytes
    ) -> None:
        close = given.replace(b"host: ", b"connection: close\r\nhost: ", 1)
        found = await raw(service, close)
        assert found.startswith(b"HTTP/1.1 %d " % status), found
        assert word in found
        head, _, body = found.partition(b"\r\n\r\n")
        error = msgspec.json.decode(body)["error"]
        assert error["request_id"].encode() in head

    async def test_a_body_that_grows_too_large_is_refused(self, service: Running) -> None:
        head = EMBEDDINGS + b"transfer-encoding: chunked\r\n\r\n"
        chunk = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("genai_spine.edge.http_server.limits.MAX_BODY_BYTES", 1 << 20)
            found = await raw(service, head, chunk, b"1\r\nx\r\n", pause_s=0.1)
        assert found.startswith(b"HTTP/1.1 413 ")

    async def test_a_caller_who_asks_first_is_told_to_go_on(self, service: Running) -> None:
        body = msgspec.json.encode(BODY)
        head = request(body, headers=b"expect: 100-continue\r\nconnection: close\r\n").removesuffix(body)
        found = await raw(service, head, body, pause_s=0.2)
        assert found.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")

    async def test_requests_sent_ahead_are_not_served(self, service: Running) -> None:
        """The first is answered, and the end of the connection says that the others were not."""
        body = msgspec.json.encode(BODY)
        found = await raw(service, request(body) * 3)
        assert found.count(b"HTTP/1.1 200 OK\r\n") == 1
        assert b"connection: close\r\n" in found

    async def test_slow_heads_and_bodies_are_ended(self, service: Running) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("genai_spine.edge.http_server.limits.HEAD_S", 0.0)
            patch.setattr("genai_spine.edge.http_server.limits.REQUEST_S", 0.0)
            for slow in (b"POST /v1/em", request(b"{}")[:-1]):
                assert (await raw(service, slow)).startswith(b"HTTP/1.1 408 ")
            patch.setattr("genai_spine.edge.http_server.limits.IDLE_S", 0.0)
            assert await raw(service) == b""


class TestDepartures:
    async def test_a_caller_who_hangs_up_ends_the_call(self, service: Running) -> None:
        service.openai.script(Reply("never", headers_delay_s=20))
        _reader, writer = await asyncio.open_connection("127.0.0.1", port(service))
        writer.write(request(msgspec.json.encode(BODY)))
        await until(lambda: service.server.lifecycle.running > 0)
        writer.close()
        loop = asyncio.get_running_loop()
        left = loop.time()
        await until(lambda: not service.server.lifecycle.running)
        assert loop.time() - left < 1.0

    async def test_a_deadline_ends_the_call(self, service: Running, http: aiohttp.ClientSession) -> None:
        service.openai.script(Reply("late", headers_delay_s=20))
        async with http.post(CHAT, json=BODY, headers={"x-request-timeout": "0.3"}) as answer:
            found: Any = await answer.json()
        assert answer.status == 504
        assert found["error"]["code"] == "PROVIDER_TIMEOUT"
