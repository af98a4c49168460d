"""Waiting for what a test needs, not for a time in which it should have happened."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

LIMIT_S = 20.0  # only a fault reaches it


async def until(reached: Callable[[], bool | Awaitable[bool]]) -> None:
    """Raises TimeoutError."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            found = reached()
            if await found if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(0.01)
