"""Every form of an answer that is read, and forms that are not."""

import json
from typing import Any

import pytest

from genai_spine.text import answer_parsing
from genai_spine.text.answer_parsing import UnreadableAnswer

CATEGORIES = ["Finance", "Sport", "Local politics"]
LIST = [{"text": "Oslo", "type": "LOCATION"}]


@pytest.mark.parametrize(
    "answer",
    [
        '{"entities": [{"text": "Oslo", "type": "LOCATION"}]}',
        '[{"text": "Oslo", "type": "LOCATION"}]',
        '```json\n{"entities": [{"text": "Oslo", "type": "LOCATION"}]}\n```',
        '```\n[{"text": "Oslo", "type": "LOCATION"}]\n```',
        'Here they are:\n```json\n[{"text": "Oslo", "type": "LOCATION"}]\n```\nAnything else?',
        'I found these [1]: [{"text": "Oslo", "type": "LOCATION"}] in the text.',
        'Sure! {"entities": [{"text": "Oslo", "type": "LOCATION"}]} Done.',
        '<think>Maybe [{"text": "Rome"}]?</think>\n[{"text": "Oslo", "type": "LOCATION"}]',
        '\n\n  [{"text": "Oslo", "type": "LOCATION"}]  \n',
    ],
)
def test_list_is_read_in_every_tolerated_form(answer: str) -> None:
    assert answer_parsing.items(answer, "entities") == LIST


@pytest.mark.parametrize("answer", ["[]", '{"entities": []}', "None found: []"])
def test_empty_list_is_an_answer(answer: str) -> None:
    assert answer_parsing.items(answer, "entities") == []


@pytest.mark.parametrize(
    "answer",
    [
        "Oslo is a location.",
        "42",
        "null",
        '{"found": [{"text": "Oslo"}]}',
        '{"entities": "Oslo"}',
        '{"entities": null}',
        '{"entities": [{"text": "Oslo", "type": "LOC',
        "[1, 2, 3]",
        "see [Oslo]",
        "```json\n```",
        "[" * 5000,
    ],
)
def test_list_that_is_not_there_is_unreadable(answer: str) -> None:
    with pytest.raises(UnreadableAnswer, match="no JSON list of entities"):
        answer_parsing.items(answer, "entities")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"classifications": [{"category": "Sport", "confidence": 0.7}]}', [("Sport", 0.7)]),
        ('{"category": "Sport", "confidence": 0.7}', [("Sport", 0.7)]),
        ('[{"category": "Sport", "confidence": 0.7}]', [("Sport", 0.7)]),
        ('```json\n{"category": "sport", "confidence": "70%"}\n```', [("Sport", 0.7)]),
        ('{"category": " SPORT. ", "confidence": 70}', [("Sport", 0.7)]),
        ('{"category": "local_politics"}', [("Local politics", 0.8)]),
        ('["Sport", "Finance"]', [("Sport", 0.8), ("Finance", 0.8)]),
        ('"Sport"', [("Sport", 0.8)]),
        ("It is about sport, not finance.", [("Sport", 0.8)]),
        ("**Local politics**", [("Local politics", 0.8)]),
        ('{"category": "Weather"} but rather Finance', [("Finance", 0.8)]),
        (
            '{"classifications": [{"category": "Sport", "confidence": 0.2}, '
            '{"category": "Finance", "confidence": 0.9}, {"category": "Weather", "confidence": 1}]}',
            [("Finance", 0.9), ("Sport", 0.2)],
        ),
        (
            '[{"category": "Sport", "confidence": 0.2}, {"category": "sport", "confidence": 0.4}]',
            [("Sport", 0.4)],
        ),
    ],
)
def test_classification_is_read_in_every_tolerated_form(answer: str, expected: Any) -> None:
    assert answer_parsing.classifications(answer, CATEGORIES) == expected


@pytest.mark.parametrize(
    "answer", ["I cannot say.", '{"category": "Weather"}', "[]", "{}", "transport", '{"category": 3}']
)
def test_classification_without_a_known_category_is_unreadable(answer: str) -> None:
    with pytest.raises(UnreadableAnswer):
        answer_parsing.classifications(answer, CATEGORIES)


def test_longest_category_wins_where_several_begin() -> None:
    assert answer_parsing.first_named("High risk, low cost", ["High", "High risk"]) == "High risk"


def test_category_with_signs_is_named() -> None:
    assert answer_parsing.first_named("Rather C++ than C", ["C", "C++"]) == "C++"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, 0.5),
        (1, 1.0),
        (95, 0.95),
        (-1, 0.0),
        (500, 1.0),
        ("0.5", 0.5),
        ("50 %", 0.5),
        ("high", 0.8),
        (None, 0.8),
        (True, 0.8),
        (float("nan"), 0.8),
        ([], 0.8),
    ],
)
def test_confidence_is_from_0_to_1(value: Any, expected: float) -> None:
    assert answer_parsing.share(value) == pytest.approx(expected)


def test_thoughts_are_no_answer() -> None:
    assert answer_parsing.plain("<think>Hm.\n</think>\n Oslo ") == "Oslo"
    assert answer_parsing.plain("<think>never ends") == ""
    assert answer_parsing.plain("In <think> tags") == "In <think> tags"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```markdown\n# A\n\nb\n```", "# A\n\nb"),
        ("```\na\n```\n\n```\nb\n```", "```\na\n```\n\n```\nb\n```"),
        ("Use ```x``` here", "Use ```x``` here"),
        ("plain", "plain"),
    ],
)
def test_only_a_fence_around_everything_is_taken_away(text: str, expected: str) -> None:
    assert answer_parsing.unfenced(text) == expected


def test_values_of_prose_come_in_their_order() -> None:
    answer = 'First {"a": 1}, then [2] and {"b": {"c": 3}}.'
    assert list(answer_parsing.values(answer)) == [{"a": 1}, [2], {"b": {"c": 3}}]


def test_json_of_any_depth_does_not_break_the_reading() -> None:
    deep = '{"a":' * 100_000
    assert list(answer_parsing.values(deep)) == []
    assert list(answer_parsing.values(json.dumps({"a": 1}))) == [{"a": 1}]
