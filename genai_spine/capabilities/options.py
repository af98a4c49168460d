"""Options of a request: the map `options` merged into the fields that the caller left unset."""

import re
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from genai_spine import validation
from genai_spine.errors import InvalidFields

T = TypeVar("T", bound=Message)

OPTIONS = "options"
FIRST_FIELD = re.compile(r"[^.\[]+")  # of a path: the field


def merged(request: T) -> T:
    """Copy of a request with its options in their fields. Unknown options are ignored, as unknown fields are.

    Errors: InvalidFields, naming options.FIELD.
    """
    whole = type(request)()
    whole.CopyFrom(request)
    options: Any = getattr(whole, OPTIONS, None)
    if not options:
        return whole
    applied = {name for name, value in dict(options).items() if _apply_option(whole, name, value)}
    whole.ClearField(OPTIONS)
    try:
        validation.check(whole)
    except InvalidFields as error:
        raise InvalidFields([(_path(path, applied), problem) for path, problem in error.violations]) from None
    return whole


def _apply_option(whole: Message, name: str, value: Any) -> bool:
    """Whether an option went into its field; a field that the caller has set wins. Errors: InvalidFields."""
    field: Any = whole.DESCRIPTOR.fields_by_name.get(name)
    if field is None or name == OPTIONS or value is None or _is_set(whole, field):
        return False
    plain = json_format.MessageToDict(value) if isinstance(value, Message) else value
    try:
        # An unknown name of an enum counts as an unknown field there.
        json_format.ParseDict({name: plain}, whole, ignore_unknown_fields=field.enum_type is None)
    except (json_format.ParseError, ValueError) as error:
        whole.ClearField(name)
        of = field.message_type or field.enum_type
        several = "map" if field.message_type and field.message_type.GetOptions().map_entry else "list"
        kind = several if field.is_repeated else of or TYPE_NAMES.get(field.type)
        expected = getattr(kind, "name", kind) or "value of its type"
        raise InvalidFields(
            [(f"{OPTIONS}.{name}", f"must be a {expected}, got {_abbreviated(plain)}")]
        ) from error
    return True


TYPE_NAMES = {
    1: "number",
    2: "number",
    5: "whole number",
    8: "boolean",
    9: "text",
    13: "whole number of 0 or more",
}


def _is_set(whole: Message, field: Any) -> bool:
    """Whether the caller has set a field."""
    return whole.HasField(field.name) if field.has_presence else bool(getattr(whole, field.name))


def _path(path: str, applied: set[str]) -> str:
    """Path of a field as the caller wrote it, under options where it came from there."""
    first = FIRST_FIELD.match(path)
    return f"{OPTIONS}.{path}" if first and first[0] in applied else path


def _abbreviated(value: Any) -> str:
    """Value as an error message shows it, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "..."
