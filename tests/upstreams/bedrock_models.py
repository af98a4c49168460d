"""What Claude refuses behind Converse, model by model.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-thinking.html and
.../claude-messages-extended-thinking.html, 2026-11-29.
"""

import re
from typing import Any

from tests.upstreams.bedrock_rules import refusal

CLAUDE = re.compile(r"anthropic\.claude-")
UNTHINKING = re.compile(r"claude-3-(?!7)")
MIDDLE = re.compile(r"claude-[a-z]+-4-6")  # both ways of thinking
UNBUDGETED = re.compile(r"claude-(opus-4-[78]|(opus|sonnet|haiku|fable|mythos)-5)")
ALWAYS_THINKING = re.compile(r"claude-(opus-5-5|fable-5-1)")


def check_model(model: str, body: dict[str, Any]) -> None:
    if not CLAUDE.search(model):
        return
    more, inference = body.get("additionalModelRequestFields") or {}, body.get("inferenceConfig") or {}
    kind = (more.get("thinking") or {}).get("type")
    _check_thinking(model, kind, (body.get("outputConfig") or {}).get("effort"))
    choice = (body.get("toolConfig") or {}).get("toolChoice") or {}
    if ALWAYS_THINKING.search(model) and not choice.keys() <= {"auto"}:
        raise refusal("tool_choice: forced tool use is not supported on this model.")
    sampling = {"temperature": inference.get("temperature"), "top_p": inference.get("topP")}
    sampling |= {"top_k": more.get("top_k")}
    for name, value in sampling.items():
        if value is not None and UNBUDGETED.search(model):
            raise refusal(f"`{name}` is deprecated for this model.")
        allowed = (
            value is None or (name == "top_p" and value >= 0.95) or (name == "temperature" and value == 1)
        )
        if kind in ("enabled", "adaptive") and not allowed:
            raise refusal(f"`{name}` must be unset when thinking is enabled.")


def _check_thinking(model: str, kind: str | None, effort: str | None) -> None:
    if kind in ("enabled", "adaptive") and UNTHINKING.search(model):
        raise refusal("thinking: this model does not support extended thinking")
    if kind == "enabled" and UNBUDGETED.search(model):
        raise refusal('"thinking.type.enabled" is not supported for this model.')
    if kind == "disabled" and ALWAYS_THINKING.search(model):
        raise refusal('"thinking.type.disabled" is not supported for this model.')
    if kind == "adaptive" and not (MIDDLE.search(model) or UNBUDGETED.search(model)):
        raise refusal("adaptive thinking is not supported on this model")
    if effort == "xhigh" and MIDDLE.search(model):
        raise refusal("output_config.effort: 'xhigh' is not supported on this model")
