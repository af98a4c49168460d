"""An HTTP proxy that authenticates, and the way from the names behind it to simulators on loopback."""

import asyncio
import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self

import pytest

CERTIFICATE = Path(__file__).parents[1] / "egress.pem"  # of *.test, *.api.test and this machine
BEHIND: ContextVar[bool] = ContextVar("BEHIND", default=False)  # whether the proxy itself is at work


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


class ProxyServer:
    """CONNECT for https:// names, whole URLs for http:// names, each only with the credentials."""

    def __init__(self, behind: Mapping[str, int], *, user: str = "ann:s3cret", tls: bool = False) -> None:
        """behind: "name:port" to the port on loopback that serves it in plain HTTP. user "": anyone."""
        self.behind, self.tls = behind, tls
        self._credentials = f"Basic {b64encode(user.encode()).decode()}" if user else None
        self.port = 0
        self.asked: list[str] = []  # first lines of what was let through
        self.refused: list[str] = []
        self.heads: list[bytes] = []
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        BEHIND.set(True)
        server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=server_context() if self.tls else None
        )
        BEHIND.set(False)
        self._stack.callback(server.close)
        self.port = server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        BEHIND.set(True)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._requests(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the test has ended
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            line = head.partition(b"\r\n")[0].decode()
            method, target, _ = line.split(" ")
            if self._credentials and _credentials(head) != self._credentials:
                self.refused.append(line)
                writer.write(b"HTTP/1.1 407 Who are you\r\nproxy-authenticate: Basic\r\n")
                writer.write(b"content-length: 0\r\n\r\n")
                await writer.drain()
                continue
            self.asked.append(line)
            if method == "CONNECT":
                await self._tunnel(target, reader, writer)
                return
            await self._forward(head, reader, writer)

    async def _tunnel(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if target not in self.behind:
            writer.write(b"HTTP/1.1 502 No such host\r\ncontent-length: 0\r\n\r\n")
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.drain()
        await writer.start_tls(server_context())  # it is the name's own server as well
        inner, outer = await asyncio.open_connection("127.0.0.1", self.behind[target])
        await _relayed(reader, writer, inner, outer)

    async def _forward(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, _, rest = head.partition(b"\r\n")
        method, url, version = line.decode().split(" ")
        authority, _, path = url.removeprefix("http://").partition("/")
        name = authority if ":" in authority else f"{authority}:80"
        inner, outer = await asyncio.open_connection("127.0.0.1", self.behind[name])
        lines = [line for line in rest.split(b"\r\n") if not line.lower().startswith(b"proxy-auth")]
        outer.write(f"{method} /{path} {version}\r\n".encode() + b"\r\n".join(lines))
        await _relayed(reader, writer, inner, outer)


def _credentials(head: bytes) -> str:
    headers = (line.partition(": ") for line in head.decode().split("\r\n"))
    return next((value for name, _, value in headers if name.lower() == "proxy-authorization"), "")


async def _relayed(*ends: Any) -> None:
    """Bytes from the first reader to the second writer and back, until one side has enough."""
    reader, writer, inner, outer = ends

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()

    copies = [asyncio.create_task(copy(reader, outer)), asyncio.create_task(copy(inner, writer))]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in copies:
            task.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        outer.close()


class Sockets:
    """Addresses that this process connects to, and names that it looks up, but for those of the proxy."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: set[Any] = set()
        self.names: set[str] = set()
        for method in ("connect", "connect_ex"):
            self._watch(monkeypatch, method)
        look_up = socket.getaddrinfo

        def looked_up(host: Any, *args: Any, **kwargs: Any) -> Any:
            found = look_up(host, *args, **kwargs)
            if not BEHIND.get() and not kwargs.get("flags", 0) & socket.AI_NUMERICHOST:
                self.names.add(host)
            return found

        monkeypatch.setattr(socket, "getaddrinfo", looked_up)

    def _watch(self, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        original = getattr(socket.socket, method)

        def connected(sock: socket.socket, address: Any) -> Any:
            if not BEHIND.get():
                self.addresses.add(address)
            return original(sock, address)

        monkeypatch.setattr(socket.socket, method, connected)
