"""Pass-through of a chat's whole answer: its words go to the caller as the bytes that came.

Taken of what most answers are: one choice, its text, a usual end, and usage. With anything else in it, or of
another type, an answer is read as messages (`chat_response`), whose reading is the reference.
"""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from genai_spine.providers.openai import chat_answer
from genai_spine.v1 import completion_service_pb2 as pb

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
HALF = re.compile(rb"\\u[dD]")  # an escaped character may be half of one
EMPTY = b'""'


class _Message(Struct, forbid_unknown_fields=True):
    """Message that is one text."""

    role: Literal["assistant"]
    content: Raw
    refusal: None = None
    annotations: Annotated[list[None], Meta(max_length=0)] | None = None


class _Choice(Struct, forbid_unknown_fields=True):
    """The only choice."""

    message: _Message
    finish_reason: Literal["stop", "length"]
    index: Literal[0] = 0
    logprobs: None = None


class _Answer(Struct, forbid_unknown_fields=True):
    """Answer that has nothing but what every such answer has."""

    id: Annotated[str, Meta(min_length=1)]
    created: Annotated[int, Meta(gt=0, lt=2**32)]
    model: Annotated[str, Meta(min_length=1)]
    choices: Annotated[list[_Choice], Meta(min_length=1, max_length=1)]
    usage: Raw
    object: str | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None


ANSWER = msgspec.json.Decoder(_Answer)


def pass_on(body: bytes) -> tuple[pb.Completion, bytes] | None:
    """Completion without its choices, and those in OpenAI's JSON with the text as it came.

    None: there is more to the answer, or less, so that it is to be read.
    """
    try:
        answer = ANSWER.decode(body)
        usage = chat_answer.USAGE.decode(answer.usage)
        reported = str(answer.usage, "utf-8")
        (choice,) = answer.choices
        text = bytes(choice.message.content)
        if not text.isascii():
            str(text, "utf-8")  # the decoder does not look into a Raw
    except UNREADABLE:
        return None
    if not text.startswith(b'"') or text == EMPTY or (b"\\" in text and HALF.search(text)):
        return None
    counts = chat_answer.usage(usage)
    if not counts.total_tokens or chat_answer.tools(usage):
        return None
    counts.reported_json = reported
    completion = pb.Completion()
    completion.id, completion.model, completion.create_time.seconds = answer.id, answer.model, answer.created
    if answer.system_fingerprint:
        completion.system_fingerprint = answer.system_fingerprint
    if answer.service_tier:
        completion.service_tier = answer.service_tier
    completion.usage.CopyFrom(counts)
    return completion, _choices(text, choice.finish_reason)


def _choices(text: bytes, finish_reason: str) -> bytes:
    """Choices in the form that openai_api/responses.py gives them."""
    return (
        b'[{"index":0,"message":{"role":"assistant","content":%b,"refusal":null,"annotations":[]},'
        b'"logprobs":null,"finish_reason":"%b"}]' % (text, finish_reason.encode())
    )
