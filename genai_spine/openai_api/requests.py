"""Request decoding of OpenAI's JSON: its unions, nulls and names become messages of the contract.

Fields that the contract lacks are kept byte by byte and go to the provider as provider_options_json.
Errors: InvalidRequest naming the field (broken JSON, wrong types).
"""

import base64
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from genai_spine.errors import InvalidRequest
from genai_spine.media import media_types
from genai_spine.openai_api.schemas import (
    AllowedChoice,
    AudioPart,
    Batch,
    Chat,
    ChatMessage,
    ChatUpdate,
    ContentPart,
    CustomChoice,
    CustomTool,
    CustomToolCall,
    Embedding,
    File,
    Function,
    FunctionChoice,
    FunctionToolCall,
    Image,
    ImagePart,
    ImageUrl,
    JsonFormat,
    Marked,
    Named,
    Native,
    RedactedThinkingPart,
    RefusalPart,
    Sampling,
    SchemaFormat,
    Speech,
    Text,
    TextFormat,
    TextPart,
    Texts,
    ThinkingPart,
)
from genai_spine.providers import reasoning_state
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

T = TypeVar("T", bound=Struct)
S = TypeVar("S")
AT = re.compile(r" - at `\$\.?(.*?)`$")
ROLES = {
    "system": message_pb2.ROLE_SYSTEM,
    "developer": message_pb2.ROLE_DEVELOPER,
    "user": message_pb2.ROLE_USER,
    "assistant": message_pb2.ROLE_ASSISTANT,
    "tool": message_pb2.ROLE_TOOL,
    "function": message_pb2.ROLE_FUNCTION,
}
MODES = {
    "none": message_pb2.ToolChoice.MODE_NONE,
    "auto": message_pb2.ToolChoice.MODE_AUTO,
    "required": message_pb2.ToolChoice.MODE_REQUIRED,
}
DETAILS = {
    "auto": message_pb2.IMAGE_DETAIL_AUTO,
    "low": message_pb2.IMAGE_DETAIL_LOW,
    "high": message_pb2.IMAGE_DETAIL_HIGH,
    "original": message_pb2.IMAGE_DETAIL_ORIGINAL,
}
EFFORTS = {
    "none": pb.REASONING_EFFORT_NONE,
    "minimal": pb.REASONING_EFFORT_MINIMAL,
    "low": pb.REASONING_EFFORT_LOW,
    "medium": pb.REASONING_EFFORT_MEDIUM,
    "high": pb.REASONING_EFFORT_HIGH,
    "xhigh": pb.REASONING_EFFORT_XHIGH,
    "max": pb.REASONING_EFFORT_MAX,
}
CACHES = {
    "5m": message_pb2.PROMPT_CACHE_5M,
    "1h": message_pb2.PROMPT_CACHE_1H,
    "30m": message_pb2.PROMPT_CACHE_30M,
    "12h": message_pb2.PROMPT_CACHE_12H,
}

FIELDS = msgspec.json.Decoder(dict[str, Raw])
DECODERS: dict[type[Struct], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind)
    for kind in (Chat, ChatUpdate, Text, Native, Embedding, Image, Speech, Batch)
}


def decode(body: bytes, kind: type[T]) -> T:
    """Typed struct of a body. Errors: InvalidRequest naming the field."""
    parsed: T = _decoded(body, DECODERS[kind])
    return parsed


def _decoded(body: bytes, decoder: "msgspec.json.Decoder[S]") -> S:
    try:
        str(body, "utf-8")  # msgspec does not look into a Raw, nor into a field that it passes over
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        problem = str(error)
        match = AT.search(problem)
        missing = re.search(r"missing required field `(.*?)`", problem)
        path = ".".join(part for part in (match and match[1], missing and missing[1]) if part)
        raise InvalidRequest(field=path or "body", problem=AT.sub("", problem)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(field="body", problem=f"not valid JSON: {error}") from None
    except RecursionError:
        raise InvalidRequest(field="body", problem="nested too deeply") from None


def is_native(body: bytes) -> bool:
    """Whether a body has the older service's own shape."""
    return "messages" in _decoded(body, FIELDS)


def extras(body: bytes, kind: type[Struct], **more: object) -> str | None:
    """Unknown fields of a body, and `more`, as a JSON object; None when it is empty."""
    known = kind.__struct_fields__
    unknown = {name: value for name, value in _decoded(body, FIELDS).items() if name not in known} | more
    return msgspec.json.encode(unknown).decode() if unknown else None


def chat_request(body: bytes, chat: Chat) -> pb.CreateCompletionRequest:
    """Completion request of a chat body."""
    request = _sampling(chat)
    before_tools = ""  # id of the last call in that style; its result goes out as the tool's
    for number, message in enumerate(chat.messages or ()):
        into = request.messages.add()
        _message(into, message, number)
        if message.function_call:
            before_tools = into.tool_calls[-1].id
        elif message.role == "function" and before_tools:
            into.role, into.tool_call_id, before_tools = message_pb2.ROLE_TOOL, before_tools, ""
            into.ClearField("name")
    _name_calls(request)
    if chat.max_completion_tokens is not None:
        request.max_tokens = count("max_completion_tokens", chat.max_completion_tokens)
    for name in ("parallel_tool_calls", "logprobs"):
        if (value := getattr(chat, name)) is not None:
            setattr(request, name, value)
    if chat.top_logprobs is not None:
        request.top_logprobs = count("top_logprobs", chat.top_logprobs)
    if chat.reasoning_effort:
        request.reasoning_effort = EFFORTS[chat.reasoning_effort]
    _tools(request, chat)
    if chat.response_format:
        _response_format(request.response_format, chat.response_format)
    if chat.store is not None:
        request.store = chat.store
    more = {}
    if chat.store:
        request.metadata.update(labels(chat.metadata))
    elif chat.metadata is not UNSET:
        more["metadata"] = chat.metadata  # of the provider's own, such as a gateway's
    if extra := extras(body, Chat, **more):
        request.provider_options_json = extra
    return request


def labels(metadata: Raw | UnsetType) -> dict[str, str]:
    """Metadata of a stored completion. Errors: InvalidRequest where it is no object of texts."""
    if metadata is UNSET:
        return {}
    try:
        return msgspec.json.decode(metadata, type=dict[str, str] | None) or {}
    except msgspec.ValidationError as error:
        raise InvalidRequest(field="metadata", problem=AT.sub("", str(error))) from None


def text_requests(body: bytes, text: Text) -> list[pb.CreateCompletionRequest]:
    """Completion requests of a text body, one for each prompt."""
    prompts = _texts(text.prompt, "prompt")
    extra = extras(body, Text)
    # Only the provider can turn token ids into text.
    extra_of_tokens = extras(body, Text, echo=True) if text.echo else extra
    requests = []
    for prompt in prompts:
        request = _sampling(text)
        _source(request.prompt, prompt)
        if text.suffix is not None:
            request.prompt.suffix = text.suffix
        if text.best_of is not None:
            request.prompt.best_of = count("best_of", text.best_of)
        if text.logprobs is not None:
            request.logprobs, request.top_logprobs = True, count("logprobs", text.logprobs)
        if own := extra if isinstance(prompt, str) else extra_of_tokens:
            request.provider_options_json = own
        requests.append(request)
    return requests


def native_request(native: Native) -> pb.CreateCompletionRequest:
    """Completion request of the older service's own body."""
    request = pb.CreateCompletionRequest(
        provider=native.provider, model=native.model, user=native.user, cost_labels=native.cost_labels
    )
    request.temperature = 0.7 if native.temperature is None else native.temperature
    if native.max_tokens is not None:
        request.max_tokens = count("max_tokens", native.max_tokens)
    if native.response_format == "json":
        request.response_format.kind = pb.ResponseFormat.KIND_JSON_OBJECT
    for number, message in enumerate(native.messages or ()):
        _message(request.messages.add(), message, number)
    return request


def embedding_request(body: bytes, embedding: Embedding) -> pb.CreateEmbeddingsRequest:
    """Embeddings request of a body; inputs are texts or token ids."""
    request = pb.CreateEmbeddingsRequest(
        provider=embedding.provider,
        model=embedding.model,
        user=embedding.user,
        cost_labels=embedding.cost_labels,
    )
    for text in _texts(embedding.input, "input"):
        _source(request.inputs.add(), text)
    if embedding.dimensions is not None:
        request.dimensions = count("dimensions", embedding.dimensions)
    if extra := extras(body, Embedding):
        request.provider_options_json = extra
    return request


def _sampling(given: Sampling) -> pb.CreateCompletionRequest:
    """Sampling options in the contract's names."""
    if not given.model:
        raise InvalidRequest(field="model", problem="is required")
    request = pb.CreateCompletionRequest(
        model=given.model, provider=given.provider or None, cost_labels=given.cost_labels
    )
    for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty", "user", "strict_options"):
        if (value := getattr(given, name)) is not None:
            setattr(request, name, value)
    for name, ours in (("max_tokens", "max_tokens"), ("top_k", "top_k"), ("n", "choice_count")):
        if (value := getattr(given, name)) is not None:
            setattr(request, ours, count(name, value))
    if given.seed is not None:
        request.seed = count("seed", given.seed, -(2**63), 2**63 - 1)
    if given.stop is not None:
        request.stop_sequences.extend([given.stop] if isinstance(given.stop, str) else given.stop)
    for token, bias in (given.logit_bias or {}).items():
        if not token.isascii() or not token.isdigit():
            raise InvalidRequest(field="logit_bias", problem=f"not a token id: {token[:50]!r}")
        request.logit_bias[count("logit_bias", int(token[:12]))] = bias
    return request


def count(field: str, value: int, low: int = 0, high: int = 2**32 - 1) -> int:
    """Integer that fits the contract's field; its own rules are checked later. Errors: InvalidRequest."""
    if not low <= value <= high:
        raise InvalidRequest(field=field, problem=f"must be between {low} and {high}, got {value}")
    return value


def _texts(given: Texts | None, field: str) -> Sequence[str | list[int]]:
    """Texts, or lists of token ids, of the four forms that `prompt` and `input` have."""
    if given is None or given == []:
        raise InvalidRequest(field=field, problem="is required")
    if isinstance(given, str):
        return [given]
    texts: list[str | list[int]] = [entry for entry in given if not isinstance(entry, int)]
    tokens = [entry for entry in given if isinstance(entry, int)]
    if len({type(entry) for entry in given}) > 1:
        raise InvalidRequest(field=field, problem="must hold texts, or token ids, or lists of token ids")
    return [tokens] if tokens else texts


def _source(into: pb.TextPrompt | pb.EmbeddingInput, text: str | list[int]) -> None:
    if isinstance(text, str):
        into.text = text
    else:
        into.tokens.tokens.extend(count("token", token) for token in text)


def _message(into: message_pb2.Message, message: ChatMessage, number: int) -> None:
    """Chat message with its role, content parts and tool calls."""
    into.role = ROLES[message.role]
    if isinstance(message.content, str):
        into.content.add(text=message.content)
    thoughts: list[ThinkingPart | RedactedThinkingPart] = []
    for at, part in enumerate(message.content if isinstance(message.content, list) else ()):
        if isinstance(part, ThinkingPart | RedactedThinkingPart):
            thoughts.append(part)
        else:
            _part(into.content.add(), part, f"messages[{number}].content[{at}]")
    if message.refusal:
        into.content.add(refusal=message.refusal)
    if message.name is not None:
        into.name = message.name
    if message.tool_call_id is not None:
        into.tool_call_id = message.tool_call_id
    for call in message.tool_calls or ():
        _tool_call(into.tool_calls.add(id=call.id or ""), call)
    if call_before_tools := message.function_call:
        function = message_pb2.FunctionCall(
            name=call_before_tools.name, arguments_json=call_before_tools.arguments
        )
        into.tool_calls.add(id=f"call_{number}", function=function)
    if message.cache_control:
        into.prompt_cache = CACHES[message.cache_control.ttl or "5m"]
    if message.role == "assistant":
        _earlier_answer(into, message, number)
        _earlier_thoughts(into, thoughts)


def _tool_call(into: message_pb2.ToolCall, call: FunctionToolCall | CustomToolCall) -> None:
    if isinstance(call, FunctionToolCall):
        into.function.name, into.function.arguments_json = call.function.name, call.function.arguments
    else:
        into.custom.name, into.custom.input = call.custom.name, call.custom.input
    if call.extra_content:
        into.provider_state_json = msgspec.json.encode(call.extra_content).decode()


def _earlier_answer(into: message_pb2.Message, message: ChatMessage, number: int) -> None:
    """Thinking of an earlier answer, and what its provider proves it with. An answer without anything is an
    empty text, which SDKs write as null.
    """
    if message.audio and not into.content:
        problem = "earlier answers in sound cannot be sent on by their id; send their text as content"
        raise InvalidRequest(field=f"messages[{number}].audio", problem=problem)
    if not into.content and not into.tool_calls:
        into.content.add(text="")
    if thinking := message.reasoning_content or message.reasoning:
        into.reasoning = thinking
    state = message.reasoning_details or message.thinking_blocks or []
    if state or message.extra_content:
        extra = Raw(msgspec.json.encode(message.extra_content)) if message.extra_content else None
        parts = [Raw(msgspec.json.encode(part)) for part in state]
        into.reasoning_state_json = reasoning_state.join(parts, extra)


def _earlier_thoughts(
    into: message_pb2.Message, thoughts: Sequence[ThinkingPart | RedactedThinkingPart]
) -> None:
    """Thinking that stood among the parts of an earlier answer."""
    texts = [thought.thinking for thought in thoughts if isinstance(thought, ThinkingPart)]
    if words := "".join(text if isinstance(text, str) else "".join(p.text for p in text) for text in texts):
        into.reasoning = into.reasoning or words
    proven = [
        Raw(msgspec.json.encode(thought))
        for thought in thoughts
        if isinstance(thought, RedactedThinkingPart) or thought.signature
    ]
    if proven and not into.reasoning_state_json:
        into.reasoning_state_json = reasoning_state.join(proven)


def _name_calls(request: pb.CreateCompletionRequest) -> None:
    """Gives calls without an id one by their place, and results without one that of the next open call."""
    open_calls: list[message_pb2.ToolCall] = []
    for number, message in enumerate(request.messages):
        for at, call in enumerate(message.tool_calls):
            if not call.id:
                call.id = f"call_{number}_{at}"
            open_calls.append(call)
        if message.role == message_pb2.ROLE_TOOL:
            named = message.tool_call_id
            same = (call for call in open_calls if call.id == named or not named)
            if found := next(same, None):
                message.tool_call_id = found.id
                open_calls.remove(found)


def _part(into: message_pb2.ContentPart, part: ContentPart, path: str) -> None:
    """Content part: text, image, audio, file or refusal. Errors: InvalidRequest (sound that is no base64)."""
    if isinstance(part, RefusalPart):
        into.refusal = part.refusal
        return
    if isinstance(part, TextPart):
        into.text = part.text
    elif isinstance(part, ImagePart):
        image = ImageUrl(part.image_url) if isinstance(part.image_url, str) else part.image_url
        into.image.url = image.url
        if image.detail:
            into.image.detail = DETAILS[image.detail]
    elif isinstance(part, AudioPart):
        _audio(into.audio, part, f"{path}.input_audio")
    else:
        into.file.SetInParent()
        for name in File.__struct_fields__:
            if (value := getattr(part.file, name)) is not None:
                setattr(into.file, name, value)
    if cache := _prompt_cache(part):
        into.prompt_cache = cache


def _audio(into: message_pb2.AudioPart, part: AudioPart, path: str) -> None:
    """Sound from base64, with or without the beginning of a data: URL."""
    audio = part.input_audio
    text, declared = audio.data, audio.format
    if found := media_types.parse(text):
        text, declared = found.data, declared or found.media_type
    try:
        into.data = base64.b64decode(media_types.clean_base64(text), validate=True)
    except ValueError as error:
        raise InvalidRequest(field=f"{path}.data", problem=f"not base64: {error}") from None
    into.format = media_types.audio_format(declared, into.data)


def _prompt_cache(marked: Marked) -> "message_pb2.PromptCache":
    """Mark for caching, in Anthropic's words or OpenAI's."""
    if marked.cache_control:
        return CACHES[marked.cache_control.ttl or "5m"]
    if marked.prompt_cache_breakpoint:
        return CACHES[marked.prompt_cache_breakpoint.ttl or "30m"]
    return message_pb2.PROMPT_CACHE_UNSPECIFIED


def _tools(request: pb.CreateCompletionRequest, chat: Chat) -> None:
    """Tools of a chat body, `functions` included."""
    for tool in chat.tools or ():
        into = request.tools.add(prompt_cache=_prompt_cache(tool) or None)
        if isinstance(tool, CustomTool):
            custom = into.custom
            custom.name = tool.custom.name
            if tool.custom.description is not None:
                custom.description = tool.custom.description
            if tool.custom.format is not UNSET:
                custom.format_json = bytes(tool.custom.format).decode()
        else:
            _function(into.function, tool.function)
            if tool.function.cache_control:
                into.prompt_cache = CACHES[tool.function.cache_control.ttl or "5m"]
    for function in chat.functions or ():
        _function(request.tools.add().function, function)
    choice = chat.tool_choice if chat.tool_choice is not None else chat.function_call
    if choice is not None:
        _tool_choice(request.tool_choice, choice)


def _function(into: message_pb2.FunctionTool, function: Function) -> None:
    into.name = function.name
    if function.description is not None:
        into.description = function.description
    if function.parameters is not UNSET and bytes(function.parameters) != b"null":
        into.parameters_json = bytes(function.parameters).decode()
    if function.strict is not None:
        into.strict = function.strict


def _tool_choice(into: message_pb2.ToolChoice, choice: object) -> None:
    """Tool choice: a mode, or one tool by name."""
    if isinstance(choice, str):
        into.mode = MODES[choice]
    elif isinstance(choice, AllowedChoice):
        into.mode = MODES[choice.allowed_tools.mode]
        named = [tool.function or tool.custom for tool in choice.allowed_tools.tools]
        into.allowed_tools.extend(tool.name for tool in named if tool)
    elif isinstance(choice, CustomChoice):
        into.custom_name = choice.custom.name
    elif isinstance(choice, FunctionChoice | Named):
        into.function_name = choice.name if isinstance(choice, Named) else choice.function.name


def _response_format(into: pb.ResponseFormat, form: TextFormat | JsonFormat | SchemaFormat) -> None:
    """Response format: text, JSON object or JSON Schema."""
    if isinstance(form, TextFormat):
        into.kind = pb.ResponseFormat.KIND_TEXT
    elif isinstance(form, JsonFormat):
        into.kind = pb.ResponseFormat.KIND_JSON_OBJECT
    else:
        schema = form.json_schema
        into.json_schema.name = schema.name
        if schema.schema is not UNSET:
            into.json_schema.schema_json = bytes(schema.schema).decode()
        if schema.description is not None:
            into.json_schema.description = schema.description
        if schema.strict is not None:
            into.json_schema.strict = schema.strict
