"""The official OpenAI SDKs, unmodified, against the service: real Envoy, real server, simulated upstreams."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import openai
import pydantic
import pytest

from tests.acceptance import node
from tests.acceptance.stack import Stack
from tests.acceptance.upstream_stop import called, seconds_until_upstream_stops
from tests.upstreams import openai_errors
from tests.upstreams.clients import ECHO, HELLO, drain, stream_of, text_of
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Content, Reply, ToolCall

MODEL = "gpt-4o"
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
CALLS = [
    ToolCall("weather", ['{"city":', '"Bern"}']),
    ToolCall("weather", ['{"city":', '"Oslo"}']),
]
ARGUMENTS = ['{"city":"Bern"}', '{"city":"Oslo"}']
BY_GRPC = "models are listed, and found by ids with colon and slash"  # of Node's tests
PATHS = {"/v1": "/v1", "/api/v1": "/api/v1"}
TRANSCODED = {"content-encoding": "identity"}  # Envoy transcodes what has a content coding
LONG = Reply(text=["tok "] * 100, interval_s=0.05)


@pytest.fixture(params=["/v1", "/api/v1", "transcoded", "alone"])
async def sdk(stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[openai.AsyncOpenAI]:
    """The SDK as a user has it, but without retries, so that a test sees every failure.

    By Envoy to the HTTP server, by Envoy's transcoder to gRPC, and to the HTTP server alone.
    """
    http = openai.DefaultAsyncHttpxClient(verify=False)  # no TLS here, and reading certificates takes 50 ms
    url = (stack.http_url if request.param == "alone" else stack.url) + PATHS.get(request.param, "/v1")
    headers = TRANSCODED if request.param == "transcoded" else {}
    async with openai.AsyncOpenAI(
        base_url=url, api_key="none", max_retries=0, http_client=http, default_headers=headers
    ) as client:
        yield client


# --- Chat


async def test_chat_answer_has_openais_fields(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    answer = await sdk.chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert answer.created == pytest.approx(time.time(), abs=60)
    (choice,) = answer.choices
    assert (choice.message.content, choice.message.refusal, choice.logprobs) == (ECHO, None, None)
    assert choice.finish_reason == "stop"
    (entry,) = openai_upstream.bill()
    assert answer.usage
    assert answer.usage.prompt_tokens == entry.prompt_tokens
    assert answer.usage.completion_tokens == entry.completion_tokens


async def test_ollama_answers_under_its_models_names(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(model="llama3.2:latest", messages=HELLO)
    assert answer.choices[0].message.content == ECHO
    assert answer.model == "llama3.2:latest"


async def test_fields_unknown_to_the_service_reach_the_provider(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    extra = {"prompt_cache_key": "k", "metadata": {"app": "tests"}, "safety_identifier": "s"}
    await sdk.chat.completions.create(model=MODEL, messages=HELLO, extra_body=extra)
    (entry,) = openai_upstream.bill()
    assert extra.items() <= entry.body.items()


async def test_stream_is_the_same_answer_in_pieces_without_usage(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    stream = await sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    chunks = [chunk async for chunk in stream]
    assert text_of(chunks) == ECHO
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(len(chunk.choices) == 1 and chunk.usage is None for chunk in chunks)


async def test_include_usage_adds_one_chunk_with_usage_and_no_choices(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    *chunks, last = await stream_of(sdk)
    assert last.choices == []
    (entry,) = openai_upstream.bill()
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (
        entry.prompt_tokens,
        entry.completion_tokens,
    )
    assert all(chunk.usage is None for chunk in chunks)


async def test_chunks_of_a_stream_leave_when_they_arrive(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(text=["a", "b", "c"], fault="stall", after=3))  # the role, a, b
    stream = await sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    said = ""
    async with asyncio.timeout(20):
        while said != "ab":
            chunk = await anext(stream)
            said += chunk.choices[0].delta.content or ""
    await stream.close()


async def test_tool_calls_come_back_and_their_results_are_taken(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(tool_calls=CALLS))
    answer = await sdk.chat.completions.create(model=MODEL, messages=HELLO, tools=TOOLS)
    message, reason = answer.choices[0].message, answer.choices[0].finish_reason
    assert (message.content, reason) == (None, "tool_calls")
    assert message.tool_calls
    assert [call.function.arguments for call in message.tool_calls] == ARGUMENTS
    results = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in message.tool_calls]
    turns: Any = [*HELLO, message, *results]
    await sdk.chat.completions.create(model=MODEL, messages=turns, tools=TOOLS)
    sent = openai_upstream.bill()[1].body["messages"]
    assert [turn["role"] for turn in sent] == ["user", "assistant", "tool", "tool"]
    assert sent[1]["tool_calls"] == [call.to_dict() for call in message.tool_calls]


async def test_sdk_puts_streamed_tool_calls_together(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(tool_calls=CALLS))
    async with sdk.chat.completions.stream(model=MODEL, messages=HELLO, tools=TOOLS) as stream:
        answer = await stream.get_final_completion()
    calls = answer.choices[0].message.tool_calls
    assert calls
    assert [call.function.arguments for call in calls] == ARGUMENTS
    assert len({call.id for call in calls}) == 2


async def test_n_answers_are_numbered_whole_and_streamed(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(*[Reply(choices=[Content("one"), Content("two")])] * 2)
    whole = await sdk.chat.completions.create(model=MODEL, messages=HELLO, n=2)
    assert [(choice.index, choice.message.content) for choice in whole.choices] == [(0, "one"), (1, "two")]
    async with sdk.chat.completions.stream(model=MODEL, messages=HELLO, n=2) as stream:
        streamed = await stream.get_final_completion()
    assert [choice.message.content for choice in streamed.choices] == ["one", "two"]


class Person(pydantic.BaseModel):
    zip: str
    age: int = pydantic.Field(ge=7)


async def test_parse_returns_the_object_of_a_schema_that_arrives_unchanged(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    answer = await sdk.chat.completions.parse(model=MODEL, messages=HELLO, response_format=Person)
    assert answer.choices[0].message.parsed == Person(zip="text", age=7)
    (entry,) = openai_upstream.bill()
    schema = entry.body["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["zip", "age"]
    assert schema["properties"]["age"]["minimum"] == 7


# --- Text completions, embeddings, models


async def test_text_completions_answer_every_prompt_whole_and_streamed(sdk: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "gpt-3.5-turbo-instruct", "prompt": ["red", "blue"], "echo": True}
    whole = await sdk.completions.create(**asked)
    assert [choice.index for choice in whole.choices] == [0, 1]
    assert [choice.text for choice in whole.choices] == ["redYou said: red", "blueYou said: blue"]
    texts = ["", ""]
    async for chunk in await sdk.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in whole.choices]


async def test_embeddings_are_equal_in_base64_which_is_the_default_and_as_numbers(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    asked: Any = {"model": "openai:text-embedding-3-small", "input": ["a", "b"], "dimensions": 16}
    packed = await sdk.embeddings.create(**asked)
    plain = await sdk.embeddings.create(**asked, encoding_format="float")
    assert [entry.index for entry in packed.data] == [0, 1]
    for left, right in zip(packed.data, plain.data, strict=True):
        assert left.embedding == pytest.approx(right.embedding, rel=1e-7)
        assert len(left.embedding) == 16
    assert packed.usage.prompt_tokens == packed.usage.total_tokens == openai_upstream.bill()[0].prompt_tokens


@pytest.mark.parametrize("sdk", ["/v1", "/api/v1"], indirect=True)  # by gRPC alone
async def test_models_are_listed_and_found_by_ids_with_colon_and_slash(sdk: openai.AsyncOpenAI) -> None:
    listed = [model async for model in sdk.models.list()]
    assert {"llama3.2:latest", MODEL} <= {model.id for model in listed}
    for model in listed:
        assert (model.object, type(model.created), type(model.owned_by)) == ("model", int, str)
    assert (await sdk.models.retrieve("llama3.2:latest")).id == "llama3.2:latest"
    assert (await sdk.models.retrieve("org/model")).id == MODEL


# --- Errors


async def test_bad_field_is_a_bad_request_error_that_names_the_field(sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="temperature: must be at most 2") as caught:
        await sdk.chat.completions.create(model=MODEL, messages=HELLO, temperature=3)
    assert (caught.value.param, caught.value.type) == ("temperature", "invalid_request_error")
    assert caught.value.request_id


async def test_wrong_type_is_a_bad_request_error(sdk: openai.AsyncOpenAI) -> None:
    hot: Any = "hot"
    with pytest.raises(openai.BadRequestError) as caught:
        await sdk.chat.completions.create(model=MODEL, messages=HELLO, temperature=hot)
    assert caught.value.param == "temperature"


@pytest.mark.parametrize("stream", [False, True])
async def test_unknown_model_is_a_not_found_error_with_openais_code(
    sdk: openai.AsyncOpenAI, stream: bool
) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await sdk.chat.completions.create(model="claude-3", messages=HELLO, stream=stream)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


async def test_too_long_input_has_openais_status_and_code(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(openai_errors.context_length_exceeded())
    with pytest.raises(openai.BadRequestError) as caught:
        await sdk.chat.completions.create(model=MODEL, messages=HELLO)
    assert caught.value.code == "context_length_exceeded"


async def test_rate_limit_is_a_rate_limit_error_with_the_providers_retry_after(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(openai_errors.rate_limited(7))
    with pytest.raises(openai.RateLimitError) as caught:
        await sdk.chat.completions.create(model=MODEL, messages=HELLO)
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["retry-after"] == "7"


async def test_sdk_waits_for_retry_after_and_tries_again(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(openai_errors.rate_limited(1))
    started = time.monotonic()
    answer = await sdk.with_options(max_retries=1).chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.choices[0].message.content == ECHO
    assert time.monotonic() - started >= 1
    assert len(openai_upstream.bill()) == 2


async def test_sdk_does_not_repeat_what_x_should_retry_forbids(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(*[openai_errors.invalid_key()] * 3)
    with pytest.raises(openai.InternalServerError) as caught:
        await sdk.with_options(max_retries=2).chat.completions.create(model=MODEL, messages=HELLO)
    assert caught.value.status_code == 502
    assert len(openai_upstream.bill()) == 1


@pytest.mark.parametrize("fault", ["error", "close", "reset"])
async def test_failure_within_a_stream_is_raised_after_the_text_before_it(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess, fault: Any
) -> None:
    body = openai_errors.in_stream_error() if fault == "error" else None
    openai_upstream.script(Reply(text=["a", "b", "c"], interval_s=0.02, fault=fault, after=3, body=body))
    stream = await sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    seen: list[Any] = []
    with pytest.raises(openai.APIError, match="provider openai"):
        await drain(stream, seen)
    assert text_of(seen) == "ab"


# --- Leaving, many at once, headers


async def test_closed_stream_stops_the_upstream_within_100_ms(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    async def leave() -> float:
        stream = await sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        left = time.monotonic()
        await stream.close()
        return left

    assert await seconds_until_upstream_stops(openai_upstream, LONG, leave) < 0.1


async def test_cancelled_call_stops_the_upstream_within_100_ms(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    async def leave() -> float:
        call = asyncio.ensure_future(sdk.chat.completions.create(model=MODEL, messages=HELLO))
        await called(openai_upstream)
        left = time.monotonic()
        call.cancel()
        await asyncio.wait((call,))
        return left

    waiting = Reply(headers_delay_s=5)
    assert await seconds_until_upstream_stops(openai_upstream, waiting, leave) < 0.1


async def test_50_streams_run_at_the_same_time_each_with_its_own_text(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(*[Reply(interval_s=0.02, first_delay_s=2)] * 50)

    async def answer(number: int) -> str:
        messages: Any = [{"role": "user", "content": f"number {number}"}]
        return text_of(await stream_of(sdk, messages=messages))

    texts = await asyncio.gather(*map(answer, range(50)))
    assert texts == [f"You said: number {number}" for number in range(50)]
    bill = openai_upstream.bill()
    assert max(entry.started_at for entry in bill) < min(entry.ended_at or 0 for entry in bill)


async def test_headers_say_what_the_call_was_and_cost(sdk: openai.AsyncOpenAI) -> None:
    raw = await sdk.chat.completions.with_raw_response.create(
        model=MODEL, messages=HELLO, extra_headers={"x-request-id": "python-sdk-1"}
    )
    usage = json.loads(raw.text)["usage"]
    assert raw.request_id == "python-sdk-1"
    assert int(raw.headers["openai-processing-ms"]) >= 0
    assert float(raw.headers["x-genai-cost-usd"]) == usage["cost_usd"] > 0


async def test_call_is_in_the_ledger_when_its_answer_arrives(
    any_stack: Stack, openai_upstream: UpstreamProcess
) -> None:
    async with openai.AsyncOpenAI(base_url=f"{any_stack.url}/v1", api_key="none") as client:
        answer = await client.chat.completions.create(model=MODEL, messages=HELLO)
        request_id = answer.to_dict()["request_id"]
        (row,) = await any_stack.executions(str(request_id))
        streamed = await client.chat.completions.create(
            model=MODEL, messages=HELLO, stream=True, extra_headers={"x-request-id": "python-sdk-2"}
        )
        await drain(streamed, [])
        (second,) = await any_stack.executions("python-sdk-2")
    first_entry, second_entry = openai_upstream.bill()
    for execution, entry in ((row, first_entry), (second, second_entry)):
        assert (execution.provider, execution.model) == ("openai", MODEL)
        assert execution.usage.input_tokens == entry.prompt_tokens
        assert execution.usage.output_tokens == entry.completion_tokens
        assert execution.cost.cost_ticks > 0
    assert (row.streamed, second.streamed) == (False, True)


async def test_cost_labels_of_the_sdk_are_in_the_ledger_and_not_with_the_provider(
    any_stack: Stack, openai_upstream: UpstreamProcess
) -> None:
    async with openai.AsyncOpenAI(base_url=f"{any_stack.url}/v1", api_key="none") as client:
        labelled: Any = {"extra_body": {"cost_labels": {"team": "search"}}}
        said = {"extra_headers": {"x-request-id": "labels-of-chat"}}
        await client.chat.completions.create(model=MODEL, messages=HELLO, **labelled, **said)
        heard = {"extra_headers": {"x-request-id": "labels-of-sound"}}
        await client.audio.transcriptions.create(
            model="whisper-1", file=("a.wav", b"RIFF"), **labelled, **heard
        )
        for request_id in ("labels-of-chat", "labels-of-sound"):
            (row,) = await any_stack.executions(request_id)
            assert dict(row.cost_labels) == {"team": "search"}
    assert all("cost_labels" not in str(entry.body) for entry in openai_upstream.bill())


# --- Node


@pytest.fixture(scope="module", params=["Envoy", "transcoded", "alone"])
def node_results(
    request: pytest.FixtureRequest,
    stack: Stack,
    openai_process: UpstreamProcess,
    typescript_client: object,
) -> dict[str, str]:
    """By the same ways as the Python SDK."""
    found = node.results(
        "openai_sdk.mjs",
        SPINE_URL=stack.http_url if request.param == "alone" else stack.url,
        SPINE_HEADERS=json.dumps(TRANSCODED if request.param == "transcoded" else {}),
        OPENAI_UPSTREAM_URL=openai_process.url,
    )
    if request.param == "alone":
        assert found[BY_GRPC], "models are listed by gRPC alone"
        found[BY_GRPC] = ""
    return found


@pytest.mark.parametrize("name", node.names("openai_sdk.mjs"))
def test_node_sdk(node_results: dict[str, str], name: str) -> None:
    assert node_results[name] == ""
