"""YAML form of pipelines."""

import pytest

from genai_spine.errors import InvalidFields
from genai_spine.pipelines import PIPELINES
from genai_spine.pipelines.library import predefined
from genai_spine.pipelines.yaml_format import read, written

TEXT = """\
name: brief
version: 1.2
steps:
- name: a
  capability: summarization
  options: {max_sentences: 2}
  timeout_s: 30
"""


def test_what_is_written_is_read_again():
    found = read(TEXT)
    assert (found.version, found.steps[0].timeout_s) == ("1.2", 30.0)
    assert read(written(found)) == found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- a", "one mapping"),
        ("name: [", "no YAML"),
        ("name: x\nnobody: 1", "nobody"),
        ("a: &b [1]\nc: *b", "aliases"),
        ("[" * 100, "levels deep"),
        ("%TAG ! x\n" * 10 + "--- a", "directives"),
        ("steps: 3", "steps"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, problem: str):
    with pytest.raises(InvalidFields) as error:
        read(text)
    assert problem in str(error.value)


@pytest.mark.parametrize("name", PIPELINES)
def test_those_that_come_along_are_called_as_their_files(name: str):
    assert predefined(name).definition.name == name
