"""Messages API request: the contract's request written as Anthropic's JSON.

Shapes: https://platform.claude.com/docs/en/api/messages and the types of the official SDK 2.11, 2026-11-28.
What depends on the model is known by its version, because the API has no other way to tell it in advance.

System and developer messages become the `system` blocks, wherever they stand; messages of one role that
follow each other become one turn; tool results are part of a user's turn.
"""

import re
from base64 import b64decode
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from genai_spine.errors import InvalidFields
from genai_spine.json_schema.rewrite import SchemaRules, portable
from genai_spine.providers.base import further_fields
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

T = TypeVar("T")
Block = dict[str, Any] | Raw  # Raw: a block of thinking, which goes back byte by byte

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
MAX_CACHE_MARKS = 4  # cache_control in one request

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
TTLS = {message_pb2.PROMPT_CACHE_5M: "5m", message_pb2.PROMPT_CACHE_1H: "1h"}
SYSTEM = (message_pb2.ROLE_SYSTEM, message_pb2.ROLE_DEVELOPER)
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
    system, body["messages"] = _conversation(request)
    if request.tools or "tools" in body:
        _write_tools(body, request)
    _write_thinking(body, request, model)
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
    return any(part.file.file_id for message in request.messages for part in message.content)


def _conversation(request: pb.CreateCompletionRequest) -> tuple[list[Block], list[dict[str, Any]]]:
    """System blocks, and the turns; consecutive messages of one role are one turn.

    Cache marks go on the last block of each marked message; the API takes MAX_CACHE_MARKS, so the latest
    count.
    """
    if request.HasField("prompt"):
        return [], [{"role": "user", "content": [{"type": "text", "text": request.prompt.text}]}]
    system: list[Block] = []
    turns: list[dict[str, Any]] = []
    marked: list[tuple[dict[str, Any], str]] = []
    ids = CallIds()
    for index, message in enumerate(request.messages):
        blocks = _blocks(message, f"messages[{index}]", ids)
        last = next((block for block in reversed(blocks) if isinstance(block, dict)), None)
        if message.prompt_cache and last is not None:
            marked.append((last, TTLS[message.prompt_cache]))
        if message.role in SYSTEM:
            system += blocks
        elif blocks:
            role = "assistant" if message.role == message_pb2.ROLE_ASSISTANT else "user"
            if turns and turns[-1]["role"] == role:
                turns[-1]["content"] += blocks
            else:
                turns.append({"role": role, "content": blocks})
    for block, ttl in marked[-MAX_CACHE_MARKS:]:
        block["cache_control"] = {"type": "ephemeral", "ttl": ttl}
    return system, turns


class CallIds:
    """Ids of tool calls: other providers use letters that this API refuses, older calls have none."""

    def __init__(self) -> None:
        self._count = 0
        self._unnamed: dict[str, str] = {}  # name of a function to the id that its last call got here

    def of_call(self, call: message_pb2.ToolCall) -> str:
        """Id of a tool call; a call without one gets a number, which its result finds by name."""
        if call.id:
            return self.of_result(call.id)
        self._count += 1
        self._unnamed[call.function.name] = f"call_{self._count}"
        return self._unnamed[call.function.name]

    def of_result(self, id: str) -> str:
        """Id in the letters that the API takes: [a-zA-Z0-9_-]."""
        return re.sub(r"[^a-zA-Z0-9_-]", "_", id)

    def of_function(self, name: str) -> str:
        """Id for a result that knows only its function's name."""
        return self._unnamed.get(name) or self.of_result(name)


def _blocks(message: message_pb2.Message, path: str, ids: CallIds) -> list[Block]:
    """Content blocks of one message, in the order that the API demands: thinking, content, calls.

    Errors: InvalidFields, where an instruction holds anything but text.
    """
    content = [block for place, part in _parts(message, path) for block in _part(part, place)]
    if message.role in SYSTEM and any(block["type"] != "text" for block in content):
        raise InvalidFields([(f"{path}.content", "must be text in a system message for anthropic")])
    if message.role == message_pb2.ROLE_TOOL:
        return [_tool_result(ids.of_result(message.tool_call_id), content)]
    if message.role == message_pb2.ROLE_FUNCTION:
        return [_tool_result(ids.of_function(message.name), content)]
    calls = [_tool_use(call, f"{path}.tool_calls[{at}]", ids) for at, call in enumerate(message.tool_calls)]
    return [*_thoughts(message, path), *content, *calls]


def _parts(message: message_pb2.Message, path: str) -> Iterable[tuple[str, message_pb2.ContentPart]]:
    return ((f"{path}.content[{at}]", part) for at, part in enumerate(message.content))


def _thoughts(message: message_pb2.Message, path: str) -> list[Block]:
    """Blocks of thinking that this API once sent; what another provider put there is left out."""
    if not message.reasoning_state_json:
        return []
    try:
        blocks = msgspec.json.decode(message.reasoning_state_json, type=list[Raw])
        kinds = [_KIND.decode(block).type for block in blocks]
    except (msgspec.DecodeError, RecursionError) as error:
        problem = f"must be a JSON array of objects: {error}"
        raise InvalidFields([(f"{path}.reasoning_state_json", problem)]) from error
    return [block for block, kind in zip(blocks, kinds, strict=True) if kind in THOUGHTS]


class _Kind(Struct):
    """Type of a content block, whatever else it holds."""

    type: Any = None


THOUGHTS = ("thinking", "redacted_thinking")
_KIND = msgspec.json.Decoder(_Kind)


def _tool_result(id: str, content: list[dict[str, Any]]) -> Block:
    """Block with a tool's result; one without content is a result without output."""
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": id}
    return result | {"content": content} if content else result


def _tool_use(call: message_pb2.ToolCall, path: str, ids: CallIds) -> Block:
    """Block of a tool call. Errors: InvalidFields, where the arguments are no JSON object."""
    if call.HasField("custom"):  # which another provider made; this API knows objects only
        text = {"input": call.custom.input}
        return {"type": "tool_use", "id": ids.of_call(call), "name": call.custom.name, "input": text}
    arguments = call.function.arguments_json or "{}"
    try:
        msgspec.json.decode(arguments, type=dict[str, Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        problem = f"must be a JSON object for anthropic: {error}"
        raise InvalidFields([(f"{path}.function.arguments_json", problem)]) from error
    name, input_json = call.function.name, Raw(arguments.encode())
    return {"type": "tool_use", "id": ids.of_call(call), "name": name, "input": input_json}


def _part(part: message_pb2.ContentPart, path: str) -> list[dict[str, Any]]:
    """Blocks of one content part; none for white space, which the API refuses."""
    kind = part.WhichOneof("part")
    if kind == "image":
        return [_image(part.image, f"{path}.image")]
    if kind == "file":
        return [_document(part.file, f"{path}.file")]
    text = part.text or part.refusal
    return [{"type": "text", "text": text}] if text.strip() else []  # the API refuses blocks of white space


def _image(image: message_pb2.ImagePart, path: str) -> dict[str, Any]:
    """Image block of bytes, a URL, or a data: URL."""
    if image.data:
        return _image_block(image.media_type, msgspec.to_builtins(image.data))
    if image.url[:5].lower() != "data:":
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    return _image_block(*_data_url(image.url, f"{path}.url"))


def _image_block(media_type: str, data: str) -> dict[str, Any]:
    source = {"type": "base64", "media_type": media_type, "data": data}
    return {"type": "image", "source": source}


def _data_url(url: str, path: str) -> tuple[str, str]:
    """Media type and base64 text of a data: URL. Errors: InvalidFields."""
    head, _, data = url.partition(",")
    if not (head[:5].lower() == "data:" and head.endswith(";base64")):
        raise InvalidFields([(path, "must be a data: URL with base64 content")])
    return head[5:].partition(";")[0].lower(), data


def _document(file: message_pb2.FilePart, path: str) -> dict[str, Any]:
    """Document block of a file: uploaded, PDF or text; an image becomes an image block.

    Errors: InvalidFields, for other media types.
    """
    if file.file_id:
        source = {"type": "file", "file_id": file.file_id}
    else:
        media_type, data = _data_url(file.file_data, f"{path}.file_data")
        if media_type.startswith("image/"):
            return _image_block(media_type, data)
        if media_type.startswith("text/") or media_type == "application/json":
            source = {"type": "text", "media_type": "text/plain", "data": _text(data, path)}
        elif media_type == "application/pdf":
            source = {"type": "base64", "media_type": media_type, "data": data}
        else:
            problem = f"must be a PDF, a text or an image for anthropic, not {media_type!r}"
            raise InvalidFields([(f"{path}.file_data", problem)])
    title = {"title": file.filename} if file.filename else {}
    return {"type": "document", "source": source, **title}


def _text(data: str, path: str) -> str:
    try:
        return b64decode(data, validate=True).decode()
    except ValueError as error:
        raise InvalidFields([(f"{path}.file_data", f"must be UTF-8 text in base64: {error}")]) from error


def _write_tools(body: dict[str, Any], request: pb.CreateCompletionRequest) -> None:
    choice = request.tool_choice
    allowed = choice.allowed_tools
    ours = [_tool(tool.function) for tool in request.tools if not allowed or tool.function.name in allowed]
    body["tools"] = [*_own(body, "tools", list[Raw]), *ours]  # the API's own tools come as the caller's own
    chosen: dict[str, Any] = {"type": TOOL_MODES.get(choice.mode, "auto")}
    if choice.HasField("function_name"):
        chosen = {"type": "tool", "name": choice.function_name}
    alone = request.HasField("parallel_tool_calls") and not request.parallel_tool_calls
    if alone and chosen["type"] != "none":
        chosen["disable_parallel_tool_use"] = True
    if request.HasField("tool_choice") or "disable_parallel_tool_use" in chosen:
        body["tool_choice"] = chosen


def _tool(function: message_pb2.FunctionTool) -> dict[str, Any]:
    """Tool declaration; a function without parameters takes an empty object."""
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
        if "budget_tokens" in body.get("thinking", ()) and request.max_tokens <= room:
            problem = f"must be above {room}: thinking takes so many of them for anthropic"
            raise InvalidFields([("max_tokens", problem)])
    else:
        body.setdefault("max_tokens", MAX_TOKENS + room)


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
