"""Bytes that are no request of ours, whatever they are: an answer or an end, and never a second request."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_spine.edge.http_server.connection import Connection
from genai_spine.edge.http_server.request import Request
from genai_spine.edge.http_server.server import HttpServer

HEAD = b"POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\n"
WHOLE = HEAD + b"content-length: 2\r\n\r\n{}"
# Each asks two servers in a row to disagree about where the request ends.
SMUGGLED = [
    HEAD + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + WHOLE,
    HEAD + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n" + WHOLE,
    HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n" + WHOLE,
    HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n" + WHOLE,
    HEAD + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n" + WHOLE,
    HEAD + b"transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + WHOLE,
    HEAD + b"x: y\r\n transfer-encoding: chunked\r\n\r\n0\r\n\r\n" + WHOLE,
    HEAD + b"x: y\rtransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + WHOLE,
    HEAD + b"content-length: 2\r\ncontent-length: 100\r\n\r\n{}" + WHOLE,
    HEAD + b"content-length: 2, 2\r\n\r\n{}" + WHOLE,
    HEAD + b"content-length: -2\r\n\r\n{}" + WHOLE,
    HEAD + b"content-length: +2\r\n\r\n{}" + WHOLE,
    HEAD + b"content-length: 0x2\r\n\r\n{}" + WHOLE,
    HEAD + b"content-length: 2\n\n{}" + WHOLE,
    HEAD + b"transfer-encoding: chunked\r\n\r\n2;x\n{}\r\n0\r\n\r\n" + WHOLE,
    HEAD + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + WHOLE,
    HEAD + b"transfer-encoding: chunked\r\n\r\n-1\r\n" + WHOLE,
    HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n" + WHOLE,
    HEAD + b"host: other\r\ncontent-length: 2\r\n\r\n{}" + WHOLE,
    HEAD + b"upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 2\r\n\r\n{}" + WHOLE,
    HEAD + b"content-length: 2\r\nexpect: 200-ok\r\n\r\n{}" + WHOLE,
]


class Lifecycle:
    draining = False


class Echo(HttpServer):
    """Server that answers each request with its body."""

    def __init__(self) -> None:
        lifecycle: Any = Lifecycle()
        super().__init__(lifecycle, "127.0.0.1", 0)
        self.bodies: list[bytes] = []

    async def _echo(self, request: Request, connection: Connection) -> None:
        self.bodies.append(request.body)
        connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    def handle(self, request: Request, connection: Connection) -> Any:
        return self._echo(request, connection)


@asynccontextmanager
async def echoing() -> AsyncIterator[Echo]:
    server = Echo()
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0.0)


async def said(server: Echo, *parts: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0)
        writer.write_eof()
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("request_", SMUGGLED)
async def test_no_request_is_smuggled(request_: bytes) -> None:
    async with echoing() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request_)
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        assert server.bodies == []
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")), answer[:100]
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close\r\n" in answer


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=300), st.integers(0, 2**32))
def test_any_bytes_are_survived(noise: bytes, seed: int) -> None:
    """Noise by itself, after a head, within a head, within chunks; cut anywhere."""

    async def run() -> None:
        chance = random.Random(seed)
        cut = chance.randrange(len(WHOLE))
        chunked = HEAD + b"transfer-encoding: chunked\r\n\r\n"
        async with echoing() as server:
            for data in (
                noise,
                WHOLE[:cut] + noise + WHOLE[cut:],
                chunked + noise,
                WHOLE + noise,
                WHOLE[:cut],
            ):
                at = chance.randrange(len(data) + 1)
                await said(server, data[:at], data[at:])
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(WHOLE)
            async with asyncio.timeout(10):
                assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
            writer.close()

    asyncio.run(run())


async def test_a_request_is_read_however_it_is_cut() -> None:
    async with echoing() as server:
        for size in (1, 2, 7, 30):
            parts = [WHOLE[at : at + size] for at in range(0, len(WHOLE), size)]
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            for part in parts:
                writer.write(part)
                await asyncio.sleep(0.001)
            assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
            writer.close()
        assert server.bodies == [b"{}"] * 4


async def test_a_stream_waits_for_a_slow_reader() -> None:
    """No more of an answer is held than the buffer's limit and one piece."""
    waits = asyncio.Event()

    class Streaming(Echo):
        async def _echo(self, request: Request, connection: Connection) -> None:
            for _ in range(1000):
                connection.write(b"x" * (64 << 10))
                self.bodies.append(b"x")
                if connection._is_paused:
                    waits.set()
                await connection.drain()

    server = Streaming()
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    writer.write(WHOLE)
    async with asyncio.timeout(10):
        await waits.wait()
        await asyncio.sleep(0.1)
        assert len(server.bodies) < 500
        while len(server.bodies) < 1000:
            await reader.read(1 << 20)
    writer.close()
    await server.stop(0.0)
