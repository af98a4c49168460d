"""JSON Schema's regular expressions (ECMA-262), searched for in time linear in the length of the text.

They run in Rust's `regex` crate, which comes with pydantic and never backtracks: the time of a search is
bounded by the size of the pattern times that of the text, and the size is limited (https://docs.rs/regex,
2026-11-28). In exchange it knows no look-around and no back-references. Look-aheads at the very start,
`^(?!...)...`, are searched for as patterns of their own; all others are refused.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

MAX_CHARS = 2_000  # of a pattern
CLASSES = {"d": "0-9", "w": "0-9A-Za-z_"}  # ECMA's are ASCII, Rust's are not
EMPTY_CLASSES = {"[]": r"[^\s\S]", "[^]": r"[\s\S]"}
TOKEN = re.compile(r"\[\^?\]|\\c[A-Za-z]|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\.|.", re.DOTALL)
LOOK_AHEAD = re.compile(r"\(\?([=!])")
LOOK_AROUND = re.compile(r"\(\?<?[=!]")


class Pattern:
    """Compiled pattern. Raises ValueError, with what is wrong, when it cannot be searched for: a pattern that
    is too long, has look-arounds elsewhere, or is no regular expression.
    """

    def __init__(self, pattern: str) -> None:
        if len(pattern) > MAX_CHARS:
            raise ValueError(f"is longer than {MAX_CHARS} characters")
        self.subpatterns = [
            (_compiled(subpattern), must_match) for subpattern, must_match in _subpatterns(pattern)
        ]

    def found_in(self, text: str) -> bool:
        """Whether the text matches: every subpattern is found, or is not where it must not be."""
        return all(_finds(subpattern, text) == must_match for subpattern, must_match in self.subpatterns)


@lru_cache(512)
def compiled(pattern: str) -> Pattern:
    """Compiled pattern, kept for the next answer; ECMA-262 syntax. Raises ValueError."""
    return Pattern(pattern)


def _finds(validator: SchemaValidator, text: str) -> bool:
    try:
        validator.validate_python(text)
    except ValidationError:
        return False
    return True


def _subpatterns(pattern: str) -> Iterator[tuple[str, bool]]:
    """Subpatterns, and whether each must match: one for each leading look-ahead, one for the rest."""
    rest = pattern.removeprefix("^")
    if rest == pattern or not LOOK_AHEAD.match(rest):
        yield pattern, True
        return
    while look := LOOK_AHEAD.match(rest):
        end = _closing(rest)
        yield f"^(?:{rest[look.end() : end]})", look[1] == "="
        rest = rest[end + 1 :]
        if re.match(r"[*+?{]", rest):
            raise ValueError("repeats a look-ahead")
    if "|" in _outside(rest):
        raise ValueError("has alternatives beside a look-ahead")
    yield f"^{rest}", True


def _tokens(pattern: str) -> Iterator[tuple[int, str, int, bool]]:
    """Position and text of each token, the level of groups behind it, and whether it is of a class."""
    level, at, in_class = 0, 0, False
    for token in TOKEN.findall(pattern):
        of_class = in_class or token == "["
        if of_class:
            in_class = token != "]"
        elif token in ("(", ")"):
            level += 1 if token == "(" else -1
        yield at, token, level, of_class
        at += len(token)


def _outside(pattern: str) -> str:
    """Characters outside of groups and classes, without escapes."""
    plain = (
        token for _, token, level, of_class in _tokens(pattern) if not (level or of_class or token == ")")
    )
    return "".join(token for token in plain if len(token) == 1)


def _closing(pattern: str) -> int:
    """Position where the group ends that the pattern begins with. Raises ValueError."""
    for at, token, level, of_class in _tokens(pattern):
        if token == ")" and not (level or of_class):
            return at
    raise ValueError("has a group that is not closed")


def _compiled(pattern: str) -> SchemaValidator:
    """Validator of pydantic's core that searches for one subpattern. Raises ValueError."""
    if LOOK_AROUND.search(re.sub(r"\\.", "", pattern)):
        raise ValueError("has a look-around that is not at its start")
    rust = _rust(pattern)
    try:
        return SchemaValidator(core_schema.str_schema(pattern=rust, regex_engine="rust-regex"))
    except SchemaError as error:
        lines = str(error).splitlines()
        raise ValueError(f"is no regular expression known here: {lines[-1].strip()[:200]}") from None


def _rust(pattern: str) -> str:
    """Pattern in the syntax of Rust's crate: classes in ASCII, escapes that it knows."""
    out: list[str] = []
    in_class = False
    for token in TOKEN.findall(pattern):
        if token in EMPTY_CLASSES:
            out.append(EMPTY_CLASSES[token] if not in_class else "\\" + token)
            in_class = False
        elif len(token) > 1:
            out.append(_escape(token, in_class))
        elif in_class:
            out.append("\\" + token if token in "[&~" else token)
            in_class = token != "]"
        else:
            in_class = token == "["
            out.append(token)
    return "".join(out)


def _escape(token: str, in_class: bool) -> str:
    """Escape sequence in Rust's syntax; in_class: within [...], where some mean another thing."""
    letter = token[1]
    if letter in CLASSES:
        return CLASSES[letter] if in_class else f"[{CLASSES[letter]}]"
    if letter in "DW":
        return f"[^{CLASSES[letter.lower()]}]"
    if letter in "bB" and not in_class:
        return rf"(?-u:\{letter})"
    if letter == "b":
        return r"\x08"
    if letter == "c" and len(token) == 3:
        return rf"\x{ord(token[2]) % 32:02x}"
    if letter == "0":
        return r"\x00"
    return token if letter.isalnum() or letter in r".*+?()[]{}|^$\-&~#" else re.escape(letter)
