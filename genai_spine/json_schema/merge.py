"""Intersection of two JSON Schemas as one schema, as far as one schema can say it.

A value fits the result when it fits both. Used where an upstream takes neither `allOf` nor keywords beside a
reference; what cannot be merged stays apart and is said in words.
"""

from collections.abc import Callable
from typing import Any

from genai_spine.json_schema.json_text import key
from genai_spine.json_schema.tree import Schema

NOTES = ("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment")


class Unmergeable(Exception):
    """No single schema says both; the caller keeps them apart."""


class Impossible(Unmergeable):
    """No value fits both, so an alternative made of them can be left out."""


def merged(first: Schema, second: Schema) -> Schema:
    """Merged schema for what fits both; keys in the order of first, then of second.

    Raises Unmergeable, or Impossible where nothing fits both.
    """
    _check_apart(first, second)
    out = dict(first)
    for keyword, value in second.items():
        if keyword not in out:
            out[keyword] = value
        elif key(out[keyword]) != key(value):
            out[keyword] = _both(keyword, out[keyword], value)
    if "properties" in out:
        out["properties"] = _properties(first, second)
    return out


def _check_apart(first: Schema, second: Schema) -> None:
    """Raises Unmergeable where a keyword means what its neighbours leave over.

    additionalProperties and items are such, and if/then/else and contains belong together: these must be
    equal on both sides.
    """
    for rest, neighbours in (
        ("additionalProperties", ("patternProperties",)),
        ("items", ("prefixItems",)),
        ("additionalItems", ("items",)),
    ):
        if rest not in first and rest not in second:
            continue
        for name in neighbours:
            if key(first.get(name)) != key(second.get(name)):
                raise Unmergeable
    for keywords in (("if", "then", "else"), ("contains", "minContains", "maxContains")):
        sides = [{name: side[name] for name in keywords if name in side} for side in (first, second)]
        if all(sides) and key(sides[0]) != key(sides[1]):
            raise Unmergeable


def _both(keyword: str, first: Any, second: Any) -> Any:
    """Merged value of one keyword that the two schemas give differently; of notes the first counts."""
    if keyword in NOTES:
        return first
    if keyword in HOLD:
        return HOLD[keyword](first, second)
    raise Unmergeable


def all_of(first: Any, second: Any) -> Any:
    """Schema in which both hold; whoever reads the result merges them."""
    if first is False or second is False:
        return False
    if first is True or second is True:
        return second if first is True else first
    return first if key(first) == key(second) else {"allOf": [first, second]}


def _types(first: Any, second: Any) -> Any:
    """Types that both allow; an integer is a number."""
    left, right = (value if isinstance(value, list) else [value] for value in (first, second))
    types = [name for name in left if name in right or (name == "integer" and "number" in right)]
    types += [name for name in right if name == "integer" and "number" in left and name not in types]
    if not types:
        raise Impossible
    return types[0] if len(types) == 1 else types


def _values(first: list[Any], second: list[Any]) -> list[Any]:
    known = set(map(key, second))
    shared = [value for value in first if key(value) in known]
    if not shared:
        raise Impossible
    return shared


def _same(first: Any, second: Any) -> Any:
    raise Impossible  # only asked when they differ


def _by_name(first: Schema, second: Schema) -> Schema:
    return {
        name: all_of(first.get(name, True), second.get(name, True))
        for name in dict.fromkeys([*first, *second])
    }


def _union(first: list[str], second: list[str]) -> list[str]:
    return list(dict.fromkeys([*first, *second]))


def _properties(first: Schema, second: Schema) -> Schema:
    """Properties by name; a name of one side must also fit what the other says of further ones."""
    out = {}
    sides = (first, second)
    for name in dict.fromkeys(name for side in sides for name in side.get("properties", ())):
        schemas = [
            side.get("properties", {}).get(name, side.get("additionalProperties", True)) for side in sides
        ]
        both = all_of(*schemas)
        if both is False and False not in [side.get("properties", {}).get(name) for side in sides]:
            if any(name in side.get("required", ()) for side in sides):
                raise Impossible
            continue  # one side forbids it, so it need not be named
        out[name] = both
    return out


HOLD: dict[str, Callable[[Any, Any], Any]] = {
    "type": _types,
    "enum": _values,
    "const": _same,
    "required": _union,
    "properties": _by_name,
    "patternProperties": _by_name,
    "$defs": lambda first, second: first | second,
    "definitions": lambda first, second: first | second,
    "allOf": lambda first, second: first + second,
    "items": all_of,
    "additionalProperties": all_of,
    "propertyNames": all_of,
    "minimum": max,
    "exclusiveMinimum": max,
    "minLength": max,
    "minItems": max,
    "minProperties": max,
    "maximum": min,
    "exclusiveMaximum": min,
    "maxLength": min,
    "maxItems": min,
    "maxProperties": min,
    "uniqueItems": lambda first, second: first or second,
}
