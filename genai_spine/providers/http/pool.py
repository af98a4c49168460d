"""Pool of the open connections to one origin; a connection serves one exchange at a time."""

from time import monotonic

from genai_spine.providers.http.connection import Connection, Exchange
from genai_spine.providers.http.dial import Dialer

MAX_IDLE_S = 30.0  # a connection that rested longer is not used again: the peer may be about to close it
MAX_AGE_S = 300.0  # nor one that was opened longer ago: its host's name may mean another address by now


class Pool:
    """Connections of one dialer, for as long as its client lives."""

    def __init__(self, dialer: Dialer) -> None:
        self.dialer = dialer
        self.idle: list[Connection] = []
        self._open: set[Connection] = set()

    def take(self) -> Connection | None:
        """Idle connection that is still usable, the latest first; None to open one."""
        now = monotonic()
        while self.idle:
            connection = self.idle.pop()
            rested_s, age_s = now - connection.idle_since, now - connection.opened_at
            if not connection.closed and rested_s < MAX_IDLE_S and age_s < MAX_AGE_S:
                return connection
            self._end(connection)
        return None

    async def connect(self) -> Connection:
        """New connection. Raises OSError."""
        connection = await self.dialer.connect()
        connection.opened_at = monotonic()
        self._open.add(connection)
        return connection

    def release(self, exchange: Exchange) -> None:
        """Connection back to the pool, or ended when it cannot serve another request."""
        exchange.end_timers()
        connection = exchange.connection
        if exchange.done and connection.reusable and not connection.closed:
            connection.resume()  # it may have been paused for a consumer that left
            connection.idle_since = monotonic()
            self.idle.append(connection)
        else:
            self._end(connection)

    def close(self) -> None:
        """Ends all connections, whatever they serve."""
        for connection in list(self._open):
            self._end(connection)
        self.idle.clear()

    def _end(self, connection: Connection) -> None:
        connection.abort()
        self._open.discard(connection)
