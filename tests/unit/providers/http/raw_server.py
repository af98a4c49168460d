"""A server that answers with the bytes that a test wrote, true or broken, and counts its connections."""

import asyncio
import ssl
from collections.abc import Sequence
from enum import Enum
from typing import Self


class Then(Enum):
    CLOSE = "close the connection"
    STALL = "send nothing more"


Answer = Sequence[bytes | Then]


def response(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body


class RawServer:
    """Each request gets the next answer: its pieces, one write each. The last one is repeated."""

    def __init__(
        self, *answers: Answer | bytes, tls: ssl.SSLContext | None = None, pause_s: float = 0.001
    ) -> None:
        """pause_s: after each piece, so that it arrives on its own."""
        self.answers = [[answer] if isinstance(answer, bytes) else list(answer) for answer in answers]
        self.tls = tls
        self.pause_s = pause_s
        self.port = 0
        self.requests: list[bytes] = []
        self.connections = 0
        self.closed = asyncio.Event()  # a client has closed a connection
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        await asyncio.sleep(0.002)  # a server that is closed while it accepts leaves the socket open
        self._server.close()
        tasks = [task for task in self._open.values() if task is not None]
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*tasks)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.current_task()
        self.connections += 1
        try:
            while request := await _request(reader):
                self.requests.append(request)
                if not await self._answer(writer):
                    return
        except (ConnectionError, ssl.SSLError):
            pass  # the client went away
        finally:
            writer.close()
            del self._open[writer]
        self.closed.set()

    async def _answer(self, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays open."""
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        for piece in answer:
            if piece is Then.CLOSE:
                return False
            if isinstance(piece, bytes):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(self.pause_s)
        return True


async def _request(reader: asyncio.StreamReader) -> bytes:
    """One request; b"" when the client has closed."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
    return head + await reader.readexactly(int(length or 0))
