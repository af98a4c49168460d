"""Text of kept messages, in each form in which streams go out."""

from typing import Any

import pytest

from genai_spine.delivery.lost_streams import StreamText
from genai_spine.edge.stream_text import stream_text
from genai_spine.openai_api import sse
from genai_spine.openai_api.sse import ChatFrames, TextFrames
from genai_spine.v1 import (
    capability_service_pb2,
    media_service_pb2,
    openai_service_pb2,
    prompt_service_pb2,
    session_service_pb2,
)
from genai_spine.v1 import completion_service_pb2 as pb


def method(file: Any, service: str, name: str) -> str:
    """Name of a method on the wire."""
    found = file.DESCRIPTOR.services_by_name[service].methods_by_name[name]
    return f"/{found.containing_service.full_name}/{found.name}"


CHAT = method(openai_service_pb2, "OpenAIService", "CreateChatCompletion")
TEXT = method(openai_service_pb2, "OpenAIService", "CreateTextCompletion")
SOUND = method(openai_service_pb2, "OpenAIService", "CreateSpeech")
SPEECH = method(media_service_pb2, "MediaService", "CreateSpeech")
TYPED = method(pb, "CompletionService", "StreamCompletion")
PROMPT = method(prompt_service_pb2, "PromptService", "StreamPrompt")
MESSAGE = method(session_service_pb2, "SessionService", "StreamMessage")
CAPABILITY = method(capability_service_pb2, "CapabilityService", "StreamCapability")


def chunk(**fields: object) -> pb.CompletionChunk:
    return pb.CompletionChunk(choices=[pb.ChoiceDelta(**fields)])


CALLED = chunk(tool_calls=[pb.ToolCallDelta(id="c", name="search", arguments='{"q": "x"}')])


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (chunk(content="a\u00fc"), StreamText("a\u00fc")),
        (chunk(refusal="no"), StreamText("no")),
        (chunk(reasoning="hm"), StreamText("", "hm")),
        (CALLED, StreamText('search{"q": "x"}')),
        (pb.CompletionChunk(), StreamText()),
    ],
)
def test_chunks_have_the_same_text_typed_and_as_frames(said, text):
    assert stream_text(TYPED, said.SerializeToString()) == text
    frames = ChatFrames(include_usage=True, before_tools=False).write(said)
    kept = [stream_text(CHAT, sse.numbered(event, 3)) for event in sse.events(frames)]
    assert StreamText("".join(one.visible for one in kept), "".join(one.reasoning for one in kept)) == text


def test_frames_of_text_completions_have_text():
    frames = TextFrames(False, [""], 1).write(chunk(content="word"))
    assert [stream_text(TEXT, event) for event in sse.events(frames)] == [StreamText("word")]


@pytest.mark.parametrize(
    ("name", "event"),
    [
        (PROMPT, prompt_service_pb2.PromptEvent(text="word")),
        (MESSAGE, session_service_pb2.MessageEvent(text="word")),
        (CAPABILITY, capability_service_pb2.CapabilityEvent(text="word")),
    ],
)
def test_events_have_text(name, event):
    assert stream_text(name, event.SerializeToString()) == StreamText("word")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (CHAT, b"data: [DONE]\n\n"),
        (CHAT, sse.error_event({"error": {"message": "no"}})),
        (CHAT, b'{"choices": 7}'),
        (CHAT, b"\xff\x00"),
        ("/no.such/Method", b"data"),
        (SPEECH, b""),
        (SOUND, b"sound"),
    ],
)
def test_what_says_nothing_has_no_text(name, data):
    assert stream_text(name, data) == StreamText()
