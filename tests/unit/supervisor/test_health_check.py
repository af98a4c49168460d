"""Health checks: they ask our own server, and nobody between."""

import asyncio

import grpc
import pytest

from genai_spine.supervisor.health_check import health_or_error


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
