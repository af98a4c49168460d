"""A recording in place of a provider: the service answers the official SDK with no key and no network.

tests/recordings/openai.jsonl was recorded from this service in front of OpenAI's simulator, as
docs/recording.md says; the requests below are the ones that were recorded.
"""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest

from genai_spine.v1 import usage_pb2
from tests.acceptance.stack import ROOT, Stack, up
from tests.upstreams.clients import text_of

MODEL = "replay:openai/gpt-4o"
HARBOUR: Any = [{"role": "user", "content": "What is the harbour like?"}]
WEATHER: Any = [{"role": "user", "content": "What is the weather in Bern?"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]
SAID = "The harbour has three basins."


@pytest.fixture(scope="module")
def replaying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("replaying")
    settings = {
        "GENAI_REPLAY_BASE_URL": f"file:{ROOT}/tests/recordings",
        "GENAI_MODEL_ALIASES": f"gpt-4o={MODEL}",
        "GENAI_PROVIDER_RETRIES": "0",
        "GENAI_DRAIN_TIMEOUT": "2",
    }
    yield from up(folder, settings, f"sqlite:///{folder}/spine.db")


@pytest.fixture
async def sdk(replaying: Stack) -> AsyncIterator[openai.AsyncOpenAI]:
    http = openai.DefaultAsyncHttpxClient(verify=False)
    url = f"{replaying.url}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=http) as client:
        yield client


async def test_a_stream_is_played_back_with_its_pauses(sdk: openai.AsyncOpenAI) -> None:
    started = time.monotonic()
    stream = await sdk.chat.completions.create(model="gpt-4o", messages=HARBOUR, stream=True)
    chunks = [chunk async for chunk in stream]
    assert text_of(chunks) == SAID
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert time.monotonic() - started >= 5 * 0.03  # six pieces were recorded 30 ms apart


async def test_what_was_recorded_as_a_stream_is_answered_whole(
    sdk: openai.AsyncOpenAI, replaying: Stack
) -> None:
    raw = await sdk.chat.completions.with_raw_response.create(model=MODEL, messages=HARBOUR, user="somebody")
    answer = raw.parse()
    assert answer.choices[0].message.content == SAID
    assert (answer.model, answer.usage.total_tokens if answer.usage else 0) == ("gpt-4o", 15)
    (row,) = await replaying.executions(raw.headers["x-request-id"])
    assert (row.provider, row.model) == ("replay", "openai/gpt-4o")
    assert row.cost.is_free
    assert row.cost.cost_ticks == 0
    assert row.usage.input_provenance == usage_pb2.PROVENANCE_PROVIDER_REPORTED


async def test_a_conversation_with_tools_goes_to_and_fro(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(model=MODEL, messages=WEATHER, tools=TOOLS)
    message = answer.choices[0].message
    assert message.tool_calls
    turns = [
        *WEATHER,
        message.model_dump(exclude_none=True, include={"role", "tool_calls"}),
        {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"},
    ]
    final = await sdk.chat.completions.create(model=MODEL, messages=turns, tools=TOOLS)
    assert final.choices[0].message.content == "You said: What is the weather in Bern?"


async def test_a_recorded_error_is_the_error_that_it_was(sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        await sdk.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Too much"}])
    assert caught.value.response.headers["retry-after"] == "7"
    assert "openai limits the rate" in caught.value.message


async def test_embeddings_are_played_back(sdk: openai.AsyncOpenAI) -> None:
    model = "replay:openai/text-embedding-3-small"
    answer = await sdk.embeddings.create(model=model, input=["one", "two"], dimensions=8)
    assert [len(entry.embedding) for entry in answer.data] == [8, 8]
    assert answer.data[0].embedding[0] == pytest.approx(0.1881493, abs=1e-7)


async def test_what_was_not_recorded_says_what_is_near(sdk: openai.AsyncOpenAI) -> None:
    messages: Any = [{"role": "user", "content": "What was the harbour like?"}]
    with pytest.raises(openai.BadRequestError) as caught:
        await sdk.chat.completions.create(model=MODEL, messages=messages)
    told = "messages[0].content[0].text: 'What was the harbour like?' in place of 'What is the harbour like?'"
    assert told in caught.value.message


async def test_recorded_models_are_listed(sdk: openai.AsyncOpenAI) -> None:
    listed = [model.id async for model in sdk.models.list()]
    assert {MODEL, "replay:openai/text-embedding-3-small"} <= set(listed)
