"""Provider that is called first, by the requests that name it and those that do not."""

from typing import Any

import pytest
from google.protobuf.message import Message

from genai_spine.routing.first_provider import first_provider
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1.capability_service_pb2 import SummarizeRequest
from genai_spine.v1.prompt_service_pb2 import ExecutePromptRequest
from genai_spine.v1.work_pb2 import AggregateCostsRequest
from tests.unit.inference.scripted import Scripted, World, asked


@pytest.fixture
def planner() -> Any:
    return World(Scripted("openai"), Scripted("ollama")).inference.planner


@pytest.mark.parametrize(
    ("given", "provider"),
    [
        (asked(), "openai"),
        (asked(model="ollama:llama3"), "ollama"),
        (pb.CreateEmbeddingsRequest(model="ollama:e"), "ollama"),
        (media.CreateSpeechRequest(provider="ollama", model="m", input="x"), "ollama"),
        (media.CreateImagesRequest(prompt="x"), ""),  # nobody has a default model for it
        (SummarizeRequest(content="x", provider="ollama"), "ollama"),
        (SummarizeRequest(content="x"), "openai"),
        (ExecutePromptRequest(prompt_id="s"), ""),  # the prompt may name another one
        (AggregateCostsRequest(), ""),
        (SummarizeRequest(content="x", provider="nobody"), ""),
    ],
)
def test_first_provider_is_that_of_the_call_or_unknown(planner: Any, given: Message, provider: str) -> None:
    assert first_provider(planner, given) == provider
