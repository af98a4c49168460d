"""Frame decoders that cut a byte stream into events: server-sent events, and JSON lines.

Fed with whatever one read of the socket brought, they return the payloads that are complete.
"""

from typing import Protocol

BOM = b"\xef\xbb\xbf"
MAX_BLANK_BYTES = 1024  # before the first event
OTHERS = (b"{", b"[", b"<")  # first bytes of what is no stream of events: JSON, a page
OPENINGS = (b"", b"{", b"[")  # first lines of a JSON value on several lines
MAX_EVENT_BYTES = 64 << 20  # bytes; an upstream that sends more without an end of event is broken


class EventTooLarge(Exception):
    """The upstream sent 64 MiB without the end of an event."""


class FrameDecoder(Protocol):
    """Decoder of one stream's frames; a decoder belongs to one stream.

    grace_s: seconds that the connection may still say something, once the answer is complete; None before.
    """

    grace_s: float | None

    def feed(self, data: bytes) -> list[bytes]:
        """Payloads that are complete now; the rest waits for more. Raises EventTooLarge."""

    def rest(self) -> list[bytes]:
        """Payloads left at the end of the stream that no separator ended."""


class ServerSentEvents:
    """Payloads of `data:` fields; comments, event names, ids, retry times and empty payloads are left out.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, 2026-11-21. A lone CR as the end
    of a line is not read as one: no upstream sends it, and looking for it costs a pass.

    A body that begins as a JSON value or as a page is no stream of events, whatever its media type says: it
    is one payload, which `value` holds in the end, or one for each line where the lines are JSON objects.
    """

    def __init__(self) -> None:
        self.grace_s: float | None = None
        self.value: bytes | None = None
        self._buffer = b""
        self._held = b""
        self._begun = False
        self._whole: list[bytes] | None = None  # a body that is no stream
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        if not self._begun and not (data := self._beginning(data)):
            return []
        if self._whole is not None:
            return self._collected(self._whole, data)
        if not self._buffer and not self._held and _is_line(data):
            return [line] if (line := data[6:].strip()) else []
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
        return [payload for event in block.split(b"\n\n") if (payload := _payload(event))]

    def rest(self) -> list[bytes]:
        if self._whole is not None:
            values = _values(b"".join(self._whole))
            self.value = values[0] if len(values) == 1 else None
            return values
        payload = _payload(self._buffer.rstrip(b"\n"))
        return [payload] if payload else []

    def _beginning(self, data: bytes) -> bytes:
        """The first bytes, without a byte order mark; none while they do not tell what this is."""
        data = self._buffer + data
        if (BOM.startswith(data) or not data.strip()) and len(data) < MAX_BLANK_BYTES:
            self._buffer = data
            return b""
        data, self._buffer, self._begun = data.removeprefix(BOM), b"", True
        if data.lstrip()[:1] in OTHERS:
            self._whole = []
        return data

    def _collected(self, whole: list[bytes], data: bytes) -> list[bytes]:
        """Keeps a piece of a body that is no stream."""
        whole.append(data)
        self._size += len(data)
        if self._size > MAX_EVENT_BYTES:
            raise EventTooLarge()
        return []


def _is_line(data: bytes) -> bool:
    """Whether bytes are one whole event of one line, as most reads bring."""
    return data.endswith(b"\n\n") and data.startswith(b"data: ") and data.find(b"\n") == len(data) - 2


def _payload(event: bytes) -> bytes | None:
    if event.startswith(b"event: "):  # as protocols do that name each event; the name is left out
        event = event[event.find(b"\n") + 1 :]
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:].strip()
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines).strip() if lines else None


def _values(body: bytes) -> list[bytes]:
    """The JSON values of a body: itself, or its lines where each is an object."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    apart = len(lines) > 1 and all(line.startswith(b"{") and line.rstrip().endswith(b"}") for line in lines)
    return lines if apart else [body]


def events_of(body: bytes) -> list[bytes]:
    """Payloads of a body that is a stream of events, although one answer was asked for; else none."""
    begin = body[:64].removeprefix(BOM).lstrip()
    if not begin.startswith((b"data:", b"event:", b"id:", b"retry:", b":")):
        return []
    events = ServerSentEvents()
    return [*events.feed(body), *events.rest()]


class JsonLines:
    """Payloads of newline-delimited JSON, one value a line; empty lines are left out.

    Lines of server-sent events are read as well, and one JSON value on several lines at the end of the body.
    """

    def __init__(self) -> None:
        self.grace_s: float | None = None
        self._buffer = b""
        self._begun = False
        self._whole: list[bytes] | None = None  # a value on several lines

    def feed(self, data: bytes) -> list[bytes]:
        data = self._buffer + data if self._buffer else data
        if not self._begun and not (data := self._beginning(data)):
            return []
        block, separator, rest = data.rpartition(b"\n")
        self._buffer = rest if separator else data
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise EventTooLarge()
        if not separator:
            return []
        if self._whole is not None:
            self._whole += (block, separator)
            return []
        return [line for line in map(_line, block.split(b"\n")) if line]

    def rest(self) -> list[bytes]:
        if self._whole is not None:
            return [b"".join((*self._whole, self._buffer))]
        line = _line(self._buffer)
        return [line] if line else []

    def _beginning(self, data: bytes) -> bytes:
        """The first line, without a byte order mark; none while it is not complete."""
        text = data.removeprefix(BOM).lstrip()
        first, ended, _ = text.partition(b"\n")
        if (BOM.startswith(data) or (first.strip() in OPENINGS and not ended)) and len(
            data
        ) < MAX_BLANK_BYTES:
            self._buffer = data
            return b""
        self._begun, self._buffer = True, b""
        if text and first.rstrip() in OPENINGS:
            self._whole = []
        return text


def _line(line: bytes) -> bytes:
    """Payload of a line: itself, or that of an event; none of a comment or another field of an event."""
    if line.startswith(b"{"):
        return line
    line = line.strip()
    if line.startswith(b"data:"):
        line = line[5:].lstrip()
    return b"" if line.startswith((b":", b"event:", b"id:", b"retry:")) or line == b"[DONE]" else line


def lines_of(body: bytes) -> list[bytes]:
    """Values of a body that is one value, or a stream of them although it was not to be one."""
    if body.startswith(b"{") and b"\n" not in body:  # as most are
        return [body]
    lines = JsonLines()
    return [*lines.feed(body), *lines.rest()]
