"""Envoy in front of the HTTP servers: lanes, drain, what is sent again, connections, and TLS between them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from genai_spine import server
from genai_spine.edge.http_server.connection import Connection
from genai_spine.edge.http_server.server import HttpServer
from genai_spine.providers.base import Endpoint
from genai_spine.settings import Settings
from genai_spine.supervisor.edge_tls import ServerTrust
from genai_spine.supervisor.envoy import Addresses, Envoy
from tests.acceptance.http import session
from tests.certificates import Authority
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.reply import Reply
from tests.waiting import until

CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
HELD = Reply(["one ", "two "], is_held=True)


@dataclass
class Cluster:
    """Servers of this process, each with its gRPC and its HTTP port, and the Envoy in front of them."""

    folder: Path
    upstream: OpenAIUpstream
    stack: AsyncExitStack
    servers: dict[str, list[server.Server]] = field(default_factory=dict)  # by lane
    stopped: list[server.Server] = field(default_factory=list)
    trust: ServerTrust | None = None

    def __post_init__(self) -> None:
        self.envoy = Envoy(self.folder / "envoy")

    async def serve(self, lane: str = "cpu", **settings: Any) -> server.Server:
        """One more server."""
        number = sum(map(len, self.servers.values()))
        endpoint = Endpoint("openai", self.upstream.base_url, f"key-{number}")
        given: dict[str, Any] = {
            "endpoints": {"openai": endpoint},
            "database_url": "sqlite://",
            "lane": lane,
            "grpc_port": 0,
            "http_port": 0,
            "drain_delay": 0.0,
            "drain_timeout": 5.0,
            "provider_retries": 0,
        }
        built = server.build(Settings(_env_file=None, **given | settings))  # type: ignore[call-arg]
        await built.start()
        self.stack.push_async_callback(self.stop, built)
        self.servers.setdefault(lane, []).append(built)
        return built

    def takers(self) -> list[int]:
        """Servers by whose key the upstream was called, in the order of calls."""
        return [int(entry.headers["authorization"].rpartition("-")[2]) for entry in self.upstream.bill]

    async def stop(self, built: server.Server) -> None:
        """As on SIGTERM; a second time does nothing."""
        if built not in self.stopped:
            self.stopped.append(built)
            await built.stop()

    async def open(self, *, is_healthy: bool = True) -> aiohttp.ClientSession:
        """Envoy before all servers, and a client of it, once they are healthy."""
        lanes: dict[str, list[tuple[str, int]]] = {}
        for lane, servers in self.servers.items():
            for one in servers:
                lanes.setdefault(lane, []).append(("127.0.0.1", one.port))
                if one.http is not None:
                    lanes.setdefault(f"{lane}_http", []).append(("127.0.0.1", one.http.port))
        trust = self.trust
        await self.envoy.start(
            Addresses(
                port=0,
                lanes=lanes,
                servers_tls=trust and trust.transport_socket("127.0.0.1"),
                http_servers_tls=trust and trust.transport_socket("127.0.0.1", "http/1.1"),
            )
        )
        self.stack.push_async_callback(self.envoy.stop)
        for name, found in lanes.items():
            await self.healthy(name, len(found) if is_healthy else 0)
        return await self.stack.enter_async_context(session(f"http://127.0.0.1:{self.envoy.port}"))

    async def stat(self, name: str) -> int:
        """One of Envoy's counters."""
        said = await self.envoy.admin("GET", f"/stats?filter=^{name.replace('.', '[.]')}$")
        return int(said.rpartition(":")[2])

    async def healthy(self, cluster: str, count: int) -> None:
        """Until this many servers of a cluster are healthy in Envoy's eyes."""

        async def counted() -> bool:
            return await self.stat(f"cluster.spine_{cluster}.membership_healthy") == count

        await until(counted)

    async def calls(self, cluster: str) -> int:
        """Requests that Envoy has sent to a cluster, those sent again included."""
        return await self.stat(f"cluster.spine_{cluster}.upstream_rq_total")


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    async with OpenAIUpstream() as upstream, AsyncExitStack() as stack:
        yield Cluster(folder, upstream, stack)


async def asked(http: aiohttp.ClientSession, **headers: str) -> int:
    async with http.post(CHAT, json=BODY, headers=headers) as answer:
        await answer.read()
        return answer.status


async def streamed(http: aiohttp.ClientSession) -> bytes:
    async with http.post(CHAT, json=BODY | {"stream": True}) as answer:
        assert answer.status == 200
        return await answer.read()


def connections(one: server.Server) -> list[Connection]:
    """Connections of callers to an HTTP server."""
    return list(one.http.connections) if one.http is not None else []


async def test_each_lane_has_its_own_http_servers(tmp_path: Path) -> None:
    async with cluster(tmp_path) as found:
        for lane in ("cpu", "gpu", "batch"):
            await found.serve(lane)
        http = await found.open()
        for lane in ("cpu", "", "gpu", "batch"):
            assert await asked(http, **{"x-genai-lane": lane}) == 200
        assert await asked(http) == 200
        assert found.takers() == [0, 0, 1, 2, 0]
        assert [await found.calls(name) for name in ("cpu_http", "gpu_http", "batch_http")] == [3, 1, 1]
        assert [await found.calls(name) for name in ("cpu", "gpu", "batch")] == [0, 0, 0]


async def test_lane_without_an_http_server_is_transcoded(tmp_path: Path) -> None:
    async with cluster(tmp_path) as found:
        await found.serve("cpu")
        await found.serve("gpu", http_port=None)
        http = await found.open()
        assert await asked(http, **{"x-genai-lane": "gpu"}) == 200
        assert (found.takers(), await found.calls("gpu"), await found.calls("cpu_http")) == ([1], 1, 0)


async def test_call_that_a_draining_server_refuses_goes_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HttpServer, "draining", False)  # so that no look of Envoy at its health sees it first
    async with cluster(tmp_path) as found:
        one, other = await found.serve(), await found.serve()
        http = await found.open()
        one.lifecycle.draining = True
        sent = 0
        while await found.calls("cpu_http") == sent:  # until one was sent again
            assert await asked(http) == 200
            sent += 1
        assert found.takers() == [1] * sent
        other.lifecycle.draining = True
        async with http.post(CHAT, json=BODY) as answer:
            refused = await answer.json()
        assert (answer.status, refused["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert "x-genai-refused" not in answer.headers
        assert len(found.upstream.bill) == sent


async def test_draining_server_gets_no_calls_until_it_serves_again(tmp_path: Path) -> None:
    async with cluster(tmp_path) as found:
        one, _ = await found.serve(), await found.serve()
        http = await found.open()
        one.lifecycle.draining = True
        await found.healthy("cpu_http", 1)
        sent = await found.calls("cpu_http")
        for _ in range(10):
            assert await asked(http) == 200
        assert found.takers() == [1] * 10
        assert await found.calls("cpu_http") == sent + 10  # none was refused and sent again
        one.lifecycle.draining = False
        await found.healthy("cpu_http", 2)
        while found.takers()[-1] != 0:  # Envoy chooses by chance
            assert await asked(http) == 200


async def test_server_that_stops_ends_its_streams_whole_and_its_connections(tmp_path: Path) -> None:
    async with cluster(tmp_path) as found:
        one, _ = await found.serve(), await found.serve()
        http = await found.open()
        assert one.http is not None
        found.upstream.default = HELD
        streams: list[asyncio.Task[bytes]] = []
        while set(found.takers()) != {0, 1}:
            streams.append(asyncio.create_task(streamed(http)))
            await until(lambda: len(found.upstream.bill) == len(streams))
        found.upstream.default = Reply("short")
        await asyncio.gather(*(asked(http) for _ in range(20)))  # connections that are kept then
        stopping = asyncio.create_task(found.stop(one))
        await found.healthy("cpu_http", 1)
        await until(lambda: sum(not open.is_idle for open in connections(one)) == len(connections(one)))
        assert {await asked(http) for _ in range(10)} == {200}
        assert set(found.takers()[-10:]) == {1}
        found.upstream.release()
        texts = await asyncio.gather(*streams)
        assert all(text.endswith(b"data: [DONE]\n\n") for text in texts)
        await stopping
        assert not connections(one)
        assert {await asked(http) for _ in range(10)} == {200}


@pytest.mark.parametrize("is_held", [False, True])
async def test_answer_of_a_draining_server_is_the_last_of_its_connection(
    tmp_path: Path, is_held: bool
) -> None:
    """One that began before as well as a refusal: no call meets a connection that just ends."""
    async with cluster(tmp_path) as found:
        one = await found.serve()
        assert one.http is not None
        async with session(f"http://127.0.0.1:{one.http.port}") as http:
            found.upstream.default = HELD
            call = asyncio.create_task(asked(http)) if is_held else None
            await until(lambda: len(found.upstream.bill) == is_held)
            one.lifecycle.draining = True
            found.upstream.release()
            async with http.post(CHAT, json=BODY) as answer:
                assert (answer.status, answer.headers["connection"]) == (503, "close")
            assert call is None or await call == 200
            await until(lambda: not connections(one))


@pytest.mark.parametrize("is_mutual", [False, True])
async def test_envoy_reaches_http_servers_by_tls(tmp_path: Path, is_mutual: bool) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    files = {"grpc_tls_certificate": certificate, "grpc_tls_key": key}
    files |= {"grpc_tls_client_ca": authority.file} if is_mutual else {}
    async with cluster(tmp_path) as found:
        one = await found.serve(**files)
        found.trust = ServerTrust(authority.file, *(authority.issue("envoy") if is_mutual else ()))
        http = await found.open()
        assert one.http is not None
        assert await asked(http) == 200
        assert (await found.calls("cpu_http"), await found.calls("cpu")) == (1, 0)
        assert await found.stat("cluster.spine_cpu_http.ssl.handshake") >= 1
        async with http.get("/health") as answer:  # by gRPC
            assert answer.status == 200
        async with session(f"http://127.0.0.1:{one.http.port}") as plain:
            with pytest.raises(aiohttp.ClientError):
                await asked(plain)


@pytest.mark.parametrize("fault", ["server", "envoy"])
async def test_wrong_certificate_between_envoy_and_an_http_server_gets_no_call_through(
    tmp_path: Path, fault: str
) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    certificate, key = (stranger if fault == "server" else authority).issue("server")
    client = (stranger if fault == "envoy" else authority).issue("envoy")
    async with cluster(tmp_path) as found:
        await found.serve(
            grpc_tls_certificate=certificate, grpc_tls_key=key, grpc_tls_client_ca=authority.file
        )
        found.trust = ServerTrust(authority.file, *client)
        http = await found.open(is_healthy=False)
        assert await asked(http) == 503
        assert not len(found.upstream.bill)
