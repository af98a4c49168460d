"""Messages API conversation: system blocks and turns, with the blocks of each message.

Shapes: https://platform.claude.com/docs/en/api/messages and the types of the official SDK 2.11, 2026-11-28.
System and developer messages become the `system` blocks, wherever they stand; messages of one role that
follow each other become one turn; tool results are part of a user's turn, and stand first in it.
"""

from base64 import b64decode
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from genai_spine.errors import InvalidFields
from genai_spine.media import media_types
from genai_spine.providers import prompt_cache, reasoning_state
from genai_spine.providers.conversation import CallRules, Entry, arrange
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

Block = dict[str, Any] | Raw  # Raw: a block of thinking, which goes back byte by byte

CALLS = CallRules("a-zA-Z0-9_-")
SYSTEM = (message_pb2.ROLE_SYSTEM, message_pb2.ROLE_DEVELOPER)
CONTINUED = "(The conversation begins with the answer below.)"  # a conversation begins with the user


class Conversation(NamedTuple):
    """System blocks and turns."""

    system: list[Block]
    turns: list[dict[str, Any]]

    @property
    def began_without_thinking(self) -> bool:
        """Whether calls whose results are the newest turn were made without thinking.

        A budget of thinking is then refused: "Expected `thinking` or `redacted_thinking`". Between the first
        call and the last result it is one turn of the assistant, and its beginning counts.
        """
        first: Block | None = None
        for turn in reversed(self.turns):
            block = turn["content"][0]
            if turn["role"] == "assistant":
                first = block
            elif first is None and not _is(block, "tool_result"):
                return False
            elif not _is(block, "tool_result"):
                break
        return isinstance(first, dict) and first["type"] != "thinking" and first["type"] != REDACTED

    def without_thinking(self) -> None:
        """Takes the blocks of thinking out, which a request without thinking must not have at its end."""
        for turn in self.turns:
            if turn["role"] == "assistant":
                said = [block for block in turn["content"] if not _is_thought(block)]
                turn["content"] = said or turn["content"]


REDACTED = "redacted_thinking"


def _is(block: Block, kind: str) -> bool:
    return isinstance(block, dict) and block["type"] == kind


def _is_thought(block: Block) -> bool:
    return isinstance(block, Raw) or block["type"] in ("thinking", REDACTED)


def write_conversation(request: pb.CreateCompletionRequest, marks: prompt_cache.Marks) -> Conversation:
    """Conversation of a request, beginning with the user. Errors: InvalidFields."""
    if request.HasField("prompt"):
        text = {"type": "text", "text": request.prompt.text}
        return Conversation([], [{"role": "user", "content": [text]}])
    system: list[Block] = []
    turns: list[dict[str, Any]] = []
    for entry in arrange(request.messages[:], CALLS):
        blocks = _blocks(entry, marks)
        if entry.message.role in SYSTEM:
            system += blocks
        elif blocks:
            role = "assistant" if entry.message.role == message_pb2.ROLE_ASSISTANT else "user"
            if turns and turns[-1]["role"] == role:
                turns[-1]["content"] += blocks
            else:
                turns.append({"role": role, "content": blocks})
    if not turns and system:  # instructions alone: the user's, since somebody must ask
        system, turns = [], [{"role": "user", "content": system}]
    elif turns and turns[0]["role"] == "assistant":
        turns.insert(0, {"role": "user", "content": [{"type": "text", "text": CONTINUED}]})
    if turns and turns[-1]["role"] == "assistant":
        _trim(turns[-1]["content"])
    return Conversation(system, turns)


def _trim(blocks: Sequence[Block]) -> None:
    """Takes white space from the end of the last turn's text: the API refuses it where it goes on from it."""
    last = blocks[-1]
    if isinstance(last, dict) and last["type"] == "text":
        last["text"] = last["text"].rstrip()


def _blocks(entry: Entry, marks: prompt_cache.Marks) -> list[Block]:
    """Content blocks of one message, in the order that the API demands: thinking, content, calls.

    Errors: InvalidFields, where an instruction holds anything but text.
    """
    message = entry.message
    content: list[dict[str, Any]] = []
    ttl = None
    for at, part in enumerate(message.content[:]):
        if text := part.text or part.refusal:
            if not text.isspace():  # the API refuses blocks of white space
                content.append({"type": "text", "text": text})
        else:
            content += _part(part, f"{entry.path}.content[{at}]")
        if found := marks.get((entry.number, at)):
            ttl = found
            if content:  # of white space alone there is no block; what stood before it ends there too
                _mark(content[-1], found)
    if message.role in SYSTEM and any(block["type"] != "text" for block in content):
        raise InvalidFields([(f"{entry.path}.content", "must be text in a system message for anthropic")])
    ended = marks.get((entry.number, prompt_cache.END))
    if entry.result_of:
        for block in content:
            block.pop("cache_control", None)
        result = _tool_result(entry.result_of, content)
        ttl = ended or ttl
        return [_mark(result, ttl) if ttl else result]
    calls = [
        _tool_use(call, f"{entry.path}.tool_calls[{at}]", entry.call_ids[at])
        for at, call in enumerate(message.tool_calls[:])
    ]
    said = [*content, *calls]
    if ended and said:
        _mark(said[-1], ended)
    thoughts = _thoughts(message, entry.path) if message.role == message_pb2.ROLE_ASSISTANT else ()
    return [*thoughts, *said]


def _mark(block: dict[str, Any], ttl: str) -> dict[str, Any]:
    block["cache_control"] = {"type": "ephemeral", "ttl": ttl}
    return block


def _thoughts(message: message_pb2.Message, path: str) -> Iterable[Block]:
    """Blocks of Claude's thinking; what another model put there is left out."""
    for thought in reasoning_state.thoughts(message.reasoning_state_json, path):
        if thought.raw is not None:
            yield thought.raw
        elif thought.redacted is not None:
            yield {"type": REDACTED, "data": thought.redacted}
        else:
            yield {"type": "thinking", "thinking": thought.text, "signature": thought.signature}


def _tool_result(id: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    """Block with a tool's result; one without content is a result without output."""
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": id}
    return result | {"content": content} if content else result


def _tool_use(call: message_pb2.ToolCall, path: str, id: str) -> dict[str, Any]:
    """Block of a tool call. Errors: InvalidFields, where the arguments are no JSON object."""
    if call.HasField("custom"):  # which another provider made; this API knows objects only
        text = {"input": call.custom.input}
        return {"type": "tool_use", "id": id, "name": call.custom.name, "input": text}
    arguments = call.function.arguments_json.strip() or "{}"
    try:
        msgspec.json.decode(arguments, type=dict[str, Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        problem = f"must be a JSON object for anthropic: {error}"
        raise InvalidFields([(f"{path}.function.arguments_json", problem)]) from error
    return {"type": "tool_use", "id": id, "name": call.function.name, "input": Raw(arguments.encode())}


def _part(part: message_pb2.ContentPart, path: str) -> list[dict[str, Any]]:
    """Blocks of one content part that is no text; none for an empty one."""
    kind = part.WhichOneof("part")
    if kind == "image":
        return [_image(part.image, f"{path}.image")]
    if kind == "file":
        return [_document(part.file, f"{path}.file")]
    return []


def _image(image: message_pb2.ImagePart, path: str) -> dict[str, Any]:
    """Image block of bytes, a URL, or a data: URL."""
    if image.data:
        media_type = media_types.canonical(image.media_type, image.data)
        return _image_block(media_type, msgspec.to_builtins(image.data))
    if found := media_types.parse(image.url):
        return _image_block(*found)
    if media_types.is_data_url(image.url):
        raise InvalidFields([(f"{path}.url", "must be a data: URL with content behind a comma")])
    return {"type": "image", "source": {"type": "url", "url": image.url}}


def _image_block(media_type: str, data: str) -> dict[str, Any]:
    source = {"type": "base64", "media_type": media_type, "data": data}
    return {"type": "image", "source": source}


def _document(file: message_pb2.FilePart, path: str) -> dict[str, Any]:
    """Document block of a file: uploaded, PDF or text; an image becomes an image block.

    Errors: InvalidFields, for other media types.
    """
    if file.file_id:
        source = {"type": "file", "file_id": file.file_id}
    else:
        found = media_types.parse(file.file_data)
        if found is None:
            raise InvalidFields([(f"{path}.file_data", "must be a data: URL")])
        media_type, data = found
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
