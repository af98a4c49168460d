"""Model-specific options behind Bedrock's Converse: schemas, tools, caching and reasoning.

Sources, 2026-11-28: https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html,
.../model-parameters-anthropic-claude-messages.html, .../prompt-caching.html, and
https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html. A model is known by its id,
with or without a region in front; an ARN of an application's own profile says nothing about its model.
"""

import re
from typing import Any, NoReturn

from genai_spine.errors import InvalidFields, UnsupportedOption
from genai_spine.providers.base import Route
from genai_spine.v1 import completion_service_pb2 as pb

ANTHROPIC, NOVA, NOVA2, GPT_OSS = "anthropic.", "amazon.nova", "amazon.nova-2", "openai.gpt-oss"
# Models that take a schema for their answer, and strict tools. All others get it as a tool to be called.
NATIVE_SCHEMA = re.compile(
    r"anthropic\.claude-[a-z]+-(?:4-[5-9]|[5-9])|qwen\.qwen3|deepseek\.v3|google\.gemma-3|minimax\."
    r"|mistral\.(?:magistral|ministral-3|mistral-large-3|voxtral)|moonshot(?:ai)?\.|nvidia\.|openai\."
)
# Models that decide themselves how long they think, within an effort.
ADAPTIVE = re.compile(r"anthropic\.claude-[a-z]+-(?:4-[6-9]|[5-9])")
NO_REGION = re.compile(r"^(?:us-gov|us|eu|apac|jp|au|ca|sa|me|af|global)\.(?=[a-z0-9-]+\.)")

MIN_BUDGET_TOKENS = 1024  # tokens of thinking
BUDGETS = {
    pb.REASONING_EFFORT_MINIMAL: MIN_BUDGET_TOKENS,
    pb.REASONING_EFFORT_LOW: 4096,
    pb.REASONING_EFFORT_MEDIUM: 8192,
    pb.REASONING_EFFORT_HIGH: 16384,
    pb.REASONING_EFFORT_XHIGH: 32768,
    pb.REASONING_EFFORT_MAX: 32768,
}
EFFORTS = {
    pb.REASONING_EFFORT_MINIMAL: "low",
    pb.REASONING_EFFORT_LOW: "low",
    pb.REASONING_EFFORT_MEDIUM: "medium",
    pb.REASONING_EFFORT_HIGH: "high",
    pb.REASONING_EFFORT_XHIGH: "high",
    pb.REASONING_EFFORT_MAX: "high",
}
# Of models that decide themselves; the behaviour book has brought an effort to one that the model has.
MOST = {pb.REASONING_EFFORT_XHIGH: "xhigh", pb.REASONING_EFFORT_MAX: "max"}


def takes_schema(model: str) -> bool:
    """Whether the model takes a JSON Schema for its answer, and strict tools."""
    return NATIVE_SCHEMA.search(model) is not None


def takes_named_tool(model: str) -> bool:
    """Whether the model can be told which tool to call; others only that they must call one."""
    return ANTHROPIC in model or NOVA in model


def takes_cache_points(model: str) -> bool:
    """Whether the model caches prompts up to a marked block."""
    return ANTHROPIC in model or NOVA in model


def takes_cache_ttl(model: str) -> bool:
    """Whether a cache mark can be kept for an hour instead of five minutes."""
    return ANTHROPIC in model


def base_model(model: str) -> str:
    """The model's id without the region of an inference profile."""
    return NO_REGION.sub("", model)


def thinks(request: pb.CreateCompletionRequest, model: str) -> bool:
    """A Claude that was told to think, and can then not be made to call a tool."""
    requested = (
        request.HasField("reasoning_max_tokens") or request.reasoning_effort > pb.REASONING_EFFORT_NONE
    )
    return requested and ANTHROPIC in model


def fields(request: pb.CreateCompletionRequest, route: Route) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields for additionalModelRequestFields, and for outputConfig.

    Errors: UnsupportedOption (the model has no such option), InvalidFields (no room for the thinking).
    """
    more: dict[str, Any] = {}
    output: dict[str, Any] = {}
    provider, model = route.provider.name, route.model
    if request.HasField("top_k"):
        more |= _top_k(model, request.top_k) or _refuse("top_k", provider, model)
    if request.HasField("reasoning_max_tokens"):
        if ANTHROPIC not in model:
            _refuse("reasoning_max_tokens", provider, model)
        more["thinking"] = _budget(request, request.reasoning_max_tokens, "reasoning_max_tokens")
    elif request.reasoning_effort:
        more |= _reasoning(request, model, output) or _refuse("reasoning_effort", provider, model)
    return more, output


def _top_k(model: str, top_k: int) -> dict[str, Any]:
    if ANTHROPIC in model:
        return {"top_k": top_k}
    return {"inferenceConfig": {"topK": top_k}} if NOVA in model else {}


def _reasoning(request: pb.CreateCompletionRequest, model: str, output: dict[str, Any]) -> dict[str, Any]:
    """Empty: the model cannot be told."""
    effort = request.reasoning_effort
    none = effort == pb.REASONING_EFFORT_NONE
    if ANTHROPIC in model and none:
        return {"thinking": {"type": "disabled"}}
    if ADAPTIVE.search(model):
        output["effort"] = MOST.get(effort) or EFFORTS[effort]
        return {"thinking": {"type": "adaptive"}}
    if ANTHROPIC in model:
        return {"thinking": _budget(request, BUDGETS[effort], None)}
    if NOVA2 in model and none:
        return {"reasoningConfig": {"type": "disabled"}}
    if NOVA2 in model:
        return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": EFFORTS[effort]}}
    return {"reasoning_effort": EFFORTS[effort]} if GPT_OSS in model and not none else {}


def _budget(request: pb.CreateCompletionRequest, tokens: int, field: str | None) -> dict[str, Any]:
    """field: names the tokens when the caller chose them; otherwise they shrink to what max_tokens leaves."""
    if request.HasField("max_tokens") and field is None:
        tokens = min(tokens, request.max_tokens - 1)
    if tokens < MIN_BUDGET_TOKENS:
        problem = (
            f"must be at least {MIN_BUDGET_TOKENS if field else MIN_BUDGET_TOKENS + 1} for the model to think"
        )
        raise InvalidFields([(field or "max_tokens", problem)])
    return {"type": "enabled", "budget_tokens": tokens}


def _refuse(field: str, provider: str, model: str) -> NoReturn:
    raise UnsupportedOption(field=field, provider=provider, option=f"{field} with the model {model}")
