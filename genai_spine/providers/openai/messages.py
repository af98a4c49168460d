"""Messages of a chat request, as OpenAI and each server that imitates it take them.

Shapes: https://platform.openai.com/docs/api-reference/chat, 2026-11-21. What an earlier answer brought and
the endpoint wants back is a MessageDialect of its registry row; to all others it would be an unknown field.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from msgspec import Raw

from genai_spine.media import media_types
from genai_spine.providers import prompt_cache, reasoning_state
from genai_spine.providers.conversation import CallRules, Entry, arrange
from genai_spine.providers.wire_types import ROLES
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

# These demand reasoning_content with every call of a tool, an empty one included:
# https://api-docs.deepseek.com/guides/thinking_mode and https://platform.kimi.ai/docs/guide, 2026-11-29.
DEMANDING = re.compile(r"deepseek|kimi|moonshot", re.IGNORECASE)
KEEPING = re.compile(r"kimi|moonshot", re.IGNORECASE)  # of answers without calls as well
GEMINI = re.compile(r"gemini", re.IGNORECASE)
SIGNED_GEMINI = re.compile(r"gemini-(?:[3-9]|\d\d)", re.IGNORECASE)
# What Gemini takes in place of the signature of a call that another model made:
# https://ai.google.dev/gemini-api/docs/thought-signatures, 2026-11-29.
NO_SIGNATURE = Raw(b'{"google":{"thought_signature":"skip_thought_signature_validator"}}')
BELOW = "(The result is in the message below.)"
RESULT_PARTS = "Result of the tool {name}:"
BREAKPOINTS = {message_pb2.PROMPT_CACHE_30M: "30m", message_pb2.PROMPT_CACHE_12H: "12h"}


def reasoning_by_model(model: str) -> str | None:
    """Field for earlier thinking, where the model wants it whoever serves it."""
    return "reasoning_content" if DEMANDING.search(model) else None


def reasoning_always(model: str) -> str | None:
    """Field for earlier thinking of servers that hand it to the model's template, or pass it over."""
    return "reasoning_content"


def no_reasoning(model: str) -> str | None:
    """None: the endpoint refuses fields that it does not know."""
    return None


CALLS = CallRules(bare_functions=True)


@dataclass(frozen=True, slots=True)
class MessageDialect:
    """Dialect of an endpoint's messages: fields beyond OpenAI's own, and ids."""

    calls: CallRules = CALLS
    reasoning: Callable[[str], str | None] = reasoning_by_model  # field for earlier thinking, by model
    demanding: bool = False  # every call of a tool has to have that field, an empty one as well
    details: bool = False  # reasoning_details, as OpenRouter has them
    signatures: bool = False  # extra_content, as Gemini has it
    empty_answers: bool = True  # answers without text and calls; where not, they are left out
    cache: Literal["cache_control", "prompt_cache_breakpoint"] | None = None  # marks for caching on parts


PLAIN = MessageDialect()


def write_messages(
    request: pb.CreateCompletionRequest, model: str, dialect: MessageDialect
) -> list[dict[str, Any]]:
    """Messages of a chat, each call followed by its result."""
    writer = MessageWriter(request, model, dialect)
    written = [body for entry in arrange(request.messages, dialect.calls) for body in writer.write(entry)]
    return [*written, *writer.flush()]


class MessageWriter:
    """Writer of the messages of one request. They come in their order."""

    def __init__(self, request: pb.CreateCompletionRequest, model: str, dialect: MessageDialect) -> None:
        self._dialect = dialect
        self._reasoning = dialect.reasoning(model)
        self._demanding = dialect.demanding or bool(DEMANDING.search(model))
        self._signatures = dialect.signatures or bool(GEMINI.search(model) and not dialect.details)
        self._signed = self._signatures and bool(SIGNED_GEMINI.search(model))
        self._marks = prompt_cache.marks(request) if dialect.cache == "cache_control" else {}
        self._attached: list[dict[str, Any]] = []  # of results, for the user's message behind them
        everywhere = bool(KEEPING.search(model))
        self._thinking = _calling(request.messages, everywhere=everywhere) if self._reasoning else frozenset()

    def write(self, entry: Entry) -> Iterator[dict[str, Any]]:
        """Message of an entry, and before it what the results of tools had beside text."""
        if not entry.result_of:
            yield from self.flush()
        message = entry.message
        says = message.tool_calls or any(part.text or part.refusal for part in message.content)
        if says or self._dialect.empty_answers or message.role != message_pb2.ROLE_ASSISTANT:
            yield self._message(entry)

    def flush(self) -> Iterator[dict[str, Any]]:
        """User's message with what results of tools had beside text, which stands behind all of them."""
        if self._attached:
            yield {"role": "user", "content": self._attached}
            self._attached = []

    def _message(self, entry: Entry) -> dict[str, Any]:
        """Message as JSON. Content of one text is a string, other content a list of parts, and the content of
        an assistant that only called tools is null.
        """
        message = entry.message
        body: dict[str, Any] = {"role": "tool" if entry.result_of else ROLES[message.role]}
        body["content"] = self._result(entry) if entry.result_of else self._content(entry)
        if entry.result_of:
            body["tool_call_id"] = entry.result_of
        elif message.HasField("tool_call_id"):
            body["tool_call_id"] = message.tool_call_id
        if message.HasField("name"):
            body["name"] = message.name
        if message.tool_calls:
            body["tool_calls"] = self._calls(entry)
        if message.role == message_pb2.ROLE_ASSISTANT:
            self._write_state(body, entry)
        return body

    def _content(self, entry: Entry) -> Any:
        message, parts = entry.message, entry.message.content
        marked = self._marked(entry)
        if len(parts) == 1 and parts[0].WhichOneof("part") == "text" and not marked:
            return parts[0].text
        if parts:
            written = [write_part(part) for part in parts]
            for at, mark in marked.items():
                written[at] |= mark
            return written
        return None if message.role == message_pb2.ROLE_ASSISTANT and message.tool_calls else ""

    def _marked(self, entry: Entry) -> dict[int, dict[str, Any]]:
        """Marks for caching by the part that they stand at, in the endpoint's form."""
        parts = entry.message.content
        marks: dict[int, dict[str, Any]] = {}
        if self._dialect.cache is None:
            return marks
        if self._dialect.cache == "prompt_cache_breakpoint":
            for at, part in enumerate(parts):
                if ttl := BREAKPOINTS.get(part.prompt_cache):
                    marks[at] = {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": ttl}}
            return marks
        for at in range(len(parts)):
            ends = at == len(parts) - 1
            mark = self._marks.get((entry.number, at))
            mark = mark or (self._marks.get((entry.number, prompt_cache.END)) if ends else None)
            if mark and parts[at].WhichOneof("part") != "refusal":
                marks[at] = {"cache_control": {"type": "ephemeral", "ttl": mark}}
        return marks

    def _result(self, entry: Entry) -> Any:
        """Content of a tool's result: its texts. What else it has goes into a message of the user, because
        results take nothing but text.
        """
        parts = entry.message.content
        if all(part.WhichOneof("part") in ("text", "refusal") for part in parts):
            return self._content(entry)
        texts = [part for part in parts if part.HasField("text")]
        others = [write_part(part) for part in parts if not part.HasField("text")]
        name = entry.name or entry.result_of
        self._attached += [{"type": "text", "text": RESULT_PARTS.format(name=name)}, *others]
        return "\n".join(part.text for part in texts) or BELOW

    def _calls(self, entry: Entry) -> list[dict[str, Any]]:
        """Calls of a message, with the provider's state where the endpoint takes it back."""
        calls = entry.message.tool_calls
        written = [_tool_call(call, entry.call_ids[at]) for at, call in enumerate(calls)]
        if not self._signatures:
            return written
        for call, body in zip(calls, written, strict=True):
            if call.provider_state_json:
                body["extra_content"] = Raw(call.provider_state_json.encode())
        if self._signed and not any("extra_content" in body for body in written):
            written[0]["extra_content"] = NO_SIGNATURE
        return written

    def _write_state(self, body: dict[str, Any], entry: Entry) -> None:
        """Adds what an earlier answer proves its thinking with, as far as the endpoint takes it back."""
        message = entry.message
        if self._dialect.details and (found := reasoning_state.details(message.reasoning_state_json)):
            body["reasoning_details"] = found
            return
        if message.reasoning_state_json and self._signatures:
            extra = reasoning_state.extra_content(message.reasoning_state_json)
            if extra is not None:
                body["extra_content"] = extra
        wanted = message.reasoning or (self._demanding and message.tool_calls)
        if self._reasoning and wanted and entry.number in self._thinking:
            body[self._reasoning] = message.reasoning


def _calling(messages: Sequence[message_pb2.Message], *, everywhere: bool) -> frozenset[int]:
    """Numbers of messages between two of the user's, of which one called a tool. everywhere: of all."""
    if everywhere:
        return frozenset(range(len(messages)))
    found: set[int] = set()
    stretch: list[int] = []
    called = False
    for number, message in enumerate(messages):
        if message.role == message_pb2.ROLE_USER:
            stretch, called = [], False
        stretch.append(number)
        if message.tool_calls and not called:
            called = True
            found.update(stretch)
        elif called:
            found.add(number)
    return frozenset(found)


def write_part(part: message_pb2.ContentPart) -> dict[str, Any]:
    """Content part as JSON: text, image, sound, file or refusal."""
    kind = part.WhichOneof("part")
    if kind == "text":
        return {"type": "text", "text": part.text}
    if kind == "image":
        image = {"url": image_url(part.image)}
        if part.image.detail:
            image["detail"] = detail_name(part.image.detail)
        return {"type": "image_url", "image_url": image}
    if kind == "audio":
        form = media_types.audio_format(part.audio.format, part.audio.data)
        # msgspec writes bytes as base64, which is what this field holds.
        return {"type": "input_audio", "input_audio": {"data": part.audio.data, "format": form}}
    if kind == "file":
        source = part.file.WhichOneof("source") or "file_id"
        file = {source: file_source(part.file, source)}
        if part.file.HasField("filename"):
            file["filename"] = part.file.filename
        return {"type": "file", "file": file}
    return {"type": "refusal", "refusal": part.refusal}


def image_url(image: message_pb2.ImagePart) -> str:
    """URL of an image, a data: URL in its usual form."""
    if image.url:
        return media_types.normalized(image.url)
    return data_url(media_types.canonical(image.media_type, image.data), image.data)


def file_source(file: message_pb2.FilePart, source: str) -> str:
    """Id of a file, or its data: URL in its usual form. source: which of the two."""
    value: str = getattr(file, source)
    return media_types.normalized(value) if source == "file_data" else value


def detail_name(detail: "message_pb2.ImageDetail") -> str:
    """Detail in OpenAI's words: auto, low, high, original."""
    return message_pb2.ImageDetail.Name(detail).removeprefix("IMAGE_DETAIL_").lower()


def data_url(media_type: str, data: bytes) -> str:
    """Data: URL of bytes."""
    return f"data:{media_type};base64,{msgspec.to_builtins(data)}"


def _tool_call(call: message_pb2.ToolCall, call_id: str) -> dict[str, Any]:
    """Tool call of an earlier answer as JSON."""
    if call.WhichOneof("call") == "custom":
        custom = {"name": call.custom.name, "input": call.custom.input}
        return {"id": call_id, "type": "custom", "custom": custom}
    function = {"name": call.function.name, "arguments": call.function.arguments_json}
    return {"id": call_id, "type": "function", "function": function}
