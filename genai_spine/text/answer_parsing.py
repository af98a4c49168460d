"""Answer parsing, lenient: JSON in code fences, in prose, or of a simpler shape than requested.

Accepted forms are those of rest-v1.md, section 7; anything else raises UnreadableAnswer.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from genai_spine.chunks import without_thinking
from genai_spine.json_schema import embedded

DEFAULT_CONFIDENCE = 0.8  # confidence where the model gave none
WHOLE_FENCE = re.compile(r"```[^\n`]*\n(.*?)\n?```", re.DOTALL)
JSON_BEGINS = re.compile(r"\{\s*[\"}]|\[\s*[\[{\"]")
BULLET = re.compile(r"^[ \t]*(?:[-*+•‣◦–—]|\d{1,2}[.)])[ \t]+")


class UnreadableAnswer(Exception):
    """Parse error of an answer; says what was looked for."""


def plain(text: str) -> str:
    """Answer without the reasoning (<think>) before it."""
    return without_thinking(text)


def unfenced(text: str) -> str:
    """The inside of a text that is one code fence and nothing else; other texts as they are."""
    found = WHOLE_FENCE.fullmatch(text.strip())
    return found[1] if found and "```" not in found[1] else text


def values(text: str) -> Iterator[Any]:
    """JSON values of an answer, up to the first that is cut or broken for good."""
    with suppress(ValueError):
        yield from (found.value for found in embedded.json_values(text))


def objects(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects of an answer."""
    return (value for value in values(text) if isinstance(value, dict))


def items(text: str, key: str) -> list[Any]:
    """The list under a key, or a bare list of objects or texts. Raises UnreadableAnswer."""
    for value in values(text):
        if isinstance(value, dict):
            value = value.get(key)
        if isinstance(value, list) and all(isinstance(item, dict | str) for item in value):
            return value
    raise UnreadableAnswer(f"the answer holds no JSON list of {key}")


def text_of(item: dict[str, Any], *keys: str) -> str:
    """The first of the keys that has a text, without blanks around it; empty: none has."""
    for key in keys:
        value = item.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
    return ""


def share(value: Any, otherwise: float = DEFAULT_CONFIDENCE) -> float:
    """A number from 0 to 1; 85 and "85%" are 0.85."""
    if isinstance(value, str):
        percent = value.strip().endswith("%")
        try:
            number = float(value.strip().rstrip("% ")) / (100 if percent else 1)
        except ValueError:
            return otherwise
    elif isinstance(value, bool) or not isinstance(value, int | float):
        return otherwise
    else:
        number = float(value)
    if not math.isfinite(number):
        return otherwise
    return min(1.0, max(0.0, number / 100 if number > 1 else number))


def texts(value: Any) -> list[str]:
    """Texts of a list of texts, or the lines of one text; anything else gives none."""
    if isinstance(value, str):
        value = [BULLET.sub("", line) for line in value.splitlines()]
    if not isinstance(value, list):
        return []
    return [entry.strip() for entry in value if isinstance(entry, str) and entry.strip()]


def known(name: Any, names: Iterable[str]) -> str | None:
    """Name of a list that is meant, whatever its case and the marks around it. None: no such name."""
    wanted = _bare(name) if isinstance(name, str) else None
    return next((given for given in names if _bare(given) == wanted), None) if wanted else None


def _bare(name: str) -> str:
    return " ".join(re.sub(r"[\s_-]+", " ", name.casefold()).split()).strip(" .,:;!?\"'`*()[]")


def classifications(text: str, categories: Sequence[str]) -> list[tuple[str, float]]:
    """(category, confidence) pairs, the surest first, each category once. Raises UnreadableAnswer."""
    for value in values(text):
        found: dict[str, float] = {}
        for entry in _entries(value):
            name, sure = (
                (entry.get("category"), entry.get("confidence")) if isinstance(entry, dict) else (entry, None)
            )
            category = known(name, categories)
            if category:
                found[category] = max(found.get(category, 0.0), share(sure))
        if found:
            return sorted(found.items(), key=lambda pair: -pair[1])
    named = first_named(plain(text), categories)
    if named is None:
        raise UnreadableAnswer("the answer names none of the categories")
    return [(named, DEFAULT_CONFIDENCE)]


def _entries(value: Any) -> list[Any]:
    """The entries of an object with classifications, of one classification, or of a list."""
    if isinstance(value, dict):
        inner = value.get("classifications")
        return inner if isinstance(inner, list) else [value]
    return value if isinstance(value, list) else [value] if isinstance(value, str) else []


def first_named(text: str, names: Iterable[str]) -> str | None:
    """The name that stands first in a text as words of its own, the longest of those that begin there."""
    best: tuple[int, int, str] | None = None
    for name in names:
        # "IT" is not named by "it".
        case = 0 if name.isupper() and len(name) <= 4 else re.IGNORECASE
        found = re.search(rf"(?<!\w){re.escape(name.strip())}(?!\w)", text, case)
        if found and (best is None or (found.start(), -len(name)) < best[:2]):
            best = found.start(), -len(name), name
    return best[2] if best else None


def first_object(text: str, *keys: str) -> dict[str, Any] | None:
    """The first JSON object of an answer that has one of the keys."""
    return next((value for value in objects(text) if any(key in value for key in keys)), None)


def prose(text: str) -> str:
    """The words of an answer without JSON. Raises UnreadableAnswer for JSON, also cut, broken or unfit."""
    words = unfenced(plain(text)).strip()
    if not words or JSON_BEGINS.match(words):
        raise UnreadableAnswer("the answer is JSON that is broken or has none of the wanted fields")
    return words
