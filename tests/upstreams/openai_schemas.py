"""What OpenAI demands of response formats and tools, strict JSON Schemas included.

Source: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas (2026-11-21).
"""

import re
from typing import Any

from tests.upstreams.openai_errors import error
from tests.upstreams.server import Refused

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]+")
# In a strict schema, as far as the guide lists them; "'allOf' is not permitted" are the API's words.
NOT_PERMITTED = ("allOf", "oneOf", "not", "if", "then", "else", "default", "minLength", "maxLength")
NOT_PERMITTED += (
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "propertyNames",
    "uniqueItems",
)
NOT_PERMITTED += ("minProperties", "maxProperties", "contains", "prefixItems", "unevaluatedProperties")


def check_response_format(body: dict[str, Any]) -> None:
    wanted = body.get("response_format")
    if wanted is None:
        return
    if wanted.get("type") not in ("text", "json_object", "json_schema"):
        message = (
            f"Invalid value: '{wanted.get('type')}'. Supported values are: 'json_object', 'json_schema', and "
            "'text'."
        )
        raise Refused(error(400, message, param="response_format.type", code="invalid_value"))
    if wanted["type"] != "json_schema":
        return
    schema = wanted.get("json_schema")
    for name in ("name", "schema"):
        if not (schema or {}).get(name):
            _refuse_missing(f"response_format.json_schema{'.' + name if schema else ''}")
    if schema.get("strict"):
        problem = strict_problem(schema["schema"], ())
        if problem:
            message = f"Invalid schema for response_format '{schema['name']}': {problem}"
            raise Refused(error(400, message, param="response_format"))


def check_tools(body: dict[str, Any]) -> None:
    for index, tool in enumerate(body.get("tools") or []):
        path = f"tools[{index}]"
        kind = tool.get("type")
        if kind not in ("function", "custom"):
            message = f"Invalid value: '{kind}'. Supported values are: 'function' and 'custom'."
            raise Refused(error(400, message, param=f"{path}.type", code="invalid_value"))
        name = (tool.get(kind) or {}).get("name")
        if not name:
            _refuse_missing(f"{path}.{kind}.name")
        if not TOOL_NAME.fullmatch(str(name)):
            message = (
                f"Invalid '{path}.{kind}.name': string does not match pattern. Expected a string that "
                "matches the pattern '^[a-zA-Z0-9_-]+$'."
            )
            raise Refused(error(400, message, param=f"{path}.{kind}.name", code="invalid_value"))
        problem = tool[kind].get("strict") and strict_problem(tool[kind].get("parameters") or {}, ())
        if problem:
            message = f"Invalid schema for function '{name}': {problem}"
            code = "invalid_function_parameters"
            raise Refused(error(400, message, param=f"{path}.function.parameters", code=code))
    if body.get("tool_choice") not in (None, "none") and not body.get("tools"):
        message = "'tool_choice' is only allowed when 'tools' are specified."
        raise Refused(error(400, message, param="tool_choice"))


def _refuse_missing(path: str) -> None:
    message = f"Missing required parameter: '{path}'."
    raise Refused(error(400, message, param=path, code="missing_required_parameter"))


def strict_problem(schema: Any, context: tuple[str, ...]) -> str | None:
    """The first place where a schema is not in the strict subset, in OpenAI's words."""
    if not isinstance(schema, dict):
        return None
    if not context and schema.get("type") != "object":
        kind = schema.get("type", "None")
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'."
    refused = next((name for name in NOT_PERMITTED if name in schema), None)
    if refused:
        return f"In context={context}, '{refused}' is not permitted."
    if schema.get("type") == "object" or "properties" in schema:
        problem = _object_problem(schema, context)
        if problem:
            return problem
    for key in ("properties", "$defs"):
        for name, inner in (schema.get(key) or {}).items():
            problem = strict_problem(inner, (*context, key, name))
            if problem:
                return problem
    branches = [("items", schema.get("items"))]
    branches += [(f"anyOf.{index}", branch) for index, branch in enumerate(schema.get("anyOf") or [])]
    problems = (strict_problem(branch, (*context, *key.split("."))) for key, branch in branches)
    return next((problem for problem in problems if problem), None)


def _object_problem(schema: dict[str, Any], context: tuple[str, ...]) -> str | None:
    if schema.get("additionalProperties") is not False:
        return f"In context={context}, 'additionalProperties' is required to be supplied and to be false."
    missing = [name for name in schema.get("properties") or {} if name not in schema.get("required", [])]
    if missing:
        return (
            f"In context={context}, 'required' is required to be supplied and to be an array including every "
            f"key in properties. Missing '{missing[0]}'."
        )
    return None
