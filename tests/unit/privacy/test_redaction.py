"""What stands in the place of PII, and tokens that are given back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.privacy.detection import detect
from genai_spine.privacy.redaction import METHODS, hashing, redacted
from genai_spine.privacy.spans import Span, merged
from genai_spine.privacy.tokens import TokenMapping, restored, tokenized

TEXT = "Ann, ann@example.org, 415-555-2671; again ann@example.org."


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("mask", "Ann, ***************, ************; again ***************."),
        ("replace", "Ann, [EMAIL_ADDRESS], [PHONE_NUMBER]; again [EMAIL_ADDRESS]."),
        ("remove", "Ann, , ; again ."),
    ],
)
def test_methods(method: str, expected: str) -> None:
    assert redacted(TEXT, detect(TEXT), METHODS[method]) == expected


def test_hashes_are_equal_for_equal_values_of_one_key() -> None:
    one, other = (redacted(TEXT, detect(TEXT), hashing(key)) for key in (b"one", b"other"))
    assert one.count(one.split("[")[1].split("]")[0]) == 2
    assert one != other
    assert "ann@" not in one


def test_overlaps_become_one_span_of_the_surest_type() -> None:
    spans = [Span(0, 10, "A", 0.7), Span(4, 12, "B", 1.0), Span(12, 14, "C", 0.5), Span(2, 3, "D", 0.9)]
    assert merged(spans) == [Span(0, 12, "B", 1.0), Span(12, 14, "C", 0.5)]


def test_tokens_are_stable_over_texts_and_given_back() -> None:
    mapping = TokenMapping()
    first = tokenized(TEXT, detect(TEXT), mapping)
    assert first == "Ann, <EMAIL_ADDRESS_1>, <PHONE_NUMBER_2>; again <EMAIL_ADDRESS_1>."
    later = TokenMapping(dict(mapping.values))
    assert tokenized("bob@example.org ann@example.org", detect("bob@example.org ann@example.org"), later) == (
        "<EMAIL_ADDRESS_3> <EMAIL_ADDRESS_1>"
    )
    assert (
        restored("Dear <EMAIL_ADDRESS_1>, <EMAIL_ADDRESS_9>", mapping)
        == "Dear ann@example.org, <EMAIL_ADDRESS_9>"
    )
    assert "ann@" not in repr(mapping)


@given(
    st.lists(
        st.sampled_from(["ann@example.org", "<EMAIL_ADDRESS_1>", "<LITERAL_2>", " ", "415-555-2671", "<A_"])
    )
)
def test_whatever_stood_there_comes_back(parts: list[str]) -> None:
    text, mapping = " ".join(parts), TokenMapping()
    hidden = tokenized(text, detect(text), mapping)
    assert restored(hidden, mapping) == text
    assert "ann@" not in hidden
