"""A plain HTTP client that leaves no socket behind, whatever the server did with its requests."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp

from tests.waiting import until


@asynccontextmanager
async def session(url: str, **options: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """aiohttp closes a connection once its upload has gone out. Where the server refused the upload that is
    never, so the sockets are shut down here; otherwise one is left to the collector, in a later test."""
    sockets: list[socket.socket] = []

    def make(address: Any) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        sockets.append(made)
        return made

    connector = aiohttp.TCPConnector(limit=0, socket_factory=make)
    try:
        async with aiohttp.ClientSession(url, connector=connector, **options) as opened:
            yield opened
    finally:
        for made in sockets:
            with suppress(OSError):
                made.shutdown(socket.SHUT_RDWR)
        await until(lambda: all(made.fileno() == -1 for made in sockets))
