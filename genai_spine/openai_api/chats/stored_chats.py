"""Stored chat completions of OpenAI's API: list, retrieve, messages, metadata, deletion.

Shapes: https://platform.openai.com/docs/api-reference/chat/list, 2026-11-28.
"""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

from genai_spine import page_tokens, validation
from genai_spine.call import Call
from genai_spine.errors import CompletionNotFound, InvalidFields, InvalidRequest
from genai_spine.openai_api import requests, responses
from genai_spine.openai_api.headers import JSON
from genai_spine.openai_api.messages import DETAILS, ROLES
from genai_spine.openai_api.schemas import ChatUpdate
from genai_spine.services.stored_completion import StoredCompletionService
from genai_spine.v1 import message_pb2
from genai_spine.v1 import openai_service_pb2 as openai
from genai_spine.v1 import stored_completion_service_pb2 as pb

OURS, OPENAIS = "comp_", "chatcmpl-"  # beginnings of ids
MAX_QUERY_FIELDS = 200
ROLE_NAMES = {role: name for name, role in ROLES.items()}
DETAIL_NAMES = {detail: name for name, detail in DETAILS.items()}


@dataclass(frozen=True, slots=True)
class StoredChatFacade:
    """Handlers of stored chat completions."""

    stored: StoredCompletionService

    async def list_completions(self, query: openai.ListChatCompletionsRequest, call: Call) -> bytes:
        """Page of stored completions, by model and metadata. Errors: InvalidRequest, InvalidFields."""
        request = pb.ListStoredCompletionsRequest(
            page_size=query.limit if query.HasField("limit") else None,
            newest_first=query.order == "desc",
            model=query.model if query.HasField("model") else None,
            metadata_json=_metadata_filter(call.path or ""),
        )
        validation.check(request)
        if query.after:
            request.page_token = page_tokens.token(request, _own_id(query.after))
        try:
            page = await self.stored.ListStoredCompletions(request, call)
        except InvalidFields as error:
            if error.violations[0][0] != "page_token":
                raise
            raise InvalidRequest(field="after", problem="names no stored completion") from None
        return _answer(call, _list([_chat(each) for each in page.completions], page.next_page_token))

    async def completion(self, id: str, call: Call) -> bytes:
        """Stored completion by id. Errors: CompletionNotFound."""
        request = pb.GetStoredCompletionRequest(id=_own_id(id))
        with _missed_as(id):
            return _answer(call, _chat(await self.stored.GetStoredCompletion(request, call)))

    async def messages(self, query: openai.ListChatMessagesRequest, call: Call) -> bytes:
        """Page of the messages of a stored completion. Errors: CompletionNotFound, InvalidRequest."""
        id = query.completion_id
        request = pb.ListStoredMessagesRequest(
            id=_own_id(id),
            page_size=query.limit if query.HasField("limit") else None,
            newest_first=query.order == "desc",
        )
        if query.after:
            request.page_token = page_tokens.token(request, _sequence(query.after, id))
        with _missed_as(id):
            page = await self.stored.ListStoredMessages(request, call)
        return _answer(call, _list([_message(each, id) for each in page.messages], page.next_page_token))

    async def update(self, id: str, body: bytes, call: Call) -> bytes:
        """Replacement of the metadata. Errors: CompletionNotFound, InvalidRequest, InvalidFields."""
        metadata = requests.decode(body, ChatUpdate).metadata
        request = pb.UpdateStoredCompletionRequest(id=_own_id(id), metadata=metadata or {})
        validation.check(request)
        with _missed_as(id):
            return _answer(call, _chat(await self.stored.UpdateStoredCompletion(request, call)))

    async def delete(self, id: str, call: Call) -> bytes:
        """Deletion of a stored completion. Errors: CompletionNotFound."""
        request = pb.DeleteStoredCompletionRequest(id=_own_id(id))
        with _missed_as(id):
            # Headers of its own: the typed method answers 204, and this one has a body.
            await self.stored.DeleteStoredCompletion(request, replace(call, headers={}))
        return _answer(call, {"object": "chat.completion.deleted", "id": id, "deleted": True})


@contextmanager
def _missed_as(id: str) -> Iterator[None]:
    """CompletionNotFound says the id that the caller sent."""
    try:
        yield
    except CompletionNotFound:
        raise CompletionNotFound(id=id) from None


def _own_id(id: str) -> str:
    """Our id of one of OpenAI's form; any other is no id of ours, and stays."""
    return OURS + id.removeprefix(OPENAIS) if id.startswith(OPENAIS) else id


def _sequence(after: str, id: str) -> int:
    """Place of a message by its id. Errors: InvalidRequest."""
    number = after.removeprefix(f"{id}-")
    if number == after or not (number.isascii() and number.isdigit() and len(number) < 10):
        raise InvalidRequest(field="after", problem="names no message of this completion")
    return int(number)


def _metadata_filter(path: str) -> str | None:
    """Labels of a query, each as metadata[key]=value, as a JSON object. Errors: InvalidRequest."""
    try:
        query = path.partition("?")[2]
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS, errors="strict")
    except ValueError:
        problem = f"must be UTF-8, and at most {MAX_QUERY_FIELDS} fields"
        raise InvalidRequest(field="query", problem=problem) from None
    labels = {
        name[len("metadata[") : -1]: value
        for name, value in pairs
        if name.startswith("metadata[") and name.endswith("]")
    }
    return responses.encode(labels).decode() if labels else None


def _answer(call: Call, body: dict[str, Any]) -> bytes:
    call.content_type = JSON
    return responses.encode(body)


def _list(data: list[dict[str, Any]], next_page_token: str) -> dict[str, Any]:
    """List object of OpenAI's paging."""
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": bool(next_page_token),
    }


def _chat(stored: pb.StoredCompletion) -> dict[str, Any]:
    return responses.chat_object(stored.completion, before_tools=False) | {"metadata": dict(stored.metadata)}


def _message(stored: pb.StoredMessage, id: str) -> dict[str, Any]:
    """Message object. Content other than one text stands in content_parts, its texts in content as well."""
    message = stored.message
    text = responses.text_of(message)
    is_one_text = len(message.content) == 1 and message.content[0].WhichOneof("part") == "text"
    body: dict[str, Any] = {
        "id": f"{id}-{stored.sequence}",
        "role": ROLE_NAMES[message.role],
        "content": text if text or is_one_text else None,
        "name": message.name if message.HasField("name") else None,
        "refusal": "".join(part.refusal for part in message.content) or None,
        "content_parts": None if is_one_text or not message.content else list(map(_part, message.content)),
    }
    if message.HasField("reasoning"):
        body["reasoning_content"] = message.reasoning
    if message.reasoning_state_json:
        body |= responses.state(message.reasoning_state_json)
    if message.tool_calls:
        body["tool_calls"] = [responses.tool_call(call) for call in message.tool_calls]
    if message.HasField("tool_call_id"):
        body["tool_call_id"] = message.tool_call_id
    return body


def _part(part: message_pb2.ContentPart) -> dict[str, Any]:
    """Content part as a caller of OpenAI's paths sends it; data of an image becomes a data: URL."""
    kind = part.WhichOneof("part")
    if kind == "image":
        image = part.image
        url = image.url or f"data:{image.media_type};base64,{b64encode(image.data).decode()}"
        detail = {"detail": DETAIL_NAMES[image.detail]} if image.detail else {}
        return {"type": "image_url", "image_url": {"url": url, **detail}}
    if kind == "audio":
        data = b64encode(part.audio.data).decode()
        return {"type": "input_audio", "input_audio": {"data": data, "format": part.audio.format}}
    if kind == "file":
        return {"type": "file", "file": {field.name: value for field, value in part.file.ListFields()}}
    return {"type": kind, kind: getattr(part, kind)} if kind else {"type": "text", "text": ""}
