"""Hostile YAML is refused in a moment, and brackets within texts are no structure."""

import time

import pytest
import yaml

from genai_spine.prompts import default_prompts, plain_yaml, yaml_format
from genai_spine.prompts.plain_yaml import MAX_DEPTH
from genai_spine.prompts.sandbox import TextRefused
from genai_spine.v1.prompt_service_pb2 import ListPromptsResponse, Prompt

LEVELS = 25_000
DEEP = {
    "lists of lines": "- " * LEVELS + "x",
    "open brackets of 80 KB": "[" * 80_000,
    "open brackets of 500 KB": "[" * 500_000,
    "brackets": "[" * LEVELS + "]" * LEVELS,
    "a bracket a line": "[\n" * LEVELS,
    "open braces": "{a: " * LEVELS,
    "braces": "{a: " * LEVELS + "}" * LEVELS,
    "braces and brackets": "{a: [" * LEVELS,
    "brackets in lines": "- - a\n  - [" + "[b, " * LEVELS,
    "brackets with tabs": "[\t" * LEVELS,
    "brackets after texts": "['[', " * LEVELS,
    "question marks": "? " * LEVELS,
    "indented keys": "".join(" " * level + "a:\n" for level in range(900)),
    "anchors": "".join(f"&a{level} [" for level in range(LEVELS)),
    "tags": "!!seq [" * LEVELS,
    "merges": "{<<: " * LEVELS,
    "one level too many": "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
}
LARGE = {
    "3 MB in one list": "[" + "a," * 1_500_000 + "]",
    "lines": "- a\n" * 125_000,
    "keys": "{" + "a," * 250_000 + "}",
    "empty lists": "[" + "[]," * 160_000 + "]",
    "documents": "--- a\n" * 80_000,
}
ALIASES = {
    "laughs": "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]",
    "itself": "&a [*a]",
    "a merge of itself": "&a {<<: *a}",
    "a chain": "- &a0 [x]\n" + "".join(f"- &a{n + 1} [*a{n}]\n" for n in range(LEVELS)),
}
UNTIDY = "[[[{{{ " * 200 + "\"'`\t{a: [- ? % @ &x *y !z | > #\n" + "[" * 3000
TEXTS = [
    '{"a": [[[[{"b": 1}]]]]}',
    "{% for x in xs %}{{ x[0] }}{% endfor %}",
    "def f(x):\n\treturn [[y for y in x] for _ in {1: [2]}]\n\n    # - - - - ]]]\n",
    UNTIDY,
    "[" * 90_000,
    "- " * 40_000 + "\n" + "? " * 1000,
]


def refusal(text: str) -> str:
    """Raises AssertionError where it takes long; the faults took from 1.7 s to minutes."""
    started = time.monotonic()
    with pytest.raises(TextRefused) as caught:
        plain_yaml.load(text)
    assert time.monotonic() - started < 5
    return str(caught.value)


@pytest.mark.parametrize("what", DEEP)
def test_what_is_nested_too_deeply_is_refused_at_once(what):
    assert refusal(DEEP[what]).startswith(
        f"must be nested at most {MAX_DEPTH} levels deep, is deeper on line "
    )


@pytest.mark.parametrize("what", LARGE)
def test_what_holds_too_many_values_is_refused_at_once(what):
    assert refusal(LARGE[what]) == "must hold at most 50000 values, lists and mappings"


@pytest.mark.parametrize("what", ALIASES)
def test_aliases_are_refused_at_once(what):
    assert refusal(ALIASES[what]) == "must not use aliases"


def test_the_line_that_is_too_deep_is_named():
    assert refusal("- a\n- b\n- " + "[" * 99).endswith("on line 3")


def test_an_anchor_that_nobody_uses_is_fine():
    assert plain_yaml.load("[&a x, !!str 5]") == ["x", "5"]


@pytest.mark.parametrize("style", [None, "|", ">", "'", '"'])
@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_brackets_within_a_text_are_a_text(text, style):
    entry = {"slug": "a", "user_prompt_template": text}
    assert plain_yaml.load(yaml.safe_dump([entry], default_style=style, width=10**6)) == [entry]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_what_is_exported_is_imported_whatever_brackets_it_holds(text):
    prompt = Prompt(slug="a", system_prompt=text, user_prompt_template=f"{text}\n  {text}")
    assert yaml_format.read(yaml_format.written([prompt])) == [prompt]


def test_the_shipped_library_comes_back_from_its_export():
    prompts = [prompt for text in default_prompts.texts() for prompt in yaml_format.read(text)]
    assert len(prompts) > 20
    assert yaml_format.read(yaml_format.written(prompts)) == prompts


def test_the_deepest_prompt_that_a_client_can_read_is_imported():
    value = "x"
    for _ in range(MAX_DEPTH - 3):  # the list of prompts, the prompt and output_schema itself are levels too
        value = {"a": value}
    prompt = Prompt(slug="a")
    prompt.output_schema.update({"a": value})
    assert yaml_format.read(yaml_format.written([prompt])) == [prompt]
    told = ListPromptsResponse(prompts=[prompt])
    assert ListPromptsResponse.FromString(told.SerializeToString()) == told


def test_a_thousand_ordinary_prompts_are_few_enough():
    entry = dict.fromkeys(("name", "description", "category", "preferred_model"), "some words")
    entry |= {"user_prompt_template": "Hello {a}, {b}", "temperature": 0.5, "tags": ["x", "y"]}
    entry["variables"] = [{"name": "a", "type": "integer", "default": 3}, {"name": "b", "required": False}]
    text = yaml_format.dumped([{"slug": f"s{number}"} | entry for number in range(1000)])
    assert len(text) < 500_000
    assert len(yaml_format.read(text)) == 1000
