"""Messages API request: the contract's request written as Anthropic's JSON.

Shapes: https://platform.claude.com/docs/en/api/messages and the types of the official SDK 2.11, 2026-11-28.
What depends on the model is known by its version, because the API has no other way to tell it in advance.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from genai_spine.errors import InvalidFields
from genai_spine.json_schema.rewrite import SchemaRules, portable
from genai_spine.providers import prompt_cache
from genai_spine.providers.anthropic.conversation import Block, Conversation, write_conversation
from genai_spine.providers.base import further_fields
from genai_spine.providers.conversation import called_names
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

T = TypeVar("T")

# https://platform.claude.com/docs/en/build-with-claude/structured-outputs, 2026-11-28. Of pattern only
# some values are taken: it is said in words like the others.
SCHEMA = SchemaRules(
    refused=frozenset(
        {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"}
        | {"pattern", "maxItems", "uniqueItems", "contains", "minContains"}
        | {"maxContains", "prefixItems", "minProperties", "maxProperties", "patternProperties"}
        | {"propertyNames", "dependentRequired", "dependentSchemas", "unevaluatedProperties", "not"}
        | {"if", "then", "else", "oneOf"}
    ),
    closed=True,
    recursion=False,
    formats=frozenset(
        {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
    ),
    max_min_items=1,
)

MAX_TOKENS = 4096  # of an answer, when the caller names no limit; the API demands one
MIN_BUDGET_TOKENS = 1024  # tokens of thinking

# Versions of models, from which on something is so.
ADAPTIVE = (4, 6)  # they measure their thinking themselves, by effort
UNBUDGETED = (4, 7)  # they take no budget of thinking, and no temperature, top_p or top_k
STRUCTURED = (4, 5)  # they take a JSON Schema for the answer and for strict tools
NEWEST = (99, 0)  # a name without a version is taken for a model to come
VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:-(\d{1,2}))?(?!\d)")

BUDGETS = {
    pb.REASONING_EFFORT_MINIMAL: 1024,
    pb.REASONING_EFFORT_LOW: 2048,
    pb.REASONING_EFFORT_MEDIUM: 8192,
    pb.REASONING_EFFORT_HIGH: 16384,
    pb.REASONING_EFFORT_XHIGH: 24576,
    pb.REASONING_EFFORT_MAX: 24576,
}
EFFORTS = {
    pb.REASONING_EFFORT_MINIMAL: "low",
    pb.REASONING_EFFORT_LOW: "low",
    pb.REASONING_EFFORT_MEDIUM: "medium",
    pb.REASONING_EFFORT_HIGH: "high",
    pb.REASONING_EFFORT_XHIGH: "xhigh",
    pb.REASONING_EFFORT_MAX: "max",
}
TOOL_MODES = {message_pb2.ToolChoice.MODE_NONE: "none", message_pb2.ToolChoice.MODE_REQUIRED: "any"}
NO_PARAMETERS = {"type": "object", "properties": {}}
COUNTED = ("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config")

JSON_OBJECT = "Answer with one JSON object and with nothing before or after it."
JSON_SCHEMA = "Answer with JSON that matches this JSON Schema and with nothing before or after it:\n"


@lru_cache(maxsize=1024)
def version(model: str) -> tuple[int, int]:
    """Version of a Claude model, (major, minor), from its name.

    claude-sonnet-4-20250514 is (4, 0), claude-3-5-haiku-latest (3, 5), claude-opus-4-7 (4, 7).
    """
    match = VERSION.match(model)
    return (int(match[1]), int(match[2] or 0)) if match else NEWEST


def neutral(name: str, request: pb.CreateCompletionRequest) -> bool:
    """temperature, top_p or top_k is not set, or asks for the API's own default."""
    return not request.HasField(name) or (name != "top_k" and getattr(request, name) == 1)


class _Thinking(Struct):
    """Kind of thinking, whatever else the field holds."""

    type: Any = None


def write_request(request: pb.CreateCompletionRequest, model: str, *, stream: bool) -> dict[str, Any]:
    """Errors: InvalidFields (a part, an argument or a limit that cannot be said to this API)."""
    body = further_fields(request)
    body |= {"model": model}
    body.pop("stream", None)  # the caller's own fields make no stream of an answer
    if stream:
        body["stream"] = True
    # 1 is what the API does anyway, and newer models take neither field.
    for name in ("temperature", "top_p", "top_k"):
        if not neutral(name, request):
            body[name] = getattr(request, name)
    if request.stop_sequences:
        body["stop_sequences"] = list(request.stop_sequences)
    if request.HasField("user"):
        body["metadata"] = {"user_id": request.user}
    own_mark = body.get("cache_control", b"null") != b"null"  # which takes the room of one of ours
    marks = prompt_cache.marks(request, prompt_cache.MAX_MARKS - own_mark)
    conversation = write_conversation(request, marks)
    system, body["messages"] = conversation
    if request.tools or "tools" in body:
        _write_tools(body, request, marks)
    elif names := called_names(request.messages[:]):
        _write_called_tools(body, names)
    _write_thinking(body, request, model)
    _check_thinking(body, conversation)
    if request.HasField("response_format"):
        system += _write_format(body, request, model)
    if system:
        body["system"] = system
    return body


def countable(request: pb.CreateCompletionRequest, model: str) -> dict[str, Any]:
    """The request as /v1/messages/count_tokens takes it: without what does not change the input."""
    body = write_request(request, model, stream=False)
    return {name: body[name] for name in COUNTED if name in body}


def names_files(request: pb.CreateCompletionRequest) -> bool:
    """Whether a message refers to a file that was uploaded, which needs a beta header."""
    return any(
        part.HasField("file") and part.file.file_id
        for message in request.messages[:]
        for part in message.content[:]
    )


def _write_tools(
    body: dict[str, Any], request: pb.CreateCompletionRequest, marks: prompt_cache.Marks
) -> None:
    choice = request.tool_choice
    allowed = choice.allowed_tools
    ours = [
        _tool(tool.function, marks.get((prompt_cache.TOOLS, number)))
        for number, tool in enumerate(request.tools)
        if not allowed or tool.function.name in allowed
    ]
    body["tools"] = [*_own(body, "tools", list[Raw]), *ours]  # the API's own tools come as the caller's own
    chosen: dict[str, Any] = {"type": TOOL_MODES.get(choice.mode, "auto")}
    if choice.HasField("function_name"):
        chosen = {"type": "tool", "name": choice.function_name}
    alone = request.HasField("parallel_tool_calls") and not request.parallel_tool_calls
    if alone and chosen["type"] != "none":
        chosen["disable_parallel_tool_use"] = True
    if request.HasField("tool_choice") or "disable_parallel_tool_use" in chosen:
        body["tool_choice"] = chosen


def _write_called_tools(body: dict[str, Any], names: Sequence[str]) -> None:
    """Tools of a conversation that has calls, in a request that has none: the API refuses calls of tools
    that it does not know. They cannot be called again.
    """
    body["tools"] = [{"name": name, "input_schema": dict(NO_PARAMETERS)} for name in names]
    body["tool_choice"] = {"type": "none"}


def _tool(function: message_pb2.FunctionTool, ttl: str | None) -> dict[str, Any]:
    """Tool declaration; a function without parameters takes an empty object. ttl: of a mark for caching."""
    tool: dict[str, Any] = {"name": function.name}
    if function.HasField("description"):
        tool["description"] = function.description
    schema: dict[str, Any] = dict(NO_PARAMETERS)
    if function.parameters_json:
        # As it is, strict or not: arguments in a rewritten shape would be none of the function's.
        schema = msgspec.json.decode(function.parameters_json, type=dict[str, Raw])
        schema.setdefault("type", "object")
    tool["input_schema"] = schema
    if function.strict:
        tool["strict"] = True
    if ttl:
        tool["cache_control"] = {"type": "ephemeral", "ttl": ttl}
    return tool


def _write_thinking(body: dict[str, Any], request: pb.CreateCompletionRequest, model: str) -> None:
    """Thinking counts towards max_tokens, so that a default leaves room for both."""
    effort, room = request.reasoning_effort, 0
    if request.HasField("reasoning_max_tokens"):
        room = request.reasoning_max_tokens
        body["thinking"] = {"type": "enabled", "budget_tokens": room}
    elif effort == pb.REASONING_EFFORT_NONE:
        body["thinking"] = {"type": "disabled"}
    elif effort and version(model) >= ADAPTIVE:
        room = BUDGETS[effort]
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
        _configure_output(body, effort=EFFORTS[effort])
    elif effort:
        room = BUDGETS[effort]
        if request.HasField("max_tokens"):  # an effort is no number: it yields to the limit
            room = min(room, max(MIN_BUDGET_TOKENS, request.max_tokens * 3 // 4))
        body["thinking"] = {"type": "enabled", "budget_tokens": room}
    if request.HasField("max_tokens"):
        body["max_tokens"] = request.max_tokens
        budget = isinstance(body.get("thinking"), dict) and "budget_tokens" in body["thinking"]
        if budget and request.max_tokens <= room:
            problem = f"must be above {room}: thinking takes so many of them for anthropic"
            raise InvalidFields([("max_tokens", problem)])
    else:
        body.setdefault("max_tokens", MAX_TOKENS + room)


def _check_thinking(body: dict[str, Any], conversation: Conversation) -> None:
    """Leaves a budget of thinking out where the API refuses it, because calls were made without thinking."""
    if "thinking" not in body or not conversation.began_without_thinking:
        return
    if msgspec.json.decode(msgspec.json.encode(body["thinking"]), type=_Thinking).type == "enabled":
        del body["thinking"]
        conversation.without_thinking()


def _write_format(body: dict[str, Any], request: pb.CreateCompletionRequest, model: str) -> list[Block]:
    """System blocks that tell the model in words what the API has no field for."""
    form = request.response_format
    if not form.HasField("json_schema"):
        wants_object = form.kind == pb.ResponseFormat.KIND_JSON_OBJECT
        return [{"type": "text", "text": JSON_OBJECT}] if wants_object else []
    schema, words = form.json_schema, []
    if version(model) >= STRUCTURED:
        schema_json = Raw(portable(schema.schema_json, SCHEMA).encode())
        _configure_output(body, format={"type": "json_schema", "schema": schema_json})
    else:
        words.append(JSON_SCHEMA + schema.schema_json)
    if schema.description:
        words.append(f"The JSON of the answer is {schema.name}: {schema.description}")
    return [{"type": "text", "text": text} for text in words]


def _configure_output(body: dict[str, Any], **fields: Any) -> None:
    """Sets fields of output_config beside those that are there."""
    body["output_config"] = {**_own(body, "output_config", dict[str, Raw]), **fields}


def _own(body: dict[str, Any], name: str, kind: type[T]) -> T:
    """Field as the caller's own fields have it, or as it was written since; empty when it is not there."""
    own = body.get(name)
    if not isinstance(own, Raw):
        return own or kind()
    try:
        return msgspec.json.decode(own, type=kind)
    except msgspec.DecodeError as error:
        raise InvalidFields([("provider_options_json", f"{name}: {error}")]) from error
