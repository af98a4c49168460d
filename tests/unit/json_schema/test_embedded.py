"""JSON values are found in code fences and in prose, each once."""

import pytest

from genai_spine.json_schema import embedded


def test_values_outside_of_fences_do_not_overlap() -> None:
    found: list[str] = []

    def read(text: str) -> None:
        for value in embedded.json_values(text):
            found.append(value.text)

    with pytest.raises(ValueError, match="holds no JSON"):
        read('a {"b": {"c": 1}} d [2, {"e": 3}] f')
    assert found == ['{"b": {"c": 1}}', '[2, {"e": 3}]']


def test_values_of_every_fence_come_before_those_of_prose() -> None:
    text = 'An example: {"c": 3}\n```json\n{"a": 1}\n```\nand\n```json\n{"b": 2}\n```'
    found = []
    with pytest.raises(ValueError, match="holds no JSON"):
        found.extend(value.value for value in embedded.json_values(text))
    assert found[:3] == [{"a": 1}, {"b": 2}, {"c": 3}]


@pytest.mark.parametrize("text", ["<think>{}</think> {}", "\ufeff {}", "\n <think>a</think>\n\n{}"])
def test_thinking_and_blanks_before_an_answer_are_no_part_of_it(text: str) -> None:
    assert [value.text for value in embedded.json_values(text)] == ["{}"]
