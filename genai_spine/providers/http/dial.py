"""Dialing: from a host's name to a connection, directly or through a proxy's tunnel.

Every connection asks for the addresses anew. They are tried in turn, IPv6 and IPv4 alternating, each with a
head start of 250 ms over the next one, and the first that answers wins (RFC 8305, *Happy Eyeballs*).
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain, zip_longest
from typing import Any, cast

from genai_spine.providers.http.connection import Connection
from genai_spine.providers.http.egress import Proxy, authority

HEAD_START_S = 0.25  # RFC 8305, section 5: Connection Attempt Delay
MAX_TUNNEL_HEAD_BYTES = 64 << 10
Address = tuple[int, Any]  # family, and what connect() takes


class ProxyRefused(OSError):
    """The proxy opens no tunnel."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(f"it answers HTTP {status} {reason}".rstrip())


@dataclass(frozen=True, slots=True)
class Dialer:
    """Way to one address of an upstream."""

    host: str
    port: int
    tls: ssl.SSLContext | None  # None: the upstream speaks plain HTTP
    proxy: Proxy | None = None
    proxy_tls: ssl.SSLContext | None = None

    async def connect(self) -> Connection:
        """Open connection. Raises OSError: of the last address, of TLS, or ProxyRefused."""
        loop = asyncio.get_running_loop()
        if self.proxy is None:
            return await _connection(await open_socket(self.host, self.port), self.tls, self.host)
        outer = await open_socket(self.proxy.host, self.proxy.port)
        outer_tls = self.proxy_tls if self.proxy.tls else None
        if self.tls is None:  # the proxy is asked itself, with the whole URL
            return await _connection(outer, outer_tls, self.proxy.host)
        transport, tunnel = await loop.create_connection(
            Tunnel, sock=outer, ssl=outer_tls, server_hostname=_name(self.proxy.host, outer_tls)
        )
        try:
            transport.write(self._request(self.proxy))
            await tunnel.opened
            connection = Connection(loop)
            inner = await loop.start_tls(transport, connection, self.tls, server_hostname=_name(self.host))
        except BaseException:
            transport.abort()
            raise
        connection.connection_made(cast(asyncio.Transport, inner))
        return connection

    def _request(self, proxy: Proxy) -> bytes:
        target = authority(self.host, self.port)
        credentials = f"proxy-authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
        return f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n{credentials}\r\n".encode("ascii")


class Tunnel(asyncio.Protocol):
    """Head of a proxy's answer to CONNECT; what follows it is the upstream's, and waits for TLS."""

    def __init__(self) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._head = b""

    def data_received(self, data: bytes) -> None:
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end >= 0:
            self._end(self._head[:end])
        elif len(self._head) > MAX_TUNNEL_HEAD_BYTES:
            self._fail(ConnectionError("what it answers is no HTTP"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionError(f"closed by it: {exc}" if exc else "closed by it"))

    def _end(self, head: bytes) -> None:
        version, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        code, _, reason = rest.partition(" ")
        if not version.startswith("HTTP/1.") or not code.isascii() or not code.isdigit():
            self._fail(ConnectionError("what it answers is no HTTP"))
        elif not HTTPStatus.OK <= int(code) < HTTPStatus.MULTIPLE_CHOICES:
            self._fail(ProxyRefused(int(code), reason[:100]))
        elif not self.opened.done():
            self.opened.set_result(None)

    def _fail(self, error: OSError) -> None:
        if not self.opened.done():
            self.opened.set_exception(error)


async def _connection(sock: socket.socket, tls: ssl.SSLContext | None, host: str) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        lambda: Connection(loop), sock=sock, ssl=tls, server_hostname=_name(host, tls)
    )
    return connection


def _name(host: str, tls: ssl.SSLContext | bool | None = True) -> str | None:
    """Name that the certificate must have; None without TLS."""
    return host.partition("%")[0].rstrip(".") if tls else None


async def open_socket(host: str, port: int) -> socket.socket:
    """Connected socket of the host's first address that answers. Raises OSError."""
    try:  # an address needs no resolver, and no thread for it
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError(f"{host} is no name of a host") from None
    addresses = alternating([(family, address) for family, _, _, _, address in found])
    if not addresses:
        raise OSError(f"{host} has no address")
    return await (_race(addresses) if len(addresses) > 1 else _connected(addresses[0]))


def alternating(addresses: Sequence[Address]) -> list[Address]:
    """Addresses in the resolver's order, but families in turn (RFC 8305, section 4)."""
    families = list(dict.fromkeys(family for family, _ in addresses))
    each = [[one for one in addresses if one[0] == family] for family in families]
    return [one for one in chain.from_iterable(zip_longest(*each)) if one is not None]


async def _connected(address: Address) -> socket.socket:
    sock = socket.socket(address[0], socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address[1])
    except BaseException:
        sock.close()
        raise
    return sock


async def _race(addresses: Sequence[Address]) -> socket.socket:
    """Socket of the address that answers first. Raises OSError with every address's own problem."""
    waiting, running, problems = deque(addresses), set[asyncio.Task[socket.socket]](), list[str]()
    winner: socket.socket | None = None
    try:
        while winner is None and (waiting or running):
            if waiting:
                running.add(asyncio.create_task(_connected(waiting.popleft())))
            head_start_s = HEAD_START_S if waiting else None
            done, running = await asyncio.wait(
                running, timeout=head_start_s, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                if problem := task.exception():
                    problems.append(str(problem))
                elif winner is None:
                    winner = task.result()
                else:
                    task.result().close()
    finally:
        for task in running:
            task.add_done_callback(_closed)
            task.cancel()
    if winner is None:
        raise OSError("; ".join(dict.fromkeys(problems)))
    return winner


def _closed(task: asyncio.Task[socket.socket]) -> None:
    """Closes what an attempt that lost has opened all the same."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
