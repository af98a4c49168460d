"""Request decoding of OpenAI's JSON: its unions, nulls and names become messages of the contract.

Fields that the contract lacks are kept byte by byte and go to the provider as provider_options_json.
Errors: InvalidRequest naming the field (broken JSON, wrong types).
"""

import re
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from genai_spine.errors import InvalidRequest
from genai_spine.openai_api.messages import CACHES, ROLES, message_into, name_calls, prompt_cache
from genai_spine.openai_api.schemas import (
    AllowedChoice,
    Batch,
    Chat,
    ChatMessage,
    ChatUpdate,
    CustomChoice,
    CustomTool,
    Embedding,
    Function,
    FunctionChoice,
    Image,
    JsonFormat,
    Named,
    Native,
    PlainChat,
    Sampling,
    SchemaFormat,
    Speech,
    Text,
    TextFormat,
    Texts,
)
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

T = TypeVar("T", bound=Struct)
S = TypeVar("S")
AT = re.compile(r" - at `\$\.?(.*?)`$")
MODES = {
    "none": message_pb2.ToolChoice.MODE_NONE,
    "auto": message_pb2.ToolChoice.MODE_AUTO,
    "required": message_pb2.ToolChoice.MODE_REQUIRED,
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

# Sampling options that are in the contract by the same name and type.
SCALARS = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "user", "strict_options")
scalars_of = attrgetter(*SCALARS)
FIELDS = msgspec.json.Decoder(dict[str, Raw])
PLAIN_CHAT = msgspec.json.Decoder(PlainChat)
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


def decode_chat(body: bytes) -> Chat:
    """Chat of a body: a PlainChat where it is one. Errors: InvalidRequest naming the field."""
    try:
        return PLAIN_CHAT.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return decode(body, Chat)


def fields(body: bytes) -> dict[str, Raw]:
    """Fields of a body, each byte by byte. Errors: InvalidRequest."""
    return _decoded(body, FIELDS)


def is_native(body: bytes) -> bool:
    """Whether a body has the older service's own shape."""
    return "messages" in fields(body)


def extras(fields: Mapping[str, Raw], kind: type[Struct], **more: object) -> str | None:
    """Unknown fields of a body, and `more`, as a JSON object; None when it is empty."""
    known = kind.__struct_fields__
    unknown = {name: value for name, value in fields.items() if name not in known} | more
    return msgspec.json.encode(unknown).decode() if unknown else None


def chat_request(fields: Mapping[str, Raw], chat: Chat) -> pb.CreateCompletionRequest:
    """Completion request of a chat and its body's fields."""
    request = _sampling(chat)
    if isinstance(chat, PlainChat):
        for plain in chat.messages:
            into = request.messages.add()
            into.role, into.content.add().text = ROLES[plain.role], plain.content
    else:
        _messages(request, chat.messages or ())
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
    if extra := extras(fields, Chat, **more):
        request.provider_options_json = extra
    return request


def _messages(request: pb.CreateCompletionRequest, messages: Sequence[ChatMessage]) -> None:
    before_tools = ""  # id of the last call in that style; its result goes out as the tool's
    for number, message in enumerate(messages):
        into = request.messages.add()
        message_into(into, message, number)
        if message.function_call:
            before_tools = into.tool_calls[-1].id
        elif message.role == "function" and before_tools:
            into.role, into.tool_call_id, before_tools = message_pb2.ROLE_TOOL, before_tools, ""
            into.ClearField("name")
    if any(message.tool_calls or message.role == "tool" for message in messages):
        name_calls(request)


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
    extra = extras(fields(body), Text)
    # Only the provider can turn token ids into text.
    extra_of_tokens = extras(fields(body), Text, echo=True) if text.echo else extra
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
        message_into(request.messages.add(), message, number)
    return request


def embedding_request(fields: Mapping[str, Raw], embedding: Embedding) -> pb.CreateEmbeddingsRequest:
    """Embeddings request of a body's fields; inputs are texts or token ids."""
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
    if extra := extras(fields, Embedding):
        request.provider_options_json = extra
    return request


def inputs_json(fields: Mapping[str, Raw], embedding: Embedding) -> bytes:
    """Inputs of a body as a list in JSON, each byte by byte."""
    given, raw = embedding.input, bytes(fields["input"])
    is_one = isinstance(given, str) or isinstance(given[0], int)
    return b"[%b]" % raw if is_one else raw


def _sampling(given: Sampling) -> pb.CreateCompletionRequest:
    """Sampling options in the contract's names."""
    if not given.model:
        raise InvalidRequest(field="model", problem="is required")
    request = pb.CreateCompletionRequest()  # fields given by name cost more
    request.model = given.model
    if given.provider:
        request.provider = given.provider
    if given.cost_labels:
        request.cost_labels.update(given.cost_labels)
    for name, value in zip(SCALARS, scalars_of(given), strict=True):
        if value is not None:
            setattr(request, name, value)
    if given.max_tokens is not None:
        request.max_tokens = count("max_tokens", given.max_tokens)
    if given.top_k is not None:
        request.top_k = count("top_k", given.top_k)
    if given.n is not None:
        request.choice_count = count("n", given.n)
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


def _tools(request: pb.CreateCompletionRequest, chat: Chat) -> None:
    """Tools of a chat body, `functions` included."""
    for tool in chat.tools or ():
        into = request.tools.add(prompt_cache=prompt_cache(tool) or None)
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
