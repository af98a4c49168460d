"""Patterns that callers bring along."""

import pytest

from genai_spine.errors import InvalidFields
from genai_spine.privacy.detection import detect


def test_own_pattern_finds_its_type() -> None:
    text = "é order AB-1234, ann@example.org"
    found = detect(text, ["ORDER"], {"ORDER": r"[A-Z]{2}-\d{4}"})
    assert [(text[span.start : span.end], span.type) for span in found] == [("AB-1234", "ORDER")]


def test_empty_matches_are_nothing() -> None:
    assert detect("abc", (), {"ANY": "x*"}) == []


def test_bad_pattern_and_unknown_type_are_told_by_their_place() -> None:
    with pytest.raises(InvalidFields) as error:
        detect("x", (), {"A": "(a", "B": r"(?<=a)b", "order": "x"})
    assert [path for path, _ in error.value.violations] == ["patterns[A]", "patterns[B]", "patterns[order]"]
    with pytest.raises(InvalidFields) as error:
        detect("x", ["US_SSN", "PERSON"])
    assert [path for path, _ in error.value.violations] == ["entity_types[1]"]


def test_pattern_that_explodes_elsewhere_does_not_here() -> None:
    assert detect("a" * 5_000 + "!", ["X"], {"X": "(a+)+$"}) == []
