"""JSON Schemas of answers, in the form that every provider of structured output takes: closed objects
whose fields are all required, and null where there is nothing to say."""

from collections.abc import Iterable
from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}


def record(**fields: Schema) -> Schema:
    """Closed object whose fields are all required."""
    return {"type": "object", "properties": fields, "required": [*fields], "additionalProperties": False}


def several(item: Schema, **limits: int) -> Schema:
    """Array of one item schema; limits: such as maxItems."""
    return {"type": "array", "items": item, **limits}


def one_of(values: Iterable[str]) -> Schema:
    """Enumeration of texts."""
    return {"type": "string", "enum": [*values]}
