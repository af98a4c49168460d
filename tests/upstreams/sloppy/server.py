"""An upstream of one protocol on a socket, that answers by the seed in the model's name: `sloppy-7`.

It reads HTTP by itself and writes bytes, because libraries of servers refuse what is to be tried here.
"""

import asyncio
import re
from contextlib import suppress
from typing import Self

from tests.upstreams.sloppy import PROTOCOLS, exchange
from tests.upstreams.sloppy.wire import TYPES, response

SEED = re.compile(rb"sloppy-(\d+)")
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
BETWEEN_PARTS_S = 0.0


class SloppyUpstream:
    """One protocol; as an asynchronous context it listens on a free port of the loopback."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._server.close()
        for writer in self._open:
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(ConnectionError, RuntimeError, asyncio.IncompleteReadError):
            while await self._answer(reader, writer):
                pass
        self._open.discard(writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; whether the connection may be used again."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        request = head + (await reader.readexactly(int(length[1])) if length else b"")
        seed = SEED.search(request)
        assert seed is not None, request[:200]
        x = exchange(self.protocol, int(seed[1]))
        if x.transport.media_type == "":
            x.transport.media_type = TYPES["sse" if x.as_stream else "json"]
        body = PROTOCOLS[self.protocol].body(x)
        target = head.split(b" ", 2)[1].decode()
        for part in response(x, body, target):
            writer.write(part)
            if x.transport.split:
                await asyncio.sleep(BETWEEN_PARTS_S)
        await writer.drain()
        redirected = bool(x.transport.redirect) and not target.endswith("hop=1")
        if x.transport.stays_open and not redirected:
            await reader.read(1)  # until the client goes
            return False
        return redirected or not (x.transport.cut or x.transport.length == "close")
