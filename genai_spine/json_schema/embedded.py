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
class EmbeddedJson:
    """A complete JSON value within a text."""

    text: str
    value: Any


def values(text: str) -> Iterator[EmbeddedJson]:
    """Complete JSON values: the whole text, or else those in code fences, then those in prose.

    Raises ValueError when JSON begins that is cut or broken, or when there is none.
    """
    text = without_thinking(text)
    if not text:
        raise ValueError("the answer is empty")
    for whole in (text, *_fenced(text)):
        try:
            yield EmbeddedJson(whole, json_text.parse(whole))
        except ValueError:
            continue
        if whole is text:
            return
    yield from _within(text)


def _fenced(text: str) -> Iterator[str]:
    parts = text.split("```")
    for content in parts[1:-1:2]:
        name, newline, rest = content.partition("\n")
        yield (rest if newline and " " not in name.strip() else content).strip()


def _within(text: str) -> Iterator[EmbeddedJson]:
    """Objects and lists in prose. Nothing is looked for inside of one that is broken."""
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
            yield EmbeddedJson(text[start.start() : at], value)
    raise ValueError(broken or NOTHING)


def _end(text: str, start: int) -> int:
    """Where the brackets that open at the start are closed again, or the end of the text."""
    level = 0
    for token in BRACKET.finditer(text, start):
        if token[0][0] != '"':
            level += 1 if token[0] in "{[" else -1
            if level <= 0:
                return token.end()
    return len(text)


def _is_cut(text: str, error: json.JSONDecodeError) -> bool:
    rest = text[error.pos :]
    if not rest or error.msg.startswith("Unterminated string"):
        return True
    literal = any(word.startswith(rest) for word in ("true", "false", "null"))
    return literal or CUT_TOKEN.fullmatch(rest) is not None
