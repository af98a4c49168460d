"""Checks of single values, with the words that OpenAI finds for what is wrong with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.upstreams.openai_errors import error
from tests.upstreams.reply import Reply
from tests.upstreams.server import Refused


@dataclass(frozen=True, slots=True)
class Rule:
    """What a field may hold. low and high are for numbers."""

    expected: str
    types: tuple[type, ...]
    nullable: bool = True
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()


def check_value(name: str, value: Any, rule: Rule) -> None:
    if value is None and rule.nullable:
        return
    if not isinstance(value, rule.types) or (isinstance(value, bool) and bool not in rule.types):
        message = f"Invalid type for '{name}': expected {rule.expected}, but got {_kind(value)} instead."
        raise Refused(error(400, message, param=name, code="invalid_type"))
    if rule.values and value not in rule.values:
        raise Refused(invalid_value(name, value, rule.values))
    if name == "stop" and isinstance(value, list) and len(value) > 4:
        message = (
            "Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with "
            f"length {len(value)} instead."
        )
        raise Refused(error(400, message, param=name, code="array_above_max_length"))
    if isinstance(value, int | float):
        _check_range(name, value, rule)


def _check_range(name: str, value: float, rule: Rule) -> None:
    word = "decimal" if float in rule.types else "integer"
    if rule.low is not None and value < rule.low:
        side, bound = "below minimum", f">= {rule.low}"
    elif rule.high is not None and value > rule.high:
        side, bound = "above maximum", f"<= {rule.high}"
    else:
        return
    message = f"Invalid '{name}': {word} {side} value. Expected a value {bound}, but got {value} instead."
    code = f"{word}_{side.replace('minimum', 'min').replace('maximum', 'max').replace(' ', '_')}_value"
    raise Refused(error(400, message, param=name, code=code))


def _kind(value: Any) -> str:
    names = {str: "a string", bool: "a boolean", int: "an integer", float: "a decimal number"}
    names |= {list: "an array", dict: "an object", type(None): "null"}
    return names[type(value)]


def invalid_value(name: str, value: Any, values: Sequence[str]) -> Reply:
    listed = ", ".join(f"'{known}'" for known in values[:-1]) + f", and '{values[-1]}'"
    message = f"Invalid value: '{value}'. Supported values are: {listed}."
    return error(400, message, param=name, code="invalid_value")
