"""What POST /v1/responses refuses with 400.

Fields: the official SDK's request types (openai 3.52.0), 2026-11-28. Messages: as reported publicly, e.g.
"Unsupported parameter: 'messages'. In the Responses API, this parameter has moved to 'input'." (2025-05-05).
"""

import re
from collections.abc import Mapping
from typing import Any

from tests.upstreams.openai_errors import error
from tests.upstreams.openai_rules import BOOLEAN, OBJECT, STRING, TIERS, decimal, integer, one_of
from tests.upstreams.openai_schemas import strict_problem
from tests.upstreams.openai_values import Rule, check_value, invalid_value
from tests.upstreams.server import Refused

LIST = Rule("an array", (list,))
FIELDS: Mapping[str, Rule] = {
    "include": LIST,
    "input": Rule("a string or an array", (str, list), nullable=False),
    "instructions": STRING,
    "max_output_tokens": integer(16),
    "metadata": OBJECT,
    "model": Rule("a string", (str,), nullable=False),
    "parallel_tool_calls": BOOLEAN,
    "previous_response_id": STRING,
    "prompt_cache_key": STRING,
    "reasoning": OBJECT,
    "safety_identifier": STRING,
    "service_tier": one_of(*TIERS),
    "store": BOOLEAN,
    "stream": BOOLEAN,
    "stream_options": OBJECT,
    "temperature": decimal(0, 2),
    "text": OBJECT,
    "tool_choice": Rule("a string or an object", (str, dict)),
    "tools": LIST,
    "top_logprobs": integer(0, 20),
    "top_p": decimal(0, 1),
    "truncation": one_of("auto", "disabled"),
    "user": STRING,
}
MOVED = {"messages": "input", "response_format": "text.format", "max_tokens": "max_output_tokens"}
INCLUDES = ("message.output_text.logprobs", "reasoning.encrypted_content", "web_search_call.results")
ITEMS = ("message", "reasoning", "function_call", "function_call_output", "custom_tool_call")
ITEMS += ("custom_tool_call_output",)
ROLES = ("user", "assistant", "system", "developer")
PARTS = ("input_text", "input_image", "input_file", "output_text", "refusal")
DETAILS = ("low", "high", "auto", "original")
REASONING = re.compile(r"o\d|gpt-5|codex")


def check_responses(body: dict[str, Any]) -> None:
    for name, value in body.items():
        if name in MOVED:
            message = f"Unsupported parameter: '{name}'. In the Responses API, this parameter has moved to "
            raise Refused(error(400, f"{message}'{MOVED[name]}'.", param=name, code="unsupported_parameter"))
        if name not in FIELDS:
            raise Refused(error(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter"))
        check_value(name, value, FIELDS[name])
    for name in ("model", "input"):
        if not body.get(name):
            message = f"Missing required parameter: '{name}'."
            raise Refused(error(400, message, param=name, code="missing_required_parameter"))
    _check_input(body["input"])
    _check_tools(body)
    _check_text((body.get("text") or {}).get("format") or {})
    for index, name in enumerate(body.get("include") or []):
        if name not in INCLUDES:
            raise Refused(invalid_value(f"include[{index}]", name, INCLUDES))
    if "reasoning.encrypted_content" in (body.get("include") or []) and not REASONING.match(body["model"]):
        message = "Encrypted content is not supported with this model."
        raise Refused(error(400, message, param="include"))


def _check_input(given: Any) -> None:
    open_calls: dict[str, str] = {}
    for index, item in enumerate(given if isinstance(given, list) else []):
        path = f"input[{index}]"
        kind = item.get("type", "message")
        if kind not in ITEMS:
            raise Refused(invalid_value(f"{path}.type", kind, ITEMS))
        if kind == "message":
            _check_message(path, item)
        elif kind in ("function_call", "custom_tool_call"):
            check_value(f"{path}.name", item.get("name"), Rule("a string", (str,), nullable=False))
            open_calls[item["call_id"]] = kind
        elif kind.endswith("_output"):
            called = kind.removesuffix("_output")
            if open_calls.pop(item.get("call_id"), "") == called:
                continue
            told = f"{called.replace('_', ' ')} output with call_id {item.get('call_id')}"
            raise Refused(error(400, f"No tool call found for {told}.", param="input"))
    if open_calls:
        message = f"No tool output found for function call {next(iter(open_calls))}."
        raise Refused(error(400, message, param="input"))


def _check_message(path: str, item: dict[str, Any]) -> None:
    unknown = [name for name in item if name not in ("type", "role", "content", "id", "status", "phase")]
    if unknown:
        message = f"Unknown parameter: '{path}.{unknown[0]}'."
        raise Refused(error(400, message, param=f"{path}.{unknown[0]}", code="unknown_parameter"))
    if item.get("role") not in ROLES:
        raise Refused(invalid_value(f"{path}.role", item.get("role"), ROLES))
    content = item.get("content")
    check_value(f"{path}.content", content, Rule("a string or an array", (str, list), nullable=False))
    for index, part in enumerate(content if isinstance(content, list) else []):
        wanted = PARTS[3:] if item["role"] == "assistant" else PARTS[:3]
        if part.get("type") not in wanted:
            raise Refused(invalid_value(f"{path}.content[{index}].type", part.get("type"), wanted))
        if part["type"] == "input_image" and part.get("detail") not in DETAILS:
            raise Refused(invalid_value(f"{path}.content[{index}].detail", part.get("detail"), DETAILS))


def _check_tools(body: dict[str, Any]) -> None:
    for index, tool in enumerate(body.get("tools") or []):
        path = f"tools[{index}]"
        if tool.get("type") not in ("function", "custom"):
            raise Refused(invalid_value(f"{path}.type", tool.get("type"), ("function", "custom")))
        if not tool.get("name"):
            message = f"Missing required parameter: '{path}.name'."
            raise Refused(error(400, message, param=f"{path}.name", code="missing_required_parameter"))
        # Unlike in a chat, a function that says nothing of it is strict.
        strict = tool["type"] == "function" and tool.get("strict", True)
        problem = strict_problem(tool.get("parameters") or {}, ()) if strict else None
        if problem:
            message = f"Invalid schema for function '{tool['name']}': {problem}"
            code = "invalid_function_parameters"
            raise Refused(error(400, message, param=f"{path}.parameters", code=code))


def _check_text(form: dict[str, Any]) -> None:
    kinds = ("text", "json_object", "json_schema")
    if form and form.get("type") not in kinds:
        raise Refused(invalid_value("text.format.type", form.get("type"), kinds))
    if form.get("type") != "json_schema":
        return
    for name in ("name", "schema"):
        if not form.get(name):
            message = f"Missing required parameter: 'text.format.{name}'."
            raise Refused(error(400, message, param=f"text.format.{name}", code="missing_required_parameter"))
    problem = strict_problem(form["schema"], ()) if form.get("strict") else None
    if problem:
        message = f"Invalid schema for response_format '{form['name']}': {problem}"
        raise Refused(error(400, message, param="text.format.schema", code="invalid_json_schema"))
