"""HTTP/1.1 connection: bytes in become requests, one at a time, and their answers go out.

A request that comes before the answer to the one before it is not served: that answer is the last one of the
connection, so a client that sends ahead sends again what was not answered (RFC 9112, section 9.3.2).
"""

import asyncio
from math import inf
from typing import TYPE_CHECKING, Any

import structlog
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from genai_spine.call import uuid7
from genai_spine.edge.http_server import limits, response
from genai_spine.edge.http_server.head import Head
from genai_spine.edge.http_server.request import Refused

if TYPE_CHECKING:
    from genai_spine.edge.http_server.server import HttpServer

NOTHING = Head()  # between two requests

log = structlog.get_logger()


class Connection(asyncio.Protocol):
    """One connection of a caller."""

    def __init__(self, server: "HttpServer") -> None:
        self.until = server.now() + limits.IDLE_S  # then it ends; inf: while a request is answered
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._parser = HttpRequestParser(self)
        self._head = NOTHING
        self._body: list[bytes] = []
        self._task: asyncio.Task[None] | None = None  # that answers a request
        self._final: Refused | None = None  # found while bytes are read, and not sent yet
        self._is_last = False  # nothing more is read: the answer under way, or the one sent, is the last
        self._lingered: int | None = None  # bytes dropped after the last answer; None: it has not gone out
        self._drained: asyncio.Future[None] | None = (
            None  # waited for by a stream that is ahead of its reader
        )
        self._is_paused = False
        self._is_upgrading = False  # the request under way asks for a WebSocket
        self._early: list[bytes] | None = None  # frames that came before that is open; None: it is no upgrade

    @property
    def is_idle(self) -> bool:
        return self._task is None and not self._head.is_begun

    # What the transport says.

    def connection_made(self, transport: Any) -> None:  # uvloop's are no asyncio.Transport
        self._transport = transport
        transport.set_write_buffer_limits(limits.WRITE_BUFFER_BYTES)
        self._server.connections.add(self)
        if len(self._server.connections) > limits.MAX_CONNECTIONS:
            self._refuse(Refused(503, "this server has too many connections"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._is_last, self._transport = True, None
        if self._task is not None:
            self._task.cancel()

    def eof_received(self) -> bool:
        return False  # a caller who says no more is gone, as for Envoy

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._keep(data)
            return
        if self._is_last:
            self._drop(len(data))
            return
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            if self._is_upgrading:  # else its head was refused
                self._early = []
                self._keep(data[upgrade.args[0] :])
        except HttpParserError as error:
            self._refuse(Refused(400, f"this is no HTTP/1.1: {error.args[0] if error.args else 'malformed'}"))
        else:
            if self._head.is_begun and not self._head.is_complete:
                self._head.wait(len(data))
                self._stop_reading()
        if self._final is not None:
            self._refuse(self._final)

    def pause_writing(self) -> None:
        self._is_paused = True
        self.until = self._server.now() + limits.STALL_S

    def resume_writing(self) -> None:
        self._is_paused = False
        self.until = inf if self._task is not None else self._server.now() + limits.IDLE_S
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # What the parser finds.

    def on_message_begin(self) -> None:
        if self._task is not None:
            self._is_last = True
        if not self._is_last:
            self._head = Head(is_begun=True)
            self.until = self._server.now() + limits.HEAD_S

    def on_url(self, url: bytes) -> None:
        if not self._is_last:
            self._head.add_target(url)
            self._stop_reading()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not (self._is_last or self._head.is_complete):  # else a trailer, of which none means anything here
            self._head.add(name, value)
            self._stop_reading()

    def on_headers_complete(self) -> None:
        if self._is_last:
            return
        self.until = self._server.now() + limits.REQUEST_S
        head = self._head
        head.complete(self._parser.get_method().decode(), self._parser.get_http_version(), self._server.site)
        self._is_upgrading = self._parser.should_upgrade() and head.is_upgrade
        if self._parser.should_upgrade() and not head.is_upgrade:
            words = "upgrade: no other protocol is spoken here"
            head.refused = head.refused or Refused(400, words)
            head.refused.is_last = True  # what follows is no HTTP
        self._stop_reading()
        if head.expects and head.refused is None and self._transport is not None:
            self._transport.write(response.CONTINUE)

    def on_body(self, body: bytes) -> None:
        if self._is_last:
            return
        if self._head.takes(len(body)):
            self._body.append(body)
        self._stop_reading()

    def on_message_complete(self) -> None:
        if self._is_last:
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        head, self._head, self._body = self._head, NOTHING, []
        if head.is_upgrade or not self._parser.should_keep_alive():
            self._is_last = True
        self.until = inf
        self._task = asyncio.get_running_loop().create_task(self._answer(head, body))

    def _keep(self, data: bytes) -> None:
        """Keeps frames for the WebSocket that is not open yet."""
        if self._early is None or sum(map(len, self._early)) + len(data) > limits.MAX_EARLY_BYTES:
            self.cut()
        elif data:
            self._early.append(data)

    def become(self, protocol: asyncio.Protocol, opening: bytes) -> None:
        """Hands the transport over: after these bytes another protocol is spoken."""
        transport, early = self._transport, self._early
        self._server.connections.discard(self)
        self._transport, self._early = None, None
        if transport is None:  # the caller has gone
            raise asyncio.CancelledError
        transport.write(opening)
        protocol.connection_made(transport)
        transport.set_protocol(protocol)
        for data in early or ():
            protocol.data_received(data)

    # The answer.

    @property
    def is_closing(self) -> bool:
        """Whether the answer under way is the last one, as its headers say then."""
        return self._is_last or self._server.draining

    @property
    def headers(self) -> dict[str, str]:
        """Headers that every answer begins with."""
        own = {"date": self._server.date}
        return own | {"connection": "close"} if self.is_closing else own

    def write(self, data: bytes) -> None:
        """Sends bytes of an answer; those for a caller who is gone are dropped."""
        if self._transport is not None:
            self._transport.write(data)

    async def drain(self) -> None:
        """Returns once the caller has read on."""
        while self._is_paused and self._transport is not None:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    def cut(self) -> None:
        """Ends the connection within an answer, so that nobody takes a part for the whole."""
        self._is_last = True
        if self._transport is not None:
            self._transport.abort()

    async def _answer(self, head: Head, body: bytes) -> None:
        try:
            if head.refused is not None:
                raise head.refused
            await self._server.handle(head.request(body), self)
        except Refused as refused:
            self.refuse(refused, head.request_id)
        except Exception:
            log.exception("http_answer_failed", path=head.path.partition("?")[0])
            self.cut()
        finally:
            self._task = None
            self._finish()

    def refuse(self, refused: Refused, request_id: str | None = None) -> None:
        """Answer to a request that no handler sees."""
        log.info("http_refused", status=refused.status, cause=refused.words)
        headers, body = response.refusal(refused, request_id or uuid7())
        self.write(response.head(refused.status, self.headers | headers, len(body)) + body)

    def _finish(self) -> None:
        """The next request, or the end of the connection."""
        self._early = None
        if self._transport is None or self._transport.is_closing():
            return
        if not self._is_paused:
            self.until = self._server.now() + limits.IDLE_S
        if self.is_closing:
            self._linger()

    def _refuse(self, refused: Refused) -> None:
        """Refusal of what is read, after which nothing more can be."""
        if self._is_last and self._final is None:
            return
        self._is_last, self._final = True, None
        self._body.clear()
        if self._task is None:
            self.refuse(refused, self._head.request_id)
            self._linger()

    def _stop_reading(self) -> None:
        """Nothing of what follows a final refusal is looked at: where it would begin is not known."""
        if self._head.refused is not None and self._head.refused.is_last:
            self._is_last, self._final = True, self._head.refused

    def _linger(self) -> None:
        """Closing in a way that lets the caller read the answer: to close with bytes unread takes it back."""
        self._is_last = True
        if self._transport is None or self._lingered is not None:
            return
        self._lingered = 0
        self.until = self._server.now() + limits.LINGER_S
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _drop(self, size: int) -> None:
        """Bytes that come after the last request."""
        self._lingered = None if self._lingered is None else self._lingered + size
        if self._lingered is not None and self._lingered > limits.MAX_LINGER_BYTES:
            self.cut()

    def expire(self) -> None:
        """End of a connection whose time is up."""
        if self._head.is_begun and not self._is_last:
            self._refuse(Refused(408, "the request was not complete in time"))
        elif self._transport is not None:
            self._transport.abort() if self._task is not None or self._is_last else self._transport.close()
