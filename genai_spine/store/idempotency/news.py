"""News of blocks: PostgreSQL says that some were written, for who follows a stream of another process."""

import asyncio
from typing import Any

from genai_spine.store.database import Database

CHANNEL = "spine_blocks"
POLL_S = 0.025  # where nobody is told
QUIET_S = 1.0  # whoever waits for news looks by itself after that
LINGER_S = 30.0  # that a listening connection stays without a follower


class BlockNews:
    """Wait for new blocks of any stream. One connection listens while somebody follows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Any = None
        self._changed = asyncio.Event()
        self._opening = asyncio.Lock()
        self._last_used = 0.0
        self._closer: asyncio.Task[None] | None = None

    def mark(self) -> asyncio.Event:
        """Mark for wait(); take it before looking."""
        return self._changed

    async def wait(self, mark: asyncio.Event) -> None:
        """Returns when blocks may have been written since the mark, at most QUIET_S from now."""
        if self._database.dialect != "postgresql":
            await asyncio.sleep(POLL_S)
            return
        self._last_used = asyncio.get_running_loop().time()
        if not await self._is_listening():
            await asyncio.sleep(POLL_S)
            return
        try:
            async with asyncio.timeout(QUIET_S):
                await mark.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Ends the connection."""
        if self._closer is not None:
            self._closer.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _is_listening(self) -> bool:
        async with self._opening:
            if self._connection is not None and not self._connection.is_closed():
                return True
            try:
                self._connection = await self._database.listen(CHANNEL, self._tell)
            except Exception:  # who cannot listen looks by itself
                return False
            self._closer = asyncio.create_task(self._close_unused())
            return True

    def _tell(self, *_: object) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _close_unused(self) -> None:
        loop = asyncio.get_running_loop()
        left_s = LINGER_S
        while left_s > 0:
            await asyncio.sleep(left_s)
            left_s = self._last_used + LINGER_S - loop.time()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close(timeout=QUIET_S)
