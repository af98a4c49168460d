"""The simulators against the official clients: what these accept, raise and count is what the tests trust."""

import base64
import json
import struct
from collections.abc import AsyncIterator
from typing import Any, get_type_hints

import aiohttp
import openai
import pytest
from openai.types import completion_create_params as text_params
from openai.types import embedding_create_params as embedding_params
from openai.types.chat import completion_create_params as chat_params

from tests.upstreams import openai_errors, openai_rules
from tests.upstreams.clients import ECHO, HELLO, openai_client, raw, stream_of, text_of
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.reply import Content, Reply, ToolCall, Usage
from tests.upstreams.samples import count_tokens

SCHEMA: Any = {
    "type": "object",
    "properties": {"age": {"type": "integer"}, "name": {"type": "string"}},
    "required": ["age", "name"],
    "additionalProperties": False,
}
WEATHER: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}


@pytest.fixture
async def up() -> AsyncIterator[OpenAIUpstream]:
    async with OpenAIUpstream() as upstream:
        yield upstream


@pytest.fixture
async def sdk(up: OpenAIUpstream) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai_client(up) as client:
        yield client


class TestAnswers:
    async def test_an_unscripted_answer_echoes_and_is_billed_as_reported(
        self, up: OpenAIUpstream, sdk: Any
    ) -> None:
        answer = await sdk.chat.completions.create(model="gpt-4o", messages=HELLO, temperature=0.5)
        assert answer.choices[0].message.content == ECHO
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage.prompt_tokens == count_tokens("Hello") == 2
        assert answer.usage.completion_tokens == count_tokens(ECHO) == 4
        [entry] = up.bill
        assert (entry.path, entry.model, entry.status) == ("/v1/chat/completions", "gpt-4o", 200)
        assert entry.body == {"model": "gpt-4o", "messages": HELLO, "temperature": 0.5}
        assert json.loads(entry.raw) == entry.body
        assert entry.headers["authorization"] == "Bearer sk-test-1"
        assert (entry.prompt_tokens, entry.completion_tokens, entry.chunks) == (2, 4, 1)
        assert entry.finished
        assert not entry.disconnected

    async def test_a_stream_has_openais_frames(self, up: OpenAIUpstream) -> None:
        up.script(Reply(["Hel", "lo"], created=7, id="chatcmpl-x"))
        options = {"include_usage": True, "include_obfuscation": False}
        body = await raw(
            up, "/v1/chat/completions", model="m", messages=HELLO, stream=True, stream_options=options
        )
        head = (
            '{"id":"chatcmpl-x","object":"chat.completion.chunk","created":7,"model":"m",'
            '"service_tier":"default","system_fingerprint":"fp_5d2f9c0a1b",'
        )
        choice = '"choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}],"usage":null}'
        frames = body.decode().split("\n\n")
        assert frames[0] == "data: " + head + choice % (
            '{"role":"assistant","content":"","refusal":null}',
            "null",
        )
        assert frames[1] == "data: " + head + choice % ('{"content":"Hel"}', "null")
        assert frames[2] == "data: " + head + choice % ('{"content":"lo"}', "null")
        assert frames[3] == "data: " + head + choice % ("{}", '"stop"')
        assert frames[4].startswith(
            "data: " + head + '"choices":[],"usage":{"prompt_tokens":2,"completion_tok'
        )
        assert frames[5:] == ["data: [DONE]", ""]

    async def test_a_stream_without_include_usage_has_no_usage_and_is_obfuscated(self, sdk: Any) -> None:
        chunks = await stream_of(sdk, stream_options=openai.omit)
        assert all(chunk.choices for chunk in chunks)
        assert not any("usage" in chunk.model_fields_set for chunk in chunks)
        assert len({len(text_of([chunk]) + chunk.obfuscation) for chunk in chunks}) <= 2

    async def test_stream_and_bill_agree_to_the_token(self, up: OpenAIUpstream, sdk: Any) -> None:
        up.script(Reply(["one ", "two ", "three"], usage=Usage(prompt_tokens=50, cached_tokens=40)))
        chunks = await stream_of(sdk)
        assert text_of(chunks) == "one two three"
        assert chunks[-1].usage.prompt_tokens_details.cached_tokens == 40
        assert (up.bill[0].prompt_tokens, up.bill[0].completion_tokens) == (50, count_tokens("one two three"))
        assert (up.bill[0].chunks, up.bill[0].finished) == (len(chunks), True)

    async def test_n_choices_are_interleaved_and_all_billed(self, up: OpenAIUpstream, sdk: Any) -> None:
        up.script(Reply(choices=[Content(["a", "b"]), Content(["c", "d"])]))
        chunks = await stream_of(sdk, n=2)
        assert [chunk.choices[0].index for chunk in chunks[:-1]] == [0, 1] * 4
        assert text_of(chunks) == "acbd"
        assert chunks[-1].usage.completion_tokens == 2 * count_tokens("ab")

    @pytest.mark.parametrize(
        ("options", "text", "reason"),
        [
            ({"max_completion_tokens": 3}, "You said: H", "length"),
            ({"stop": [" said", "nothing"]}, "You", "stop"),
        ],
    )
    async def test_limits_of_the_request_are_honoured(
        self, sdk: Any, options: Any, text: Any, reason: Any
    ) -> None:
        answer = await sdk.chat.completions.create(model="gpt-4o", messages=HELLO, **options)
        assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (text, reason)
        chunks = await stream_of(sdk, **options)
        assert (text_of(chunks), chunks[-2].choices[0].finish_reason) == (text, reason)

    async def test_parallel_tool_calls_stream_as_fragments_with_an_index(
        self, up: OpenAIUpstream, sdk: Any
    ) -> None:
        fragments = ['{"age"', ": 4", "2}"]
        calls = [ToolCall("weather", fragments), ToolCall("time", "{}", id="call_b")]
        up.default = Reply(tool_calls=calls)
        whole = await sdk.chat.completions.create(model="gpt-4o", messages=HELLO, tools=[WEATHER])
        assert whole.choices[0].message.content is None
        assert [call.function.arguments for call in whole.choices[0].message.tool_calls] == [
            '{"age": 42}',
            "{}",
        ]
        async with sdk.chat.completions.stream(model="gpt-4o", messages=HELLO, tools=[WEATHER]) as stream:
            final = await stream.get_final_completion()
        assert final.choices[0].finish_reason == "tool_calls"
        assert [call.id for call in final.choices[0].message.tool_calls] == ["call_1_0", "call_b"]
        assert final.choices[0].message.tool_calls[0].function.arguments == '{"age": 42}'
        deltas = [
            piece
            for chunk in await stream_of(sdk)
            for choice in chunk.choices
            for piece in choice.delta.tool_calls or []
        ]
        assert [delta.function.arguments for delta in deltas[:4]] == ["", *fragments]
        assert [delta.id for delta in deltas] == ["call_2_0", None, None, None, "call_b", None]
        assert up.bill[2].completion_tokens == count_tokens('weather{"age": 42}') + count_tokens("time{}")

    async def test_reasoning_refusal_and_logprobs_can_be_scripted(self, up: OpenAIUpstream, sdk: Any) -> None:
        up.script(Reply("yes", reasoning="hm, well"), Reply(refusal="I will not"), Reply(["a", "b"]))
        chunks = await stream_of(sdk)
        thought = "".join(getattr(c.choices[0].delta, "reasoning_content", "") for c in chunks[:-1])
        assert (thought, text_of(chunks)) == ("hm, well", "yes")
        assert chunks[-1].usage.completion_tokens_details.reasoning_tokens == count_tokens("hm, well")
        refused = await sdk.chat.completions.create(model="gpt-4o", messages=HELLO)
        assert (refused.choices[0].message.refusal, refused.choices[0].message.content) == (
            "I will not",
            None,
        )
        answer = await sdk.chat.completions.create(
            model="gpt-4o", messages=HELLO, logprobs=True, top_logprobs=1
        )
        assert [token.token for token in answer.choices[0].logprobs.content] == ["a", "b"]

    async def test_structured_output_fits_the_schema(self, sdk: Any) -> None:
        wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}}
        answer = await sdk.chat.completions.create(model="gpt-4o", messages=HELLO, response_format=wanted)
        assert json.loads(answer.choices[0].message.content) == {"age": 1, "name": "text"}

    async def test_a_forced_tool_is_called(self, sdk: Any) -> None:
        named = {"type": "function", "function": {"name": "weather"}}
        for choice, reason in ((named, "stop"), ("required", "tool_calls")):
            answer = await sdk.chat.completions.create(
                model="gpt-4o", messages=HELLO, tools=[WEATHER], tool_choice=choice
            )
            assert answer.choices[0].finish_reason == reason
            assert json.loads(answer.choices[0].message.tool_calls[0].function.arguments)["age"] == 1

    async def test_text_completions(self, sdk: Any) -> None:
        answer = await sdk.completions.create(
            model="davinci-002", prompt=["a", "b"], n=2, echo=True, stop="d:"
        )
        assert [choice.text for choice in answer.choices] == ["aYou sai"] * 2 + ["bYou sai"] * 2
        chunks = [
            chunk
            async for chunk in await sdk.completions.create(
                model="davinci-002", prompt=[[1, 2]], stream=True, stream_options={"include_usage": True}
            )
        ]
        assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == "You said: 1 2"
        assert chunks[-1].usage.prompt_tokens == 2

    async def test_embeddings_as_floats_and_base64_are_the_same_vector(
        self, up: OpenAIUpstream, sdk: Any
    ) -> None:
        texts = ["one", "two"]
        floats = await sdk.embeddings.create(
            model="text-embedding-3-small", input=texts, encoding_format="float", dimensions=8
        )
        decoded = await sdk.embeddings.create(model="text-embedding-3-small", input=texts, dimensions=8)
        assert up.bill[1].body["encoding_format"] == "base64"
        assert [item.embedding for item in floats.data] == [item.embedding for item in decoded.data]
        body = json.loads(
            await raw(up, "/v1/embeddings", model="m", input="one", encoding_format="base64", dimensions=8)
        )
        packed = base64.b64decode(body["data"][0]["embedding"])
        assert list(struct.unpack("<8f", packed)) == floats.data[0].embedding
        assert sum(value * value for value in floats.data[0].embedding) == pytest.approx(1)
        assert floats.usage.total_tokens == up.bill[0].prompt_tokens == 2
        ids = await sdk.embeddings.create(model="text-embedding-3-large", input=[[1, 2], [3]])
        assert (len(ids.data), len(ids.data[0].embedding), ids.usage.prompt_tokens) == (2, 3072, 3)

    async def test_models_are_listed_and_found_under_any_name(self, up: OpenAIUpstream, sdk: Any) -> None:
        up.models.append("org/model:latest")
        assert [model.id async for model in await sdk.models.list()] == up.models
        assert (await sdk.models.retrieve("org/model:latest")).owned_by == "system"
        with pytest.raises(openai.NotFoundError) as failure:
            await sdk.models.retrieve("nope")
        assert failure.value.code == "model_not_found"
        assert up.bill.calls == []


class TestScripts:
    async def test_replies_go_to_their_model_first_and_then_to_anyone(
        self, up: OpenAIUpstream, sdk: Any
    ) -> None:
        up.script(Reply("next"))
        up.script(Reply("for o3"), on="o3")
        up.defaults["gpt-4o-mini"] = Reply("small")
        up.default = Reply("rest")
        said = []
        for model in ("gpt-4o-mini", "o3", "o3", "gpt-4o-mini"):
            answer = await sdk.chat.completions.create(model=model, messages=HELLO)
            said.append(answer.choices[0].message.content)
        assert said == ["next", "for o3", "rest", "small"]

    async def test_a_list_of_models_takes_no_reply_but_one_for_its_path(
        self, up: OpenAIUpstream, sdk: Any
    ) -> None:
        up.script(Reply("kept"))
        up.script(openai_errors.server_error(), on="/v1/models")
        with pytest.raises(openai.InternalServerError):
            await sdk.models.list()
        assert (await sdk.models.list()).data
        assert text_of(await stream_of(sdk)) == "kept"

    async def test_reset_forgets_everything_but_the_first_default(self) -> None:
        async with OpenAIUpstream(default=Reply("first")) as up:
            up.script(Reply(status=500))
            up.default = Reply(status=500)
            up.reset()
            body = json.loads(await raw(up, "/v1/chat/completions", model="m", messages=HELLO))
            assert body["choices"][0]["message"]["content"] == "first"
            assert len(up.bill) == 1


BAD_REQUESTS = [
    ({"temperature": "hot"}, "expected a decimal, but got a string instead", "temperature", "invalid_type"),
    ({"max_tokens": 1.5}, "expected an integer, but got a decimal number", "max_tokens", "invalid_type"),
    ({"n": True}, "expected an integer, but got a boolean instead", "n", "invalid_type"),
    ({"tools": None}, "but got null instead", "tools", "invalid_type"),
    (
        {"temperature": 3},
        "decimal above maximum value. Expected a value <= 2",
        "temperature",
        "decimal_above_max_value",
    ),
    ({"n": 0}, "integer below minimum value. Expected a value >= 1", "n", "integer_below_min_value"),
    ({"top_k": 5}, "Unrecognized request argument supplied: top_k", None, None),
    ({"stop": list("abcde")}, "array too long", "stop", "array_above_max_length"),
    ({"verbosity": "loud"}, "Invalid value: 'loud'", "verbosity", "invalid_value"),
    ({"stream_options": {}}, "only allowed when 'stream' is enabled", "stream_options", None),
    ({"messages": []}, "empty array", "messages", "empty_array"),
    ({"messages": [{"role": "user"}]}, "expected a string, got null", "messages.[0].content", None),
    ({"messages": [{"role": "wizard", "content": "x"}]}, "wizard", "messages[0].role", "invalid_value"),
    (
        {"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]},
        "preceeding",
        "messages.[0].role",
        None,
    ),
    ({"response_format": {"type": "json_object"}}, "must contain the word 'json'", "messages", None),
    ({"model": "o3", "max_tokens": 5}, "Use 'max_completion_tokens'", "max_tokens", "unsupported_parameter"),
    ({"model": "gpt-5", "temperature": 0.1}, "does not support 0.1", "temperature", "unsupported_value"),
    (
        {"max_tokens": 5, "max_completion_tokens": 5},
        "at the same time",
        "max_tokens",
        "invalid_parameter_combination",
    ),
    ({"top_logprobs": 2}, "only allowed when 'logprobs'", "top_logprobs", None),
    ({"tool_choice": "auto"}, "only allowed when 'tools'", "tool_choice", None),
    (
        {"tools": [{"type": "function", "function": {"name": "a b"}}]},
        "does not match pattern",
        "tools[0].function.name",
        "invalid_value",
    ),
    (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "strict": True, "schema": {"type": "object"}},
            }
        },
        "'additionalProperties' is required to be supplied and to be false",
        "response_format",
        None,
    ),
]


class TestStrictness:
    @pytest.mark.parametrize(("change", "message", "param", "code"), BAD_REQUESTS)
    async def test_bad_requests_are_refused_in_openais_words(
        self, up: OpenAIUpstream, sdk: Any, change: Any, message: Any, param: Any, code: Any
    ) -> None:
        up.script(Reply("for the good one"))
        asked = {"model": "gpt-4o", "messages": HELLO} | change
        with pytest.raises(openai.BadRequestError) as failure:
            await sdk.chat.completions.create(
                model=asked.pop("model"), messages=asked.pop("messages"), extra_body=asked
            )
        assert message in failure.value.message
        assert (failure.value.param, failure.value.code) == (param, code)
        assert (up.bill[0].status, up.bill[0].prompt_tokens) == (400, 0)
        assert text_of(await stream_of(sdk)) == "for the good one"

    def test_every_field_of_the_official_sdk_is_known(self) -> None:
        for rules, module in (
            (openai_rules.CHAT, chat_params),
            (openai_rules.COMPLETIONS, text_params),
        ):
            hints = get_type_hints(module.CompletionCreateParamsStreaming, include_extras=True)
            assert set(hints) == set(rules)
        assert set(get_type_hints(embedding_params.EmbeddingCreateParams)) == set(openai_rules.EMBEDDINGS)

    async def test_a_conversation_with_tools_is_accepted(self, sdk: Any) -> None:
        call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        said: Any = [
            {"role": "developer", "content": "Be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Hi"},
                    {"type": "image_url", "image_url": {"url": "data:,"}},
                ],
            },
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        ]
        answer = await sdk.chat.completions.create(model="gpt-4o", messages=said)
        assert answer.choices[0].message.content == "You said: Hi"
        assert answer.usage.prompt_tokens == count_tokens("Be brief") + count_tokens(
            "Hi"
        ) + 85 + count_tokens("sunny")

    async def test_lenient_takes_what_strict_refuses(self) -> None:
        async with OpenAIUpstream(strict=False) as up:
            body = json.loads(await raw(up, "/v1/chat/completions", model="m", messages=HELLO, top_k=3))
            assert body["choices"][0]["message"]["content"] == ECHO

    async def test_unknown_models_and_keys_and_paths_are_refused(self) -> None:
        async with OpenAIUpstream(api_key="sk-right") as up:
            up.unknown_models.add("gpt-99")
            async with openai_client(up, api_key="sk-right") as client:
                with pytest.raises(openai.NotFoundError, match="gpt-99"):
                    await client.chat.completions.create(model="gpt-99", messages=HELLO)
                with pytest.raises(openai.NotFoundError, match="Invalid URL"):
                    await client.post("/nothing", body={}, cast_to=object)
                with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided: sk-wrong"):
                    await client.with_options(api_key="sk-wrong").models.list()


async def test_an_upstream_that_was_down_comes_back_on_its_port() -> None:
    up = OpenAIUpstream()
    async with up:
        first = up.url
    with pytest.raises(aiohttp.ClientConnectorError):
        await raw(up, "/v1/chat/completions", model="m", messages=HELLO)
    async with up:
        assert up.url == first
        assert ECHO.encode() in await raw(up, "/v1/chat/completions", model="m", messages=HELLO)
