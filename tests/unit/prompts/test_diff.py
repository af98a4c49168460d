"""What differs between two versions."""

import time

from genai_spine.prompts.diff import MAX_LINES, compared
from genai_spine.v1.prompt_service_pb2 import PromptVariable, PromptVersion


def test_only_fields_that_differ_are_named_with_both_values():
    old = PromptVersion(version=1, user_prompt_template="a", system_prompt="s", temperature=0.5)
    late = PromptVersion(version=4, user_prompt_template="b", temperature=0.5, max_tokens=3)
    diff = compared(old, late)
    assert (diff.from_version, diff.to_version) == (1, 4)
    found = {field.field: field for field in diff.fields}
    assert set(found) == {"user_prompt_template", "system_prompt", "max_tokens"}
    assert (found["user_prompt_template"].before, found["user_prompt_template"].after) == ("a", "b")
    assert not found["system_prompt"].HasField("after")
    assert (found["max_tokens"].HasField("before"), found["max_tokens"].after) == (False, "3")
    assert not any(field.HasField("unified") for field in diff.fields)


def test_texts_of_several_lines_and_variables_have_a_unified_diff():
    old = PromptVersion(user_prompt_template="a\nb", variables=[PromptVariable(name="x")])
    late = PromptVersion(user_prompt_template="a\nc", variables=[PromptVariable(name="y")])
    found = {field.field: field.unified for field in compared(old, late).fields}
    assert "-b\n+c" in found["user_prompt_template"]
    assert '-    "name": "x"\n+    "name": "y"' in found["variables"]


def test_the_same_versions_differ_in_nothing():
    version = PromptVersion(user_prompt_template="a", variables=[PromptVariable(name="x")])
    assert list(compared(version, version).fields) == []


def test_hostile_texts_are_compared_in_bounded_time():
    lines = ["x", "y"] * (MAX_LINES // 2)
    old = PromptVersion(user_prompt_template="\n".join(lines))
    late = PromptVersion(user_prompt_template="\n".join([*lines[1:], "z"]))
    longer = PromptVersion(user_prompt_template="\n".join(lines * 2))
    started = time.monotonic()
    assert compared(old, late).fields[0].unified
    assert not compared(old, longer).fields[0].HasField("unified")
    assert time.monotonic() - started < 10
