"""Raw usage: what an upstream says it used, as it came, and the calls of its own tools that it counts.

The object is cut out of the body's own bytes: it is neither read nor written a second time.
"""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Raw, Struct

from genai_spine.providers.wire_types import MAX_TOKEN_COUNT
from genai_spine.v1 import usage_pb2

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
KEY = b'"usage":'  # in a text within JSON the second quotation mark has a backslash before it
BLANKS = b" \t\r\n"
ENDINGS = ("_requests", "_calls")  # Anthropic's and xAI's, of the same tools
_FIELDS = msgspec.json.Decoder(dict[str, Raw])


class _Body(Struct):
    """Object that has a usage object, and nothing else of it."""

    usage: Raw = Raw()


class _Wrapped(Struct):
    """Event with such an object in it, by the names that protocols have for it."""

    message: _Body | None = None  # Anthropic's message_start
    metadata: _Body | None = None  # Bedrock
    response: _Body | None = None  # OpenAI's Responses
    x_groq: _Body | None = None


_BODY = msgspec.json.Decoder(_Body)
_WRAPPED = msgspec.json.Decoder(_Wrapped)


class RawUsage:
    """Usage object of one answer. A stream can have several: each is a total so far, or a part of it."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add(self, body: bytes, place: str = "") -> None:
        """Takes the usage object of a body or event. place: name of the object that has it, where one has."""
        try:
            around = getattr(_WRAPPED.decode(body), place) if place else _BODY.decode(body)
            part = bytes(around.usage) if around else b""
        except UNREADABLE:
            part = last_object(body)
        if part.startswith(b"{"):
            self._parts.append(part)

    @property
    def json(self) -> str | None:
        """The object as JSON; a field that several have is that of the last one. None: there was none."""
        if not self._parts:
            return None
        if len(self._parts) > 1:
            self._parts = [_joined(self._parts)]
        return self._parts[0].decode("utf-8", "replace")

    def attach(self, usage: usage_pb2.Usage) -> None:
        """Puts the object beside the counts that were read from it."""
        if (report := self.json) is not None:
            usage.reported_json = report


def attach(body: bytes, usage: usage_pb2.Usage, place: str = "") -> None:
    """Puts the only usage object of a body beside the counts that were read from it; place: as in add()."""
    report = RawUsage()
    report.add(body, place)
    report.attach(usage)


def last_object(body: bytes) -> bytes:
    """The last object that is called usage in a body that need not be JSON; empty where there is none."""
    start = body.rfind(KEY)
    while start >= 0:
        opened = body.find(b"{", start)
        if opened >= 0 and not body[start + len(KEY) : opened].strip(BLANKS):
            return _object(body, opened)
        start = body.rfind(KEY, 0, start)  # that one was null
    return b""


def _object(body: bytes, opened: int) -> bytes:
    """The object that begins there; empty where it has no end."""
    depth, at, end = 0, opened, opened
    while end >= 0:
        end = body.find(b"}", at)
        depth += body.count(b"{", at, end) - 1 if end >= 0 else 0
        at = end + 1
        if depth == 0:
            return body[opened:at]
    return b""


def _joined(parts: Iterable[bytes]) -> bytes:
    fields: dict[str, Raw] = {}
    for part in parts:
        try:
            found = _FIELDS.decode(part)
        except msgspec.DecodeError:
            continue
        fields |= {name: value for name, value in found.items() if bytes(value) != b"null"}
    return msgspec.json.encode(fields)


def tool_calls(*counts: Mapping[str, int | None] | None) -> dict[str, int]:
    """Calls of each tool that the upstream ran itself, by our name for it, without those that it did not.

    counts: by the upstream's names, such as web_search_requests. Where several tell of one tool, the most.
    """
    called: dict[str, int] = {}
    for told in counts:
        for name, count in (told or {}).items():
            if count and 0 < count < MAX_TOKEN_COUNT:
                for ending in ENDINGS:
                    name = name.removesuffix(ending)
                called[name] = max(count, called.get(name, 0))
    return called
