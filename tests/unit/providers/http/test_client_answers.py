"""Answers of the shared client that are compressed, endless or elsewhere."""

import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial

import brotli
import pytest

from genai_spine.call import Call
from genai_spine.errors import ProviderError, ProviderUnavailable
from genai_spine.providers.base import Endpoint, Timeouts
from genai_spine.providers.http import connection
from genai_spine.providers.http.client import HttpClient, StatusError
from genai_spine.providers.http.event_stream import ServerSentEvents
from tests.unit.providers.http.raw_server import RawServer, Then, response

gzipped = partial(gzip.compress, mtime=0)  # equal bytes for equal text, at any time
TIMEOUTS = Timeouts(connect_s=20, first_token_s=20, between_tokens_s=20)
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n"
ClientOf = Callable[[RawServer], HttpClient]


@pytest.fixture
async def client_of() -> AsyncIterator[ClientOf]:
    made: list[HttpClient] = []

    def make(server: RawServer) -> HttpClient:
        made.append(HttpClient(Endpoint("up", f"{server.url}/v1", "secret-key", timeouts=TIMEOUTS)))
        return made[-1]

    yield make
    for client in made:
        await client.close()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def encoded(coding: str, body: bytes, status: str = "200 OK") -> bytes:
    return response(body, status=status, headers=f"content-encoding: {coding}\r\n")


async def events(client: HttpClient) -> list[bytes]:
    stream = client.stream("/chat", b"{}", Call(), ServerSentEvents())
    return [payload async for payloads in stream for payload in payloads]


async def code_of(answer: object) -> str:
    """Code of the error that an answer ends with."""
    with pytest.raises((ProviderError, ProviderUnavailable)) as failure:
        await answer  # type: ignore[misc]
    return str(failure.value.metadata["provider_code"])


class TestCompressed:
    @pytest.mark.parametrize(
        ("coding", "body"),
        [
            ("gzip", gzipped(b"{}")),
            ("deflate", zlib.compress(b"{}")),
            ("br", brotli.compress(b"{}")),
            ("identity", b"{}"),
        ],
    )
    async def test_whole_answer_is_decoded(self, client_of: ClientOf, coding: str, body: bytes) -> None:
        async with RawServer(encoded(coding, body)) as server:
            client = client_of(server)
            for _ in range(2):
                assert (await client.post("/chat", b"{}", Call())).body == b"{}"
            assert server.connections == 1

    @pytest.mark.parametrize("wbits", [31, 15, -15], ids=["gzip", "zlib", "raw"])
    async def test_events_of_a_stream_are_given_out_as_they_are_flushed(
        self, client_of: ClientOf, wbits: int
    ) -> None:
        coding = b"gzip" if wbits == 31 else b"deflate"
        press = zlib.compressobj(wbits=wbits)
        pieces = [
            chunk(press.compress(b"data: %d\n\n" % number) + press.flush(zlib.Z_SYNC_FLUSH))
            for number in range(4)
        ]
        head = CHUNKED + b"content-encoding: " + coding + b"\r\n\r\n"
        async with RawServer([head, *pieces, Then.STALL]) as server:
            stream = client_of(server).stream("/chat", b"{}", Call(), ServerSentEvents())
            seen = [payload async for payload in _first(stream, 4)]
        assert seen == [b"0", b"1", b"2", b"3"]

    async def test_whole_answer_that_is_cut_within_its_compression_is_a_cut(
        self, client_of: ClientOf
    ) -> None:
        async with RawServer(encoded("gzip", gzipped(b"{}" * 100)[:-9])) as server:
            assert await code_of(client_of(server).post("/chat", b"{}", Call())) == "cut_stream"

    async def test_stream_that_lacks_the_end_of_its_compression_has_its_events(
        self, client_of: ClientOf
    ) -> None:
        async with RawServer(encoded("gzip", gzipped(b"data: 1\n\n")[:-8])) as server:
            assert await events(client_of(server)) == [b"1"]

    @pytest.mark.parametrize("coding", ["br", "zstd", "gzip"])
    async def test_answer_that_cannot_be_decoded_says_so(self, client_of: ClientOf, coding: str) -> None:
        async with RawServer(encoded(coding, b"\xff" * 8)) as server:
            client = client_of(server)
            assert await code_of(client.post("/chat", b"{}", Call())) == "undecodable_body"
            assert await code_of(events(client)) == "undecodable_body"

    async def test_status_of_an_error_counts_whatever_its_body_is_encoded_with(
        self, client_of: ClientOf
    ) -> None:
        read = encoded("gzip", gzipped(b'{"error": "slow"}'), "429 Too Many Requests")
        unread = encoded("zstd", b"\x0b\x01", "429 Too Many Requests")
        async with RawServer(read, read, unread, unread) as server:
            client = client_of(server)
            for body in (b'{"error": "slow"}', b""):
                reply = await client.post("/chat", b"{}", Call())
                assert (reply.status, reply.body) == (429, body)
                with pytest.raises(StatusError) as refused:
                    await events(client)
                assert (refused.value.reply.status, refused.value.reply.body) == (429, body)


async def _first(stream: AsyncIterator[list[bytes]], count: int) -> AsyncIterator[bytes]:
    """The first events, and no wait for what follows."""
    seen = 0
    async for payloads in stream:
        for payload in payloads:
            yield payload
            seen += 1
        if seen == count:
            return


class TestBounds:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "MAX_HEAD_BYTES", 10_000)
        monkeypatch.setattr(connection, "MAX_BODY_BYTES", 100_000)

    @pytest.mark.parametrize(
        "head",
        [
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nx-first: 1\r\n",
            CHUNKED + b"\r\n" + chunk(b"data: 1\n\n") + b"0\r\n",  # trailers
        ],
    )
    @pytest.mark.parametrize("piece", [b"x-a: b\r\n" * 100, b"x" * 500, b"x: " + b"y" * 500])
    async def test_headers_without_end_are_an_error(
        self, client_of: ClientOf, head: bytes, piece: bytes
    ) -> None:
        async with RawServer([head, *[piece] * 2000], pause_s=0) as server:
            client = client_of(server)
            assert await code_of(client.post("/chat", b"{}", Call())) == "answer_too_large"
            assert await code_of(events(client)) == "answer_too_large"

    async def test_hints_without_end_are_an_error(self, client_of: ClientOf) -> None:
        hint = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
        async with RawServer([hint] * 1000, pause_s=0) as server:
            assert await code_of(client_of(server).post("/chat", b"{}", Call())) == "answer_too_large"

    async def test_chunk_extensions_without_end_are_an_error(self, client_of: ClientOf) -> None:
        async with RawServer([CHUNKED + b"\r\n5;a=", *[b"b" * 900] * 1000], pause_s=0) as server:
            client = client_of(server)
            assert await code_of(client.post("/chat", b"{}", Call())) == "answer_too_large"
            assert await code_of(events(client)) == "answer_too_large"

    @pytest.mark.parametrize(
        "answer",
        [
            [CHUNKED + b"\r\n", *[chunk(b" " * 5000)] * 1000],
            [b"HTTP/1.0 200 OK\r\n\r\n", *[b" " * 5000] * 1000],
            [b"HTTP/1.1 200 OK\r\ncontent-length: 900000000\r\n\r\n", *[b" " * 5000] * 1000],
            [encoded("gzip", gzipped(b" " * 5_000_000))],
            [encoded("gzip, gzip", gzipped(gzipped(b" " * 5_000_000)))],
        ],
        ids=["chunked", "http/1.0", "sized", "bomb", "bomb in a bomb"],
    )
    async def test_body_without_end_is_an_error(self, client_of: ClientOf, answer: list[bytes]) -> None:
        async with RawServer(answer, pause_s=0) as server:
            assert await code_of(client_of(server).post("/chat", b"{}", Call())) == "answer_too_large"

    async def test_long_stream_with_small_reads_is_no_endless_one(self, client_of: ClientOf) -> None:
        pieces = [part for _ in range(3000) for part in (b"9\r\n", b"data: 1\n\n\r\n")]
        async with RawServer([CHUNKED + b"\r\n", *pieces, b"0\r\n\r\n"], pause_s=0) as server:
            assert len(await events(client_of(server))) == 3000

    async def test_body_of_an_error_without_end_leaves_its_status(self, client_of: ClientOf) -> None:
        head = b"HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n"
        async with RawServer([head, *[chunk(b" " * 5000)] * 1000], pause_s=0) as server:
            reply = await client_of(server).post("/chat", b"{}", Call())
            assert (reply.status, len(reply.body)) == (503, 64 << 10)

    async def test_bomb_in_a_stream_does_not_fill_the_memory(self, client_of: ClientOf) -> None:
        bomb = gzipped((b": " + b"a" * 100_000 + b"\n\n") * 600, 9)
        async with RawServer(encoded("gzip", bomb)) as server:
            client = client_of(server)
            tracemalloc.start()
            try:
                assert await events(client) == []
                assert tracemalloc.get_traced_memory()[1] < 20 << 20
            finally:
                tracemalloc.stop()


class TestRedirects:
    @pytest.mark.parametrize("status", [307, 308])
    @pytest.mark.parametrize(
        ("location", "target"),
        [
            ("/v2/chat?a=1", b"/v2/chat?a=1"),
            ("other", b"/v1/other"),
            ("../v3/chat#part", b"/v3/chat"),
            ("?b=2", b"/v1/chat?b=2"),
            ("{origin}/v1/chat/", b"/v1/chat/"),
            ("//{host}/v9", b"/v9"),
            ("{origin}", b"/"),
        ],
    )
    async def test_redirect_within_the_origin_is_followed_with_the_body(
        self, client_of: ClientOf, status: int, location: str, target: bytes
    ) -> None:
        async with RawServer(b"", response(b"data: 1\n\n")) as server:
            there = location.format(origin=server.url, host=server.url.partition("//")[2])
            server.answers[0] = [
                response(b"moved", status=f"{status} Moved", headers=f"location: {there}\r\n")
            ]
            client = client_of(server)
            assert (await client.post("/chat", b'{"a":1}', Call())).body == b"data: 1\n\n"
            first, second = server.requests
        assert second.split(b"\r\n")[0] == b"POST " + target + b" HTTP/1.1"
        assert second.partition(b"\r\n")[2] == first.partition(b"\r\n")[2]

    async def test_stream_follows_too(self, client_of: ClientOf) -> None:
        moved = response(b"", status="308 Moved", headers="location: /v2/chat\r\n")
        async with RawServer(moved, moved, response(b"data: 1\n\n")) as server:
            assert await events(client_of(server)) == [b"1"]

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_lists_follow_every_redirect(self, client_of: ClientOf, status: int) -> None:
        moved = response(b"", status=f"{status} Moved", headers="location: /v1/models/\r\n")
        async with RawServer(moved, response(b"[]")) as server:
            assert (await client_of(server).get("/models", Call())).body == b"[]"

    @pytest.mark.parametrize(
        ("status", "location"),
        [
            (307, "https://elsewhere.test/v1/chat"),
            (308, "http://127.0.0.1:1/v1/chat"),
            (307, "http://secret@{host}/v1/chat"),
            (308, "https://{host}/v1/chat"),
            (307, "http://localhost:{port}/v1/chat"),
            (307, "file:///etc/passwd"),
            (307, "http://[::1"),
            (307, "/v2 chat"),
            (301, "/v2/chat"),
            (302, "/v2/chat"),
            (303, "/v2/chat"),
        ],
    )
    async def test_other_redirects_are_errors_that_show_where_to(
        self, client_of: ClientOf, status: int, location: str
    ) -> None:
        async with RawServer(b"") as server:
            there = location.format(host=server.url.partition("//")[2], port=server.port)
            server.answers = [[response(b"", status=f"{status} Moved", headers=f"location: {there}\r\n")]]
            client = client_of(server)
            for answer in (client.post("/chat", b"{}", Call()), events(client)):
                with pytest.raises(ProviderUnavailable) as failure:
                    await answer
                assert failure.value.metadata["provider_code"] == str(status)
                assert there in str(failure.value)
            assert len(server.requests) == 2

    async def test_circle_ends(self, client_of: ClientOf) -> None:
        moved = response(b"", status="307 Moved", headers="location: /v1/chat\r\n")
        async with RawServer(moved) as server:
            assert await code_of(client_of(server).post("/chat", b"{}", Call())) == "307"
            assert len(server.requests) == 6

    async def test_status_without_a_place_is_the_adapters_to_judge(self, client_of: ClientOf) -> None:
        async with RawServer(response(b"moved", status="307 Moved")) as server:
            assert (await client_of(server).post("/chat", b"{}", Call())).status == 307


class TestTraces:
    async def test_callers_trace_goes_on(self, client_of: ClientOf) -> None:
        call = replace(Call(), trace_headers=(("traceparent", "00-1-2-01"), ("tracestate", "a=b")))
        async with RawServer(response(b"data: 1\n\n")) as server:
            client = client_of(server)
            await client.post("/chat", b"{}", call)
            [_ async for _ in client.stream("/chat", b"{}", call, ServerSentEvents())]
            await client.get("/models", Call())
        *traced, untraced = server.requests
        assert all(b"\r\ntraceparent: 00-1-2-01\r\ntracestate: a=b\r\n" in request for request in traced)
        assert b"trace" not in untraced
