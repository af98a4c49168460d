"""Idempotency keys of every kind of method that may cost money: a repeat is not paid and changes nothing."""

from typing import Any

import pytest

from genai_spine.v1 import capability_service_pb2 as capability
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import prompt_service_pb2 as prompt
from genai_spine.v1.capability_service_pb2_grpc import CapabilityServiceStub
from genai_spine.v1.prompt_service_pb2_grpc import PromptServiceStub
from tests.idempotent_rows import violations
from tests.service.chats import begun
from tests.service.running import Running

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXT = "A long text. It has two sentences."
SUMMARIZE = capability.SummarizeRequest(content=TEXT, model="gpt-4o")
KEY = (("idempotency-key", "the key"),)
RESUMED = (*KEY, ("x-genai-resume-after", "0"))


async def twice(method: Any, request: Any, key: str) -> list[Any]:
    """Both answers of a call, each a list of messages."""
    answers = []
    for _ in range(2):
        call = method(request, metadata=(("idempotency-key", key),))
        streamed = hasattr(method, "_request_serializer") and hasattr(call, "__aiter__")
        answers.append([message async for message in call] if streamed else [await call])
    return answers


@pytest.mark.parametrize(
    ("stub", "name", "request_"),
    [
        ("completions", "CreateEmbeddings", pb.CreateEmbeddingsRequest(inputs=[pb.EmbeddingInput(text="a")])),
        ("media", "CreateImages", media.CreateImagesRequest(model="gpt-image-1", prompt="A cat")),
        ("media", "CreateSpeech", media.CreateSpeechRequest(model="tts-1", input="Hello", voice="alloy")),
        (
            "media",
            "CreateTranscription",
            media.CreateTranscriptionRequest(model="whisper-1", data=b"RIFF", filename="a.wav"),
        ),
        (CapabilityServiceStub, "Summarize", SUMMARIZE),
        (CapabilityServiceStub, "StreamCapability", capability.StreamCapabilityRequest(summarize=SUMMARIZE)),
        (
            PromptServiceStub,
            "ExecutePrompt",
            prompt.ExecutePromptRequest(prompt_slug="rewrite-clean", model="gpt-4o"),
        ),
        (
            PromptServiceStub,
            "StreamPrompt",
            prompt.ExecutePromptRequest(prompt_slug="rewrite-clean", model="gpt-4o"),
        ),
    ],
)
async def test_repeat_is_the_same_answer(
    booked: Running, stub: Any, name: str, request_: Any, request: pytest.FixtureRequest
) -> None:
    given = type(request_)()
    given.CopyFrom(request_)
    if name == "CreateEmbeddings":
        given.model = "text-embedding-3-small"
    if isinstance(given, prompt.ExecutePromptRequest):
        given.variables["content"] = TEXT
    service = getattr(booked, stub) if isinstance(stub, str) else stub(booked.channel)
    first, again = await twice(getattr(service, name), given, request.node.name)
    assert first == again
    assert first
    assert len(booked.openai.bill.calls) == 1
    assert await violations(booked.database) == {}


@pytest.mark.parametrize("name", ["SendMessage", "StreamMessage"])
async def test_message_is_sent_once(booked: Running, name: str, request: pytest.FixtureRequest) -> None:
    chat = await begun(booked)
    first, again = await twice(getattr(chat.stub, name), chat.said("Hello"), request.node.name)
    assert first == again
    assert [message.role for message in await chat.messages()] == ["user", "assistant"]
    assert len(booked.openai.bill.calls) == 1


async def test_key_of_a_nested_request_counts(booked: Running) -> None:
    nested = capability.SummarizeRequest(content=TEXT, model="gpt-4o", idempotency_key="nested")
    stub: Any = CapabilityServiceStub(booked.channel)
    for _ in range(2):
        events = [
            event
            async for event in stub.StreamCapability(capability.StreamCapabilityRequest(summarize=nested))
        ]
        assert events
    assert len(booked.openai.bill.calls) == 1


async def test_stream_of_a_capability_goes_on_after_an_event(booked: Running) -> None:
    stub: Any = CapabilityServiceStub(booked.channel)
    request = capability.StreamCapabilityRequest(summarize=SUMMARIZE)
    whole = [event async for event in stub.StreamCapability(request, metadata=KEY)]
    rest = [event async for event in stub.StreamCapability(request, metadata=RESUMED)]
    assert rest == whole[1:]
