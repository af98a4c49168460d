"""Prompts as YAML, there and back; hostile and broken texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.errors import InvalidFields
from genai_spine.prompts import variables, yaml_format
from genai_spine.v1.prompt_service_pb2 import Prompt, PromptVariable

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.just("\n"), max_size=30)


@given(TEXT, TEXT.filter(bool), st.lists(TEXT, max_size=3), st.floats(0, 2) | st.none())
def test_what_is_written_is_read_back(system, user, tags, temperature):
    prompt = Prompt(slug="a", name="N", system_prompt=system, user_prompt_template=user, tags=tags)
    if temperature is not None:
        prompt.temperature = temperature
    prompt.variables.add(name="x", type="integer").default.CopyFrom(variables.value(3))
    prompt.output_schema.update({"type": "object", "properties": {"a": {"minimum": 1.5}}})
    assert yaml_format.read(yaml_format.written([prompt, Prompt(slug="b")])) == [prompt, Prompt(slug="b")]


def test_texts_of_several_lines_stand_as_they_are():
    text = yaml_format.written([Prompt(slug="a", user_prompt_template="one\ntwo {x}\n")])
    assert text == "- slug: a\n  user_prompt_template: |\n    one\n    two {x}\n"


def test_one_prompt_need_not_be_a_list():
    assert yaml_format.read("{slug: a, template: hello}") == [Prompt(slug="a", user_prompt_template="hello")]


def test_fields_that_the_server_sets_are_not_written():
    prompt = Prompt(id="1", slug="a", version=3, etag="2", is_system=True, created_by="x")
    assert yaml_format.entry(prompt) == {"slug": "a"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- slug: [", "yaml: is no YAML"),
        ("- !!python/object:os.system {}", "yaml: is no YAML"),
        ("text", "must be a list of prompts"),
        ("- text", "must be a list of prompts"),
        ("", "must be a list of prompts"),
        ("a: &x {slug: a}\nb: *x", "must not use aliases"),
        ("- {slug: a, tempo: 3}", "yaml[0] (a).tempo: is no field of a prompt"),
        ("- {slug: a, is_system: true}", "is_system: is no field"),
        ("- {slug: a}\n- {slug: a}", "yaml[1] (a).slug: stands there twice"),
        ("- {slug: a, temperature: warm}", "yaml[0] (a)"),
        ("- {slug: a, temperature: 3}", "yaml[0] (a).temperature: must be at most 2"),
        ("- {slug: 5}", "yaml[0] (5)"),
        ("- {slug: a, 5: 6}", "yaml: has the key 5 at [0], which is no text: quote it"),
        ("- {slug: a, output_schema: {yes: 6}}", "yaml: has the key True at [0].output_schema"),
        ("- {slug: a, template: x, user_prompt_template: y}", "differs from user_prompt_template"),
        ("- {slug: a, tags: 2026-01-01}", "yaml: has a date at [0].tags, which JSON lacks: quote it"),
        ("- {slug: a, tags: !!set {b}}", "yaml: has a set at [0].tags"),
        ("- {slug: a, temperature: 1" + "0" * 400 + "}", "yaml: has too large a number at [0].temperature"),
        ("- {slug: a, output_schema: {minimum: 1" + "0" * 400 + "}}", "yaml: has too large a number at [0]"),
        ("- {slug: a, max_tokens: 1" + "0" * 200 + "}", "yaml[0] (a)"),
        (str([{"slug": f"s{number}"} for number in range(1001)]), "at most 1000 prompts"),
    ],
)
def test_what_is_no_list_of_prompts_is_refused_with_its_place(text, words):
    with pytest.raises(InvalidFields) as caught:
        yaml_format.read(text)
    assert words in str(caught.value)


def test_variables_need_no_types():
    [prompt] = yaml_format.read("{slug: a, variables: [{name: x}]}")
    assert list(prompt.variables) == [PromptVariable(name="x")]


def test_line_ends_of_windows_come_back():
    prompt = Prompt(slug="a", user_prompt_template="one\r\ntwo {x}\r\nthree\rfour\n")
    assert yaml_format.read(yaml_format.written([prompt])) == [prompt]
