"""Where quotations stand: whatever a model claims, a span holds the words that it names."""

from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.text.spans import CURLY, SpanFinder, around

TEXT = "Apple sued Apple Records. Ångström’s\n  “Big  Apple” — 🍎 Apple."
# Words, blanks, and characters outside of the BMP, which UTF-16 counts twice.
ANY = st.text(alphabet=st.sampled_from("ab .\n\t“”é🍎ß"), max_size=60)


def test_repeated_mentions_get_distinct_places_in_order() -> None:
    places = SpanFinder(TEXT)
    spans = [places.find("Apple") for _ in range(5)]
    assert all(span is None or TEXT[span[0] : span[1]] == "Apple" for span in spans)
    starts = [span[0] for span in spans if span]
    assert starts == sorted(set(starts))
    assert len(starts) == 4
    assert spans[-1] is None


def test_place_near_the_claimed_one_is_preferred() -> None:
    places = SpanFinder(TEXT)
    assert places.find("Apple", near=9) == (11, 16)
    assert places.find("Apple", near=9) == (0, 5)


def test_kinds_do_not_take_places_from_each_other() -> None:
    places = SpanFinder("Washington")
    assert places.find("Washington", kind="PERSON") == (0, 10)
    assert places.find("Washington", kind="LOCATION") == (0, 10)
    assert places.find("washington", kind="PERSON") is None


@pytest.mark.parametrize(
    ("quoted", "words"),
    [
        ("Ångström's", "Ångström’s"),
        ('"Big Apple"', "“Big  Apple”"),
        ("Ångström's \"Big", "Ångström’s\n  “Big"),
        ("apple records", "Apple Records"),
        ("🍎 Apple", "🍎 Apple"),
    ],
)
def test_blanks_quotation_marks_and_case_are_forgiven(quoted: str, words: str) -> None:
    span = SpanFinder(TEXT).find(quoted)
    assert span is not None
    assert TEXT[span[0] : span[1]] == words


@pytest.mark.parametrize("words", ["Ko\u0308ln", "\u1ec7", "\ud55c\uad6d", "q\u0307\u0323x", "caf\u00e9s"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_are_found_composed_or_not(words: str, form: Any) -> None:
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    content = f"in {normalize(form, words)} now"
    assert SpanFinder(content).find(normalize(other, words)) == (3, len(content) - 4)
    twice = SpanFinder(f"{content} {content}")
    assert {twice.find(normalize(each, words)) for each in (form, other)} >= {(3, len(content) - 4)}
    assert twice.find(normalize(form, words)) is None


def test_exact_words_are_preferred_to_similar_ones() -> None:
    assert SpanFinder("apple Apple").find("Apple") == (6, 11)


@pytest.mark.parametrize("quoted", ["Microsoft", "", "  ", "Apple  Music"])
def test_what_does_not_stand_there_is_not_found(quoted: str) -> None:
    assert SpanFinder(TEXT).find(quoted) is None


def test_only_the_given_stretches_are_searched() -> None:
    assert SpanFinder("ab ab ab", [(2, 5), (5, 7)]).find("ab") == (3, 5)
    assert SpanFinder("ab ab ab", [(0, 1), (1, 4)]).find("ab") is None


@given(content=ANY, start=st.integers(0, 60), length=st.integers(1, 20), near=st.integers(0, 10**6))
def test_every_part_of_a_content_is_found(content: str, start: int, length: int, near: int) -> None:
    quoted = content[start : start + length]
    span = SpanFinder(content).find(quoted, near)
    if not quoted.strip():
        assert span is None
        return
    assert span is not None
    assert content[span[0] : span[1]] == quoted


@given(content=ANY, quoted=ANY, near=st.none() | st.integers(0, 100))
def test_a_span_always_holds_what_was_quoted(content: str, quoted: str, near: int | None) -> None:
    def loose(text: str) -> list[str]:
        return text.translate(CURLY).casefold().split()

    span = SpanFinder(content).find(quoted, near)
    if span is not None:
        start, end = span
        assert 0 <= start < end <= len(content)
        assert loose(content[start:end]) == loose(quoted)


@given(content=ANY, times=st.integers(1, 8))
def test_no_place_is_given_twice(content: str, times: int) -> None:
    places = SpanFinder(content)
    found = [span for span in (places.find("a") for _ in range(times)) if span]
    assert len(found) == len(set(found)) == min(times, content.count("a"))


@given(content=ANY, start=st.integers(0, 60), width=st.integers(0, 30))
def test_context_holds_the_words(content: str, start: int, width: int) -> None:
    start = min(start, len(content))
    end = min(len(content), start + 3)
    assert " ".join(content[start:end].split()) in around(content, (start, end), width)


def test_context_ends_between_words() -> None:
    text = "one two three four five six seven"
    assert around(text, (8, 13), width=7) == "two three four"
