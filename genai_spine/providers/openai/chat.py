"""Chat completions wire format: requests written as OpenAI's JSON, answers read from it.

Shapes: https://platform.openai.com/docs/api-reference/chat, 2026-11-21. Reading is lenient about what
compatible upstreams leave out (index, usage, role), and strict about types.

Schemas and arguments pass as raw JSON, so that the order of their keys and their numbers stay.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from genai_spine.chunks import ChoiceBuilder, ChunkBuilder
from genai_spine.json_schema.rewrite import SchemaRules, portable
from genai_spine.providers.base import Option, further_fields
from genai_spine.providers.wire_types import FINISH_REASONS, MAX_TOKEN_COUNT, ROLES, Token, token_logprob
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, usage_pb2

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


Index = Annotated[int, Meta(ge=0, le=1000)]


class Function(Struct):
    """Function of a tool call, or a custom tool, whose `input` is free text."""

    name: str | None = None
    arguments: str | None = None
    input: str | None = None


class ToolCall(Struct):
    """Tool call of a message, or what a chunk adds to one; `index` tells them apart."""

    index: Index | None = None
    id: str | None = None
    type: str | None = None
    function: Function | None = None
    custom: Function | None = None


class ChatMessage(Struct):
    """Message of an answer, or what a chunk adds to one."""

    content: str | None = None
    reasoning_content: str | None = None  # DeepSeek, vLLM, xAI
    reasoning: str | None = None  # OpenRouter, Groq, newer vLLM
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    annotations: Raw | UnsetType = UNSET


class ChatLogprobs(Struct):
    """Log probabilities of a chat's choice, by token."""

    content: list[Token] | None = None
    refusal: list[Token] | None = None


class TextLogprobs(Struct):
    """Log probabilities of a text completion: parallel lists."""

    tokens: list[str] = []
    token_logprobs: list[float | None] = []
    top_logprobs: list[dict[str, float] | None] | None = None


class ChatChoice(Struct):
    """Choice of a chat: `message` when it is whole, `delta` in a stream."""

    index: Index = 0
    message: ChatMessage | None = None
    delta: ChatMessage | None = None
    finish_reason: str | None = None
    logprobs: ChatLogprobs | None = None


class TextChoice(Struct):
    """Choice of a text completion, whole or in a stream."""

    index: Index = 0
    text: str = ""
    finish_reason: str | None = None
    logprobs: TextLogprobs | None = None


class InputDetails(Struct):
    """Input tokens by kind; all are part of prompt_tokens."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class OutputDetails(Struct):
    """Output tokens by kind; all are part of completion_tokens, except where `usage` says."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class Usage(Struct):
    """Token counts of one call."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek


class Answer(Struct):
    """Chat completion, whole or one chunk of it."""

    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    choices: list[ChatChoice] = []
    usage: Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    error: Raw | UnsetType = UNSET


class TextAnswer(Struct):
    """Text completion, whole or one chunk of it."""

    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    choices: list[TextChoice] = []
    usage: Usage | None = None
    system_fingerprint: str | None = None
    error: Raw | UnsetType = UNSET


def add_choice(builder: ChunkBuilder, choice: ChatChoice | TextChoice) -> None:
    """Adds a choice to the chunk's delta of the same index.

    An unknown finish reason is STOP: the answer is there.
    """
    into = builder.choice(choice.index)
    delta = into.delta
    if isinstance(choice, TextChoice):
        into.content.append(choice.text)
        _add_text_logprobs(delta, choice.logprobs)
    elif message := choice.delta or choice.message:
        _add_message(into, message)
    if choice.finish_reason:
        delta.finish_reason = FINISH_REASONS.get(choice.finish_reason, pb.FINISH_REASON_STOP)
    if isinstance(choice, ChatChoice) and choice.logprobs:
        delta.logprobs.content.extend(token_logprob(token) for token in choice.logprobs.content or ())
        delta.logprobs.refusal.extend(token_logprob(token) for token in choice.logprobs.refusal or ())


def _add_message(into: ChoiceBuilder, message: ChatMessage) -> None:
    """Adds the texts and tool calls of a message; older servers send `function_call`."""
    if message.content:
        into.content.append(message.content)
    if reasoning := message.reasoning_content or message.reasoning:
        into.reasoning.append(reasoning)
    if message.refusal:
        into.refusal.append(message.refusal)
    if message.annotations is not UNSET and bytes(message.annotations) not in (b"null", b"[]"):
        into.delta.annotations_json = bytes(message.annotations).decode()
    if message.function_call:
        _add_tool_call(into, ToolCall(index=0, function=message.function_call))
    for position, call in enumerate(message.tool_calls or ()):
        if call.index is None:  # as in every whole message
            call.index = position
        _add_tool_call(into, call)


def _add_tool_call(into: ChoiceBuilder, call: ToolCall) -> None:
    """Adds a tool call, or what a chunk says of one."""
    builder = into.tool_call(call.index or 0)
    if call.type == "custom":
        builder.delta.is_custom = True
    called = call.function or call.custom or Function()
    builder.add(call.id, called.name, called.arguments or called.input)


def _add_text_logprobs(delta: pb.ChoiceDelta, logprobs: TextLogprobs | None) -> None:
    """Adds parallel lists as entries by token."""
    if logprobs is None:
        return
    tops = logprobs.top_logprobs or [None] * len(logprobs.tokens)
    for token, logprob, top in zip(logprobs.tokens, logprobs.token_logprobs, tops, strict=False):
        entry = delta.logprobs.content.add(token=token, logprob=logprob or 0.0)
        for other, value in (top or {}).items():
            entry.top_logprobs.add(token=other, logprob=value)


def usage(reported: Usage) -> usage_pb2.Usage:
    """Usage in disjoint buckets: OpenAI's prompt_tokens hold the cached ones, completion_tokens the
    reasoning.

    xAI leaves reasoning out of completion_tokens, which shows in the total (docs.x.ai, 2026-11-21).
    """
    input_details = reported.prompt_tokens_details or InputDetails()
    output_details = reported.completion_tokens_details or OutputDetails()
    cached = _tokens(input_details.cached_tokens or reported.prompt_cache_hit_tokens)
    written, audio_in = _tokens(input_details.cache_write_tokens), _tokens(input_details.audio_tokens)
    image = _tokens(input_details.image_tokens)
    reasoning, audio_out = _tokens(output_details.reasoning_tokens), _tokens(output_details.audio_tokens)
    prompt, output = _tokens(reported.prompt_tokens), _tokens(reported.completion_tokens)
    if reasoning and reported.total_tokens == prompt + output + reasoning:
        output += reasoning
    uncached = max(0, prompt - cached - written - audio_in - image)
    visible = max(0, output - reasoning - audio_out)
    input_tokens = uncached + cached + written + audio_in + image
    output_tokens = visible + reasoning + audio_out
    return usage_pb2.Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=input_tokens + output_tokens,
        uncached_input_tokens=uncached,
        cache_read_tokens=cached,
        cache_write_5m_tokens=written,
        audio_input_tokens=audio_in,
        image_input_tokens=image,
        visible_output_tokens=visible,
        reasoning_tokens=reasoning,
        audio_output_tokens=audio_out,
        input_provenance=usage_pb2.PROVENANCE_PROVIDER_REPORTED,
        output_provenance=usage_pb2.PROVENANCE_PROVIDER_REPORTED,
        accepted_prediction_tokens=_tokens(output_details.accepted_prediction_tokens),
        rejected_prediction_tokens=_tokens(output_details.rejected_prediction_tokens),
    )


def _tokens(reported: int | None) -> int:
    """Token count that the contract can hold; what is out of every bound is taken as none."""
    return reported if reported and 0 < reported < MAX_TOKEN_COUNT else 0


def moment(unix_time: float | None) -> Timestamp | None:
    """A time that the contract can hold, to the second; None: not known."""
    whole = seconds(unix_time)
    return Timestamp(seconds=whole) if whole else None


def seconds(unix_time: float | None) -> int:
    """Unix time that the contract can hold; 0: not known."""
    return int(unix_time) if unix_time and 0 < unix_time < 2**32 else 0
