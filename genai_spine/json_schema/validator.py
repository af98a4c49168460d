"""Validator of answers by a caller's JSON Schema: is it valid, and which nulls are only fillers.

The `jsonschema` package validates (Draft 2020-12 unless the schema names another), with its slow keywords
replaced: patterns run in linear time, uniqueItems and enum are looked up, multipleOf is exact. Every keyword
that is looked at costs a step, and steps are limited, so an answer is validated in bounded time. Nothing is
ever fetched: a schema refers only to itself. Imported with the first answer that has a schema.
"""

import re
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date, time
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from typing import Any

from jsonschema import FormatChecker
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend
from referencing import Registry

from genai_spine.json_schema import json_text, rewrite
from genai_spine.json_schema import pattern as json_pattern
from genai_spine.json_schema.tree import SchemaTree, drafts, json_path, reference

MAX_STEPS = 300_000  # about two seconds
MAX_ERRORS = 20  # among which the most telling one is chosen
MAX_REASONS = 3  # why alternatives do not fit
MAX_EXCERPT_CHARS = 80  # of a value in a problem
MAX_EXPONENT = 400  # of a number that is divided exactly

Problem = tuple[str, str]  # path as in $.name[2], and what is wrong there


class TooManySteps(Exception):
    """The validation was given up, because it would take longer than MAX_STEPS."""


@dataclass(slots=True)
class _ValidationState:
    """State of one validation: the steps that are left, and looked-up enums."""

    tree: SchemaTree
    steps: int = MAX_STEPS
    enums: dict[int, frozenset[Any]] = field(default_factory=dict)  # keys of the values, by the list's id


_state: ContextVar[_ValidationState] = ContextVar("work")


def _spend(steps: int) -> None:
    """Counts steps of the running validation. Raises TooManySteps."""
    work = _state.get()
    work.steps -= steps
    if work.steps < 0:
        raise TooManySteps


class AnswerSchema:
    """Validator of one schema, kept and shared by all answers to it.

    Values are those of json_text.parse(). Both methods run in bounded time, in the order of two seconds at
    most, and may be called from threads.
    """

    def __init__(self, tree: SchemaTree) -> None:
        self._tree = tree
        # The tree has no $schema: one would lead the package back to its own keywords.
        self._validator = JUDGES[tree.draft](tree.root, registry=Registry(), format_checker=FORMATS)

    def problem(self, value: Any) -> Problem | None:
        """Most telling problem of a value that json_text.parse() returned: JSON path and message, None when
        the value is valid.
        """
        _state.set(_ValidationState(self._tree))
        try:
            error = best_match(islice(self._validator.iter_errors(value), MAX_ERRORS))
        except TooManySteps:
            return "$", "the answer is too large to be checked against this schema"
        except RecursionError:
            return "$", "the answer is nested too deeply to be checked"
        return None if error is None else (json_path(tuple(error.absolute_path)), _described(error))

    def restored(self, value: Any) -> Any:
        """Value without what rewrite.portable() made the model write.

        Nulls in place of optional properties are removed, lists of entries become objects again. The same
        object is returned when nothing changes.
        """
        _state.set(_ValidationState(self._tree))
        try:
            return _Restorer(self._validator, self._tree).value(value, [self._validator.schema])
        except (TooManySteps, RecursionError):
            return value  # problem() says so


@lru_cache(256)
def answer_schema(schema_json: str) -> AnswerSchema:
    """Validator of the schema, kept for the next answer. Raises InvalidFields for
    response_format.json_schema.schema_json.
    """
    return AnswerSchema(rewrite.tree(schema_json))


def _described(error: ValidationError) -> str:
    """Message of a validation error, short enough for a prompt and without Python's notation."""
    excerpt = json_text.write(error.instance)
    excerpt = excerpt if len(excerpt) <= MAX_EXCERPT_CHARS else excerpt[:MAX_EXCERPT_CHARS] + "..."
    if error.validator == "anyOf" and error.context:
        reasons = dict.fromkeys(
            f"{_below(inner)}{_described(inner)}" for inner in error.context[:MAX_REASONS]
        )
        return f"{excerpt} fits no alternative: {'; '.join(reasons)}"[:300]
    own = repr(error.instance)
    message = error.message
    if error.validator == "type":
        kinds: Any = error.validator_value
        return f"{excerpt} is not of type {kinds if isinstance(kinds, str) else ' or '.join(kinds)}"
    return (excerpt + message[len(own) :] if message.startswith(own) else message)[:300]


def _below(error: ValidationError) -> str:
    return f"{json_path(tuple(error.path))[1:]} " if error.path else ""


class _Restorer:
    """Restorer of one answer: walks the value with the schemas that hold for each part of it."""

    def __init__(self, validator: Any, tree: SchemaTree) -> None:
        self._validator = validator
        self._tree = tree
        self._known: dict[tuple[int, ...], Any] = {}  # by the ids of a value and its schemas

    def value(self, value: Any, schemas: list[Any]) -> Any:
        """Restored value. schemas: all hold for the value."""
        if not isinstance(value, dict | list):
            return value
        known = (id(value), *map(id, schemas))
        if known not in self._known:
            _spend(1)
            self._known[known] = self._restored(value, self._holding(value, schemas))
        return self._known[known]

    def _restored(self, value: Any, schemas: list[Any]) -> Any:
        if isinstance(value, list) and _is_entries(value) and any(map(_is_map, schemas)):
            value = {entry["key"]: entry["value"] for entry in value}
        if isinstance(value, list):
            items = [self.value(item, _item_schemas(schemas, index)) for index, item in enumerate(value)]
            return value if all(map(_is_same, items, value)) else items
        members = {}
        for name, inner in value.items():
            named = _member_schemas(schemas, name)
            if inner is not None or not self._is_filler(name, schemas, named):
                members[name] = self.value(inner, named)
        unchanged = len(members) == len(value) and all(map(_is_same, members.values(), value.values()))
        return value if unchanged else members

    def _holding(self, value: Any, schemas: list[Any]) -> list[Any]:
        """Schemas that hold for the value, with those that they refer to or combine; of alternatives, the one
        that the value is meant for.
        """
        waiting = list(schemas)
        holding: dict[int, Any] = {}  # by id: the same schema may be combined more than once
        while waiting:
            schema = waiting.pop()
            if not isinstance(schema, dict) or id(schema) in holding:
                continue
            _spend(1)
            holding[id(schema)] = schema
            if (named := reference(schema)) is not None:
                waiting.append(self._tree.target(named))
            waiting += schema.get("allOf", ())
            for keyword in ("anyOf", "oneOf"):
                if keyword in schema:
                    waiting += self._meant(value, schema[keyword])
        return list(holding.values())

    def _meant(self, value: Any, branches: list[Any]) -> list[Any]:
        """First alternative that the restored value fits, as a list; empty when there is none."""
        for branch in branches:
            if self._fits(self.value(value, [branch]), branch):
                return [branch]
        return []

    def _fits(self, value: Any, schema: Any) -> bool:
        return bool(self._validator.evolve(schema=schema).is_valid(value))

    def _is_filler(self, name: str, schemas: list[Any], named: list[Any]) -> bool:
        """Whether a null stands for a property that is left out."""
        declared = any(name in schema.get("properties", ()) for schema in schemas)
        needed = any(name in schema.get("required", ()) for schema in schemas)
        return declared and not needed and not all(self._fits(None, schema) for schema in named)


def _is_same(first: Any, second: Any) -> bool:
    return first is second


def _is_entries(value: list[Any]) -> bool:
    """Whether a list is the {"key", "value"} entries that rewrite.portable() asks for in place of an object
    of free names.
    """
    names = [entry["key"] for entry in value if isinstance(entry, dict) and entry.keys() == {"key", "value"}]
    return len(names) == len(value) == len({name for name in names if isinstance(name, str)})


def _is_map(schema: Any) -> bool:
    """Whether the schema describes an object whose names are free, and no array."""
    map_keywords = {"additionalProperties", "patternProperties"} & schema.keys()
    kinds = schema.get("type", "object" if map_keywords else ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return "object" in kinds and "array" not in kinds and not schema.get("properties")


def _item_schemas(schemas: list[Any], index: int) -> list[Any]:
    item_schemas = []
    for schema in schemas:
        items = schema.get("items", True)
        prefix = items if isinstance(items, list) else schema.get("prefixItems", ())
        rest = schema.get("additionalItems", True) if isinstance(items, list) else items
        item_schemas.append(prefix[index] if index < len(prefix) else rest)
    return item_schemas


def _member_schemas(schemas: list[Any], name: str) -> list[Any]:
    member_schemas = []
    for schema in schemas:
        own = [schema["properties"][name]] if name in schema.get("properties", ()) else []
        own += [
            inner for pattern, inner in schema.get("patternProperties", {}).items() if _finds(pattern, name)
        ]
        member_schemas += own or [schema.get("additionalProperties", True)]
    return member_schemas


# Keywords in place of the package's own.


def _finds(pattern: str, text: str) -> bool:
    _spend(1 + len(pattern) * len(text) // 10_000)
    return json_pattern.compiled(pattern).found_in(text)


def _ref(validator: Any, named: str, value: Any, schema: Any) -> Iterator[ValidationError]:
    """Errors of a reference's target. The package resolves a reference in the time of ten other steps."""
    errors: Iterator[ValidationError] = validator.descend(
        value, _state.get().tree.target(named), resolver=validator._resolver
    )
    return errors


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and not _finds(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    for pattern, inner in patterns.items():
        for name, member in value.items():
            if _finds(pattern, name):
                yield from validator.descend(member, inner, path=name, schema_path=pattern)


def _additional_properties(validator: Any, rest: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    further = [name for name in value if name not in named and not any(_finds(p, name) for p in patterns)]
    if isinstance(rest, dict):
        for name in further:
            yield from validator.descend(value[name], rest, path=name)
    elif rest is False and further:
        yield ValidationError(f"properties that the schema does not have: {', '.join(further)[:200]}")


def _enum(validator: Any, values: list[Any], value: Any, schema: Any) -> Iterator[ValidationError]:
    known = _state.get().enums
    if id(values) not in known:
        known[id(values)] = frozenset(map(json_text.key, values))
    if json_text.key(value) not in known[id(values)]:
        yield ValidationError(f"{value!r} is not one of {json_text.write(values)[:200]}")


def _const(validator: Any, constant: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if json_text.key(value) != json_text.key(constant):
        yield ValidationError(f"{value!r} is not {json_text.write(constant)[:200]}")


def _unique_items(validator: Any, required: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if required and isinstance(value, list) and len(set(map(json_text.key, value))) < len(value):
        yield ValidationError(f"{value!r} has an item more than once")


def _multiple_of(validator: Any, factor: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(value, "number") and _exact(value) % _exact(factor):
        yield ValidationError(f"{value!r} is not a multiple of {json_text.write(factor)}")


def _exact(number: Any) -> Fraction:
    """Exact fraction of a number: 0.3 is a multiple of 0.1, which binary fractions deny."""
    if not isinstance(number, json_text.Number):
        return Fraction(number)
    exponent = re.search(r"[eE]([+-]?\d+)", number.text)
    small = len(number.text) <= MAX_EXPONENT and abs(int(exponent[1][:9]) if exponent else 0) <= MAX_EXPONENT
    if small:
        return Fraction(number.text)
    return Fraction(float(number)) if abs(number) != float("inf") else Fraction(0)


def _counted(keyword: Any, steps: int) -> Any:
    """Keyword that costs so many steps before it is looked at."""

    def counted(validator: Any, argument: Any, value: Any, schema: Any) -> Any:
        _spend(steps)
        return keyword(validator, argument, value, schema)

    return counted


def _weighed(keyword: Any) -> Any:
    """Keyword that costs the schema's weight for each member.

    unevaluatedProperties and -Items look at every schema that looks at the same value.
    """

    def weighed(validator: Any, argument: Any, value: Any, schema: Any) -> Any:
        _spend(_state.get().tree.weight * (1 + len(value) if isinstance(value, dict | list) else 1))
        return keyword(validator, argument, value, schema)

    return weighed


OWN = {
    "$ref": _ref,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "enum": _enum,
    "const": _const,
    "uniqueItems": _unique_items,
    "multipleOf": _multiple_of,
}


COSTS = {"$dynamicRef": 10, "$recursiveRef": 10}  # steps; all others cost one


def _judge(draft: Any) -> Any:
    """Validator class of a draft, with our keywords in place of the slow ones, each of which costs steps."""
    keywords = draft.VALIDATORS | {name: own for name, own in OWN.items() if name in draft.VALIDATORS}
    return extend(  # type: ignore[no-untyped-call]
        draft,
        {
            name: _weighed(keyword)
            if name.startswith("unevaluated")
            else _counted(keyword, COSTS.get(name, 1))
            for name, keyword in keywords.items()
        },
    )


JUDGES: dict[Any, Any] = {draft: _judge(draft) for draft in drafts().values()}

FORMATS = FormatChecker(formats=("email", "uuid", "ipv4", "ipv6"))
DATE_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?)([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
TIME = re.compile(r"(\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?)([Zz]|[+-]\d{2}:\d{2})?", re.ASCII)


@FORMATS.checks("date", raises=ValueError)
def _is_date(value: object) -> bool:
    return not isinstance(value, str) or (len(value) == 10 and bool(date.fromisoformat(value)))


@FORMATS.checks("time", raises=ValueError)
def _is_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    match = TIME.fullmatch(value)
    return match is not None and _is_clock(match[1], match[2] or "Z")


@FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    """Whether the text is a date-time of RFC 3339; a leap second is one."""
    if not isinstance(value, str):
        return True
    match = DATE_TIME.fullmatch(value)
    return match is not None and bool(date.fromisoformat(match[1])) and _is_clock(match[2], match[3])


def _is_clock(clock: str, offset: str) -> bool:
    clock = clock[:8].replace(":60", ":59") if clock[6:8] == "60" else clock[:8]
    time.fromisoformat(clock)
    if offset not in "Zz":
        time.fromisoformat(offset[1:])
    return True
