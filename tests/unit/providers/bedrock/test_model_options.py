"""What each family of models behind Bedrock takes in its own way."""

from typing import Any

import pytest

from genai_spine.errors import InvalidFields, UnsupportedOption
from genai_spine.providers.base import Endpoint, Provider, Route
from genai_spine.providers.bedrock import model_options
from genai_spine.v1 import completion_service_pb2 as pb

SONNET_4, SONNET_45 = "anthropic.claude-sonnet-4-20250514-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0"
OPUS_46, NOVA, NOVA2 = (
    "global.anthropic.claude-opus-4-6-v1",
    "us.amazon.nova-pro-v1:0",
    "amazon.nova-2-lite-v1:0",
)
NONE, MINIMAL, LOW = pb.REASONING_EFFORT_NONE, pb.REASONING_EFFORT_MINIMAL, pb.REASONING_EFFORT_LOW
HIGH, MAX = pb.REASONING_EFFORT_HIGH, pb.REASONING_EFFORT_MAX


def fields(model: str, **given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    route = Route(Provider(Endpoint("bedrock")), model)
    return model_options.fields(pb.CreateCompletionRequest(**given), route)


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", False),
        ("anthropic.claude-opus-4-1-20250805-v1:0", False),
        (SONNET_4, False),
        (SONNET_45, True),
        (f"us.{SONNET_45}", True),
        (OPUS_46, True),
        ("anthropic.claude-sonnet-5-v1", True),
        (NOVA, False),
        ("qwen.qwen3-32b-v1:0", True),
        ("openai.gpt-oss-120b-1:0", True),
        ("mistral.mistral-large-2407-v1:0", False),
        ("mistral.mistral-large-3-675b-instruct", True),
        ("meta.llama3-70b-instruct-v1:0", False),
    ],
)
def test_who_takes_a_schema(model: str, takes: bool) -> None:
    assert model_options.takes_schema(model) is takes


@pytest.mark.parametrize(
    ("profile", "model"),
    [
        (f"us.{SONNET_45}", SONNET_45),
        (OPUS_46, "anthropic.claude-opus-4-6-v1"),
        (f"us-gov.{SONNET_45}", SONNET_45),
        (SONNET_45, SONNET_45),
        ("us.model", "us.model"),
    ],
)
def test_profile_is_a_model_with_its_region_in_front(profile: str, model: str) -> None:
    assert model_options.base_model(profile) == model


@pytest.mark.parametrize(
    ("model", "effort", "more", "output"),
    [
        (SONNET_4, MINIMAL, {"thinking": {"type": "enabled", "budget_tokens": 1024}}, {}),
        (SONNET_45, MAX, {"thinking": {"type": "enabled", "budget_tokens": 32768}}, {}),
        (SONNET_45, NONE, {"thinking": {"type": "disabled"}}, {}),
        (OPUS_46, LOW, {"thinking": {"type": "adaptive"}}, {"effort": "low"}),
        (OPUS_46, MAX, {"thinking": {"type": "adaptive"}}, {"effort": "max"}),
        (OPUS_46, NONE, {"thinking": {"type": "disabled"}}, {}),
        (NOVA2, HIGH, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}, {}),
        (NOVA2, NONE, {"reasoningConfig": {"type": "disabled"}}, {}),
        ("openai.gpt-oss-20b-1:0", MAX, {"reasoning_effort": "high"}, {}),
    ],
)
def test_effort(model: str, effort: Any, more: dict[str, Any], output: dict[str, Any]) -> None:
    assert fields(model, reasoning_effort=effort) == (more, output)


@pytest.mark.parametrize(
    ("model", "given", "field"),
    [
        (NOVA, {"reasoning_effort": LOW}, "reasoning_effort"),
        ("openai.gpt-oss-20b-1:0", {"reasoning_effort": NONE}, "reasoning_effort"),
        (NOVA2, {"reasoning_max_tokens": 2000}, "reasoning_max_tokens"),
        ("openai.gpt-oss-20b-1:0", {"top_k": 1}, "top_k"),
    ],
)
def test_option_that_a_model_has_not_is_refused(model: str, given: dict[str, Any], field: str) -> None:
    with pytest.raises(UnsupportedOption) as raised:
        fields(model, **given)
    assert raised.value.metadata["field"] == field
    assert model in str(raised.value)


def test_thinking_leaves_room_for_an_answer() -> None:
    more, _ = fields(SONNET_4, reasoning_effort=HIGH, max_tokens=5000)
    assert more["thinking"]["budget_tokens"] == 4999
    with pytest.raises(InvalidFields, match="max_tokens: must be at least 1025"):
        fields(SONNET_4, reasoning_effort=HIGH, max_tokens=1024)


def test_budget_of_the_callers_own_is_kept_or_refused() -> None:
    more, _ = fields(SONNET_4, reasoning_max_tokens=3000, max_tokens=2000)
    assert more["thinking"]["budget_tokens"] == 3000
    with pytest.raises(InvalidFields, match="reasoning_max_tokens: must be at least 1024"):
        fields(SONNET_4, reasoning_max_tokens=1000)


@pytest.mark.parametrize(
    ("model", "sent"), [(SONNET_4, {"top_k": 5}), (NOVA, {"inferenceConfig": {"topK": 5}})]
)
def test_top_k_has_a_place_in_each_family(model: str, sent: dict[str, Any]) -> None:
    assert fields(model, top_k=5) == (sent, {})
