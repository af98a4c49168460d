"""What OpenAI refuses with 400: unknown fields, wrong types, values out of range, broken conversations.

Fields: the official SDK's request types (openai 3.52.0; a test compares the names). Messages: as reported
publicly, e.g. "Invalid type for 'max_tokens': expected an integer, but got a string instead." (2024-05-14),
"Unrecognized request argument supplied: thinking" (2026-06-04).
"""

import re
from collections.abc import Mapping
from typing import Any

from tests.upstreams.openai_errors import DOCS, error
from tests.upstreams.openai_messages import check_messages
from tests.upstreams.openai_models import REASONING, check_model
from tests.upstreams.openai_schemas import check_response_format, check_tools
from tests.upstreams.openai_values import Rule, check_value
from tests.upstreams.samples import message_text
from tests.upstreams.server import Refused


def decimal(low: float | None = None, high: float | None = None) -> Rule:
    return Rule("a decimal", (int, float), low=low, high=high)


def integer(low: int | None = None, high: int | None = None) -> Rule:
    return Rule("an integer", (int,), low=low, high=high)


def one_of(*values: str) -> Rule:
    return Rule("one of " + ", ".join(f"'{value}'" for value in values), (str,), values=values)


BOOLEAN = Rule("a boolean", (bool,))
STRING = Rule("a string", (str,))
OBJECT = Rule("an object", (dict,))
STOP = Rule("a string or array of strings", (str, list))
TIERS = ("auto", "default", "flex", "scale", "priority", "fast")

COMMON = {
    "frequency_penalty": decimal(-2, 2),
    "logit_bias": OBJECT,
    "max_tokens": integer(1),
    "model": Rule("a string", (str,), nullable=False),
    "n": integer(1, 128),
    "presence_penalty": decimal(-2, 2),
    "seed": integer(),
    "stop": STOP,
    "stream": BOOLEAN,
    "stream_options": OBJECT,
    "temperature": decimal(0, 2),
    "top_p": decimal(0, 1),
    "user": Rule("a string", (str,), nullable=False),
}
CHAT: Mapping[str, Rule] = COMMON | {
    "audio": OBJECT,
    "function_call": Rule("one of 'none', 'auto', or an object", (str, dict), nullable=False),
    "functions": Rule("an array of objects", (list,), nullable=False),
    "logprobs": BOOLEAN,
    "max_completion_tokens": integer(1),
    "messages": Rule("an array of objects", (list,), nullable=False),
    "metadata": OBJECT,
    "modalities": Rule("an array of strings", (list,)),
    "moderation": OBJECT,
    "parallel_tool_calls": Rule("a boolean", (bool,), nullable=False),
    "prediction": OBJECT,
    "prompt_cache_key": STRING,
    "prompt_cache_options": Rule("an object", (dict,), nullable=False),
    "prompt_cache_retention": one_of("in_memory", "24h"),
    "reasoning_effort": one_of("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "response_format": Rule("an object", (dict,), nullable=False),
    "safety_identifier": STRING,
    "service_tier": one_of(*TIERS),
    "store": BOOLEAN,
    "tool_choice": Rule("one of 'none', 'auto', 'required', or an object", (str, dict), nullable=False),
    "tools": Rule("an array of objects", (list,), nullable=False),
    "top_logprobs": integer(0, 20),
    "verbosity": one_of("low", "medium", "high"),
    "web_search_options": Rule("an object", (dict,), nullable=False),
}
COMPLETIONS: Mapping[str, Rule] = COMMON | {
    "best_of": integer(1, 20),
    "echo": BOOLEAN,
    "logprobs": integer(0, 5),
    "max_tokens": integer(0),
    "prompt": Rule("a string or an array", (str, list)),
    "suffix": STRING,
}
EMBEDDINGS: Mapping[str, Rule] = {
    "dimensions": Rule("an integer", (int,), nullable=False, low=1),
    "encoding_format": Rule("a string", (str,), nullable=False, values=("float", "base64")),
    "input": Rule("a string or an array", (str, list), nullable=False),
    "model": COMMON["model"],
    "user": COMMON["user"],
}
RESPONSES_ONLY = re.compile(r"o\d(-mini)?-(pro|deep-research)|codex-|computer-use-|gpt-[\d.]+-(pro|codex)\b")


def check_chat(body: dict[str, Any]) -> None:
    check_fields(body, CHAT)
    if RESPONSES_ONLY.match(body["model"]):
        message = "This model is only supported in v1/responses and not in v1/chat/completions."
        raise Refused(error(404, message, param="model"))
    check_messages(body.get("messages"))
    check_response_format(body)
    check_tools(body)
    _check_combinations(body)
    _check_reasoning_model(body)
    check_model(body, body.get("reasoning_effort"), body.get("verbosity"))


def check_fields(body: dict[str, Any], rules: Mapping[str, Rule]) -> None:
    if not body.get("model"):
        raise Refused(error(400, "you must provide a model parameter"))
    unknown = [name for name in body if name not in rules]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        message = f"Unrecognized request argument{plural} supplied: {', '.join(sorted(unknown))}"
        raise Refused(error(400, message))
    for name, value in body.items():
        check_value(name, value, rules[name])


def _check_combinations(body: dict[str, Any]) -> None:
    check_stream_options(body)
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise Refused(error(400, message, param="max_tokens", code="invalid_parameter_combination"))
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
        raise Refused(error(400, message, param="top_logprobs"))
    wanted = (body.get("response_format") or {}).get("type")
    said = " ".join(message_text(message) for message in body["messages"]).lower()
    if wanted == "json_object" and "json" not in said:
        message = (
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
            "'json_object'."
        )
        raise Refused(error(400, message, param="messages"))


def check_stream_options(body: dict[str, Any]) -> None:
    if body.get("stream_options") is not None and not body.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise Refused(error(400, message, param="stream_options"))


def _check_reasoning_model(body: dict[str, Any]) -> None:
    if not REASONING.match(body["model"]):
        return
    if body.get("max_tokens") is not None:
        message = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead."
        )
        raise Refused(error(400, message, param="max_tokens", code="unsupported_parameter"))


def check_completion(body: dict[str, Any]) -> None:
    check_fields(body, COMPLETIONS)
    check_stream_options(body)


def check_embedding(body: dict[str, Any]) -> None:
    check_fields(body, EMBEDDINGS)
    inputs = body.get("input")
    if not inputs or (isinstance(inputs, list) and not all(item or item == 0 for item in inputs)):
        raise Refused(error(400, f"'$.input' is invalid. Please check the API reference: {DOCS}."))
    if isinstance(inputs, list) and len(inputs) > 2048 and not isinstance(inputs[0], int):
        message = (
            "Invalid 'input': array too long. Expected an array with maximum length 2048, but got an array "
            f"with length {len(inputs)} instead."
        )
        raise Refused(error(400, message, param="input", code="array_above_max_length"))
    if "dimensions" in body and body["model"] == "text-embedding-ada-002":
        raise Refused(error(400, "This model does not support specifying dimensions."))
