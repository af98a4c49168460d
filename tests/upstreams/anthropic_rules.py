"""What Anthropic refuses with 400: unknown fields, wrong types, values out of range, broken conversations.

Fields: the request types of the official SDK (anthropic 2.11.0; a test compares the names) and, of the API
versions before 2026, temperature, top_p and top_k. Messages: as reported publicly, e.g. "messages.0.content:
Field required", "`temperature` is deprecated for this model." (2026-06).
"""

import re
from collections.abc import Mapping
from typing import Any

from tests.upstreams.anthropic_errors import invalid
from tests.upstreams.anthropic_schemas import check_format, check_tools
from tests.upstreams.anthropic_turns import check_turns
from tests.upstreams.server import Refused

Types = tuple[type, ...]
NUMBER: Types = (int, float)
COUNTED: Mapping[str, Types] = {
    "cache_control": (dict, type(None)),
    "messages": (list,),
    "model": (str,),
    "output_config": (dict,),
    "speed": (str, type(None)),
    "system": (str, list),
    "thinking": (dict,),
    "tool_choice": (dict,),
    "tools": (list,),
}
MESSAGE: Mapping[str, Types] = {
    **COUNTED,
    "container": (str, dict, type(None)),
    "diagnostics": (dict, type(None)),
    "inference_geo": (str, type(None)),
    "max_tokens": (int,),
    "metadata": (dict,),
    "service_tier": (str,),
    "stop_sequences": (list,),
    "stream": (bool,),
    "temperature": NUMBER,
    "top_k": (int,),
    "top_p": NUMBER,
}
WORDS = {
    (str,): "a valid string",
    (list,): "a valid list",
    (bool,): "a valid boolean",
    (int,): "a valid integer",
    NUMBER: "a valid number",
}
SAMPLING = ("temperature", "top_p", "top_k")
BUDGETED = re.compile(r"claude-(3|(opus|sonnet|haiku)-4(-[0-6])?(-\d{8})?$)")  # take a budget of thinking
UNTHINKING = re.compile(r"claude-3-(5|haiku|opus|sonnet)")
# 4.6 take both; from 4.7 on there is no budget and no sampling.
ADAPTIVE = re.compile(r"claude-(?!3)(?!(opus|sonnet|haiku)-4(-[0-5])?(-\d{8})?$)")
STRUCTURED = re.compile(r"claude-(?!3)(?!(opus|sonnet)-4(-[01])?(-\d{8})?$)")
MIDDLE = re.compile(r"claude-(opus|sonnet|haiku)-4-6")
UNFORCED = re.compile(r"claude-(opus-5-5|(fable|mythos)-5-[12])")
ALWAYS_THINKING = re.compile(r"claude-((opus|sonnet)-5-5|(fable|mythos)-5-[12])")
EITHER = re.compile(r"claude-(opus|sonnet|haiku)-4-[15](-|$)")
EFFORTS = ("low", "medium", "high", "xhigh", "max")


def refuse(problem: str) -> Refused:
    return Refused(invalid(problem))


def check_version(body: dict[str, Any], version: str, headers: Mapping[str, str]) -> None:
    """Rules of API version 2026-10-21: keys as bearers, no sampling even at its defaults, no documents of an
    assistant. https://platform.claude.com/docs/en/api/versioning, as reported 2026-10-21.
    """
    newest = version == "2026-10-21"
    if not newest:
        return
    if "x-api-key" in headers:
        raise refuse("x-api-key: send the key as Authorization: Bearer")
    for name in SAMPLING:
        if name in body:
            raise refuse(f"{name}: Extra inputs are not permitted")
    for message in body.get("messages") or ():
        content = message.get("content") if isinstance(message, dict) else None
        blocks = content if isinstance(content, list) else []
        if message.get("role") == "assistant" and any(block.get("type") == "document" for block in blocks):
            raise refuse("messages: document blocks are not permitted in assistant messages")


def check_message(body: dict[str, Any]) -> None:
    _check_fields(body, MESSAGE, ("max_tokens", "messages", "model"))
    if body["max_tokens"] < 1:
        raise refuse("max_tokens: Input should be greater than or equal to 1")
    for name, most in (("temperature", 1), ("top_p", 1)):
        if not 0 <= body.get(name, 0) <= most:
            raise refuse(f"{name}: range: 0..{most}")
    if set(body.get("metadata", {})) - {"user_id"}:
        raise refuse("metadata: Extra inputs are not permitted")
    if any(not stop.strip() for stop in body.get("stop_sequences", [])):
        raise refuse("stop_sequences: each stop sequence must contain non-whitespace")
    _check_rest(body)
    _check_sampling(body)


def check_count(body: dict[str, Any]) -> None:
    _check_fields(body, COUNTED, ("messages", "model"))
    _check_rest(body)


def _check_rest(body: dict[str, Any]) -> None:
    check_turns(body)
    check_tools(body, strict_tools=bool(STRUCTURED.match(body["model"])))
    check_format(body, supported=bool(STRUCTURED.match(body["model"])))
    _check_thinking(body)


def _check_fields(body: dict[str, Any], fields: Mapping[str, Types], needed: tuple[str, ...]) -> None:
    for name in needed:
        if name not in body:
            raise refuse(f"{name}: Field required")
    for name, value in body.items():
        if name not in fields:
            raise refuse(f"{name}: Extra inputs are not permitted")
        types = fields[name]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise refuse(f"{name}: Input should be {WORDS.get(types, 'a valid dictionary')}")


def _check_thinking(body: dict[str, Any]) -> None:
    thinking, model = body.get("thinking") or {}, body["model"]
    kind = thinking.get("type")
    if kind not in (None, "enabled", "disabled", "adaptive", "between_tools"):
        raise refuse(
            f"thinking: Input tag '{kind}' found using 'type' does not match any of the expected tags"
        )
    if kind in ("enabled", "disabled") and ALWAYS_THINKING.match(model):
        raise refuse(
            f'"thinking.type.{kind}" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.'
        )
    if UNFORCED.match(model) and (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        raise refuse("tool_choice: forced tool use is not supported on this model.")
    if kind in ("enabled", "adaptive") and UNTHINKING.match(model):
        raise refuse("thinking: this model does not support extended thinking")
    if kind == "adaptive" and not ADAPTIVE.match(model):
        raise refuse("adaptive thinking is not supported on this model")
    if kind == "enabled":
        _check_budget(body, thinking)
    effort = (body.get("output_config") or {}).get("effort")
    if effort is not None and effort not in EFFORTS:
        raise refuse(f"output_config.effort: Input should be one of {', '.join(EFFORTS)}")
    if effort == "xhigh" and MIDDLE.match(model):
        raise refuse("output_config.effort: 'xhigh' is not supported on this model")
    if effort is not None and not ADAPTIVE.match(model):
        raise refuse("This model does not support the effort parameter.")


def _check_budget(body: dict[str, Any], thinking: dict[str, Any]) -> None:
    if not BUDGETED.match(body["model"]):
        raise refuse(
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.'
        )
    if "budget_tokens" not in thinking:
        raise refuse("thinking.enabled.budget_tokens: Field required")
    if thinking["budget_tokens"] < 1024:
        raise refuse("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if "max_tokens" in body and thinking["budget_tokens"] >= body["max_tokens"]:
        raise refuse("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        raise refuse("Thinking may not be enabled when tool_choice forces tool use.")


def _check_sampling(body: dict[str, Any]) -> None:
    for name in SAMPLING:
        if name in body and not BUDGETED.match(body["model"]):
            raise refuse(f"`{name}` is deprecated for this model.")
    if EITHER.match(body["model"]) and "temperature" in body and "top_p" in body:
        raise refuse(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
        )
    if (body.get("thinking") or {}).get("type") not in ("enabled", "adaptive"):
        return
    if body.get("temperature", 1) != 1:
        raise refuse("`temperature` may only be set to 1 when thinking is enabled.")
    if "top_k" in body:
        raise refuse("`top_k` must be unset when thinking is enabled.")
    if not 0.95 <= body.get("top_p", 1) <= 1:
        raise refuse("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.")
