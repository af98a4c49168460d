"""Responses API request: the contract's request written as OpenAI's JSON. `responses_response` reads answers.

Wire facts: https://platform.openai.com/docs/api-reference/responses, 2026-11-28, and the types of the
official SDK (openai 3.52.0). Differences from a chat: instructions and input items in place of messages,
calls and their results are items of their own, functions are strict unless they say no, answers are stored
unless the request says no.

`reasoning_state_json` of an answer holds its reasoning items, and the places of the others, because the API
wants them back in their order.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from genai_spine.errors import InvalidFields
from genai_spine.json_schema.rewrite import SchemaRules
from genai_spine.providers import reasoning_state
from genai_spine.providers.base import Option, further_fields
from genai_spine.providers.conversation import CallRules, Entry, arrange
from genai_spine.providers.openai import chat, messages
from genai_spine.providers.wire_types import ROLES
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

OPTIONS = {
    "temperature": Option("temperature"),
    "top_p": Option("top_p"),
    "max_tokens": Option("max_output_tokens", min=16),
    "tools": Option("tools"),
    "tool_choice": Option("tool_choice"),
    "parallel_tool_calls": Option("parallel_tool_calls"),
    "response_format": Option("text"),
    "logprobs": Option("include"),
    "top_logprobs": Option("top_logprobs"),
    "reasoning_effort": Option("reasoning"),
    "messages.image": Option("input_image"),
    "messages.file": Option("input_file"),
    "tools.custom": Option("tools"),
}
APIS = ("responses", "chat")
CALLS = CallRules(max_chars=64)
# These return their thinking encrypted. Others answer 400 when they are asked for it.
REASONING_MODEL = re.compile(r"(o\d|gpt-[5-9]|codex)(?!.*chat)")
EMPTY_SCHEMA = Raw(b'{"type":"object","properties":{}}')
Body = dict[str, Any]


class _Choice(Struct):
    """Caller's choice of an API, among the fields for the provider."""

    api: str | None = None


class StateItem(Struct):
    """Item of reasoning_state_json: reasoning as it was sent, the others only as their places."""

    type: str = ""
    call_id: str | None = None
    phase: str | None = None  # of a message: commentary or final_answer; lost, the next answer gets worse


def chosen_api(request: pb.CreateCompletionRequest) -> str | None:
    """ "responses" or "chat", where the caller's own fields choose; they go out without this one."""
    if not request.provider_options_json:
        return None
    try:
        chosen = msgspec.json.decode(request.provider_options_json, type=_Choice).api
    except msgspec.DecodeError as error:
        raise InvalidFields([("provider_options_json", str(error))]) from error
    if chosen is not None and chosen not in APIS:
        raise InvalidFields([("provider_options_json", f"api: must be one of {', '.join(APIS)}")])
    return chosen


def write_request(
    request: pb.CreateCompletionRequest, model: str, rules: SchemaRules, *, stream: bool
) -> Body:
    """The body, without the fields that the caller left out. rules: see write_schema."""
    body = further_fields(request)
    body.pop("api", None)
    body["model"] = model
    body.setdefault("store", False)  # what the provider would keep is not the provider's to keep
    body |= _messages(request)
    for name in ("temperature", "top_p", "max_tokens", "parallel_tool_calls", "top_logprobs"):
        if request.HasField(name):
            body[OPTIONS[name].upstream] = getattr(request, name)
    if request.HasField("user"):
        body["user"] = request.user
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.HasField("tool_choice"):
        body["tool_choice"] = _tool_choice(request)
    if request.reasoning_effort:
        effort = chat.effort_name(request.reasoning_effort)
        body["reasoning"] = _own(body, "reasoning") | {"effort": effort}
    if request.HasField("response_format"):
        body["text"] = _own(body, "text") | {"format": _format(request.response_format, rules)}
    include = [*_included(request, model)]
    if include:
        body["include"] = [*_own_list(body, "include"), *include]
    body.pop("stream", None)  # nor may the caller's own fields make it one
    body.pop("stream_options", None)
    if stream:
        body["stream"] = True
    return body


def _included(request: pb.CreateCompletionRequest, model: str) -> Iterator[str]:
    if request.logprobs:
        yield "message.output_text.logprobs"
    if REASONING_MODEL.match(model):
        yield "reasoning.encrypted_content"


def _own(body: Body, name: str) -> dict[str, Any]:
    """Object among the caller's own fields, for ours to go beside it. Errors: InvalidFields."""
    return _decoded(body, name, dict[str, Raw]) or {}


def _own_list(body: Body, name: str) -> list[Any]:
    """List among the caller's own fields, for ours to go behind it. Errors: InvalidFields."""
    return _decoded(body, name, list[Raw]) or []


def _decoded(body: Body, name: str, kind: Any) -> Any:
    """Field of the caller's own as the kind wants it; None where it is not there. Errors: InvalidFields."""
    try:
        return msgspec.json.decode(body.get(name, b"null"), type=kind | None)
    except msgspec.DecodeError as error:
        raise InvalidFields([("provider_options_json", f"{name}: {error}")]) from error


def _messages(request: pb.CreateCompletionRequest) -> Body:
    """instructions and input. What is said above the conversation before it begins are instructions."""
    if request.HasField("prompt"):
        return {"input": [{"role": "user", "content": request.prompt.text}]}
    entries = arrange(request.messages, CALLS)
    instructions = []
    while len(entries) > 1 and _instructs(entries[0].message):
        instructions.append("".join(part.text for part in entries.pop(0).message.content))
    custom = {
        entry.call_ids[at]
        for entry in entries
        for at, call in enumerate(entry.message.tool_calls)
        if call.HasField("custom")
    }
    items = [item for entry in entries for item in _items(entry, custom)]
    return ({"instructions": "\n\n".join(instructions)} if instructions else {}) | {"input": items}


def _instructs(message: message_pb2.Message) -> bool:
    """Whether the message is an instruction in words."""
    texts = all(part.HasField("text") for part in message.content)
    return texts and message.role in (message_pb2.ROLE_SYSTEM, message_pb2.ROLE_DEVELOPER)


def _items(entry: Entry, custom: set[str]) -> Sequence[Body | Raw]:
    """Input items of one message. custom: the ids of calls of custom tools, whose results are items of their
    own kind.
    """
    message = entry.message
    if entry.result_of:
        kind = "custom_tool_call_output" if entry.result_of in custom else "function_call_output"
        return [{"type": kind, "call_id": entry.result_of, "output": _content(message)}]
    if message.role == message_pb2.ROLE_ASSISTANT:
        return list(_assistant(entry))
    return [{"role": ROLES[message.role], "content": _content(message)}]


def _content(message: message_pb2.Message) -> str | list[Body]:
    """Content of a message: a string where it is one text, else a list of parts."""
    parts = message.content
    if not parts or (len(parts) == 1 and parts[0].WhichOneof("part") == "text"):
        return parts[0].text if parts else ""
    return [_part(part) for part in parts]


def _part(part: message_pb2.ContentPart) -> Body:
    kind = part.WhichOneof("part")
    if kind == "image":
        detail = messages.detail_name(part.image.detail or message_pb2.IMAGE_DETAIL_AUTO)
        return {"type": "input_image", "image_url": messages.image_url(part.image), "detail": detail}
    if kind == "file":
        source = part.file.WhichOneof("source") or "file_id"
        file = {"type": "input_file", source: messages.file_source(part.file, source)}
        # A file that was uploaded has its name already.
        if part.file.HasField("filename") and source != "file_id":
            file["filename"] = part.file.filename
        return file
    return {"type": "input_text", "text": part.text or part.refusal}


def _assistant(entry: Entry) -> Iterator[Body | Raw]:
    """Items of an assistant's message: text, reasoning and calls in the order in which they came, as far as
    that was kept.
    """
    message = entry.message
    message_item = _message_item(message)
    pairs = zip(message.tool_calls, entry.call_ids, strict=True)
    calls = [(call.id, _call(call, call_id)) for call, call_id in pairs]
    for raw, item in _state(message, entry.path):
        if item.type == "reasoning":
            yield raw
        elif item.type == "message" and message_item:
            yield message_item | ({"phase": item.phase} if item.phase else {})
            message_item = {}
        elif found := next((call for call in calls if call[0] == item.call_id), None):
            calls.remove(found)
            yield found[1]
    if message_item:
        yield message_item
    yield from (call for _, call in calls)


def _message_item(message: message_pb2.Message) -> Body:
    """Item of the text and the refusals; empty where the assistant said nothing."""
    if not message.content:
        return {}
    if not any(part.HasField("refusal") for part in message.content):
        return {"role": "assistant", "content": "".join(part.text for part in message.content)}
    content: list[Body] = []
    for part in message.content:
        refused = part.HasField("refusal")
        text = {"type": "output_text", "text": part.text, "annotations": []}
        content.append({"type": "refusal", "refusal": part.refusal} if refused else text)
    return {"type": "message", "role": "assistant", "content": content}


def _state(message: message_pb2.Message, path: str) -> list[tuple[Raw, StateItem]]:
    """Items that were kept; [] for the state of another provider. Errors: InvalidFields."""
    raws = reasoning_state.responses_items(message.reasoning_state_json, path)
    try:
        return [(raw, msgspec.json.decode(raw, type=StateItem)) for raw in raws]
    except msgspec.DecodeError:
        return []


def _call(call: message_pb2.ToolCall, call_id: str) -> Body:
    """Item of a tool call."""
    if call.HasField("custom"):
        named = {"type": "custom_tool_call", "call_id": call_id, "name": call.custom.name}
        return named | {"input": call.custom.input}
    named = {"type": "function_call", "call_id": call_id, "name": call.function.name}
    return named | {"arguments": call.function.arguments_json}


def _tool(tool: message_pb2.Tool) -> Body:
    """Tool declaration; unlike in a chat, `strict` is always said."""
    kind = tool.WhichOneof("tool") or "function"
    declared = tool.custom if kind == "custom" else tool.function
    body: Body = {"type": kind, "name": declared.name}
    if declared.HasField("description"):
        body["description"] = declared.description
    if isinstance(declared, message_pb2.CustomTool):
        if declared.HasField("format_json"):
            body["format"] = Raw(declared.format_json.encode())
        return body
    has_parameters = declared.HasField("parameters_json")
    body["parameters"] = Raw(declared.parameters_json.encode()) if has_parameters else EMPTY_SCHEMA
    return body | {"strict": declared.strict}


def _tool_choice(request: pb.CreateCompletionRequest) -> str | Body:
    choice = request.tool_choice
    if choice.HasField("function_name"):
        return {"type": "function", "name": choice.function_name}
    if choice.HasField("custom_name"):
        return {"type": "custom", "name": choice.custom_name}
    mode = chat.TOOL_MODES.get(choice.mode, "auto")
    if not choice.allowed_tools:
        return mode
    kinds = {(tool.function.name or tool.custom.name): tool.WhichOneof("tool") for tool in request.tools}
    tools = [{"type": kinds[name], "name": name} for name in choice.allowed_tools]
    return {"type": "allowed_tools", "mode": mode, "tools": tools}


def _format(form: pb.ResponseFormat, rules: SchemaRules) -> Body:
    """Field `text.format`: a schema, a JSON object, or text."""
    if not form.HasField("json_schema"):
        return {"type": "json_object" if form.kind == pb.ResponseFormat.KIND_JSON_OBJECT else "text"}
    return {"type": "json_schema"} | chat.write_schema(form.json_schema, rules)
