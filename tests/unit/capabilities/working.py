"""Capabilities at work on answers that are JSON, or made of what the model was told."""

import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

from google.protobuf.message import Message

from genai_spine.call import Call
from genai_spine.v1 import completion_service_pb2 as completions
from tests.contract.scripted import Answers, Scripted
from tests.unit.capabilities.asked import asked

# Enough for a prompt and some sentences.
SMALL = 900


class Replying(Scripted):
    """Answers each request with what `reply` makes of its messages: (instructions, text)."""

    def __init__(self, reply: Callable[[str, str], Any]) -> None:
        super().__init__("")
        self.reply = reply

    async def stream(
        self, request: completions.CreateCompletionRequest, call: Call
    ) -> AsyncGenerator[completions.CompletionChunk]:
        given = self.reply(*said(request))
        self.answers = [given if isinstance(given, str) else json.dumps(given)]
        async for chunk in super().stream(request, call):
            yield chunk


def said(request: completions.CreateCompletionRequest) -> tuple[str, str]:
    instructions, text = ("".join(part.text for part in message.content) for message in request.messages)
    return instructions, text


def scripted(answer: Any) -> Scripted:
    """answer: a text, anything that becomes JSON, or a model."""
    if isinstance(answer, Scripted):
        return answer
    given: Answers = answer if isinstance(answer, str) else json.dumps(answer)
    return Scripted(given)


async def work(request: Message, answer: Any, context_length: int | None = None) -> Any:
    """The response."""
    return await asked(request, scripted(answer), context_length)
