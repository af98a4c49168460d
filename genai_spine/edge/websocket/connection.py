"""WebSocket connection: frames go out at the reader's pace; what comes in is only counted."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress

from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed
from websockets.frames import DATA_OPCODES, CloseCode
from websockets.http11 import Request as Handshake
from websockets.protocol import OPEN, Event
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from genai_spine.edge.websocket.upgrade import chosen
from genai_spine.errors import InvalidRequest

PING_S = 20.0  # silence between two pings; shorter than any proxy's patience
PONG_S = 60.0  # for a pong, behind what is buffered on the way to a slow reader
CLOSE_S = 5.0  # for the other side to close, too
MAX_MESSAGE_BYTES = 4096  # of a caller, who has nothing to say; more is 1009
MAX_MESSAGES = 1000  # of a caller, all told; some clients send texts to keep a connection alive
WRITE_BUFFER_BYTES = 64 << 10  # not sent yet, above which the events wait
TALKATIVE = "this socket only sends"

# How each connection ended is in the log line of its call.
_log = logging.getLogger("genai_spine.websocket")
_log.disabled = True


class RunSocket(Connection):
    """One WebSocket, from its opening handshake on. It is served by the task that makes it."""

    def __init__(self, handshake: bytes) -> None:
        """Takes a handshake request. Errors: InvalidRequest (it is none that RFC 6455 allows)."""
        protocol = ServerProtocol(select_subprotocol=_select, max_size=MAX_MESSAGE_BYTES, logger=_log)
        protocol.receive_data(handshake)
        asked = protocol.events_received()
        if not asked or not isinstance(asked[0], Handshake):
            raise InvalidRequest(field="upgrade", problem="it is no request for a WebSocket")
        response = protocol.accept(asked[0])
        if response.status_code != 101:
            raise InvalidRequest(field="upgrade", problem=str(protocol.handshake_exc)[:200])
        protocol.send_response(response)
        self.opening = b"".join(protocol.data_to_send())
        super().__init__(
            protocol,
            ping_interval=PING_S,
            ping_timeout=PONG_S,
            close_timeout=CLOSE_S,
            write_limit=WRITE_BUFFER_BYTES,
        )
        self._heard = 0
        self._is_leaving = False
        self._task = asyncio.current_task()

    def process_event(self, event: Event) -> None:
        """Drops messages; too many of them end the connection."""
        if getattr(event, "opcode", None) not in DATA_OPCODES:
            super().process_event(event)
            return
        self._heard += 1
        if self._heard > MAX_MESSAGES and self.protocol.state is OPEN:
            self.protocol.fail(CloseCode.POLICY_VIOLATION, TALKATIVE)
            self.send_data()

    def data_received(self, data: bytes) -> None:
        """Bytes of the caller; once they ended the connection, its events end, too."""
        super().data_received(data)
        if self.protocol.state is not OPEN:
            self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        """End of the transport, by whomever."""
        super().connection_lost(exc)
        self._leave()

    def _leave(self) -> None:
        """Cancels the task that serves it, once, unless it closes the connection itself."""
        if not self._is_leaving and self._task is not None:
            self._is_leaving = True
            self._task.cancel()

    async def end(self, code: int, reason: str = "") -> None:
        """Closing handshake, within CLOSE_S; whoever does not take part in it is cut off."""
        self._is_leaving = True
        with suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(CLOSE_S + 1):  # a reader that does not read holds up the close frame
                await self.close(code, reason)
        self.transport.abort()


def handshake(target: str, by_name: Mapping[str, str]) -> bytes:
    """Head of a request, which was read before, as bytes again."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in by_name.items())
    return f"GET {target} HTTP/1.1\r\n{fields}\r\n".encode("latin-1")


def _select(protocol: ServerProtocol, subprotocols: Sequence[Subprotocol]) -> Subprotocol | None:
    found = chosen(list(subprotocols))
    return None if found is None else Subprotocol(found)
