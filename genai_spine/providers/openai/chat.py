"""Chat completions wire format: requests written as OpenAI's JSON; `chat_answer` has what is read.

Shapes: https://platform.openai.com/docs/api-reference/chat, 2026-11-21. Schemas and arguments pass as raw
JSON, so that the order of their keys and their numbers stay.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Raw

from genai_spine.json_schema.rewrite import SchemaRules, portable
from genai_spine.providers import prompt_cache
from genai_spine.providers.base import Option, further_fields
from genai_spine.providers.conversation import RESULTS
from genai_spine.providers.openai.messages import PLAIN, MessageDialect, write_messages
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


def write_chat(
    body: dict[str, Any],
    request: pb.CreateCompletionRequest,
    rules: SchemaRules,
    dialect: MessageDialect = PLAIN,
    *,
    plain: bytes | None = None,
) -> None:
    """rules: of a schema that is to be followed strictly. dialect: of the endpoint's messages.

    plain: the messages in JSON, as they came, where each is a role and one text.
    """
    if plain is not None:
        body["messages"] = Raw(plain)
    else:
        written = [*map(_plain_message, request.messages[:])]
        body["messages"] = write_messages(request, body["model"], dialect) if None in written else written
    if request.tools:
        marks = prompt_cache.marks(request) if dialect.cache == "cache_control" else {}
        body["tools"] = [
            _tool(tool) | _mark(marks.get((prompt_cache.TOOLS, number)))
            for number, tool in enumerate(request.tools)
        ]
    if request.HasField("tool_choice"):
        body["tool_choice"] = _tool_choice(request)
    if request.HasField("response_format"):
        body["response_format"] = _response_format(request.response_format, rules)


def _plain_message(message: message_pb2.Message) -> dict[str, Any] | None:
    """Message that is a role and one text, as most are; None for any other."""
    content, role = message.content, message.role
    if len(content) != 1 or len(message.ListFields()) != 2 or role in RESULTS:
        return None
    part = content[0]
    text = part.text
    return None if not text or part.prompt_cache else {"role": ROLES[role], "content": text}


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
    """Effort in OpenAI's words: none, minimal, low, medium, high, xhigh, max."""
    return pb.ReasoningEffort.Name(effort).removeprefix("REASONING_EFFORT_").lower()


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


def _mark(ttl: str | None) -> dict[str, Any]:
    return {"cache_control": {"type": "ephemeral", "ttl": ttl}} if ttl else {}


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
