"""Limits of YAML that hold before anything is built."""

import pytest

from genai_spine.text import bounded_yaml


def test_events_of_a_text_within_the_limits_are_those_of_the_parser() -> None:
    names = [type(event).__name__ for event in bounded_yaml.events("a: [1]", 2, 10)]
    assert names.count("ScalarEvent") == 2


@pytest.mark.parametrize(("text", "words"), [("[[[1]]]", "2 levels deep"), ("[1, 2, 3, 4, 5]", "at most 5")])
def test_what_is_beyond_a_limit_is_refused(text: str, words: str) -> None:
    with pytest.raises(bounded_yaml.TooLarge, match=words):
        list(bounded_yaml.events(text, 2, 5))
