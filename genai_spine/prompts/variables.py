"""Prompt variables: declarations checked, values checked against them and completed with defaults."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value

from genai_spine.errors import InvalidFields, InvalidPromptVariables
from genai_spine.prompts.sandbox import RESERVED
from genai_spine.v1 import prompt_service_pb2 as pb

DEFAULT_TYPE = "string"
TYPE_CHECKS = {
    "string": "a text",
    "text": "a text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
}


def plain(value: Value) -> Any:
    """Python value of a JSON value; JSON's 3.0 is the integer 3."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return mapping(value.struct_value)
    if kind == "list_value":
        return [plain(item) for item in value.list_value.values]
    if kind in (None, "null_value"):
        return None
    found = getattr(value, kind)
    # Above 2^53 a double is no exact integer any more.
    return int(found) if kind == "number_value" and found.is_integer() and abs(found) <= 2**53 else found


def mapping(struct: Struct) -> dict[str, Any]:
    """Python dict of a Struct."""
    return {name: plain(value) for name, value in struct.fields.items()}


def as_dict(message: Message) -> dict[str, Any]:
    """Python dict of a message by field names; JSON's 3.0 is the integer 3, also within Structs."""
    found: dict[str, Any] = _integers(MessageToDict(message, preserving_proto_field_name=True))
    return found


def _integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _integers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_integers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53 else value


def value(found: Any) -> Value:
    """JSON value as a message."""
    holder = Struct()
    holder.update({"value": found})
    return holder.fields["value"]


def check(variables: Iterable[pb.PromptVariable]) -> None:
    """Consistency of declarations: names, types, defaults, options. Raises InvalidFields."""
    problems: list[tuple[str, str]] = []
    seen: set[str] = set()
    for number, variable in enumerate(variables):
        place = f"variables[{number}]"
        if variable.name in seen:
            problems.append((f"{place}.name", f"'{variable.name}' is declared twice"))
        if variable.name in RESERVED:
            problems.append((f"{place}.name", f"'{variable.name}' has a meaning in templates"))
        seen.add(variable.name)
        if (variable.type == "enum") != bool(variable.options):
            problems.append((f"{place}.options", "is required with type enum, and only there"))
        elif _has_default(variable) and (problem := _problem(variable, plain(variable.default))):
            problems.append((f"{place}.default", problem))
    if problems:
        raise InvalidFields(problems)


def completed(
    variables: Iterable[pb.PromptVariable], supplied: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Values of all declared variables (None: no value), and the names of those that had their default.

    Undeclared values are dropped. Raises InvalidPromptVariables.
    """
    values: dict[str, Any] = {}
    defaulted = []
    for variable in variables:
        value = supplied.get(variable.name)
        if value is None and _has_default(variable):
            value = plain(variable.default)
            defaulted.append(variable.name)
        if value is None and is_required(variable):
            raise InvalidPromptVariables(field=f"variables.{variable.name}", problem="is required")
        if value is not None and (problem := _problem(variable, value)):
            raise InvalidPromptVariables(field=f"variables.{variable.name}", problem=problem)
        is_text = variable.type in ("", "string", "text")
        values[variable.name] = str(value) if is_text and value is not None else value
    return values, defaulted


def is_required(variable: pb.PromptVariable) -> bool:
    """Whether a caller has to give the variable."""
    return variable.required if variable.HasField("required") else True


def digest(values: Mapping[str, Any]) -> str:
    """SHA-256 of the values as JSON with sorted names, in hexadecimal digits."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _has_default(variable: pb.PromptVariable) -> bool:
    return variable.default.WhichOneof("kind") not in (None, "null_value")


def _problem(variable: pb.PromptVariable, value: Any) -> str | None:
    """Reason why a value does not have the variable's type; a number may stand for a text. None: it fits."""
    kind = variable.type or DEFAULT_TYPE
    if kind == "enum":
        return None if value in variable.options else f"must be one of {', '.join(variable.options)}"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "integer": isinstance(value, int) and is_number,
        "number": is_number,
        "boolean": isinstance(value, bool),
        "array": isinstance(value, list),
    }.get(kind, isinstance(value, str) or is_number)
    return None if fits else f"must be {TYPE_CHECKS[kind]}, got {json.dumps(value)[:60]}"
