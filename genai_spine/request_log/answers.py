"""Answers as one tree: a stream folded into what it said, bytes counted as they pass."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message

from genai_spine.chunks import ChunkBuilder
from genai_spine.request_log import trees
from genai_spine.v1.completion_service_pb2 import CompletionChunk

KEPT_BYTES = 1 << 20  # bytes of a stream's messages that are kept until it ends, and its last one
EVENTS = "text/event-stream"
# Members of an event whose text goes on in the next event; the others are said anew.
GROWING = frozenset(("content", "text", "arguments", "refusal", "reasoning", "reasoning_content", "input"))


class Answer:
    """Answer of a call while its messages go out."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self.is_cut = False
        self._has_begun = False
        self._messages: list[Message] = []
        self._last: Message | None = None
        self._content_type = ""  # of a body; of its first message alone
        self._sound_bytes = 0
        self._sound: Any = None  # digest of bytes that are not kept

    def add(self, message: Message) -> None:
        """Takes a message that goes out; it is not changed any more."""
        data = getattr(message, "data", b"") if isinstance(message, HttpBody) else _sound_of(message)
        if not self._has_begun:
            self._has_begun = True
            kind = getattr(message, "content_type", "") or getattr(message, "media_type", "")
            self._content_type = kind.partition("|")[0]  # behind it come headers
        self.size_bytes += len(data) if data or isinstance(message, HttpBody) else message.ByteSize()
        if data and not self._is_text(message):
            self._sound = self._sound or sha256()
            self._sound.update(data)
            self._sound_bytes += len(data)
        elif self.size_bytes <= KEPT_BYTES or not self._messages:
            self._messages.append(message)
        else:
            self.is_cut, self._last = True, message

    def tree(self) -> Any:
        """Tree of everything that was kept; None: nothing went out."""
        if self._sound is not None:
            heard = trees.seal(self._sound_bytes, self._sound.hexdigest(), self._content_type)
            others = [trees.of_message(one) for one in self._messages if not isinstance(one, HttpBody)]
            return merged([{"data": heard}, *others])
        messages = [*self._messages, *([self._last] if self._last is not None else [])]
        if not messages:
            return None
        if isinstance(messages[0], HttpBody):
            return self._body([message for message in messages if isinstance(message, HttpBody)])
        if len(messages) == 1 and not isinstance(messages[0], CompletionChunk):
            return trees.of_message(messages[0])
        return _folded(messages)

    def _is_text(self, message: Message) -> bool:
        if not isinstance(message, HttpBody):
            return False
        return (
            "json" in self._content_type or self._content_type.startswith("text/") or not self._content_type
        )

    def _body(self, bodies: Sequence[HttpBody]) -> Any:
        data = b"".join(body.data for body in bodies)
        if self._content_type.startswith(EVENTS):
            return merged(events_of(data))
        return trees.of_body(data, self._content_type)


def events_of(data: bytes) -> list[Any]:
    """JSON of server-sent events; an event without JSON is left out."""
    found = []
    for line in data.split(b"\n"):
        if line.startswith(b"data:"):
            try:
                found.append(msgspec.json.decode(line[5:]))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue  # the end mark, and what was cut
    return found


def merged(events: Sequence[Any]) -> Any:
    """Object of all events: texts go on, members of a list that have an index are merged by it."""
    if not all(isinstance(event, dict) for event in events):
        return list(events)
    whole: dict[str, Any] = {}
    for event in events:
        _merge(whole, event)
    return _joined(whole)


def _sound_of(message: Message) -> bytes:
    """Bytes of a piece of sound; none for messages that hold something else."""
    data = getattr(message, "data", b"")
    return data if isinstance(data, bytes) else b""


def _folded(messages: Sequence[Message]) -> Any:
    """Stream of typed messages as one value."""
    if isinstance(messages[0], CompletionChunk):
        whole = ChunkBuilder()
        for message in messages:
            if isinstance(message, CompletionChunk):
                whole.add(message)
        return trees.of_message(whole.completion())
    events = [trees.of_message(message) for message in messages]
    return merged(events) if "text" in messages[0].DESCRIPTOR.fields_by_name else {"events": events}


def _merge(whole: dict[str, Any], event: dict[str, Any]) -> None:
    for name, value in event.items():
        before = whole.get(name)
        if name in GROWING and isinstance(value, str):
            if isinstance(before, list):
                before.append(value)
            else:
                whole[name] = [value]
        elif isinstance(before, dict) and isinstance(value, dict):
            _merge(before, value)
        elif isinstance(value, dict):
            whole[name] = {}
            _merge(whole[name], value)
        elif isinstance(value, list) and _has_index(value):
            whole[name] = _indexed(before if isinstance(before, list) else [], value)
        elif value not in (None, []) or name not in whole:
            whole[name] = value


def _has_index(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(one, dict) and isinstance(one.get("index"), int) for one in value)


def _indexed(before: list[Any], value: list[Any]) -> list[Any]:
    for one in value:
        known = next((found for found in before if found["index"] == one["index"]), None)
        if known is None:
            known = {"index": one["index"]}
            before.append(known)
        _merge(known, one)
    return before


def _joined(value: Any, name: str = "") -> Any:
    """Tree whose growing texts are one text each."""
    if isinstance(value, dict):
        return {key: _joined(one, key) for key, one in value.items()}
    if isinstance(value, list):
        if name in GROWING and all(isinstance(one, str) for one in value):
            return "".join(value)
        return [_joined(one) for one in value]
    return value
