"""Converse conversation: system and messages, with the blocks of each.

Shapes: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html, 2026-11-28, and
botocore's model of the service `bedrock-runtime`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

import msgspec
from msgspec import Raw

from genai_spine.errors import InvalidFields, UnsupportedOption
from genai_spine.media import media_types
from genai_spine.providers import prompt_cache, reasoning_state
from genai_spine.providers.base import Route
from genai_spine.providers.bedrock import model_options
from genai_spine.providers.conversation import CallRules, Entry, arrange
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

CALLS = CallRules("a-zA-Z0-9_.:-")
IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
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
MAX_NAME_CHARS = 180
SYSTEM = (message_pb2.ROLE_SYSTEM, message_pb2.ROLE_DEVELOPER)
CONTINUED = "(The conversation begins with the answer below.)"  # a conversation begins with the user


def cache_point(ttl: str, model: str) -> dict[str, Any]:
    """Cache mark behind a block; an hour where the model takes it."""
    hour = ttl == prompt_cache.LONG and model_options.takes_cache_ttl(model)
    return {"cachePoint": {"type": "default"} | ({"ttl": "1h"} if hour else {})}


def lacks_thinking(turns: Sequence[dict[str, Any]]) -> bool:
    """Whether calls whose results are the newest turn were made without thinking. Between the first call and
    the last result it is one turn of the assistant, and its beginning counts.
    """
    first: dict[str, Any] | None = None
    for turn in reversed(turns):
        block = turn["content"][0]
        if turn["role"] == "assistant":
            first = block
        elif first is None and "toolResult" not in block:
            return False
        elif "toolResult" not in block:
            break
    return first is not None and "reasoningContent" not in first


def drop_thinking(turns: Sequence[dict[str, Any]]) -> None:
    """Takes the blocks of thinking out, which a request without thinking must not have at its end."""
    for turn in turns:
        turn["content"] = [block for block in turn["content"] if "reasoningContent" not in block] or turn[
            "content"
        ]


class ConversationWriter:
    """Writer of one conversation; names of documents must differ within it.

    Errors: UnsupportedOption (content that Converse has no place for), InvalidFields (arguments or reasoning
    state that are no JSON of the right shape).
    """

    def __init__(self, request: pb.CreateCompletionRequest, route: Route, marks: prompt_cache.Marks) -> None:
        self._request, self._route, self._marks = request, route, marks
        self._documents: set[str] = set()

    def conversation(self) -> dict[str, Any]:
        """system and messages: instructions stand apart, and the two speakers take turns."""
        system: list[dict[str, Any]] = []
        turns: list[dict[str, Any]] = []
        messages: Sequence[message_pb2.Message] = self._request.messages[:]
        if self._request.HasField("prompt"):
            text = message_pb2.ContentPart(text=self._request.prompt.text)
            messages = [message_pb2.Message(role=message_pb2.ROLE_USER, content=[text])]
        for entry in arrange(messages, CALLS):
            blocks = self._blocks(entry)
            if entry.message.role in SYSTEM:
                system += blocks
                continue
            role = "assistant" if entry.message.role == message_pb2.ROLE_ASSISTANT else "user"
            if turns and turns[-1]["role"] == role:
                turns[-1]["content"] += blocks
            elif blocks:
                turns.append({"role": role, "content": blocks})
        if not turns and system:  # instructions alone: the user's, since somebody must ask
            system, turns = [], [{"role": "user", "content": system}]
        elif turns and turns[0]["role"] == "assistant":
            turns.insert(0, {"role": "user", "content": [{"text": CONTINUED}]})
        return {"messages": turns} | ({"system": system} if system else {})

    def _blocks(self, entry: Entry) -> list[dict[str, Any]]:
        """Content blocks of one message, marks for caching behind those that they end with."""
        message = entry.message
        content: list[dict[str, Any]] = []
        inner: str | None = None  # mark within a result, which has none inside it
        for at, part in enumerate(message.content[:]):
            content += self._part(part, f"{entry.path}.content[{at}]", message.role)
            if ttl := self._marks.get((entry.number, at)):
                inner = ttl
                if content and not entry.result_of:
                    content.append(cache_point(ttl, self._route.model))
        ended = self._marks.get((entry.number, prompt_cache.END))
        if entry.result_of:
            ended = ended or inner
            content = [{"toolResult": {"toolUseId": entry.result_of, "content": content}}]
        said = [*content, *self._calls(entry)]
        if ended and said:
            said.append(cache_point(ended, self._route.model))
        if message.role == message_pb2.ROLE_ASSISTANT:
            said = [*self._thoughts(message, entry.path), *said]
        return said

    def _calls(self, entry: Entry) -> Iterator[dict[str, Any]]:
        """Blocks of the calls that a message made."""
        for at, call in enumerate(entry.message.tool_calls[:]):
            used = {"toolUseId": entry.call_ids[at]}
            if call.HasField("custom"):  # which another provider made; Converse knows objects only
                named: dict[str, Any] = {"name": call.custom.name, "input": {"input": call.custom.input}}
            else:
                place = f"{entry.path}.tool_calls[{at}].function.arguments_json"
                named = {
                    "name": call.function.name,
                    "input": _arguments(call.function.arguments_json.strip(), place),
                }
            yield {"toolUse": used | named}

    def _thoughts(self, message: message_pb2.Message, path: str) -> Iterable[dict[str, Any]]:
        """Blocks of thinking that the model knows as its own; those of other models have no use."""
        thoughts = reasoning_state.thoughts(message.reasoning_state_json, path)
        for thought in thoughts if model_options.ANTHROPIC in self._route.model else ():
            if thought.redacted is not None:
                yield {"reasoningContent": {"redactedContent": thought.redacted}}
            elif thought.signature:
                text = {"text": thought.text, "signature": thought.signature}
                yield {"reasoningContent": {"reasoningText": text}}

    def _part(
        self, part: message_pb2.ContentPart, place: str, role: "message_pb2.Role"
    ) -> list[dict[str, Any]]:
        """Content block of a part; none for white space, which is refused."""
        kind = part.WhichOneof("part")
        if kind in ("text", "refusal"):
            text = part.text or part.refusal
            return [{"text": text}] if text.strip() else []
        if role in SYSTEM:
            self._refuse(place, f"{kind} content of instructions")
        if kind == "image":
            return [{"image": self._image(part.image, f"{place}.image")}]
        if kind == "audio":
            form = media_types.audio_format(part.audio.format, part.audio.data)
            return [{"audio": {"format": form, "source": {"bytes": part.audio.data}}}]
        return [{"document": self._document(part.file, f"{place}.file")}]

    def _image(self, image: message_pb2.ImagePart, place: str) -> dict[str, Any]:
        data: bytes | str
        media_type, data = media_types.canonical(image.media_type, image.data), image.data
        if not data:
            media_type, data = self._data(image.url, f"{place}.url", "images by URL; send the image itself")
        form = IMAGES.get(media_type)
        if form is None:
            self._refuse(place, f"images of type {media_type or 'unknown'}")
        return {"format": form, "source": {"bytes": data}}

    def _document(self, file: message_pb2.FilePart, place: str) -> dict[str, Any]:
        if not file.file_data:
            self._refuse(f"{place}.file_id", "files by id; send the file itself")
        media_type, data = self._data(file.file_data, f"{place}.file_data", "files that are no data: URL")
        ending = file.filename.rpartition(".")[2].lower()
        form = DOCUMENTS.get(media_type) or (ending if ending in DOCUMENTS.values() else None)
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

    def _data(self, url: str, place: str, unless: str) -> media_types.DataUrl:
        """Media type and base64 of a data: URL; unless: what is refused otherwise."""
        found = media_types.parse(url)
        if found is None:
            self._refuse(place, unless)
        return found

    def _refuse(self, field: str, option: str) -> NoReturn:
        raise UnsupportedOption(field=field, provider=self._route.provider.name, option=option)


def _arguments(arguments: str, field: str) -> Raw:
    """JSON object of a call's arguments: text that is not one cannot be sent. Errors: InvalidFields."""
    try:
        msgspec.json.decode(arguments or "{}", type=dict[str, Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidFields([(field, str(error))]) from error
    return Raw((arguments or "{}").encode())
