"""Text of kept messages, in each form in which streams go out."""

import pytest
from google.api.httpbody_pb2 import HttpBody

from genai_spine.delivery.lost_streams import KeptText
from genai_spine.edge.kept_text import kept_text
from genai_spine.openai_api import sse
from genai_spine.openai_api.sse import ChatFrames, TextFrames
from genai_spine.v1 import capability_service_pb2, prompt_service_pb2, session_service_pb2
from genai_spine.v1 import completion_service_pb2 as pb

SERVICE = "/genai_spine.v1."
CHAT, TEXT = (f"{SERVICE}OpenAIService/Create{kind}Completion" for kind in ("Chat", "Text"))


def chunk(**fields: object) -> pb.CompletionChunk:
    return pb.CompletionChunk(choices=[pb.ChoiceDelta(**fields)])


CALLED = chunk(tool_calls=[pb.ToolCallDelta(id="c", name="search", arguments='{"q": "x"}')])


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (chunk(content="a\u00fc"), KeptText("a\u00fc")),
        (chunk(refusal="no"), KeptText("no")),
        (chunk(reasoning="hm"), KeptText("", "hm")),
        (CALLED, KeptText('search{"q": "x"}')),
        (pb.CompletionChunk(), KeptText()),
    ],
)
def test_chunks_have_the_same_text_typed_and_as_frames(said, text):
    assert kept_text(f"{SERVICE}CompletionService/StreamCompletion", said.SerializeToString()) == text
    frames = ChatFrames(include_usage=True, before_tools=False).write(said)
    kept = [kept_text(CHAT, sse.numbered(event, 3)) for event in sse.events(frames)]
    assert KeptText("".join(one.visible for one in kept), "".join(one.reasoning for one in kept)) == text


def test_frames_of_text_completions_have_text():
    frames = TextFrames(False, [""], 1).write(chunk(content="word"))
    assert [kept_text(TEXT, event) for event in sse.events(frames)] == [KeptText("word")]


@pytest.mark.parametrize(
    ("method", "event"),
    [
        ("PromptService/StreamPrompt", prompt_service_pb2.PromptEvent(text="word")),
        ("SessionService/StreamMessage", session_service_pb2.MessageEvent(text="word")),
        ("CapabilityService/StreamCapability", capability_service_pb2.CapabilityEvent(text="word")),
    ],
)
def test_events_have_text(method, event):
    assert kept_text(SERVICE + method, event.SerializeToString()) == KeptText("word")


@pytest.mark.parametrize(
    ("method", "data"),
    [
        (CHAT, b"data: [DONE]\n\n"),
        (CHAT, sse.error_event({"error": {"message": "no"}})),
        (CHAT, b'{"choices": 7}'),
        (CHAT, b"\xff\x00"),
        ("/no.such/Method", b"data"),
        (f"{SERVICE}MediaService/CreateSpeech", b""),
        (f"{SERVICE}OpenAIService/CreateSpeech", HttpBody(data=b"sound").data),
    ],
)
def test_what_says_nothing_has_no_text(method, data):
    assert kept_text(method, data) == KeptText()
