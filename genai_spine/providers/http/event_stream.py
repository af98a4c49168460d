"""Frame decoders that cut a byte stream into events: server-sent events, and JSON lines.

Fed with whatever one read of the socket brought, they return the payloads that are complete.
"""

from typing import Protocol

MAX_EVENT_BYTES = 64 << 20  # bytes; an upstream that sends more without an end of event is broken


class EventTooLarge(Exception):
    """The upstream sent 64 MiB without the end of an event."""


class FrameDecoder(Protocol):
    """Decoder of one stream's frames; a decoder belongs to one stream."""

    def feed(self, data: bytes) -> list[bytes]:
        """Payloads that are complete now; the rest waits for more. Raises EventTooLarge."""

    def rest(self) -> list[bytes]:
        """Payloads left at the end of the stream that no separator ended."""


class ServerSentEvents:
    """Payloads of `data:` fields; comments, event names, ids and retry times are left out.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, 2026-11-21. A lone CR as the end
    of a line is not read as one: no upstream sends it, and looking for it costs a pass.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._held = b""

    def feed(self, data: bytes) -> list[bytes]:
        if self._held or b"\r" in data:
            # A CR at the very end may be half of a CRLF: its LF comes with the next read.
            data = self._held + data
            self._held = b"\r" if data.endswith(b"\r") else b""
            data = data[: len(data) - len(self._held)].replace(b"\r\n", b"\n")
        data = self._buffer + data if self._buffer else data
        block, separator, rest = data.rpartition(b"\n\n")
        self._buffer = rest if separator else data
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise EventTooLarge()
        if not separator:
            return []
        return [payload for event in block.split(b"\n\n") if (payload := _payload(event)) is not None]

    def rest(self) -> list[bytes]:
        payload = _payload(self._buffer.rstrip(b"\n"))
        return [] if payload is None else [payload]


def _payload(event: bytes) -> bytes | None:
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


class JsonLines:
    """Payloads of newline-delimited JSON, one value a line; empty lines are left out."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        data = self._buffer + data if self._buffer else data
        block, separator, rest = data.rpartition(b"\n")
        self._buffer = rest if separator else data
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise EventTooLarge()
        return [line for line in block.split(b"\n") if line.strip()] if separator else []

    def rest(self) -> list[bytes]:
        return [self._buffer] if self._buffer.strip() else []
