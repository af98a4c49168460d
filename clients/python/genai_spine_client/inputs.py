"""Inputs as people write them, made into messages: dicts in OpenAI's shape, or the generated types.

Everything that is wrong with them is a ValueError that names the field.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from genai_spine_client.gen.genai_spine.v1 import (
    ContentPart,
    CustomTool,
    FunctionCall,
    FunctionTool,
    ImagePart,
    JsonSchema,
    Message,
    ResponseFormat,
    ResponseFormatKind,
    Role,
    Tool,
    ToolCall,
    ToolChoice,
    ToolChoiceMode,
)

Turn = Message | Mapping[str, Any]  # a mapping: {"role": "user", "content": "..."}, further fields as Message
Messages = str | Sequence[Turn]  # a text is one turn of the user
KINDS = {"text": ResponseFormatKind.TEXT, "json_object": ResponseFormatKind.JSON_OBJECT}
MODES = {"none": ToolChoiceMode.NONE, "auto": ToolChoiceMode.AUTO, "required": ToolChoiceMode.REQUIRED}


def turns(messages: Messages) -> list[Message]:
    """Messages of a conversation."""
    given: Sequence[Turn] = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    return [
        turn if isinstance(turn, Message) else _turn(turn, f"messages[{at}]") for at, turn in enumerate(given)
    ]


def options(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a request, with `tools`, `tool_choice` and `response_format` as messages."""
    made = dict(fields)
    if made.get("tools") is not None:
        made["tools"] = [_tool(tool, f"tools[{at}]") for at, tool in enumerate(made["tools"])]
    if made.get("tool_choice") is not None:
        made["tool_choice"] = _tool_choice(made["tool_choice"])
    if made.get("response_format") is not None:
        made["response_format"] = _response_format(made["response_format"])
    return made


def _turn(turn: Mapping[str, Any], place: str) -> Message:
    given = dict(turn)
    if "role" not in given:
        raise ValueError(f"{place}.role is missing")
    role, content = given.pop("role"), given.pop("content", None) or []
    parts = [content] if isinstance(content, str) else content
    calls = [
        _tool_call(call, f"{place}.tool_calls[{at}]")
        for at, call in enumerate(given.pop("tool_calls", None) or ())
    ]
    return Message(
        role=_role(role, f"{place}.role"),
        content=[_part(part, f"{place}.content[{at}]") for at, part in enumerate(parts)],
        tool_calls=calls,
        **given,
    )


def _role(role: Any, place: str) -> Role:
    if isinstance(role, str):
        known = {found.name.lower(): found for found in Role if found}
        if role.lower() not in known:
            raise ValueError(f"{place} is {role!r}, which is none of {', '.join(known)}")
        return known[role.lower()]
    return Role(role)


def _part(part: Any, place: str) -> ContentPart:
    if isinstance(part, ContentPart):
        return part
    if isinstance(part, str):
        return ContentPart(text=part)
    if part.get("type", "text") == "text" and "text" in part:
        return ContentPart(text=part["text"])
    if part.get("type") == "image_url":
        image = part["image_url"]
        return ContentPart(image=ImagePart(url=image if isinstance(image, str) else image["url"]))
    raise ValueError(f"{place} is no part with a text or an image_url; make a ContentPart of it")


def _tool(tool: Any, place: str) -> Tool:
    """Tool of {"type": "function", "function": {"name": ..., "parameters": {...}}}, or of the inner part."""
    if isinstance(tool, Tool):
        return tool
    if isinstance(tool, FunctionTool):
        return Tool(function=tool)
    if isinstance(tool, CustomTool):
        return Tool(custom=tool)
    inner = tool.get("function", tool)
    if tool.get("type", "function") != "function" or not inner.get("name"):
        raise ValueError(f"{place} is no function with a name; make a Tool of it")
    return Tool(
        function=FunctionTool(
            name=inner["name"],
            description=inner.get("description"),
            parameters_json=_json(inner.get("parameters")),
            strict=inner.get("strict"),
        )
    )


def _tool_choice(choice: Any) -> ToolChoice:
    if isinstance(choice, ToolChoice):
        return choice
    if isinstance(choice, str):
        if choice not in MODES:
            raise ValueError(f"tool_choice is {choice!r}, which is none of {', '.join(MODES)}")
        return ToolChoice(mode=MODES[choice])
    return ToolChoice(function_name=choice.get("function", choice)["name"])


def _response_format(form: Any) -> ResponseFormat:
    """Form of {"type": "json_schema", "json_schema": {"name": ..., "schema": {...}}}, or a type's name."""
    if isinstance(form, ResponseFormat):
        return form
    if isinstance(form, JsonSchema):
        return ResponseFormat(json_schema=form)
    kind = form if isinstance(form, str) else form.get("type")
    if kind in KINDS:
        return ResponseFormat(kind=KINDS[kind])
    if kind != "json_schema" or isinstance(form, str):
        raise ValueError(
            f"response_format has type {kind!r}, which is none of text, json_object, json_schema"
        )
    inner = form["json_schema"]
    return ResponseFormat(
        json_schema=JsonSchema(
            name=inner.get("name", "answer"),
            schema_json=_json(inner.get("schema")) or "{}",
            description=inner.get("description"),
            strict=inner.get("strict"),
        )
    )


def _tool_call(call: Any, place: str) -> ToolCall:
    if isinstance(call, ToolCall):
        return call
    inner = call.get("function", call)
    if not inner.get("name"):
        raise ValueError(f"{place} has no function with a name")
    arguments = inner.get("arguments", inner.get("arguments_json", "{}"))
    return ToolCall(
        id=call.get("id", ""),
        function=FunctionCall(name=inner["name"], arguments_json=_json(arguments) or "{}"),
    )


def _json(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
