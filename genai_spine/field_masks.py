"""Field masks: which fields of a resource a change takes over."""

from collections.abc import Sequence

from google.protobuf.message import Message

from genai_spine.errors import InvalidFields

BESIDES = ("etag", "change_notes")  # come with a change, and are no part of what it changes


def chosen(mask: Sequence[str], given: Message, editable: Sequence[str]) -> list[str]:
    """Fields that a mask names; without a mask, those that are set.

    A star names every field that can be changed. Errors: InvalidFields (a field that cannot be).
    """
    if not mask:
        return set_fields(given, editable)
    names = [path for path in mask if path not in (*BESIDES, "*")]
    if unknown := [name for name in names if name not in editable]:
        raise InvalidFields([("update_mask", f"'{unknown[0]}' is no field that can be changed")])
    return list(editable) if "*" in mask else names


def set_fields(given: Message, editable: Sequence[str]) -> list[str]:
    """Fields that are set and can be changed."""
    return [field.name for field, _ in given.ListFields() if field.name in editable]
