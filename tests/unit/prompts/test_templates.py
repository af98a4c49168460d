"""Templates of prompts: checked, kept by content, rendered here or in the sandbox's process."""

from collections.abc import AsyncIterator

import pytest

from genai_spine.errors import InvalidFields, InvalidTemplate
from genai_spine.prompts.sandbox import Template
from genai_spine.prompts.sandbox_process import Sandbox
from genai_spine.prompts.templates import Templates
from genai_spine.v1.prompt_service_pb2 import Prompt, PromptVariable


class CountedSandbox(Sandbox):
    def __init__(self) -> None:
        super().__init__()
        self.rendered = 0

    async def render(self, *given):
        self.rendered += 1
        return await super().render(*given)


@pytest.fixture
async def templates() -> AsyncIterator[Templates]:
    found = Templates(CountedSandbox())
    yield found
    await found.close()


def prompt(user: str, system: str = "", *names: str) -> Prompt:
    declared = [PromptVariable(name=name) for name in names]
    return Prompt(user_prompt_template=user, system_prompt=system, variables=declared)


async def test_check_names_field_line_and_problem(templates):
    templates.check(prompt("{x}", "{{ x }}", "x"))
    with pytest.raises(InvalidTemplate, match=r"^system_prompt: line 2: variable 'y' is not declared$"):
        templates.check(prompt("ok", "\n{{ y }}", "x"))
    with pytest.raises(InvalidTemplate, match=r"^user_prompt_template: line 1: "):
        templates.check(prompt("{% if", "", "x"))
    with pytest.raises(InvalidFields):
        templates.check(prompt("", "", "x", "x"))


async def test_what_is_bounded_is_rendered_here_and_the_rest_in_the_sandbox(templates):
    assert await templates.rendered("user_prompt_template", prompt("{x}", "", "x"), {"x": "v"}) == "v"
    assert templates.sandbox.rendered == 0
    loop = prompt("{% for i in range(3) %}{{ i }}{% endfor %}")
    assert await templates.rendered("user_prompt_template", loop, {}) == "012"
    assert templates.sandbox.rendered == 1
    long = prompt("{{ x | upper | length }}", "", "x")
    assert await templates.rendered("user_prompt_template", long, {"x": "v" * 6_000_000}) == "6000000"
    assert templates.sandbox.rendered == 2


async def test_a_variable_without_value_is_empty_and_undefined(templates):
    source = "[{x}{{ x }}]{% if x %}yes{% else %}no{% endif %}{{ x | default('none') }}{{ x is defined }}"
    said = await templates.rendered("user_prompt_template", prompt(source, "", "x"), {"x": None})
    assert said == "[]nononefalse"


async def test_a_template_is_compiled_once(templates, monkeypatch):
    made = []
    monkeypatch.setattr(
        "genai_spine.prompts.templates.Template",
        lambda *given: made.append(given) or Template(*given),
    )
    for _ in range(3):
        await templates.rendered("user_prompt_template", prompt("{x}", "", "x"), {"x": "v"})
    await templates.rendered("user_prompt_template", prompt("{x}"), {})
    assert made == [("{x}", ("x",)), ("{x}", ())]


@pytest.mark.parametrize("source", ["{{ x + 1 }}", "{{ 1 / 0 }}", "{{ ''['__class__'] }}"])
async def test_a_template_that_fails_with_its_values_names_its_field(templates, source):
    with pytest.raises(InvalidTemplate, match=r"^user_prompt_template: line 1: "):
        await templates.rendered("user_prompt_template", prompt(source, "", "x"), {"x": "v"})
