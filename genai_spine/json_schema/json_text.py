"""JSON read and written without losing the order of keys or the digits of numbers."""

import json
from typing import Any, NoReturn

MAX_LEVELS = 200  # of nesting; recursion over what was read stays far from the interpreter's limit


class Number(float):
    """A number that is no plain integer, with the text that it was read from."""

    __slots__ = ("text",)

    def __new__(cls, text: str) -> "Number":
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


def parse(text: str) -> Any:
    """Dicts, lists, str, int, Number, bool and None. Raises ValueError, with what is wrong."""
    try:
        value = DECODER.decode(text)
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_LEVELS} levels") from None
    check_levels(value)
    return value


def check_levels(value: Any) -> None:
    """Raises ValueError when the value is nested deeper than MAX_LEVELS."""
    row: list[Any] = [value]
    for _ in range(MAX_LEVELS):
        row = [
            inner
            for outer in row
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not row:
            return
    raise ValueError(f"nested deeper than {MAX_LEVELS} levels")


def write(value: Any) -> str:
    """The JSON text of what parse() returned, without spaces."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_string(key)}:{write(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write, value)) + "]"
    if isinstance(value, Number):
        return value.text
    return _string(value) if isinstance(value, str) else json.dumps(value)


def key(value: Any) -> Any:
    """Equal for values that JSON Schema calls equal: 1 and 1.0 are, 1 and true are not; hashable."""
    if isinstance(value, dict):
        return ("{", frozenset((name, key(inner)) for name, inner in value.items()))
    if isinstance(value, list):
        return ("[", tuple(map(key, value)))
    return ("b", value) if isinstance(value, bool) else value


def _string(text: str) -> str:
    written = json.dumps(text, ensure_ascii=False)
    # Half of a surrogate pair can stand in JSON as an escape, and in no other way.
    return written if written.isprintable() or _encodes(written) else json.dumps(text)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _integer(text: str) -> int | Number:
    return Number(text) if text == "-0" else int(text)  # int() refuses more than 4300 digits


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


DECODER = json.JSONDecoder(parse_float=Number, parse_int=_integer, parse_constant=_no_constant)
