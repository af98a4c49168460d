"""JSON parser and writer that keep the order of keys and the digits of numbers.

An answer that is validated and passed on is the text that the model wrote: 1.10 stays 1.10, and a number of
thirty digits loses none. Nesting is limited, so that recursion over a parsed value is safe.
"""

import json
from typing import Any, NoReturn

MAX_LEVELS = 200  # of nesting; recursion over what was read stays far from the interpreter's limit


class Number(float):
    """Number that is no plain integer, with the text that it was read from.

    As a float it compares and computes; `text` is what is written again.
    """

    __slots__ = ("text",)

    def __new__(cls, text: str) -> "Number":
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


def parse(text: str) -> Any:
    """Parsed value: dicts, lists, str, int, Number, bool and None. Raises ValueError, with what is wrong.

    NaN and Infinity, which Python's parser takes, are no JSON and are refused.
    """
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
    """JSON text of a value that parse() returned, without spaces."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_string(key)}:{write(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write, value)) + "]"
    if isinstance(value, Number):
        return value.text
    return _string(value) if isinstance(value, str) else json.dumps(value)


def key(value: Any) -> Any:
    """Hashable key, equal for values that JSON Schema calls equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, dict):
        return ("{", frozenset((name, key(inner)) for name, inner in value.items()))
    if isinstance(value, list):
        return ("[", tuple(map(key, value)))
    return ("b", value) if isinstance(value, bool) else value


def _string(text: str) -> str:
    """JSON text of a string, with non-ASCII characters as they are where they can be encoded."""
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
