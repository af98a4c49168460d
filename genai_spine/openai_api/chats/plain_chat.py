"""Plain chats: requests of a chat whose messages are each a role and one text, as those of most are.

The fields beside the messages are mostly the same from one call to the next. What they make of a request is
made and checked once, and remembered by their bytes; each call adds its messages to a copy.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from msgspec import Raw

from genai_spine.openai_api.messages import ROLES
from genai_spine.openai_api.schemas import Chat, PlainMessage
from genai_spine.v1 import completion_service_pb2 as pb

MESSAGES = "messages"
MAX_TEMPLATES = 512
MAX_OPTIONS_BYTES = 4096  # of the fields beside the messages; larger ones are made anew each time
MAX_MESSAGES = 10_000  # of a request, by the contract

PLAIN_MESSAGES = msgspec.json.Decoder(list[PlainMessage])
Options = tuple[bytes | str, ...]


class Template(NamedTuple):
    """Request that was valid, and the chat that it was made of, both without their messages."""

    request: pb.CreateCompletionRequest
    chat: Chat


class PlainChats:
    """Templates of the newest requests of this process."""

    def __init__(self) -> None:
        self._templates: dict[Options, Template] = {}

    def request(self, fields: Mapping[str, Raw]) -> tuple[pb.CreateCompletionRequest, Chat] | None:
        """Request of a body's fields, which is valid, and its chat; None: it is to be made of the body."""
        raw = fields.get(MESSAGES)
        template = None if raw is None else self._templates.get(_options(fields))
        if raw is None or template is None:
            return None
        try:
            messages = PLAIN_MESSAGES.decode(raw)
            if not 0 < len(messages) <= MAX_MESSAGES:
                return None
            request = pb.CreateCompletionRequest()
            request.CopyFrom(template.request)
            for message in messages:
                into = request.messages.add()
                into.role, into.content.add().text = ROLES[message.role], message.content
        except (msgspec.DecodeError, RecursionError):  # which is told of the whole body
            return None
        return request, template.chat

    def remember(self, fields: Mapping[str, Raw], request: pb.CreateCompletionRequest, chat: Chat) -> None:
        """Takes a valid request whose messages are plain, and what it was made of."""
        options = _options(fields)
        if sum(map(len, options)) > MAX_OPTIONS_BYTES:
            return
        while len(self._templates) >= MAX_TEMPLATES and options not in self._templates:
            del self._templates[next(iter(self._templates))]  # the one that was made first
        template = pb.CreateCompletionRequest()
        template.CopyFrom(request)
        template.ClearField(MESSAGES)
        self._templates[options] = Template(template, msgspec.structs.replace(chat, messages=[]))


def _options(fields: Mapping[str, Raw]) -> Options:
    """Names and bytes of the fields beside the messages, in their order."""
    found: list[bytes | str] = []
    for name, value in fields.items():
        if name != MESSAGES:
            found += (name, bytes(value))
    return tuple(found)
