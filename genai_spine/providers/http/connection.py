"""HTTP/1.1 connection to an upstream: an asyncio protocol around llhttp's parser.

Written for the hot path: about a third of the time of a general client per call, and everything that one read
of the socket brought stays together. Each exchange has its own buffer, so a connection that goes back to the
pool never carries bytes of the exchange before.
"""

import asyncio
from collections.abc import Iterator
from math import inf
from time import monotonic
from typing import Any, cast

import httptools

from genai_spine.concurrency import next_tick
from genai_spine.providers.http.content_coding import ContentDecoder, UndecodableBody

PAUSE_ABOVE_BYTES = 1 << 20  # bytes that wait for the consumer before the socket is no longer read
MAX_HEAD_BYTES = 256 << 10  # of head, trailers or chunk extensions that bring nothing of the body
MERGED_BYTES = 64 << 10  # that wait for a tick; more is given to the consumer at once
MAX_BODY_BYTES = 128 << 20  # of a whole answer, decoded; the server's own answers are not larger


class ConnectionLost(Exception):
    """The peer closed the connection before the response was complete."""


class ReadTimeout(Exception):
    """The time allowed passed without the arrival of anything."""


class AnswerTooLarge(Exception):
    """The upstream sends more than an answer can have."""


class Exchange:
    """Response while it arrives; one consumer waits for it at a time.

    One timer looks after all of its waits: it is armed again only where a wait ends before it rings, so that
    a stream of many reads arms it once or twice. end_timers() when nobody waits any more.
    """

    __slots__ = (
        "_due",
        "_merging",
        "_rings",
        "_timer",
        "chunks",
        "connection",
        "decoder",
        "done",
        "error",
        "headers",
        "merge_s",
        "pieces",
        "size",
        "status",
        "waiter",
    )

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection
        self.status = 0  # 0 until the response's head is complete
        self.headers: dict[str, str] = {}
        self.chunks: list[bytes] = []
        self.size = 0
        self.done = False
        self.error: Exception | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.decoder: ContentDecoder | None = None  # of a body that is compressed
        self.pieces: Iterator[bytes] = iter(())  # decoded, and not taken yet
        # Seconds between two ticks, at which the consumer is woken with all that has come; 0: at each read.
        self.merge_s = 0.0
        self._merging: asyncio.TimerHandle | None = None  # the next tick, where something waits for it
        self._due = inf  # end of the wait's time, on time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._rings = inf  # when the timer rings

    def wake(self) -> None:
        """Wakes the consumer, after anything has changed."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def arrived(self) -> None:
        """Wakes the consumer after a read, or with the next tick where that brought no more than a part."""
        if not self.merge_s or self.done or self.error is not None or self.size > MERGED_BYTES:
            self.wake()
        elif self._merging is None:
            loop = self.connection.loop
            self._merging = loop.call_at(next_tick(loop.time(), self.merge_s), self._tick)

    def _tick(self) -> None:
        self._merging = None
        self.wake()

    def end_timers(self) -> None:
        """Ends the timers, with the last wait."""
        self._end_timer()
        if self._merging is not None:
            self._merging.cancel()
            self._merging = None

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._rings = None, inf

    def _change(self, timeout_s: float | None) -> "asyncio.Future[None]":
        """Future of the next change, to be awaited at once; its error is ReadTimeout."""
        self.waiter = waiter = self.connection.loop.create_future()
        self._due = due = inf if timeout_s is None else monotonic() + timeout_s
        if due < self._rings:
            self._arm(due, timeout_s)
        return waiter

    def _arm(self, due: float, delay_s: float | None) -> None:
        self._end_timer()
        self._timer, self._rings = self.connection.loop.call_later(delay_s or 0.0, self._ring), due

    def _ring(self) -> None:
        """Ends a wait whose time is up; of one that began later, the rest of its time is waited for."""
        self._timer, self._rings = None, inf
        if self.waiter is None or self.waiter.done():  # the next wait arms it
            return
        left_s = self._due - monotonic()
        if self.chunks:  # something has come, and waits for the tick
            self.wake()
        elif left_s > 0:
            self._arm(self._due, left_s)
        else:
            self.waiter.set_exception(ReadTimeout())

    async def head(self, timeout_s: float | None) -> int:
        """Status, once the response's head is complete. Raises ReadTimeout, ConnectionLost."""
        while not self.status:
            if self.error:
                raise self.error
            await self._change(timeout_s)
        return self.status

    async def some(self, timeout_s: float | None) -> bytes:
        """Bytes that have arrived since the last call, at least one; b"" at the end of the body.

        Raises ReadTimeout, ConnectionLost, UndecodableBody.
        """
        if self.decoder is not None:
            return await self._decoded(timeout_s)
        while not self.chunks:
            if self.done:
                return b""
            if self.error:
                raise self.error
            await self._change(timeout_s)
        return self._take()

    async def _decoded(self, timeout_s: float | None) -> bytes:
        """The same of a compressed body, a piece at a time: a few bytes may stand for many."""
        while True:
            if piece := next(self.pieces, b""):
                await asyncio.sleep(0)  # the next one is there at once, and others want to work
                return piece
            while not self.chunks:
                if self.done:
                    return b""
                if self.error:
                    raise self.error
                await self._change(timeout_s)
            self.pieces = cast(ContentDecoder, self.decoder).pieces(self._take())

    def whole(self) -> bytes:
        """Whole body that came together with the head, as most do; b"" where it did not."""
        return self._take() if self.done and self.decoder is None else b""

    async def all(self, timeout_s: float | None) -> bytes:
        """Whole body within timeout_s; taken in parts, because a paused socket brings nothing.

        Raises ReadTimeout, ConnectionLost, UndecodableBody, AnswerTooLarge.
        """
        chunks = await self._until(MAX_BODY_BYTES, timeout_s)
        if sum(map(len, chunks)) > MAX_BODY_BYTES:
            raise AnswerTooLarge(f"the answer is larger than {MAX_BODY_BYTES} bytes")
        if not self.complete:
            raise ConnectionLost("the compressed body ended early")
        return b"".join(chunks)

    async def beginning(self, most: int, timeout_s: float | None) -> bytes:
        """First bytes of an error's body, as far as they can be read: its status says enough without them.

        Raises ReadTimeout.
        """
        try:
            chunks = await self._until(most, timeout_s)
        except (UndecodableBody, ConnectionLost, AnswerTooLarge):
            return b""
        return b"".join(chunks)[:most]

    @property
    def complete(self) -> bool:
        """Whether a body that is done had its end; a compressed one may lack it."""
        return self.decoder is None or self.decoder.complete

    async def _until(self, most: int, timeout_s: float | None) -> list[bytes]:
        """Parts of the body: all of it, or as many as are more than `most` bytes."""
        end = None if timeout_s is None else monotonic() + timeout_s
        chunks, size = list[bytes](), 0
        while size <= most and (data := await self.some(None if end is None else end - monotonic())):
            chunks.append(data)
            size += len(data)
        return chunks

    def _take(self) -> bytes:
        data = self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
        self.chunks.clear()
        if self.size > PAUSE_ABOVE_BYTES:
            self.connection.resume()
        self.size = 0
        return data


class Connection(asyncio.Protocol):
    """A connection that serves one exchange at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.transport: asyncio.Transport | None = None
        self.exchange: Exchange | None = None
        self.reusable = True
        self.opened_at = self.idle_since = 0.0  # on time.monotonic()
        self._parser: Any = None
        self._until_eof = False
        self._paused = False
        self._barren_bytes = 0  # since a read that brought something of a body

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self.transport is None or self.transport.is_closing()

    def send(self, request: bytes) -> Exchange:
        """Exchange of a request that was written to the socket. Raises ConnectionLost."""
        if self.closed:
            raise ConnectionLost("the connection is closed")
        self._parser = httptools.HttpResponseParser(self)
        self._until_eof = False
        self._barren_bytes = 0
        self.exchange = Exchange(self)
        cast(asyncio.Transport, self.transport).write(request)
        return self.exchange

    def abort(self) -> None:
        """Ends the connection at once, so that the upstream stops working."""
        self.reusable = False
        if self.transport is not None:
            self.transport.abort()

    def resume(self) -> None:
        """Reads from the socket again, when it was paused for a slow consumer."""
        if self._paused and self.transport is not None and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    # asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None or exchange.done:
            self.abort()  # bytes that nobody asked for: the peer is out of step
            return
        size = exchange.size
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            exchange.error = ConnectionLost(f"not HTTP: {error}")
            self.abort()
        if exchange.size != size:
            self._barren_bytes = 0
        elif not exchange.done:
            self._nothing_came(exchange, len(data))
        if exchange.size > PAUSE_ABOVE_BYTES and not self._paused and not self.closed:
            self._paused = True
            cast(asyncio.Transport, self.transport).pause_reading()
        exchange.arrived()

    def _nothing_came(self, exchange: Exchange, size: int) -> None:
        """Ends an answer that goes on with headers or chunk extensions, for which there is no end."""
        self._barren_bytes += size
        if self._barren_bytes > MAX_HEAD_BYTES and exchange.error is None:
            exchange.error = AnswerTooLarge(f"more than {MAX_HEAD_BYTES} bytes came that are no answer")
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self.transport = None
        exchange = self.exchange
        if exchange is None or exchange.done:
            return
        if exchange.status and self._until_eof and exc is None:
            exchange.done = True
        else:
            exchange.error = exchange.error or ConnectionLost(str(exc) if exc else "closed by the peer")
        exchange.wake()

    # httptools callbacks
    def on_header(self, name: bytes, value: bytes) -> None:
        text = value.decode("latin-1").strip(" \t")  # spaces around a value are none of it (RFC 9110, 5.5)
        cast(Exchange, self.exchange).headers[name.decode("latin-1").lower()] = text

    def on_headers_complete(self) -> None:
        exchange = cast(Exchange, self.exchange)
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue, 103 Early Hints: the real head follows
            exchange.headers.clear()
            return
        headers = exchange.headers
        self._until_eof = "content-length" not in headers and "transfer-encoding" not in headers
        if "content-encoding" in headers:
            exchange.decoder = ContentDecoder.of(headers["content-encoding"])
        exchange.status = status

    def on_body(self, body: bytes) -> None:
        exchange = cast(Exchange, self.exchange)
        exchange.chunks.append(body)
        exchange.size += len(body)

    def on_message_complete(self) -> None:
        exchange = cast(Exchange, self.exchange)
        if exchange.status:  # not after 1xx
            exchange.done = True
            self.reusable = self.reusable and bool(self._parser.should_keep_alive())
