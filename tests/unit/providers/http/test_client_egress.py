"""The shared client through proxies, with authorities and certificates of its own, and by IPv6."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from genai_spine.call import Call
from genai_spine.errors import InvalidRequest, ProviderAuthentication, ProviderUnavailable
from genai_spine.providers.base import Endpoint, Timeouts
from genai_spine.providers.http.client import HttpClient
from genai_spine.providers.http.egress import Egress
from genai_spine.providers.http.event_stream import ServerSentEvents
from tests.unit.providers.http.raw_server import RawServer, Then, response
from tests.upstreams.proxy import CERTIFICATE, ProxyServer, Sockets, server_context

TIMEOUTS = Timeouts(connect_s=20, first_token_s=20, between_tokens_s=20)
HTTPS, HTTP = "https://up.api.test/v1", "http://up.test:8080/v1"
ClientOf = Callable[..., HttpClient]


@pytest.fixture
async def client_of() -> AsyncIterator[ClientOf]:
    made: list[HttpClient] = []

    def make(url: str, **way: Any) -> HttpClient:
        egress = Egress(ca_file=CERTIFICATE, **way)
        made.append(HttpClient(Endpoint("up", url, "key", timeouts=TIMEOUTS, egress=egress)))
        return made[-1]

    yield make
    for client in made:
        await client.close()
    await asyncio.sleep(0.001)  # the transports close their sockets


def by(proxy: ProxyServer, user: str = "ann:s3cret@") -> dict[str, str]:
    url = f"{'https' if proxy.tls else 'http'}://{user}127.0.0.1:{proxy.port}"
    return {"http_proxy": url, "https_proxy": url}


async def events(client: HttpClient) -> list[bytes]:
    stream = client.stream("/chat", b"{}", Call(), ServerSentEvents())
    return [payload async for payloads in stream for payload in payloads]


class TestProxies:
    @pytest.mark.parametrize("tls", [False, True], ids=["http proxy", "https proxy"])
    @pytest.mark.parametrize("url", [HTTPS, HTTP])
    async def test_everything_goes_by_the_proxy_with_its_credentials(
        self, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch, tls: bool, url: str
    ) -> None:
        sockets = Sockets(monkeypatch)
        async with RawServer(response(b"data: 1\n\n")) as server:
            behind = {"up.api.test:443": server.port, "up.test:8080": server.port}
            async with ProxyServer(behind, tls=tls) as proxy:
                client = client_of(url, **by(proxy))
                assert (await client.post("/chat", b"{}", Call())).body == b"data: 1\n\n"
                assert await events(client) == [b"1"]
                assert sockets.addresses == {("127.0.0.1", proxy.port)}
                assert sockets.names == set()
        first, second = server.requests
        assert b"s3cret" not in first
        if url == HTTPS:  # one tunnel for both
            assert proxy.asked == ["CONNECT up.api.test:443 HTTP/1.1"]
            assert b"proxy-authorization" not in first + second
            assert b"host: up.api.test\r\n" in first
        else:
            assert proxy.asked == ["POST http://up.test:8080/v1/chat HTTP/1.1"]
            assert b"host: up.test:8080\r\n" in first

    @pytest.mark.parametrize("then", [(), (b"no TLS",)])
    async def test_a_tunnel_that_closes_without_a_word_has_a_reason(
        self, client_of: ClientOf, then: tuple[bytes, ...]
    ) -> None:
        async with RawServer([b"HTTP/1.1 200 Connection established\r\n\r\n", *then, Then.CLOSE]) as proxy:
            with pytest.raises(ProviderUnavailable) as failure:
                await client_of(HTTPS, https_proxy=proxy.url).post("/chat", b"{}", Call())
        where, _, reason = str(failure.value.metadata["provider_message"]).partition(f":{proxy.port}: ")
        assert where == "up.api.test:443 by proxy 127.0.0.1"
        assert reason

    @pytest.mark.parametrize("url", [HTTPS, HTTP])
    @pytest.mark.parametrize(
        ("user", "problem"), [("", "asks for credentials"), ("ann:wrong@", "refuses our credentials")]
    )
    async def test_proxy_that_does_not_know_us_is_named_without_a_second_try(
        self, client_of: ClientOf, url: str, user: str, problem: str
    ) -> None:
        async with ProxyServer({}) as proxy:
            client = client_of(url, **by(proxy, user))
            for answer in (client.post("/chat", b"{}", Call()), events(client)):
                with pytest.raises(ProviderAuthentication, match=problem) as failure:
                    await answer
                assert failure.value.metadata["provider_code"] == "proxy_authentication"
                assert f"127.0.0.1:{proxy.port}" in str(failure.value)
                assert "wrong" not in str(failure.value)
            assert len(proxy.refused) == 2

    async def test_proxy_that_reaches_nobody_makes_the_provider_unavailable(
        self, client_of: ClientOf
    ) -> None:
        async with ProxyServer({}) as proxy:
            with pytest.raises(ProviderUnavailable, match="HTTP 502 No such host") as failure:
                await client_of(HTTPS, **by(proxy)).get("/models", Call())
        assert failure.value.metadata["provider_code"] == "proxy"

    @pytest.mark.parametrize(
        "answer",
        [
            [b"SSH-2.0-OpenSSH\r\n\r\n"],
            [b"HTTP/1.1 2xx OK\r\n\r\n"],
            [b"\r\n\r\n"],
            [b"HTTP/1.1 200 OK\r\n", Then.CLOSE],
            [b"x" * 70_000],
            [b"HTTP/1.1 200 OK\r\n\r\nmore", Then.CLOSE],
        ],
    )
    async def test_what_is_no_proxy_is_unavailable(self, client_of: ClientOf, answer: Any) -> None:
        async with RawServer(answer) as server:
            with pytest.raises(ProviderUnavailable) as failure:
                await client_of(HTTPS, https_proxy=server.url).get("/models", Call())
        assert failure.value.metadata["provider_code"] in ("connect", "proxy")

    async def test_tunnel_needs_the_upstreams_own_certificate(self, client_of: ClientOf) -> None:
        async with ProxyServer({"up.example.com:443": 1}) as proxy:
            with pytest.raises(ProviderUnavailable, match="Hostname mismatch"):
                await client_of("https://up.example.com", **by(proxy)).get("/models", Call())

    async def test_ipv6_address_is_asked_for_in_brackets(self, client_of: ClientOf) -> None:
        async with ProxyServer({}, user="") as proxy:
            with pytest.raises(ProviderUnavailable):
                await client_of("https://[2001:db8::7]:8443/v1", **by(proxy, "")).get("/models", Call())
        assert proxy.heads == [b"CONNECT [2001:db8::7]:8443 HTTP/1.1\r\nhost: [2001:db8::7]:8443\r\n\r\n"]

    async def test_host_of_no_proxy_is_asked_directly(self, client_of: ClientOf) -> None:
        async with ProxyServer({}) as proxy, RawServer(response(b"{}")) as server:
            client = client_of(server.url, **by(proxy), no_proxy="*")
            assert (await client.get("/models", Call())).body == b"{}"
            local = client_of(f"http://localhost:{server.port}", **by(proxy))
            assert (await local.get("/models", Call())).body == b"{}"
        assert proxy.heads == []

    def test_proxy_of_socks_is_refused_by_name(self, client_of: ClientOf) -> None:
        with pytest.raises(InvalidRequest, match="socks5:// is not supported"):
            client_of(HTTPS, https_proxy="socks5://127.0.0.1:1080")


class TestCertificates:
    async def test_authority_of_a_file_is_trusted(self, client_of: ClientOf) -> None:
        async with RawServer(response(b"{}"), tls=server_context()) as server:
            assert (await client_of(server.url).get("/", Call())).body == b"{}"
            stranger = HttpClient(Endpoint("up", server.url, timeouts=TIMEOUTS))
            with pytest.raises(ProviderUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                await stranger.get("/", Call())

    async def test_client_certificate_is_shown_where_it_is_asked_for(self, client_of: ClientOf) -> None:
        context = server_context()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(CERTIFICATE)
        async with RawServer(response(b"{}"), tls=context) as server:
            known = client_of(server.url, client_certificate=CERTIFICATE)
            assert (await known.get("/", Call())).body == b"{}"
            with pytest.raises(ProviderUnavailable):
                await client_of(server.url).get("/", Call())


class TestAddresses:
    async def test_ipv6_literal_is_an_address_like_any_other(self, client_of: ClientOf) -> None:
        server = await asyncio.start_server(_answer, "::1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            for host in ("[::1]", "[0:0:0:0:0:0:0:1]"):
                assert (await client_of(f"http://{host}:{port}/v1").get("/", Call())).body == b"host: " + (
                    f"{host}:{port}".encode()
                )

    async def test_zone_of_an_address_is_for_us_alone(self, client_of: ClientOf) -> None:
        client = client_of("http://[fe80::1%25lo]:9/v1")
        assert client.origin == ("http", "fe80::1%lo", 9)
        assert b"host: [fe80::1]:9\r\n" in client._head


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The host that was asked for, as the body."""
    head = await reader.readuntil(b"\r\n\r\n")
    host = next(line for line in head.split(b"\r\n") if line.startswith(b"host: "))
    writer.write(response(host))
    await writer.drain()
    await reader.read()
    writer.close()
