"""JSON values embedded in what models write: alone, in code fences, or in prose."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from genai_spine.chunks import without_thinking
from genai_spine.json_schema import json_text

MAX_STARTS = 200  # of JSON in prose that are tried
START = re.compile(r'\{\s*["}]|\[\s*(?:["{\[\]\d-]|true|false|null)')
BRACKET = re.compile(r'[\[\]{}]|"(?:[^"\\]|\\.)*(?:"|\\?$)', re.DOTALL)  # or a string, which may hold some
CUT_TOKEN = re.compile(r"-|\.|\.?\d*[eE][+-]?|\\u?[0-9a-fA-F]{0,3}\"?")  # a number or escape that goes on
NOTHING = "the answer holds no JSON"
CUT = "the answer ends before its JSON is complete"


@dataclass(frozen=True, slots=True)
class JsonValue:
    """Complete JSON value found in a text, with the text that it was read from."""

    text: str
    value: Any


def json_values(text: str) -> Iterator[JsonValue]:
    """Complete JSON values: the whole text, or else those in code fences, then those in prose.

    Raises ValueError when JSON begins that is cut or broken, or when there is none.
    """
    text = without_thinking(text)
    if not text:
        raise ValueError("the answer is empty")
    for whole in (text, *_fenced(text)):
        try:
            yield JsonValue(whole, json_text.parse(whole))
        except ValueError:
            continue
        if whole is text:
            return
    yield from _within(text)


def _fenced(text: str) -> Iterator[str]:
    """Contents of Markdown code fences, without the language's name."""
    sections = text.split("```")
    for content in sections[1:-1:2]:
        name, newline, rest = content.partition("\n")
        yield (rest if newline and " " not in name.strip() else content).strip()


def _within(text: str) -> Iterator[JsonValue]:
    """Objects and lists in prose, at most MAX_STARTS of them. Nothing is looked for inside of one that is
    broken. Raises ValueError at the end, because what came before did not fit.
    """
    at, broken = 0, ""
    for _ in range(MAX_STARTS):
        start = START.search(text, at)
        if start is None:
            break
        try:
            value, at = json_text.DECODER.raw_decode(text, start.start())
            json_text.check_levels(value)
        except RecursionError:
            raise ValueError("the JSON is nested too deeply") from None
        except json.JSONDecodeError as error:
            if _is_cut(text, error):
                raise ValueError(CUT) from None
            broken = broken or f"the JSON is broken: {error.msg} at character {error.pos - start.start()}"
            at = _end(text, start.start())
        else:
            yield JsonValue(text[start.start() : at], value)
    raise ValueError(broken or NOTHING)


def _end(text: str, start: int) -> int:
    """Position where the brackets that open at the start are closed again, or the end of the text."""
    level = 0
    for token in BRACKET.finditer(text, start):
        if token[0][0] != '"':
            level += 1 if token[0] in "{[" else -1
            if level <= 0:
                return token.end()
    return len(text)


def _is_cut(text: str, error: json.JSONDecodeError) -> bool:
    """Whether the JSON error is only that the text ended: in a string, a literal, a number or an escape."""
    rest = text[error.pos :]
    if not rest or error.msg.startswith("Unterminated string"):
        return True
    literal = any(word.startswith(rest) for word in ("true", "false", "null"))
    return literal or CUT_TOKEN.fullmatch(rest) is not None
