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
    return {"type": "object", "properties": fields, "required": [*fields], "additionalProperties": False}


def several(item: Schema, **limits: int) -> Schema:
    return {"type": "array", "items": item, **limits}


def one_of(values: Iterable[str]) -> Schema:
    return {"type": "string", "enum": [*values]}
