"""Requests are counted by OpenAI's rules, or near enough, and it is said which of the two."""

import asyncio
import threading
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.tokens import counts, encodings
from genai_spine.tokens.counts import tally
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, usage_pb2
from tests.unit.tokens.samples import ENGLISH

ROUGHLY = Tokenizer(None)
WEATHER = {
    "type": "object",
    "properties": {
        "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
        "unit": {
            "type": "string",
            "description": "The unit of temperature to return",
            "enum": ["celsius", "fahrenheit"],
        },
    },
    "required": ["location"],
}
SYSTEM = message_pb2.ROLE_SYSTEM
# The cookbook's example; OpenAI's API counts 129 with cl100k_base and 124 with o200k_base.
BUZZWORDS = [
    (SYSTEM, "", "You are a helpful, pattern-following assistant that translates corporate jargon"
     " into plain English."),
    (SYSTEM, "example_user", "New synergies will help drive top-line growth."),
    (SYSTEM, "example_assistant", "Things working well together will increase revenue."),
    (SYSTEM, "example_user", "Let's circle back when we have more bandwidth to touch base on"
     " opportunities for increased leverage."),
    (SYSTEM, "example_assistant", "Let's talk later when we're less busy about how to do better."),
    (message_pb2.ROLE_USER, "", "This late pivot means we don't have time to boil the ocean for the client"
     " deliverable."),
]  # fmt: skip


def words(text: str) -> message_pb2.ContentPart:
    return message_pb2.ContentPart(text=text)


def message(
    *parts: Any, role: message_pb2.Role = message_pb2.ROLE_USER, **fields: Any
) -> message_pb2.Message:
    return message_pb2.Message(role=role, content=parts, **fields)


def asked(*parts: Any, model: str = "gpt-4o", **fields: Any) -> pb.CreateCompletionRequest:
    return pb.CreateCompletionRequest(model=model, messages=[message(*parts)], **fields)


def ruler(model: str) -> Tokenizer:
    return Tokenizer(encodings.load(encodings.name_of(model) or ""), model=model)


def counted(request: pb.CreateCompletionRequest) -> counts.TokenTally:
    return tally(request, ruler(request.model))


@pytest.mark.parametrize(
    ("model", "count"), [("gpt-3.5-turbo", 129), ("gpt-4", 129), ("gpt-4o", 124), ("gpt-4o-mini", 124)]
)
def test_the_cookbooks_messages_have_as_many_tokens_as_openai_counts(model: str, count: int) -> None:
    messages = [message(words(text), role=role, name=name or None) for role, name, text in BUZZWORDS]
    found = counted(pb.CreateCompletionRequest(model=model, messages=messages))
    assert (found.tokens, found.exact) == (count, True)
    assert found.provenance == usage_pb2.PROVENANCE_PROVIDER_REPORTED


@pytest.mark.parametrize(
    ("model", "count"), [("gpt-3.5-turbo", 105), ("gpt-4", 105), ("gpt-4o", 101), ("gpt-4o-mini", 101)]
)
def test_the_cookbooks_tools_have_as_many_tokens_as_openai_counts(model: str, count: int) -> None:
    system = "You are a helpful assistant that can answer to questions about the weather."
    tool = message_pb2.FunctionTool(
        name="get_current_weather",
        description="Get the current weather in a given location",
        parameters_json=msgspec.json.encode(WEATHER).decode(),
    )
    request = pb.CreateCompletionRequest(
        model=model,
        messages=[
            message(words(system), role=message_pb2.ROLE_SYSTEM),
            message(words("What's the weather like in San Francisco?")),
        ],
        tools=[message_pb2.Tool(function=tool)],
    )
    assert (counted(request).tokens, counted(request).exact) == (count, True)


@pytest.mark.parametrize("model", ["gpt-5", "o3", "gpt-oss:20b", "claude-sonnet-4-5"])
def test_what_no_rule_is_documented_for_is_an_estimate(model: str) -> None:
    found = counted(asked(words("Hello there"), model=model))
    assert found.provenance == usage_pb2.PROVENANCE_ESTIMATED
    assert found.tokens == pytest.approx(9, abs=1)


SCHEMA = pb.JsonSchema(name="x", schema_json='{"type":"object"}')
NESTED = '{"type":"object","properties":{"where":{"type":"object","properties":{"x":{"type":"number"}}}}}'
CALL = message_pb2.ToolCall(id="1", function=message_pb2.FunctionCall(name="find", arguments_json='{"x":1}'))
FREE = message_pb2.ToolCall(id="1", custom=message_pb2.CustomCall(name="find", input="the blue one"))


def function(parameters_json: str) -> message_pb2.Tool:
    return message_pb2.Tool(function=message_pb2.FunctionTool(name="x", parameters_json=parameters_json))


HI = words("Hi")
UNCERTAIN = {
    "image": asked(HI, message_pb2.ContentPart(image=message_pb2.ImagePart(url="https://example.org/a.png"))),
    "audio": asked(HI, message_pb2.ContentPart(audio=message_pb2.AudioPart(data=b"x" * 3200, format="wav"))),
    "file": asked(
        HI,
        message_pb2.ContentPart(file=message_pb2.FilePart(file_data="data:application/pdf;base64,AAAA" * 9)),
    ),
    "schema": asked(HI, response_format=pb.ResponseFormat(json_schema=SCHEMA)),
    "custom tool": asked(
        HI, tools=[message_pb2.Tool(custom=message_pb2.CustomTool(name="x", format_json='{"type":"text"}'))]
    ),
    "nested": asked(HI, tools=[function(NESTED)]),
    "any": asked(HI, tools=[function('{"anyOf":[]}')]),
    "call": pb.CreateCompletionRequest(model="gpt-4o", messages=[message(HI), message(tool_calls=[CALL])]),
    "free": pb.CreateCompletionRequest(model="gpt-4o", messages=[message(HI), message(tool_calls=[FREE])]),
}


@pytest.mark.parametrize("kind", UNCERTAIN)
def test_every_part_counts_and_what_is_not_certain_is_said_to_be(kind: str) -> None:
    plain = counted(asked(words("Hi")))
    found = counted(UNCERTAIN[kind])
    assert plain.exact
    assert not found.exact
    assert found.tokens > plain.tokens
    assert tally(UNCERTAIN[kind], ROUGHLY).tokens > tally(asked(words("Hi")), ROUGHLY).tokens


def test_an_image_of_known_size_is_exact() -> None:
    png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (1024).to_bytes(4) * 2
    image = message_pb2.ImagePart(data=png, media_type="image/png", detail=message_pb2.IMAGE_DETAIL_HIGH)
    found = counted(asked(words("Hi"), message_pb2.ContentPart(image=image)))
    assert (found.tokens, found.exact) == (counted(asked(words("Hi"))).tokens + 765, True)


def test_token_ids_are_counted_and_not_estimated() -> None:
    ids = pb.TokenList(tokens=[1, 2, 3])
    request = pb.CreateCompletionRequest(prompt=pb.TextPrompt(tokens=ids))
    assert (tally(request, ROUGHLY).tokens, tally(request, ROUGHLY).exact) == (3, True)
    prompt = pb.TextPrompt(text="tiktoken is great!")
    request = pb.CreateCompletionRequest(model="gpt-3.5-turbo-instruct", prompt=prompt)
    assert (counted(request).tokens, counted(request).exact) == (6, True)
    request.prompt.suffix = "the end"
    assert (counted(request).tokens, counted(request).exact) == (8, False)
    inputs = [pb.EmbeddingInput(tokens=ids), pb.EmbeddingInput(text="tiktoken is great!")]
    embedded = pb.CreateEmbeddingsRequest(model="text-embedding-3-small", inputs=inputs)
    assert encodings.load("cl100k_base")
    assert counts.estimate_inputs(embedded, embedded.model) == 9


async def test_only_text_is_certain() -> None:
    for request in UNCERTAIN.values():
        assert await counts.lower_bound_in_thread(request, ruler("gpt-4o")) == 1
    ids = pb.TextPrompt(tokens=pb.TokenList(tokens=[1, 2, 3]))
    assert await counts.lower_bound_in_thread(pb.CreateCompletionRequest(prompt=ids), ROUGHLY) == 3
    prompt = pb.TextPrompt(text="tiktoken is great!")
    assert await counts.lower_bound_in_thread(pb.CreateCompletionRequest(prompt=prompt), ruler("gpt-4o")) == 6


async def test_a_large_request_is_counted_off_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def noted(*given: Any) -> Any:
        threads.append(threading.current_thread())
        return tally(*given)

    monkeypatch.setattr(counts, "tally", noted)
    for text in ("Hello", ENGLISH * 1000):
        found = await counts.tally_in_thread(asked(words(text)), ruler("gpt-4o"))
        assert found.tokens == counted(asked(words(text))).tokens
    assert [thread is threading.main_thread() for thread in threads] == [True, False]


async def test_the_loop_goes_on_while_megabytes_are_counted() -> None:
    tokenizer, request = ruler("gpt-4o"), asked(words(ENGLISH * 5000))
    counting = asyncio.ensure_future(counts.tally_in_thread(request, tokenizer))
    turns = 0
    while not counting.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10


# --- Answers


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_buckets_of_an_estimate_add_up_and_say_what_they_are(
    given_: int, visible: int, reasoning: int
) -> None:
    usage = counts.usage(given_, visible, reasoning, output=usage_pb2.PROVENANCE_PARTIAL_STREAM)
    assert usage.input_tokens == usage.uncached_input_tokens == given_
    assert usage.output_tokens == usage.visible_output_tokens + usage.reasoning_tokens == visible + reasoning
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.input_provenance == usage_pb2.PROVENANCE_ESTIMATED
    assert usage.output_provenance == usage_pb2.PROVENANCE_PARTIAL_STREAM
