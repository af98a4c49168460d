"""One capability asked with a scripted model behind it."""

from typing import Any

from google.protobuf.message import Message

from genai_spine.call import Call
from genai_spine.capabilities import CAPABILITIES
from genai_spine.capabilities.context import Context
from tests.contract.scripted import Answers, Scripted, services

NAMES = {capability.REQUEST: name for name, capability in CAPABILITIES.items()}


async def asked(request: Message, answers: Answers, context_length: int | None = None) -> Any:
    """The response."""
    return (await watched(request, answers, context_length))[0]


async def watched(
    request: Message, answers: Answers, context_length: int | None = None
) -> tuple[Any, Scripted]:
    """The response, and the model with what it was asked."""
    model = answers if isinstance(answers, Scripted) else Scripted(answers)
    context = Context(services(model, context_length), Call())
    return await CAPABILITIES[NAMES[type(request)]].run(request, context), model


def said(model: Scripted, number: int = 0) -> str:
    """All that the model was told in one call."""
    return "\n".join(part.text for message in model.requests[number].messages for part in message.content)
