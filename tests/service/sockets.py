"""WebSockets as the tests open them, with the independent client of `websockets`."""

import json
from contextlib import AbstractAsyncContextManager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

LARGEST = 64 << 20


def socket(
    address: str, path: str, *subprotocols: str, **options: Any
) -> AbstractAsyncContextManager[ClientConnection]:
    """A WebSocket at an address, host:port."""
    names = [Subprotocol(one) for one in subprotocols] or None
    return connect(f"ws://{address}{path}", subprotocols=names, proxy=None, max_size=LARGEST, **options)


async def rest_of(opened: ClientConnection) -> tuple[list[dict[str, Any]], int | None]:
    """Frames until the server closes, and its code."""
    found = []
    try:
        while True:
            found.append(json.loads(await opened.recv()))
    except ConnectionClosed as closed:
        return found, closed.rcvd.code if closed.rcvd else None


async def refusal(address: str, path: str, *subprotocols: str, **options: Any) -> tuple[int, dict[str, Any]]:
    """Status and body of a WebSocket that is not opened."""
    try:
        async with socket(address, path, *subprotocols, **options):
            raise AssertionError("it was opened")
    except InvalidStatus as error:
        return error.response.status_code, json.loads(error.response.body or b"{}")
