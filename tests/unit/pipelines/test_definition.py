"""Definitions: each fault with its path."""

from typing import Any

import pytest
from google.protobuf import json_format

from genai_spine.errors import InvalidFields
from genai_spine.pipelines import definition
from genai_spine.v1.pipeline_pb2 import PipelineDefinition

GOOD: dict[str, Any] = {"name": "a", "capability": "summarization"}


def made(*steps: dict[str, Any], **fields: Any) -> PipelineDefinition:
    whole = {"name": "x", "steps": list(steps), **fields}
    return json_format.ParseDict(whole, PipelineDefinition())


@pytest.mark.parametrize(
    ("steps", "fields", "path"),
    [
        ((), {}, "steps"),
        ((GOOD,), {"name": "Upper"}, "name"),
        ((GOOD,), {"name": "exec-1"}, "name"),
        ((GOOD,), {"checkpoints": ["b"]}, "checkpoints[0]"),
        ((GOOD,), {"timeout_s": 0}, "timeout_s"),
        ((GOOD, GOOD), {}, "steps[1].name"),
        ((GOOD, {**GOOD, "name": "b", "output_as": "a"}), {}, "steps[1].output_as"),
        (({"name": "a"},), {}, "steps[0].capability"),
        (({**GOOD, "capability": "magic"},), {}, "steps[0].capability"),
        (({**GOOD, "quality": "best"},), {}, "steps[0].quality"),
        (({**GOOD, "options": {"max_sentences": 99}},), {}, "steps[0].options"),
        (({**GOOD, "options": {"nobody": 1}},), {}, "steps[0].options"),
        (({**GOOD, "depends_on": ["a"]},), {}, "steps[0].depends_on[0]"),
        (({**GOOD, "depends_on": ["z"]},), {}, "steps[0].depends_on[0]"),
        (({**GOOD, "when": {}},), {}, "steps[0].when"),
        (({**GOOD, "when": {"cel": "1 +"}},), {}, "steps[0].when.cel"),
        (({**GOOD, "when": {"cel": "'text'"}},), {}, "steps[0].when.cel"),
        (
            ({**GOOD, "when": {"comparison": {"path": "x", "operator": "gt"}}},),
            {},
            "steps[0].when.comparison.value",
        ),
        (
            ({**GOOD, "when": {"comparison": {"path": "x", "operator": "is"}}},),
            {},
            "steps[0].when.comparison.operator",
        ),
        (({**GOOD, "input_transform": {}},), {}, "steps[0].input_transform"),
        (({**GOOD, "output_transform": {"cel": "x"}},), {}, "steps[0].output_transform.cel"),
        (({**GOOD, "compensation": {}},), {}, "steps[0].compensation"),
        (
            ({**GOOD, "compensation": {"work": {"capability": "magic"}}},),
            {},
            "steps[0].compensation.work.capability",
        ),
        (({**GOOD, "retry": {"max_attempts": 0}},), {}, "steps[0].retry.max_attempts"),
    ],
)
def test_faults_have_their_paths(steps: Any, fields: dict[str, Any], path: str):
    found = definition.faults(made(*steps, **fields))
    assert path in [place for place, _ in found], found


def test_a_good_one_gets_its_version():
    found = definition.checked(made(GOOD))
    assert found.version == "1.0.0"


def test_paths_begin_where_the_caller_says():
    with pytest.raises(InvalidFields) as error:
        definition.checked(made({**GOOD, "capability": "magic"}), "work.pipeline.definition")
    assert error.value.violations[0][0] == "work.pipeline.definition.steps[0].capability"


def test_capabilities_of_undo_actions_are_required_too():
    undo = {"work": {"capability": "translate"}}
    found = made(GOOD, {**GOOD, "name": "b", "compensation": undo})
    assert definition.required_capabilities(found) == ["summarization", "translate"]
    assert definition.members(found) == {"summarize", "translate"}
