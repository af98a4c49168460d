"""Pipelines through the Python client: the builder, and what it builds over real Envoy."""

from typing import Any

import pytest
from genai_spine_client import Pipeline, Spine, Step, errors
from genai_spine_client.gen.genai_spine.v1 import PipelineAction, PipelineDefinition
from genai_spine_client.pipelines import cel, extract, mapped, merge
from google.protobuf import json_format

from genai_spine.pipelines import definition
from genai_spine.v1 import pipeline_pb2
from tests.acceptance.stack import Stack


def whole() -> PipelineDefinition:
    return (
        Pipeline("whole")
        .version("2.0.0")
        .description("all of it")
        .tags("test")
        .timeout(60)
        .max_concurrent(2)
        .no_fail_fast()
        .with_compensation(20)
        .checkpoint("first")
        .estimated_duration(5)
        .estimated_cost(0.01)
        .step("first")
        .description("a summary")
        .capability("summarization")
        .prefer_providers("builtin")
        .require_quality("economy")
        .with_options(max_sentences=1)
        .output_as("summary")
        .with_fallback(2, False, ("groq",))
        .with_retry(2, 10, False, ("TIMEOUT",))
        .timeout(30)
        .progress_weight(3)
        .compensate_with(PipelineAction(capability="translate"), "back", timeout=5, required=False)
        .done()
        .step("second")
        .capability("summarization")
        .input_from("summary", extract("text"))
        .output_transform(mapped(short="text"))
        .when_exists("summary")
        .no_fallback()
        .no_retry()
        .optional()
        .done()
        .add_step(
            Step("third")
            .capability("summarization")
            .input_transform(merge("summary", "text"))
            .when("size(context.text) > 3")
            .continue_on_failure()
            .depends_on("first")
            .compensate_with("https://example.com/undo")
            .build()
        )
        .add_steps(
            Step("fourth")
            .capability("translate")
            .when_equals("text", "x")
            .input_transform(cel("value"))
            .build()
        )
        .build()
    )


def test_what_the_builder_says_is_what_the_server_reads() -> None:
    found = pipeline_pb2.PipelineDefinition.FromString(bytes(whole()))
    assert definition.faults(found) == []
    fields = json_format.MessageToDict(found, preserving_proto_field_name=True)
    first, second, third, fourth = fields["steps"]
    assert (fields["max_concurrent"], fields["fail_fast"], fields["compensation_timeout_s"]) == (
        2,
        False,
        20.0,
    )
    assert first["fallback"] == {
        "enabled": True,
        "max_fallbacks": 2,
        "allow_quality_degradation": False,
        "exclude_providers": ["groq"],
    }
    assert first["retry"] == {
        "max_attempts": 2,
        "initial_delay_ms": 10,
        "exponential_backoff": False,
        "retryable_codes": ["TIMEOUT"],
    }
    assert first["compensation"]["required"] is False
    assert second["input_transform"] == {"extract": "text"}
    assert (second["fallback"], second["retry"]) == ({"enabled": False}, {"max_attempts": 1})
    assert third["when"] == {"cel": "size(context.text) > 3"}
    assert third["compensation"]["webhook_url"] == "https://example.com/undo"
    assert fourth["when"]["comparison"] == {"path": "text", "operator": "eq", "value": "x"}


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (lambda: Pipeline("x").build(), "no steps"),
        (lambda: Pipeline("x").step("a").done(), "no capability"),
        (lambda: Step("a").build(), "no capability"),
        (lambda: Step("a").capability("translate").done(), "part of no pipeline"),
        (
            lambda: Pipeline("x").add_steps(*[Step("a").capability("translate").build()] * 2).build(),
            "two steps a",
        ),
    ],
)
def test_what_cannot_be_built_says_why(build: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        build()


def test_functions_are_refused_by_the_method_that_got_one() -> None:
    for name in ("when", "input_transform", "output_transform", "compensate_with"):
        with pytest.raises(TypeError, match=rf"{name}\(\) takes data"):
            getattr(Step("a"), name)(lambda context: True)


async def test_a_built_pipeline_is_kept_estimated_and_executed(stack: Stack) -> None:
    built = (
        Pipeline("python_brief")
        .step("summary")
        .capability("summarization")
        .prefer_providers("builtin")
        .done()
        .build()
    )
    text = {"text": "It rained all day. The river rose. Nobody was hurt.", "max_sentences": 1}
    async with Spine(port=stack.port, timeout_s=60) as spine:
        kept = await spine.pipelines.create(built)
        assert (kept.version, kept.step_count) == (1, 1)
        assert "python_brief" in [one.name async for one in spine.pipelines.list()]
        estimate = await spine.pipelines.estimate("python_brief", text)
        assert estimate.can_execute
        run = await spine.pipelines.execute("python_brief", text, wait_s=30)
        assert run.status == "completed", run.error
        with pytest.raises(errors.Conflict):
            await spine.pipelines.create(built)
        await spine.pipelines.delete("python_brief")
        with pytest.raises(errors.NotFound):
            await spine.pipelines.get("python_brief")
