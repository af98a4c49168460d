"""Arguments of the pipelines that come along: each changes steps of a definition that a run is made by."""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import json_format

from genai_spine.errors import InvalidFields
from genai_spine.v1.pipeline_pb2 import PipelineDefinition, PipelineStep

PATH = "arguments"
MAX_WORDS, MAX_PROVIDERS = 10_000, 16
METHODS = ("mask", "replace", "hash", "remove")
FORMATS = {"paragraph": "paragraph", "bullet_points": "bullet_points", "narrative": "paragraph"}


class ArgumentRefused(Exception):
    """Value that an argument does not take; the message goes on from `must be`."""


Change = Callable[[PipelineDefinition, Any], None]


def applied(definition: PipelineDefinition, given: Mapping[str, Any]) -> PipelineDefinition:
    """The definition with its arguments, itself where none are given. Errors: InvalidFields (arguments)."""
    if not given:
        return definition
    known = ARGUMENTS.get(definition.name, {})
    changed, problems = PipelineDefinition(), []
    changed.CopyFrom(definition)
    for name, value in given.items():
        if name not in known:
            there = f"there are: {', '.join(sorted(known))}" if known else "the pipeline takes none"
            problems.append((f"{PATH}.{name[:64]}", f"is unknown; {there}"))
            continue
        try:
            known[name](changed, value)
        except ArgumentRefused as error:
            problems.append((f"{PATH}.{name}", f"must be {error}"))
    if problems:
        raise InvalidFields(problems)
    return changed


def _includes(step: str) -> Change:
    """Argument that drops a step where it is false."""

    def change(definition: PipelineDefinition, value: Any) -> None:
        if not isinstance(value, bool):
            raise ArgumentRefused("true or false")
        if value:
            return
        kept = [one for one in definition.steps if one.name != step]
        del definition.steps[:]
        definition.steps.extend(kept)
        checkpoints = [name for name in definition.checkpoints if name != step]
        definition.checkpoints[:] = checkpoints

    return change


def _diarizes(definition: PipelineDefinition, value: Any) -> None:
    """Argument that has speakers told apart, or not."""
    if not isinstance(value, bool):
        raise ArgumentRefused("true or false")
    step = _step(definition, "transcribe")
    step.capability = "transcription_diarization" if value else "transcription"
    if not value:  # OpenAI's younger models, which may be asked then, say of no piece when it was spoken
        step.options.fields.pop("segments", None)


def _sets(step: str, option: str, values: Mapping[str, str]) -> Change:
    """Argument that sets an option of a step to one of some values."""

    def change(definition: PipelineDefinition, value: Any) -> None:
        if not isinstance(value, str) or value not in values:
            raise ArgumentRefused(f"one of {', '.join(values)}")
        _set(definition, step, option, values[value])

    return change


def _counts(step: str, option: str) -> Change:
    """Argument that sets an option of a step to a number of words."""

    def change(definition: PipelineDefinition, value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_WORDS:
            raise ArgumentRefused(f"a whole number from 1 to {MAX_WORDS}")
        _set(definition, step, option, value)

    return change


def _prefers(*steps: str) -> Change:
    """Argument that says which providers steps try first."""

    def change(definition: PipelineDefinition, value: Any) -> None:
        names = value if isinstance(value, list) and 0 < len(value) <= MAX_PROVIDERS else []
        if not names or not all(isinstance(name, str) and 0 < len(name) <= 64 for name in names):
            raise ArgumentRefused(f"a list of 1 to {MAX_PROVIDERS} names of providers")
        for one in definition.steps:
            if one.name in steps:
                one.preferred_providers[:] = names

    return change


def _set(definition: PipelineDefinition, step: str, option: str, value: Any) -> None:
    """Sets an option of a step, unless another argument dropped the step."""
    found = next((one for one in definition.steps if one.name == step), None)
    if found is not None:
        json_format.ParseDict(value, found.options.fields[option])


def _step(definition: PipelineDefinition, name: str) -> PipelineStep:
    return next(one for one in definition.steps if one.name == name)


_WRITERS = ("summarize", "sentiment", "coaching")
_HEARS: Mapping[str, Change] = {"provider_preference": _prefers("transcribe")}
_REDACTS: Mapping[str, Change] = {
    "redaction_method": _sets("redact_pii", "method", {name: name for name in METHODS})
}
_JUDGES: Mapping[str, Change] = {
    "include_summary": _includes("summarize"),
    "include_sentiment": _includes("sentiment"),
    "summary_max_length": _counts("summarize", "max_words"),
    "llm_provider_preference": _prefers(*_WRITERS),
}
ARGUMENTS: Mapping[str, Mapping[str, Change]] = {
    "call_analysis": {**_JUDGES, **_HEARS, **_REDACTS, "include_coaching": _includes("coaching")},
    "transcription": {**_HEARS, "with_diarization": _diarizes},
    "transcription_with_diarization": _HEARS,
    "transcription_with_redaction": {**_HEARS, **_REDACTS},
    "dual_channel_analysis": {**_JUDGES, **_HEARS, **_REDACTS},
    "text_summarization": {
        "max_length": _counts("summarize", "max_words"),
        "format": _sets("summarize", "output_format", FORMATS),
        "provider_preference": _prefers("summarize"),
    },
}
