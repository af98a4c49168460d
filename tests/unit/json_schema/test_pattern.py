"""Patterns of JSON Schemas are searched for as ECMA-262 says, and never for long."""

import random
import time

import pytest

from genai_spine.json_schema.pattern import Pattern

ZOD_EMAIL = (
    r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"
)
SLOW = [
    *(r"^(a+)+$", r"^(a|aa)+$", r"^(a*)*b?$", r"(.*)(.*)(.*)(.*)(.*)x$", r"^(\w+\s?)*$", r"(a?){60}a{60}$"),
    *(r"[ab]*a[ab]{900}x?[ab]{900}c?$", r"^(?:[ab]*a[ab]{0,500}){1,5}$", r"^(?=(a+)+$)(a|b)*$"),
]


@pytest.mark.parametrize(
    ("pattern", "fits", "misses"),
    [
        ("b", ["abc"], ["ac"]),  # found anywhere
        ("^b$", ["b"], ["b\n", "ab"]),
        (r"^\d+$", ["12"], ["", "١٢"]),
        (r"^[\d\-]+$", ["1-2"], ["١"]),
        (r"^\w$", ["_"], ["é"]),
        (r"^\W$", ["é"], ["_"]),
        (r"^[^\D]$", ["1"], ["x"]),
        (r"^\p{L}+$", ["äß"], ["1"]),
        (r"^a\/b$", ["a/b"], ["a"]),
        (r"^[[\]&&a]+$", ["[]&a"], ["b"]),
        (r"^[^]$", ["x", "\n"], [""]),
        ("[]", [], ["", "x"]),
        ("^(?<year>[0-9]{4})$", ["2026"], ["20"]),
        (r"^\u00e9\x41\cA\0$", ["éA\x01\0"], ["e"]),
        (r"\bfoo\b", ["a foo b"], ["food"]),
        (r"^(?=.*[0-9])(?!.*x)[a-z0-9]+$", ["a1"], ["a", "a1x", "1-"]),
        (r"^a|b$", ["ax", "xb"], ["xax"]),
        ("^.$", ["🙂"], ["\n"]),
        (ZOD_EMAIL, ["a.b@example.com"], [".a@example.com", "a..b@example.com"]),
    ],
)
def test_patterns_mean_what_ecma_says(pattern: str, fits: list[str], misses: list[str]) -> None:
    found = Pattern(pattern)
    assert [text for text in fits if not found.found_in(text)] == []
    assert [text for text in misses if found.found_in(text)] == []


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(a", "group"),
        (r"(a)\1", "backreferences"),
        ("a(?=b)c", "look-around"),
        ("(?<=a)b", "look-around"),
        ("^(?!a)b|c", "alternatives"),
        ("^(?=a)*b", "repeats"),
        ("^(?=a", "closed"),
        ("a{1000}{1000}", "size limit"),
        ("a" * 3000, "longer than"),
    ],
)
def test_pattern_that_cannot_be_searched_for_in_bounded_time_is_refused(pattern: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Pattern(pattern)


@pytest.mark.parametrize("pattern", SLOW)
def test_time_does_not_explode(pattern: str) -> None:
    """Python's own `re` needs longer than the universe has existed for most of these."""
    draw = random.Random(1)
    pieces = ["a" * 20_000, "ab" * 10_000, "".join(draw.choices("ab", k=20_000)), "word " * 4_000]
    started = time.process_time()
    for text in pieces:
        Pattern(pattern).found_in(text + "!")
    assert time.process_time() - started < 5
