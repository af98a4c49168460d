"""The shared client: pooled connections, one timer for each call, typed failures, no hanging."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import msgspec
import pytest

from genai_spine.call import Call
from genai_spine.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
)
from genai_spine.providers.base import Endpoint, Timeouts
from genai_spine.providers.http import connection, pool
from genai_spine.providers.http.client import HttpClient, StatusError, retry_after_s
from genai_spine.providers.http.event_stream import ServerSentEvents
from tests.unit.providers.http.raw_server import RawServer, Then, response
from tests.waiting import until

TIMEOUTS = Timeouts(connect_s=20, first_token_s=20, between_tokens_s=20)  # a test that waits for one sets it
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


ClientOf = Callable[..., HttpClient]


@pytest.fixture
async def client_of() -> AsyncIterator[ClientOf]:
    """Makes clients of a server, and closes them."""
    made: list[HttpClient] = []

    def make(server: RawServer, path: str = "/v1", **timeouts: float) -> HttpClient:
        limits = replace(TIMEOUTS, **timeouts)
        endpoint = Endpoint("up", server.url + path, timeouts=limits)
        made.append(HttpClient(endpoint, {"authorization": "Bearer k"}))
        return made[-1]

    yield make
    for client in made:
        await client.close()
    await asyncio.sleep(0.001)  # the transports close their sockets


async def events(client: HttpClient, call: Call | None = None) -> AsyncIterator[list[bytes]]:
    async for payloads in client.stream("/chat", b"{}", call or Call(), ServerSentEvents()):
        yield payloads


async def drained(client: HttpClient, call: Call | None = None) -> list[bytes]:
    return [payload async for payloads in events(client, call) for payload in payloads]


class TestHttpClientRequests:
    async def test_request_goes_out_plain(self, client_of: ClientOf) -> None:
        async with RawServer(response(b"{}")) as server:
            client = client_of(server, "/v1/?api-version=7")
            assert (await client.post("/chat", b'{"a":1}', Call())).body == b"{}"
            await client.get("/models", Call())
        posted, got = server.requests
        head, _, body = posted.partition(b"\r\n\r\n")
        assert body == b'{"a":1}'
        assert head.splitlines()[0] == b"POST /v1/chat?api-version=7 HTTP/1.1"
        assert set(head.splitlines()[1:]) == {
            b"content-type: application/json",
            b"content-length: 7",
            b"host: 127.0.0.1:%d" % server.port,
            b"accept: */*",
            b"accept-encoding: identity",
            b"user-agent: genai-spine",
            b"authorization: Bearer k",
        }
        assert got.startswith(b"GET /v1/models?api-version=7 HTTP/1.1\r\n")
        assert b"content-length" not in got

    async def test_status_other_than_200_comes_back_as_it_is(self, client_of: ClientOf) -> None:
        async with RawServer(
            response(b"no", status="429 Too Many", headers="Retry-After: 3 \t\r\n")
        ) as server:
            client = client_of(server)
            reply = await client.post("/chat", b"{}", Call())
            assert (reply.status, reply.headers["retry-after"], reply.body) == (429, "3", b"no")
            with pytest.raises(StatusError) as refused:
                await drained(client)
            assert refused.value.reply == reply

    async def test_certificate_is_checked_over_tls(
        self, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pem = Path(__file__).parent / "localhost.pem"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        async with RawServer(response(b"safe"), tls=context) as server:
            stranger = client_of(server)
            with pytest.raises(ProviderUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                await stranger.get("/", Call())
            monkeypatch.setenv("SSL_CERT_FILE", str(pem))
            client = client_of(server)
            assert (await client.get("/", Call())).body == b"safe"

    @pytest.mark.parametrize("headers", [{"x-key": "a\r\nx-admin: 1"}, {"x-key": "schlüssel"}, {"a\nb": "c"}])
    def test_header_that_is_not_printable_ascii_is_refused(self, headers: Mapping[str, str]) -> None:
        with pytest.raises(InvalidRequest):
            HttpClient(Endpoint("up", "http://127.0.0.1:1"), headers)

    @pytest.mark.parametrize(
        "url", ["", "127.0.0.1:80", "ftp://host", "http://", "//host/v1", "http://host:port"]
    )
    def test_base_url_that_is_none_is_refused(self, url: str) -> None:
        with pytest.raises(InvalidRequest, match="base_url"):
            HttpClient(Endpoint("up", url))


class TestHttpClientPool:
    async def test_connections_are_used_again_and_grow_with_need(self, client_of: ClientOf) -> None:
        async with RawServer(response(b"{}")) as server:
            client = client_of(server)
            for _ in range(5):
                await client.post("/chat", b"{}", Call())
            assert server.connections == 1
            await asyncio.gather(*(client.post("/chat", b"{}", Call()) for _ in range(3)))
            assert 1 < server.connections <= 3
            before = server.connections
            await asyncio.gather(*(client.post("/chat", b"{}", Call()) for _ in range(before)))
            assert server.connections == before

    async def test_stream_that_was_read_to_its_end_leaves_its_connection_to_the_next(
        self, client_of: ClientOf
    ) -> None:
        stream = [CHUNKED_HEAD, chunk(b"data: 1\n\n"), END]
        async with RawServer(stream) as server:
            client = client_of(server)
            for _ in range(2):
                assert await drained(client) == [b"1"]
            assert server.connections == 1

    async def test_stream_that_is_left_hangs_up(self, client_of: ClientOf) -> None:
        async with RawServer([CHUNKED_HEAD, chunk(b"data: 1\n\n"), Then.STALL]) as server:
            client = client_of(server)
            stream = client.stream("/chat", b"{}", Call(), ServerSentEvents())
            assert await anext(stream) == [b"1"]
            await stream.aclose()
            await asyncio.wait_for(server.closed.wait(), 20)

    async def test_connection_that_rested_long_is_not_used_again(
        self, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool, "MAX_IDLE_S", 0.0)
        async with RawServer(response(b"{}")) as server:
            client = client_of(server)
            for _ in range(3):
                await client.post("/chat", b"{}", Call())
            assert server.connections == 3

    async def test_connection_that_the_peer_closed_is_not_used_again(self, client_of: ClientOf) -> None:
        async with RawServer([response(b"one"), Then.CLOSE], response(b"two")) as server:
            client = client_of(server)
            assert (await client.get("/", Call())).body == b"one"
            await until(lambda: all(connection.closed for connection in client.pool.idle))
            assert (await client.get("/", Call())).body == b"two"

    async def test_connection_that_was_paused_reads_again_for_the_next_call(
        self, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection, "PAUSE_ABOVE_BYTES", 1000)
        long = chunk(b"data: " + b"x" * 5000 + b"\n\n") + END
        async with RawServer([CHUNKED_HEAD, chunk(b"data: 1\n\n"), long], response(b"next")) as server:
            client = client_of(server)
            stream = client.stream("/chat", b"{}", Call(), ServerSentEvents())
            assert await anext(stream) == [b"1"]
            await asyncio.sleep(0.02)  # the rest arrives, and nobody takes it
            await stream.aclose()
            assert (await client.get("/", Call())).body == b"next"


class Tokens(msgspec.Struct):
    count: int


class TestHttpClientFailures:
    async def test_connection_that_nobody_accepts_is_unavailable(self) -> None:
        client = HttpClient(Endpoint("up", "http://127.0.0.1:9/v1", timeouts=TIMEOUTS))
        with pytest.raises(ProviderUnavailable, match=r"127\.0\.0\.1:9") as failure:
            await client.post("/chat", b"{}", Call())
        assert failure.value.metadata["provider_code"] == "connect"

    async def test_host_name_that_nobody_knows_is_unavailable(self) -> None:
        client = HttpClient(Endpoint("up", "http://no-such-host.invalid/v1", timeouts=TIMEOUTS))
        with pytest.raises(ProviderUnavailable, match=r"no-such-host\.invalid"):
            await client.post("/chat", b"{}", Call())

    async def test_connection_that_is_never_accepted_times_out(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        async with RawServer([Then.STALL]) as server:
            # Nobody answers the TLS handshake.
            limits = replace(TIMEOUTS, connect_s=0.3)
            client = HttpClient(Endpoint("up", server.url.replace("http:", "https:"), timeouts=limits))
            with pytest.raises(ProviderUnavailable, match=r"no connection in 0\.3 s") as failure:
                await client.post("/chat", b"{}", Call())
            assert failure.value.metadata["provider_code"] == "connect_timeout"
        del context

    @pytest.mark.parametrize("answer", [[Then.CLOSE], [b"HTTP/1.1 200", Then.CLOSE], [b"SSH-2.0-x\r\n"]])
    async def test_connection_that_ends_before_the_status_is_unavailable(
        self, client_of: ClientOf, answer: Any
    ) -> None:
        async with RawServer(answer) as server:
            for ask in (client_of(server).post("/chat", b"{}", Call()), drained(client_of(server))):
                with pytest.raises(ProviderUnavailable) as failure:
                    await ask
                assert failure.value.metadata["provider_code"] == "connection_lost"

    async def test_connection_that_ends_within_the_answer_is_a_cut(self, client_of: ClientOf) -> None:
        async with RawServer([CHUNKED_HEAD, chunk(b"data: 1\n\n"), Then.CLOSE]) as server:
            stream = events(client_of(server))
            seen = await anext(stream)
            with pytest.raises(ProviderError) as failure:
                await anext(stream)
            assert failure.value.metadata["provider_code"] == "cut_stream"
            assert seen == [b"1"]
            with pytest.raises(ProviderError, match="cut"):
                await client_of(server).post("/chat", b"{}", Call())

    def test_answer_that_is_no_json_is_unusable_and_not_repeated(self) -> None:
        client = HttpClient(Endpoint("up", "http://127.0.0.1:9"))
        kind = msgspec.json.Decoder(Tokens)
        cut = b'{"count": 1, "text": "the model said this'
        for body in (cut, b"\xff\xfe", b"[" * 100_000, b"the model said this", b'"the model said this"'):
            with pytest.raises(ProviderError) as failure:
                client.decode(body, kind)
            assert failure.value.metadata["provider_code"] == "invalid_json"
            assert "model said" not in str(failure.value)

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b"", "the body is empty"),
            (b" \n", "the body is empty"),
            (b"<html><head><title>502 Bad\n Gateway</title></head><p>long</p></html>", "502 Bad Gateway"),
            (b"<!DOCTYPE html><H1 class='a'>Just a <b>moment</b> &amp; more</H1>", "Just a moment & more"),
            (b"<?xml version='1.0'?><Error/>", "an HTML page"),
        ],
    )
    def test_page_becomes_its_title(self, body: bytes, said: str) -> None:
        client = HttpClient(Endpoint("up", "http://127.0.0.1:9"))
        with pytest.raises(ProviderError) as failure:
            client.decode(body, msgspec.json.Decoder(Tokens))
        assert failure.value.metadata["provider_message"].endswith(said)

    @pytest.mark.parametrize(
        ("key", "text", "shown"),
        [
            ("k", "Worker limit", "Worker limit"),
            ("none", "none of them", "none of them"),
            ("sk-12345678", "wrong key sk-12345678.", "wrong key ***."),
            ("sk-12345678", '{"key":"sk-12345678"}', '{"key":"***"}'),
            ("password", "passwords differ, password", "passwords differ, ***"),
            ("a.b*c(d)[e", "a.b*c(d)[e and aab*c(d)[e", "*** and aab*c(d)[e"),
            ("sk-12345678", "sk-123", "sk-123"),
        ],
    )
    def test_key_is_masked_and_nothing_else(self, key: str, text: str, shown: str) -> None:
        assert HttpClient(Endpoint("up", "http://127.0.0.1:9", key)).public(text) == shown


class TestHttpClientMerging:
    async def test_stream_of_a_call_that_merges_has_its_first_read_at_once_and_the_rest_together(
        self, client_of: ClientOf
    ) -> None:
        pieces = [chunk(b"data: %d\n\n" % number) for number in range(5)]
        async with RawServer([CHUNKED_HEAD, *pieces, END]) as server:
            reads = [payloads async for payloads in events(client_of(server), Call(merge_s=600.0))]
        assert [payload for payloads in reads for payload in payloads] == [b"0", b"1", b"2", b"3", b"4"]
        assert len(reads) == 2

    async def test_stream_that_is_left_hangs_up_before_the_tick(self, client_of: ClientOf) -> None:
        pieces = [chunk(b"data: %d\n\n" % number) for number in range(2)]
        async with RawServer([CHUNKED_HEAD, *pieces, Then.STALL]) as server:
            stream = client_of(server).stream("/chat", b"{}", Call(merge_s=600.0), ServerSentEvents())
            assert await anext(stream) == [b"0"]
            waiting = asyncio.create_task(anext(stream))
            await asyncio.sleep(0.01)  # the next one has come, and waits
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            async with asyncio.timeout(20):
                await server.closed.wait()


class TestCallTimer:
    async def test_slow_headers_and_a_slow_first_byte_share_one_limit(self, client_of: ClientOf) -> None:
        class Slow(RawServer):
            async def _answer(self, writer: asyncio.StreamWriter) -> bool:
                await asyncio.sleep(0.1)
                writer.write(CHUNKED_HEAD)
                await asyncio.sleep(0.1)
                writer.write(chunk(b"data: 1\n\n") + END)
                return True

        async with Slow(b"") as server:
            hasty = client_of(server, first_token_s=0.15)
            for ask in (drained(hasty), hasty.post("/chat", b"{}", Call())):
                with pytest.raises(ProviderTimeout, match=r"took more than 0\.15 s"):
                    await ask
            assert await drained(client_of(server)) == [b"1"]

    async def test_silence_within_a_stream_has_its_own_limit(self, client_of: ClientOf) -> None:
        async with RawServer([CHUNKED_HEAD, chunk(b"data: 1\n\n"), Then.STALL]) as server:
            with pytest.raises(ProviderTimeout, match=r"the next token took more than 0\.1 s") as failure:
                await drained(client_of(server, between_tokens_s=0.1))
            assert failure.value.metadata == {"provider": "up", "phase": "the next token", "timeout_s": "0.1"}
            await asyncio.wait_for(server.closed.wait(), 20)

    async def test_stream_may_go_on_for_longer_than_any_single_limit(self, client_of: ClientOf) -> None:
        pieces = [chunk(b"data: %d\n\n" % number) for number in range(40)]
        async with RawServer([CHUNKED_HEAD, *pieces, END], pause_s=0.03) as server:
            client = client_of(server, first_token_s=1.0, between_tokens_s=1.0)
            assert len(await drained(client)) == 40

    async def test_whole_call_can_have_a_limit(self, client_of: ClientOf) -> None:
        endless = [chunk(b"data: 1\n\n")] * 1000
        async with RawServer([CHUNKED_HEAD, *endless]) as server:
            with pytest.raises(ProviderTimeout, match=r"the whole call took more than 0\.1 s"):
                await drained(client_of(server, total_s=0.1))

    @pytest.mark.parametrize("answer", [[Then.STALL], [CHUNKED_HEAD, chunk(b"data: 1\n\n"), Then.STALL]])
    async def test_callers_deadline_ends_a_call_as_such(self, client_of: ClientOf, answer: Any) -> None:
        async with RawServer(answer) as server:
            for attempt in range(10):  # a timer may fire a little before the deadline
                call = Call(deadline=time.monotonic() + 0.02 + attempt / 1000)
                with pytest.raises(DeadlineExceeded):
                    await drained(client_of(server), call)

    async def test_whole_answer_has_the_time_that_the_callers_sdk_gives(self, client_of: ClientOf) -> None:
        call = Call(read_timeout_s=0.1)
        async with RawServer([Then.STALL]) as server:
            with pytest.raises(DeadlineExceeded):
                await client_of(server).post("/chat", b"{}", call)

    async def test_whole_answer_may_take_longer_where_the_callers_sdk_waits_longer(
        self, client_of: ClientOf
    ) -> None:
        call = Call(read_timeout_s=30)
        async with RawServer([Then.STALL]) as server:
            with pytest.raises(ProviderTimeout, match=r"the answer took more than 0\.05 s"):
                await client_of(server, first_token_s=0.05).post("/chat", b"{}", call)
        async with RawServer([CHUNKED_HEAD, chunk(b"{}"), END], pause_s=0.2) as server:
            client = client_of(server, first_token_s=0.05, are_callers=True)
            assert (await client.post("/chat", b"{}", call)).body == b"{}"

    async def test_stream_goes_on_for_longer_than_the_callers_sdk_waits_for_bytes(
        self, client_of: ClientOf
    ) -> None:
        pieces = [chunk(b"data: %d\n\n" % number) for number in range(10)]
        async with RawServer([CHUNKED_HEAD, *pieces, END], pause_s=0.03) as server:
            assert len(await drained(client_of(server), Call(read_timeout_s=0.1))) == 10

    async def test_call_whose_deadline_has_passed_is_not_begun(self, client_of: ClientOf) -> None:
        async with RawServer(response(b"{}")) as server:
            with pytest.raises(DeadlineExceeded):
                await client_of(server).post("/chat", b"{}", Call(deadline=time.monotonic() - 1))
        assert server.requests == []


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "30", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "²"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, None),
        ({"retry-after": "Thu, 01 Jan 2099 00:00:00 GMT"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "1795969852"}, None),
        ({"retry-after": "86400"}, 86_400.0),
        ({"retry-after": "60", "retry-after-ms": "soon"}, 60.0),
        ({"retry-after": "60", "retry-after-ms": "0"}, 60.0),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after-ms": "inf"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "9" * 20}, None),
        ({"retry-after-ms": "-5"}, None),
    ],
)
def test_retry_after_is_seconds_whatever_the_upstream_writes(
    headers: Mapping[str, str], seconds: float | None
) -> None:
    assert retry_after_s(headers) == seconds


def test_retry_after_as_a_date_counts_from_now() -> None:
    found = retry_after_s({"retry-after": formatdate(time.time() + 30, usegmt=True)})
    assert found is not None
    assert 28 < found <= 30
