"""What Anthropic demands of tools, of the choice among them, and of the schemas of structured outputs.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
(2026-11-28).
"""

import re
from typing import Any

from tests.upstreams.anthropic_errors import invalid
from tests.upstreams.server import Refused

TOOL = {"name", "input_schema"}
OPTIONAL = {"allowed_callers", "cache_control", "defer_loading", "description", "eager_input_streaming"}
OPTIONAL |= {"input_examples", "strict", "type"}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
CHOICES = {
    "auto": {"disable_parallel_tool_use"},
    "any": {"disable_parallel_tool_use"},
    "tool": {"name", "disable_parallel_tool_use"},
    "none": set[str](),
}
KEYWORDS = {"type", "enum", "const", "anyOf", "allOf", "$ref", "$defs", "definitions", "default", "items"}
KEYWORDS |= {"properties", "required", "additionalProperties", "format", "minItems", "pattern"}
KEYWORDS |= {"title", "description", "examples", "$schema", "$id", "$comment"}
FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}


def refuse(problem: str) -> Refused:
    return Refused(invalid(problem))


def check_tools(body: dict[str, Any], *, strict_tools: bool) -> None:
    tools = body.get("tools") or []
    for index, tool in enumerate(tools):
        if tool.get("type") in (None, "custom"):  # the API's own tools have fields of their own
            _check_tool(f"tools.{index}.custom", tool, strict_tools)
    names = [tool.get("name") for tool in tools]
    if len(set(names)) < len(names):
        raise refuse("tools: Tool names must be unique.")
    choice = body.get("tool_choice")
    if choice is None:
        return
    kind = choice.get("type")
    if kind not in CHOICES or set(choice) - {"type"} - CHOICES[kind]:
        raise refuse("tool_choice: Extra inputs are not permitted")
    if not tools and kind != "none":
        raise refuse("tool_choice may only be specified while providing tools.")
    if kind == "tool" and choice.get("name") not in names:
        raise refuse(f"Tool '{choice.get('name')}' not found in provided tools")


def _check_tool(path: str, tool: dict[str, Any], strict_tools: bool) -> None:
    for name in sorted(TOOL - set(tool)):
        raise refuse(f"{path}.{name}: Field required")
    for name in sorted(set(tool) - TOOL - OPTIONAL):
        raise refuse(f"{path}.{name}: Extra inputs are not permitted")
    if not NAME.fullmatch(tool["name"]):
        raise refuse(f"{path}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    if tool["input_schema"].get("type") != "object":
        raise refuse(f"{path}.input_schema.type: Input should be 'object'")
    if tool.get("strict"):
        if not strict_tools:
            raise refuse(f"{path}.strict: this model does not support strict tools")
        _check_schema(f"{path}.input_schema", tool["input_schema"])


def check_format(body: dict[str, Any], *, supported: bool) -> None:
    wanted = (body.get("output_config") or {}).get("format")
    if wanted is None:
        return
    if not supported:
        raise refuse("output_config.format: this model does not support output format.")
    if wanted.get("type") != "json_schema" or set(wanted) != {"type", "schema"}:
        raise refuse("output_config.format: Input should be a json_schema with a schema")
    _check_schema("output_config.format.schema", wanted["schema"])


def _check_schema(path: str, schema: Any) -> None:
    for name in schema:
        if name not in KEYWORDS:
            kind = schema.get("type", "object")
            raise refuse(f"{path}: For '{kind}' type, property '{name}' is not supported")
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        raise refuse(f"{path}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    if schema.get("minItems", 0) > 1:
        raise refuse(f"{path}: For 'array' type, 'minItems' values other than 0 or 1 are not supported")
    if schema.get("format", "date") not in FORMATS:
        raise refuse(f"{path}: String format '{schema['format']}' is not supported")
    for holder in ("properties", "$defs", "definitions"):
        for inner in (schema.get(holder) or {}).values():
            _check_schema(path, inner)
    for inner in [*(schema.get("anyOf") or []), *(schema.get("allOf") or [])]:
        _check_schema(path, inner)
    if "items" in schema:
        _check_schema(path, schema["items"])
