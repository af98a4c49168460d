"""Answers of servers that are not quite OpenAI, read by the official SDK behind real Envoy."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.acceptance.stack import Stack
from tests.upstreams.clients import HELLO
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

MODEL = "gpt-4o"
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
FORM: Any = {
    "type": "json_schema",
    "json_schema": {"name": "x", "schema": {"type": "object", "required": ["n"]}},
}
COUNTS = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}


@pytest.fixture
async def sdk(stack: Stack) -> AsyncIterator[openai.AsyncOpenAI]:
    """The SDK with the retries that it makes by itself, for errors that are not to be repeated."""
    http = openai.DefaultAsyncHttpxClient(verify=False)
    async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key="none", http_client=http) as client:
        yield client


def stream_of(*choices: Any, tail: str = "") -> Reply:
    chunks = [{"id": "x", "created": 1, "model": "m", "choices": [choice]} for choice in choices]
    events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    return Reply(body=f"{events}{tail}data: [DONE]\n\n", content_type="text/event-stream")


def said(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish}


async def test_calls_of_one_index_without_ids_and_names_at_first_are_told_apart(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    parts = [
        {"index": 0, "id": "call_a", "function": {"arguments": '{"city":'}},
        {"index": 0, "function": {"name": "weather", "arguments": '"Oslo"}'}},
        {"index": 0, "id": "", "function": {"name": "clock", "arguments": {"city": "Rome"}}},
    ]
    openai_upstream.script(stream_of(*[said(tool_calls=[part]) for part in parts], said("stop")))
    async with sdk.chat.completions.stream(model=MODEL, messages=HELLO, tools=TOOLS) as stream:
        answer = await stream.get_final_completion()
    [choice] = answer.choices
    calls = choice.message.tool_calls or []
    found = [(call.function.name, call.function.arguments) for call in calls]
    assert found == [("weather", '{"city":"Oslo"}'), ("clock", '{"city":"Rome"}')]
    assert calls[0].id == "call_a"
    assert calls[1].id.startswith("call_")
    assert choice.finish_reason == "tool_calls"


async def test_oddities_of_one_stream_are_read_together(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    tail = f'data:\n\ndata: {{"choices":null,"usage":{json.dumps(COUNTS)}}}\n\n'
    reply = stream_of(
        said(content=[{"type": "thinking", "thinking": "Hm."}]),
        said(content="Go \ud83d"),
        said(content="\ude80!"),
        said("stop"),
        tail=tail,
    )
    openai_upstream.script(Reply(body=f"\ufeff{reply.body}", content_type="text/event-stream"))
    stream = await sdk.chat.completions.create(
        model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    text, thought, usage = "", "", None
    async for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            thought += getattr(choice.delta, "reasoning_content", None) or ""
    assert (text, thought) == ("Go \U0001f680!", "Hm.")
    assert usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (7, 5)


async def test_stream_without_done_on_an_open_connection_ends_well(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply("Hi there", fault="stall", after=-1))
    stream = await sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_whole_answer_to_a_stream_is_streamed(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    openai_upstream.script(Reply(body={"id": "x", "choices": [choice], "usage": COUNTS}))
    stream = await sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "Hi"


@pytest.mark.parametrize(
    "body",
    [
        {"object": "error", "message": "out of memory", "code": 500},
        {"choices": [{"finish_reason": "error", "error": {"message": "out of memory", "code": 502}}]},
    ],
)
async def test_error_within_a_stream_is_one(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess, body: Any
) -> None:
    openai_upstream.script(stream_of(said(content="A"), tail=f"data: {json.dumps(body)}\n\n"))
    stream = await sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    with pytest.raises(openai.APIError, match="out of memory"):
        async for _ in stream:
            pass


async def test_json_that_was_asked_for_is_parsed_by_the_sdk(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply('<think>{"n":1}?</think>```json\n{"n":2}\n```'))
    answer = await sdk.chat.completions.create(model=MODEL, messages=HELLO, response_format=FORM)
    assert json.loads(answer.choices[0].message.content or "") == {"n": 2}


async def test_answer_that_was_billed_and_cannot_be_read_is_asked_for_once(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(body=f'{{"choices":[],"usage":{json.dumps(COUNTS)}}}'))
    with pytest.raises(openai.InternalServerError):
        await sdk.chat.completions.create(model=MODEL, messages=HELLO)
    assert len(openai_upstream.bill()) == 1
