"""Chat completions wire format: requests written as OpenAI's JSON; `chat_answer` has what is read.

Shapes: https://platform.openai.com/docs/api-reference/chat, 2026-11-21. Schemas and arguments pass as raw
JSON, so that the order of their keys and their numbers stay.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from genai_spine.json_schema.rewrite import SchemaRules, portable
from genai_spine.providers.base import Option, further_fields
from genai_spine.providers.wire_types import ROLES
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

# Copied as they are; the others have a shape of their own, below.
SCALARS = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "max_tokens",
        "choice_count",
        "presence_penalty",
        "frequency_penalty",
        "seed",
        "parallel_tool_calls",
        "logprobs",
        "top_logprobs",
    }
)
TOOL_MODES = {
    message_pb2.ToolChoice.MODE_NONE: "none",
    message_pb2.ToolChoice.MODE_AUTO: "auto",
    message_pb2.ToolChoice.MODE_REQUIRED: "required",
}


def write_request(
    request: pb.CreateCompletionRequest, model: str, options: Mapping[str, Option], *, stream: bool
) -> dict[str, Any]:
    """The body of a chat or text completion, without the fields that the caller left out."""
    body = further_fields(request) if request.provider_options_json else {}
    body["model"] = model
    for field, value in request.ListFields():
        if field.name in SCALARS:
            body[options[field.name].upstream] = value
    if request.stop_sequences:
        body["stop"] = list(request.stop_sequences)
    if request.logit_bias:
        body["logit_bias"] = {str(token): _number(bias) for token, bias in request.logit_bias.items()}
    if request.HasField("user"):
        body["user"] = request.user
    if request.reasoning_effort:
        body["reasoning_effort"] = effort_name(request.reasoning_effort)
    body["stream"], body["stream_options"] = True, {"include_usage": True}
    if not stream:  # nor may the caller's own fields make it one
        del body["stream"], body["stream_options"]
    return body


def write_chat(body: dict[str, Any], request: pb.CreateCompletionRequest, rules: SchemaRules) -> None:
    """rules: of a schema that is to be followed strictly."""
    body["messages"] = [write_message(message) for message in request.messages]
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.HasField("tool_choice"):
        body["tool_choice"] = _tool_choice(request)
    if request.HasField("response_format"):
        body["response_format"] = _response_format(request.response_format, rules)


def write_prompt(body: dict[str, Any], prompt: pb.TextPrompt) -> None:
    """Writes the prompt of a text completion; `logprobs` is a number there, not a flag."""
    body["prompt"] = list(prompt.tokens.tokens) if prompt.HasField("tokens") else prompt.text
    if prompt.HasField("suffix"):
        body["suffix"] = prompt.suffix
    if prompt.HasField("best_of"):
        body["best_of"] = prompt.best_of
    if body.pop("logprobs", None):
        body["logprobs"] = body.pop("top_logprobs", 0)


def _number(value: float) -> float | int:
    return int(value) if value.is_integer() else value


def effort_name(effort: pb.ReasoningEffort) -> str:
    """Effort in OpenAI's words: minimal, low, medium, high, xhigh, none."""
    return pb.ReasoningEffort.Name(effort).removeprefix("REASONING_EFFORT_").lower()


def write_message(message: message_pb2.Message) -> dict[str, Any]:
    """Message as JSON. Content of one text is a string, other content a list of parts, and the content of an
    assistant that only called tools is null.
    """
    body: dict[str, Any] = {"role": ROLES[message.role]}
    parts = message.content
    if len(parts) == 1 and parts[0].WhichOneof("part") == "text":
        body["content"] = parts[0].text
    elif parts:
        body["content"] = [_part(part) for part in parts]
    elif message.role == message_pb2.ROLE_ASSISTANT:
        body["content"] = None
    else:
        body["content"] = ""
    if message.HasField("name"):
        body["name"] = message.name
    if message.HasField("tool_call_id"):
        body["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        body["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    return body


def _part(part: message_pb2.ContentPart) -> dict[str, Any]:
    """Content part as JSON: text, image, sound, file or refusal."""
    kind = part.WhichOneof("part")
    if kind == "text":
        return {"type": "text", "text": part.text}
    if kind == "image":
        image = {"url": part.image.url or data_url(part.image.media_type, part.image.data)}
        if part.image.detail:
            image["detail"] = (
                message_pb2.ImageDetail.Name(part.image.detail).removeprefix("IMAGE_DETAIL_").lower()
            )
        return {"type": "image_url", "image_url": image}
    if kind == "audio":
        # msgspec writes bytes as base64, which is what this field holds.
        return {"type": "input_audio", "input_audio": {"data": part.audio.data, "format": part.audio.format}}
    if kind == "file":
        source = part.file.WhichOneof("source") or "file_id"
        file = {source: getattr(part.file, source)}
        if part.file.HasField("filename"):
            file["filename"] = part.file.filename
        return {"type": "file", "file": file}
    return {"type": "refusal", "refusal": part.refusal}


def data_url(media_type: str, data: bytes) -> str:
    """Data: URL of bytes."""
    return f"data:{media_type};base64,{msgspec.to_builtins(data)}"


def _tool_call(call: message_pb2.ToolCall) -> dict[str, Any]:
    """Tool call of an earlier answer as JSON."""
    if call.WhichOneof("call") == "custom":
        custom = {"name": call.custom.name, "input": call.custom.input}
        return {"id": call.id, "type": "custom", "custom": custom}
    function = {"name": call.function.name, "arguments": call.function.arguments_json}
    return {"id": call.id, "type": "function", "function": function}


def _tool(tool: message_pb2.Tool) -> dict[str, Any]:
    """Tool declaration as JSON, of a function or a custom tool."""
    kind = tool.WhichOneof("tool") or "function"
    declared = tool.custom if kind == "custom" else tool.function
    body: dict[str, Any] = {"name": declared.name}
    if declared.HasField("description"):
        body["description"] = declared.description
    if isinstance(declared, message_pb2.CustomTool):
        if declared.HasField("format_json"):
            body["format"] = Raw(declared.format_json.encode())
        return {"type": kind, kind: body}
    if declared.HasField("parameters_json"):
        body["parameters"] = Raw(declared.parameters_json.encode())
    if declared.HasField("strict"):
        body["strict"] = declared.strict
    return {"type": kind, kind: body}


def _tool_choice(request: pb.CreateCompletionRequest) -> str | dict[str, Any]:
    choice = request.tool_choice
    if choice.HasField("function_name"):
        return {"type": "function", "function": {"name": choice.function_name}}
    if choice.HasField("custom_name"):
        return {"type": "custom", "custom": {"name": choice.custom_name}}
    mode = TOOL_MODES.get(choice.mode, "auto")
    if not choice.allowed_tools:
        return mode
    kinds = {(tool.function.name or tool.custom.name): tool.WhichOneof("tool") for tool in request.tools}
    tools = [{"type": kinds[name], kinds[name]: {"name": name}} for name in choice.allowed_tools]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def _response_format(form: pb.ResponseFormat, rules: SchemaRules) -> dict[str, Any]:
    """Response format as JSON; a schema is written by write_schema."""
    if not form.HasField("json_schema"):
        return {"type": "json_object" if form.kind == pb.ResponseFormat.KIND_JSON_OBJECT else "text"}
    return {"type": "json_schema", "json_schema": write_schema(form.json_schema, rules)}


def write_schema(schema: pb.JsonSchema, rules: SchemaRules) -> dict[str, Any]:
    """Schema as JSON: name, schema, description, strict.

    Only a schema that the caller wants followed strictly is made portable, because that can change what it
    allows (an open object becomes a closed one). Otherwise it goes out as it is, and whether the upstream
    follows it is seen when the answer is checked against it.
    """
    text = portable(schema.schema_json, rules) if schema.strict else schema.schema_json
    body: dict[str, Any] = {"name": schema.name, "schema": Raw(text.encode())}
    if schema.HasField("description"):
        body["description"] = schema.description
    if schema.HasField("strict"):
        body["strict"] = schema.strict
    return body
