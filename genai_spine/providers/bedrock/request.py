"""Converse request: the contract's request written as Bedrock's JSON.

Shapes: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, 2026-11-28, and
botocore's model of the service `bedrock-runtime`.

A model without schemas of its own gives an answer of a given form by calling ANSWER_TOOL, whose arguments are
the answer; `response` turns the call back into text.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

import msgspec
from msgspec import Raw

from genai_spine.errors import InvalidFields, UnsupportedOption
from genai_spine.json_schema.rewrite import SchemaRules, portable
from genai_spine.providers.base import further_fields
from genai_spine.providers.bedrock import model_options
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

INFERENCE = {
    "max_tokens": "maxTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "stop_sequences": "stopSequences",
}
# The tool by which a model without schemas of its own gives an answer of a given form.
ANSWER_TOOL = "give_answer"
ANY_OBJECT = b'{"type":"object"}'

DATA_URL = re.compile(r"data:([^;,]*)(?:;[^;,]*)*;base64,(.*)", re.DOTALL)
IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif"} | {
    "image/webp": "webp"
}
OFFICE = "application/vnd.openxmlformats-officedocument"
DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    f"{OFFICE}.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    f"{OFFICE}.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z()\[\]-]+")  # of documents
NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_.:-]")  # of tool calls
MAX_ID_CHARS, MAX_NAME_CHARS = 64, 180


# For models that take a schema (model_options.NATIVE_SCHEMA has the source); the others get the same one as
# a tool's.
SCHEMA = SchemaRules(
    refused=frozenset(
        {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
        | {"minLength", "maxLength", "pattern", "maxItems", "uniqueItems"}
        | {"minProperties", "maxProperties", "patternProperties", "propertyNames", "not", "default"}
    ),
    closed=True,
    object_only=True,
    recursion=False,
    max_min_items=1,
)


def write_request(request: pb.CreateCompletionRequest, provider: str) -> dict[str, Any]:
    """The body of Converse and ConverseStream, which are the same."""
    body = further_fields(request)
    body |= ConversationWriter(request, provider).conversation()
    inference = own(body, "inferenceConfig")
    for field, value in request.ListFields():
        if field.name in INFERENCE:
            inference[INFERENCE[field.name]] = list(value) if field.is_repeated else value
    more, output = model_options.fields(request, provider)
    output = own(body, "outputConfig") | output
    if request.HasField("response_format") and model_options.takes_schema(request.model):
        output |= _text_format(request.response_format)
    fields = {"inferenceConfig": inference, "outputConfig": output, "toolConfig": tools(request, provider)}
    fields["additionalModelRequestFields"] = own(body, "additionalModelRequestFields") | more
    return body | {name: value for name, value in fields.items() if value}


def own(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Object among the caller's own fields; ours go beside what it holds. Errors: InvalidFields."""
    if name not in body:
        return {}
    try:
        own_fields: dict[str, Any] = msgspec.json.decode(body[name], type=dict[str, Raw])
    except msgspec.DecodeError as error:
        raise InvalidFields([("provider_options_json", f"{name}: {error}")]) from error
    return own_fields


def answers_by_tool(request: pb.CreateCompletionRequest) -> bool:
    """The answer's form is made known as a tool that the model must call."""
    form = request.response_format
    if form.HasField("json_schema"):
        needs_tool = not model_options.takes_schema(request.model)
    else:
        needs_tool = form.kind == pb.ResponseFormat.KIND_JSON_OBJECT
    choice = request.tool_choice
    named = choice.HasField("function_name") or choice.mode == message_pb2.ToolChoice.MODE_REQUIRED
    return needs_tool and not named  # who must call another tool gives no answer


def tools(request: pb.CreateCompletionRequest, provider: str) -> dict[str, Any]:
    """toolConfig; empty where there are no tools."""
    if not (request.tools or request.HasField("tool_choice") or request.HasField("response_format")):
        return {}
    choice, form = request.tool_choice, request.response_format
    none = choice.mode == message_pb2.ToolChoice.MODE_NONE
    offered = [
        _tool(tool.function)
        for tool in request.tools
        if not none and (not choice.allowed_tools or tool.function.name in choice.allowed_tools)
    ]
    how = _tool_choice(choice) if offered else {}
    if answers_by_tool(request):
        has_schema = form.HasField("json_schema")
        schema = portable(form.json_schema.schema_json, SCHEMA).encode() if has_schema else ANY_OBJECT
        described = form.json_schema.description or "Gives the whole answer."
        spec = {"name": ANSWER_TOOL, "description": described, "inputSchema": {"json": Raw(schema)}}
        alone = not offered and model_options.takes_named_tool(request.model)
        how = {"toolChoice": {"tool": {"name": ANSWER_TOOL}} if alone else {"any": {}}}
        offered.append({"toolSpec": spec})
    elif none and any(message.tool_calls or message.tool_call_id for message in request.messages):
        # Converse takes no messages with tool calls without the tools, and knows no choice "none".
        option = "tool_choice none in a conversation with tool calls"
        raise UnsupportedOption(field="tool_choice", provider=provider, option=option)
    return {"tools": offered} | how if offered else {}


def _tool(function: message_pb2.FunctionTool) -> dict[str, Any]:
    """Tool declaration; a function without parameters takes any object."""
    spec: dict[str, Any] = {"name": function.name}
    if function.description:
        spec["description"] = function.description
    spec["inputSchema"] = {"json": Raw((function.parameters_json or '{"type":"object"}').encode())}
    if function.strict:
        spec["strict"] = True
    return {"toolSpec": spec}


def _tool_choice(choice: message_pb2.ToolChoice) -> dict[str, Any]:
    """toolChoice of the caller's choice; empty leaves it to the model."""
    if choice.HasField("function_name"):
        return {"toolChoice": {"tool": {"name": choice.function_name}}}
    if choice.mode == message_pb2.ToolChoice.MODE_REQUIRED:
        return {"toolChoice": {"any": {}}}
    return {"toolChoice": {"auto": {}}} if choice.mode == message_pb2.ToolChoice.MODE_AUTO else {}


def _text_format(form: pb.ResponseFormat) -> dict[str, Any]:
    """textFormat with the schema, which stands there as text."""
    if not form.HasField("json_schema"):
        return {}
    # The schema stands there as text.
    schema = portable(form.json_schema.schema_json, SCHEMA)
    definition = {"name": form.json_schema.name, "schema": schema}
    if form.json_schema.description:
        definition["description"] = form.json_schema.description
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}


class ConversationWriter:
    """Writer of one conversation; names of documents must differ within it.

    Errors: UnsupportedOption (content that Converse has no place for), InvalidFields (arguments or reasoning
    state that are no JSON of the right shape).
    """

    def __init__(self, request: pb.CreateCompletionRequest, provider: str) -> None:
        self._request, self._provider = request, provider
        self._documents: set[str] = set()

    def conversation(self) -> dict[str, Any]:
        """system and messages: instructions stand apart, and the two speakers take turns."""
        system: list[dict[str, Any]] = []
        turns: list[dict[str, Any]] = []
        messages: Iterable[message_pb2.Message] = self._request.messages
        if self._request.HasField("prompt"):
            text = message_pb2.ContentPart(text=self._request.prompt.text)
            messages = [message_pb2.Message(role=message_pb2.ROLE_USER, content=[text])]
        for index, message in enumerate(messages):
            blocks = list(self._blocks(message, f"messages[{index}]"))
            if blocks and message.prompt_cache and model_options.takes_cache_points(self._request.model):
                blocks.append(self._cache_point(message.prompt_cache))
            if message.role in (message_pb2.ROLE_SYSTEM, message_pb2.ROLE_DEVELOPER):
                system += blocks
                continue
            role = "assistant" if message.role == message_pb2.ROLE_ASSISTANT else "user"
            if turns and turns[-1]["role"] == role:
                turns[-1]["content"] += blocks
            elif blocks:
                turns.append({"role": role, "content": blocks})
        return {"messages": turns} | ({"system": system} if system else {})

    def _blocks(self, message: message_pb2.Message, field: str) -> Iterator[dict[str, Any]]:
        """Content blocks of one message. field: path of the message in the request."""
        content = list(self._parts(message, field))
        if message.role in (message_pb2.ROLE_TOOL, message_pb2.ROLE_FUNCTION):
            used = tool_use_id(message.tool_call_id, message.name)
            yield {"toolResult": {"toolUseId": used, "content": content}}
            return
        if message.role == message_pb2.ROLE_ASSISTANT:
            yield from reasoning_blocks(message.reasoning_state_json)
        yield from content
        for index, call in enumerate(message.tool_calls):
            function = call.function
            input_ = _arguments(function.arguments, f"{field}.tool_calls[{index}].function.arguments")
            used = tool_use_id(call.id, function.name)
            yield {"toolUse": {"toolUseId": used, "name": function.name, "input": input_}}

    def _parts(self, message: message_pb2.Message, field: str) -> Iterator[dict[str, Any]]:
        """Content blocks of the message's parts, without empty texts."""
        for index, part in enumerate(message.content):
            kind, place = part.WhichOneof("part"), f"{field}.content[{index}]"
            if kind in ("text", "refusal"):
                if text := part.text or part.refusal:  # an empty text is refused, and says nothing
                    yield {"text": text}
            elif message.role in (message_pb2.ROLE_SYSTEM, message_pb2.ROLE_DEVELOPER):
                self._refuse(place, f"{kind} content of instructions")
            elif kind == "image":
                yield {"image": self._image(part.image, f"{place}.image")}
            elif kind == "audio":
                yield {"audio": {"format": part.audio.format, "source": {"bytes": part.audio.data}}}
            else:
                yield {"document": self._document(part.file, f"{place}.file")}

    def _image(self, image: message_pb2.ImagePart, place: str) -> dict[str, Any]:
        data: bytes | str
        media_type, data = image.media_type, image.data
        if not data:
            media_type, data = self._data(image.url, f"{place}.url", "images by URL; send the image itself")
        form = IMAGES.get(media_type.lower())
        if form is None:
            self._refuse(place, f"images of type {media_type or 'unknown'}")
        return {"format": form, "source": {"bytes": data}}

    def _document(self, file: message_pb2.FilePart, place: str) -> dict[str, Any]:
        if not file.file_data:
            self._refuse(f"{place}.file_id", "files by id; send the file itself")
        media_type, data = self._data(file.file_data, f"{place}.file_data", "files that are no data: URL")
        ending = file.filename.rpartition(".")[2].lower()
        form = DOCUMENTS.get(media_type.lower()) or (ending if ending in DOCUMENTS.values() else None)
        if form is None:
            self._refuse(place, f"documents of type {media_type or 'unknown'}")
        return {"format": form, "name": self._name(file.filename), "source": {"bytes": data}}

    def _name(self, filename: str) -> str:
        """Name of a document, in the letters that Converse takes, and with a number where it was used
        before.
        """
        stem = NOT_IN_NAMES.sub(" ", filename.rpartition(".")[0] or filename).strip()[:MAX_NAME_CHARS]
        name, count = stem or "document", 2
        while name in self._documents:
            name, count = f"{stem or 'document'} ({count})", count + 1
        self._documents.add(name)
        return name

    def _data(self, url: str, place: str, unless: str) -> tuple[str, bytes | str]:
        """Media type and base64 of a data: URL; unless: what is refused otherwise."""
        match = DATA_URL.fullmatch(url)
        if match is None:
            self._refuse(place, unless)
        return match[1], match[2]

    def _cache_point(self, cache: message_pb2.PromptCache) -> dict[str, Any]:
        """Cache mark behind a message; an hour where the model takes it."""
        hour = cache == message_pb2.PROMPT_CACHE_1H and model_options.takes_cache_ttl(self._request.model)
        return {"cachePoint": {"type": "default"} | ({"ttl": "1h"} if hour else {})}

    def _refuse(self, field: str, option: str) -> NoReturn:
        raise UnsupportedOption(field=field, provider=self._provider, option=option)


def tool_use_id(call_id: str, name: str) -> str:
    """Id of a call, which other providers write with other characters, or without (functions)."""
    return NOT_IN_IDS.sub("_", call_id or f"call_{name}")[:MAX_ID_CHARS]


def _arguments(arguments: str, field: str) -> Raw:
    """JSON object of a call's arguments: text that is not one cannot be sent. Errors: InvalidFields."""
    try:
        msgspec.json.decode(arguments or "{}", type=dict[str, Raw])
    except msgspec.DecodeError as error:
        raise InvalidFields([(field, str(error))]) from error
    return Raw((arguments or "{}").encode())


def reasoning_blocks(state_json: str) -> list[dict[str, Raw]]:
    """Blocks of Message.reasoning_state_json that are Bedrock's; those of other providers have no use."""
    try:
        blocks = msgspec.json.decode(state_json or "[]", type=list[dict[str, Raw]])
    except msgspec.DecodeError as error:
        raise InvalidFields([("messages.reasoning_state_json", str(error))]) from error
    return [block for block in blocks if list(block) == ["reasoningContent"]]
