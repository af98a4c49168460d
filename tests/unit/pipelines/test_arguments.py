from typing import Any

import pytest
from google.protobuf import json_format

from genai_spine.errors import InvalidFields
from genai_spine.pipelines import PIPELINES, library
from genai_spine.pipelines.arguments import ARGUMENTS, applied
from genai_spine.v1.pipeline_pb2 import PipelineDefinition


def shipped(name: str) -> PipelineDefinition:
    return library.predefined(name).definition


def steps(definition: PipelineDefinition) -> list[str]:
    return [one.name for one in definition.steps]


def refused(name: str, **given: Any) -> dict[str, str]:
    with pytest.raises(InvalidFields) as raised:
        applied(shipped(name), given)
    return dict(raised.value.violations)


def test_without_arguments_it_is_as_it_is() -> None:
    definition = shipped("call_analysis")
    assert applied(definition, {}) is definition


@pytest.mark.parametrize(
    ("argument", "step"),
    [("include_summary", "summarize"), ("include_sentiment", "sentiment"), ("include_coaching", "coaching")],
)
def test_false_drops_the_step_and_its_checkpoint(argument: str, step: str) -> None:
    found = applied(shipped("call_analysis"), {argument: False})
    assert step not in steps(found)
    assert step not in found.checkpoints
    assert len(found.steps) == 4
    assert steps(applied(shipped("call_analysis"), {argument: True})) == steps(shipped("call_analysis"))
    assert step in steps(shipped("call_analysis")), "what is shipped is not written into"


def test_arguments_of_a_dropped_step_change_nothing() -> None:
    given = {"include_summary": False, "summary_max_length": 20, "llm_provider_preference": ["builtin"]}
    found = applied(shipped("call_analysis"), given)
    assert steps(found) == ["transcribe", "redact_pii", "sentiment", "coaching"]
    assert list(found.steps[3].preferred_providers) == ["builtin"]
    assert list(found.steps[0].preferred_providers) == ["deepgram", "openai"]


def test_options_are_set() -> None:
    found = applied(shipped("text_summarization"), {"max_length": 40, "format": "narrative"})
    options = json_format.MessageToDict(found.steps[0].options)
    assert options == {"max_words": 40, "output_format": "paragraph"}
    found = applied(shipped("transcription_with_redaction"), {"redaction_method": "hash"})
    assert json_format.MessageToDict(found.steps[1].options)["method"] == "hash"
    found = applied(shipped("transcription"), {"with_diarization": False, "provider_preference": ["openai"]})
    assert found.steps[0].capability == "transcription"
    assert list(found.steps[0].preferred_providers) == ["openai"]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("call_analysis", {"include_summary": "no"}),
        ("call_analysis", {"include_summary": None}),
        ("call_analysis", {"summary_max_length": 0}),
        ("call_analysis", {"summary_max_length": 1.5}),
        ("call_analysis", {"summary_max_length": True}),
        ("call_analysis", {"summary_max_length": 10**9}),
        ("call_analysis", {"llm_provider_preference": []}),
        ("call_analysis", {"llm_provider_preference": "openai"}),
        ("call_analysis", {"llm_provider_preference": ["a" * 65]}),
        ("call_analysis", {"llm_provider_preference": [1]}),
        ("transcription", {"with_diarization": 1}),
        ("transcription_with_redaction", {"redaction_method": "shred"}),
        ("text_summarization", {"format": ["paragraph"]}),
    ],
)
def test_a_value_that_it_does_not_take_is_said(name: str, given: dict[str, Any]) -> None:
    (argument,) = given
    assert refused(name, **given)[f"arguments.{argument}"].startswith("must be")


@pytest.mark.parametrize("name", PIPELINES)
def test_an_unknown_argument_is_told_those_that_there_are(name: str) -> None:
    found = refused(name, **{"x" * 1000: 1})
    ((path, why),) = found.items()
    assert len(path) < 100
    assert all(known in why for known in ARGUMENTS.get(name, {"takes none": None}))


def test_numbers_that_are_none_are_refused() -> None:
    for value in (float("inf"), float("nan")):
        assert "arguments.max_length" in refused("text_summarization", max_length=value)
