"""Health checks: they ask our own server, and nobody between."""

import asyncio

import grpc
import pytest

from genai_spine.supervisor.health_check import Health, health_or_error, over_http


async def test_proxy_of_the_environment_is_not_asked_about_our_own_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    other = await asyncio.start_server(proxy, "127.0.0.1", 0)
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}")
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        # A server that has no such method; it answers all the same.
        assert await health_or_error(f"127.0.0.1:{port}", 20) == "UNIMPLEMENTED"
        assert asked == []
    finally:
        await server.stop(None)
        other.close()
        await other.wait_closed()


@pytest.mark.parametrize(
    ("answer", "health"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", Health.ANSWERS),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", Health.ANSWERS),  # it stops, and its event loop runs
        (b"", Health.CLOSED),
        (None, Health.SILENT),
    ],
)
async def test_health_over_http_is_any_answer(answer: bytes | None, health: Health) -> None:
    asked: list[bytes] = []
    ends = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        if answer is None:
            await ends.wait()
        writer.write(answer or b"")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        assert await over_http("127.0.0.1", port, 20 if answer is not None else 0.5) is health
        assert asked == [b"GET /healthz HTTP/1.1\r\n"]
    finally:
        ends.set()
        server.close()
        await server.wait_closed()


async def test_a_port_that_nobody_listens_on_is_closed() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    assert await over_http("127.0.0.1", port, 20) is Health.CLOSED
