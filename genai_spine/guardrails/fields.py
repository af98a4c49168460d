"""Text fields of requests and answers: each text with its place, to be looked at or rewritten.

What is not named here as an identifier is a text, so a field that is added later is looked at too.
"""

import json
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

# Identifiers and switches, which a provider needs as they are.
IDENTIFIERS = frozenset(
    (
        *("provider", "model", "idempotency_key", "routing", "id", "tool_call_id", "file_id", "media_type"),
        *(
            "format",
            "kind",
            "language",
            "voice",
            "response_format_name",
            "size",
            "quality",
            "style",
            "content_type",
        ),
    )
)
NAMED_BY_CALLERS = frozenset(("FunctionTool", "CustomTool", "FunctionCall", "CustomCall", "JsonSchema"))
# Parts that hold no text that could be searched.
UNREADABLE = frozenset(("ImagePart", "AudioPart", "FilePart", "TokenList"))
UNREADABLE_ADDRESSES = frozenset(("audio_url",))

Change = Callable[[str, str], str]  # of a place and its text: the text in its place
Unreadable = Callable[[str], None]  # takes the place of what cannot be searched


def rewrite(message: Message, change: Change, unreadable: Unreadable, path: str = "") -> None:
    """Rewrites all texts of a message, in place. In JSON the texts within are rewritten, and numbers."""
    for field, value in message.ListFields():
        if field.name in IDENTIFIERS or (field.name == "name" and _kind(message) in NAMED_BY_CALLERS):
            continue
        place = f"{path}.{field.name}" if path else field.name
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            _rewrite_messages(field, value, change, unreadable, place)
        elif field.type == FieldDescriptor.TYPE_BYTES or field.name in UNREADABLE_ADDRESSES:
            unreadable(place)
        elif field.type == FieldDescriptor.TYPE_STRING and field.is_repeated:
            value[:] = [change(f"{place}[{index}]", text) for index, text in enumerate(value)]
        elif field.type == FieldDescriptor.TYPE_STRING:
            how = in_json if field.name.endswith("_json") else change_text
            setattr(message, field.name, how(place, value, change))


def _rewrite_messages(field: Any, value: Any, change: Change, unreadable: Unreadable, place: str) -> None:
    kind = field.message_type
    if kind.GetOptions().map_entry:
        if kind.fields_by_name["value"].type == FieldDescriptor.TYPE_STRING:
            for key in list(value):
                value[key] = change(f"{place}[{key}]", value[key])
        return
    entries = list(enumerate(value)) if field.is_repeated else [(None, value)]
    for index, entry in entries:
        inner = place if index is None else f"{place}[{index}]"
        if kind.name in UNREADABLE:
            unreadable(inner)
        else:
            rewrite(entry, change, unreadable, inner)


def change_text(place: str, text: str, change: Change) -> str:
    """Text of a field as it is changed."""
    return change(place, text)


def in_json(place: str, text: str, change: Change) -> str:
    """JSON whose texts, names and numbers are changed; what is no JSON is a text as any other."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return change(place, text)
    changed = _changed(place, value, change)
    return text if changed == value else json.dumps(changed, ensure_ascii=False)


def _changed(place: str, value: Any, change: Change) -> Any:
    if isinstance(value, str):
        return change(place, value)
    if isinstance(value, dict):
        return {
            change(place, name): _changed(f"{place}.{name}", inner, change) for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_changed(f"{place}[{index}]", inner, change) for index, inner in enumerate(value)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = str(value)  # a card number may be written as a number
        changed = change(place, text)
        return value if changed == text else changed
    return value


def _kind(message: Message) -> str:
    return str(message.DESCRIPTOR.name)
