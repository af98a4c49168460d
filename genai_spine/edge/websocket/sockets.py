"""WebSockets of one server: how many there are, and their end when it stops."""

from collections.abc import Iterator
from contextlib import contextmanager

from genai_spine.edge.running_calls import RunningStreams
from genai_spine.edge.websocket.connection import RunSocket
from genai_spine.errors import ServerFull

MAX_SOCKETS = 5000
RETRY_S = 1.0  # then some may have ended


class Sockets:
    """Open WebSockets."""

    def __init__(self) -> None:
        self.streams = RunningStreams()  # that serve them
        self._open: set[RunSocket] = set()

    def check(self) -> None:
        """Errors: ServerFull (there is no room for one more)."""
        if len(self._open) >= MAX_SOCKETS:
            raise ServerFull(running=len(self._open), waiting=0, refused=None, retry_after_s=RETRY_S)

    @contextmanager
    def holding(self, socket: RunSocket) -> Iterator[None]:
        """Counts a socket that is open, and keeps it alive."""
        self._open.add(socket)
        socket.start_keepalive()
        try:
            yield
        finally:
            self._open.discard(socket)

    @property
    def are_open(self) -> bool:
        return bool(self._open)

    def cut(self) -> None:
        """Sends all away, and whoever is still being let in, to be served elsewhere."""
        self.streams.cut()

    def abort(self) -> None:
        """Cuts off those that did not go."""
        for socket in self._open:
            socket.transport.abort()
