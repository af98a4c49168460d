"""Models of the Responses API, asked with the same request: the official SDK reads the same from the wire."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.chunks import fold
from genai_spine.errors import SpineError
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from tests.contract.options import FUNCTION, SCHEMA, said
from tests.contract.spoken import BRIDGED, Spoken, folded, speaking
from tests.direct import direct
from tests.upstreams import openai_errors
from tests.upstreams.reply import Reply, ToolCall, Usage

TEXT = ["Hé", "llo", " 🙂", "日本", " <&> \n"]
CALLS = [
    ToolCall("weather", ['{"city"', ':"Ulm"}'], id="a"),
    ToolCall("write", ["on", "e"], id="b", kind="custom"),
]
HIDDEN = ["reasoning.encrypted_content"]
PARAMETERS = json.loads(SCHEMA)
TOOLS = [message_pb2.Tool(function=FUNCTION), message_pb2.Tool(custom=message_pb2.CustomTool(name="write"))]
TOOLS_JSON = [
    {
        "type": "function",
        "name": "weather",
        "description": "says it",
        "parameters": PARAMETERS,
        "strict": False,
    },
    {"type": "custom", "name": "write"},
]
SOUND = message_pb2.AudioPart(data=b"x", format="wav")
COUNTS = Usage(
    prompt_tokens=900, completion_tokens=80, cached_tokens=512, cache_write_tokens=100, reasoning_tokens=30
)
EXCHANGES: dict[str, tuple[Reply, dict[str, Any], dict[str, Any]]] = {  # reply, our fields, the SDK's
    "text": (Reply(TEXT, model="o3-pro-2025-06-10"), {}, {}),
    "usage": (Reply(TEXT, usage=COUNTS), {}, {}),
    "length": (Reply(TEXT * 9), {"max_tokens": 16}, {"max_output_tokens": 16}),
    "filter": (Reply(TEXT, finish_reason="content_filter"), {}, {}),
    "tools": (
        Reply("Let me see", reasoning=["hm, ", "well"], tool_calls=CALLS),
        {"tools": TOOLS, "parallel_tool_calls": True},
        {"tools": TOOLS_JSON, "parallel_tool_calls": True},
    ),
    "only tools": (Reply(tool_calls=CALLS), {"tools": TOOLS}, {"tools": TOOLS_JSON}),
    "refusal": (Reply(refusal=["I will ", "not"]), {}, {}),
    "reasoning": (
        Reply(TEXT, reasoning=["hm, ", "well"]),
        {
            "reasoning_effort": pb.REASONING_EFFORT_HIGH,
            "provider_options_json": '{"reasoning":{"summary":"auto"}}',
        },
        {"reasoning": {"effort": "high", "summary": "auto"}},
    ),
    "logprobs": (
        Reply(TEXT),
        {"logprobs": True, "top_logprobs": 1},
        {"include": ["message.output_text.logprobs", *HIDDEN], "top_logprobs": 1},
    ),
    "bytes": (Reply(TEXT, tool_calls=CALLS, bytes_per_write=3, line_end="\r\n", comment="ping"), {}, {}),
    "object": (
        Reply(),
        {"response_format": pb.ResponseFormat(kind=pb.ResponseFormat.KIND_JSON_OBJECT)},
        {"text": {"format": {"type": "json_object"}}},
    ),
}


@pytest.fixture
async def spoken() -> AsyncIterator[Spoken]:
    async with speaking(BRIDGED) as found:
        yield found


def ours(completion: pb.Completion) -> dict[str, Any]:
    [choice] = completion.choices
    message, usage = choice.message, completion.usage
    calls = [
        (call.id, call.function.name or call.custom.name, call.function.arguments_json or call.custom.input)
        for call in message.tool_calls
    ]
    return {
        "id": completion.id,
        "created": completion.create_time.seconds,
        "model": completion.model,
        "tier": completion.service_tier,
        "text": "".join(part.text for part in message.content),
        "refusal": "".join(part.refusal for part in message.content),
        "reasoning": message.reasoning,
        "calls": calls,
        "finish": choice.finish_reason,
        "logprobs": [(token.token, token.logprob, token.token_bytes) for token in choice.logprobs.content],
        "usage": (usage.input_tokens, usage.output_tokens, usage.total_tokens),
        "details": (usage.cache_read_tokens, usage.cache_write_5m_tokens, usage.reasoning_tokens),
    }


def theirs(response: Response) -> dict[str, Any]:
    calls: list[Any] = []
    found: dict[str, Any] = {"refusal": "", "reasoning": "", "logprobs": []}
    for item in response.output:
        if item.type == "function_call":
            calls.append((item.call_id, item.name, item.arguments))
        elif item.type == "custom_tool_call":
            calls.append((item.call_id, item.name, item.input))
        elif item.type == "reasoning":
            found["reasoning"] += "".join(summary.text for summary in item.summary)
        elif item.type == "message":
            for part in item.content:
                found["refusal"] += part.refusal if part.type == "refusal" else ""
                if part.type == "output_text":
                    found["logprobs"] += [(t.token, t.logprob, bytes(t.bytes)) for t in part.logprobs or ()]
    reason = response.incomplete_details.reason if response.incomplete_details else None
    finish = {"max_output_tokens": "LENGTH", "content_filter": "CONTENT_FILTER"}.get(reason or "")
    finish = finish or ("TOOL_CALLS" if calls else "STOP")
    usage = response.usage
    assert usage is not None
    given, made = usage.input_tokens_details, usage.output_tokens_details
    return found | {
        "id": response.id,
        "created": int(response.created_at),
        "model": response.model,
        "tier": response.service_tier,
        "text": response.output_text,
        "calls": calls,
        "finish": pb.FinishReason.Value(f"FINISH_REASON_{finish}"),
        "usage": (usage.input_tokens, usage.output_tokens, usage.total_tokens),
        "details": (given.cached_tokens, given.cache_write_tokens, made.reasoning_tokens),
    }


class TestOracle:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("name", EXCHANGES)
    async def test_an_answer(self, spoken: Spoken, sdk: Any, name: str, stream: bool) -> None:
        reply, fields, options = EXCHANGES[name]
        given = {name: getattr(reply, name) for name in reply.__struct_fields__}
        spoken.up.default = Reply(**(given | {"created": 7, "id": "resp_x"}))
        asked = {"model": "o3-pro", "input": [{"role": "user", "content": "Hello, json"}]}
        asked |= {"store": False, "include": HIDDEN} | options
        request = spoken.request("Hello, json", **fields)
        if stream:
            events = [event async for event in await sdk.responses.create(**asked, stream=True)]
            answer = events[-1].response
            found = await fold(direct(spoken.provider).stream(request, Call()))
        else:
            answer = await sdk.responses.create(**asked)
            found = await spoken.whole(request)
        assert ours(found) == theirs(answer)
        assert spoken.up.bill[0].body == spoken.up.bill[1].body
        assert spoken.up.bill[1].path == "/v1/responses"

    @pytest.mark.parametrize(
        "reply",
        [openai_errors.rate_limited(3), openai_errors.context_length_exceeded(), openai_errors.invalid_key()],
    )
    async def test_a_refusal_has_the_same_code(self, spoken: Spoken, sdk: Any, reply: Reply) -> None:
        spoken.up.default = reply
        with pytest.raises(openai.APIStatusError) as theirs:
            await sdk.responses.create(model="o3-pro", input="Hi")
        with pytest.raises(errors.ProviderFailure) as found:
            await spoken.whole(spoken.request())
        assert found.value.metadata["provider_code"] == theirs.value.code


class TestConversations:
    async def test_thinking_goes_back_as_it_came_and_in_its_place(self, spoken: Spoken) -> None:
        """And an answer that was streamed is kept as one that was not."""
        spoken.up.default = Reply("Let me see", reasoning="hm", tool_calls=CALLS)
        first = spoken.request("Weather?", tools=TOOLS)
        whole = await spoken.whole(first)
        assert (await folded(await spoken.chunks(first))).choices == whole.choices
        second = pb.CreateCompletionRequest()
        second.CopyFrom(first)
        second.messages.append(whole.choices[0].message)
        for call in CALLS:
            second.messages.append(
                message_pb2.Message(
                    role=message_pb2.ROLE_TOOL,
                    tool_call_id=call.id,
                    content=[message_pb2.ContentPart(text="sunny")],
                )
            )
        spoken.up.default = Reply("Sunny")
        await spoken.whole(second)
        given = spoken.up.bill[-1].body["input"]
        assert given == [
            {"role": "user", "content": "Weather?"},
            {
                "id": f"rs_{0:048x}",
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "hm"}],
                "encrypted_content": "gAAAAB==",
            },
            {"role": "assistant", "content": "Let me see"},
            {"type": "function_call", "call_id": "a", "name": "weather", "arguments": '{"city":"Ulm"}'},
            {"type": "custom_tool_call", "call_id": "b", "name": "write", "input": "one"},
            {"type": "function_call_output", "call_id": "a", "output": "sunny"},
            {"type": "custom_tool_call_output", "call_id": "b", "output": "sunny"},
        ]

    async def test_the_thinking_of_another_provider_stays_here(self, spoken: Spoken) -> None:
        state = '[{"type":"thinking","thinking":"hm","signature":"s"}]'
        answer = message_pb2.Message(
            role=message_pb2.ROLE_ASSISTANT,
            content=[message_pb2.ContentPart(text="Hi")],
            reasoning_state_json=state,
        )
        await spoken.whole(spoken.request(messages=[said(), answer, said()]))
        assert [item["content"] for item in spoken.up.bill[-1].body["input"]] == [
            "Hello, json",
            "Hi",
            "Hello, json",
        ]

    async def test_the_phase_of_a_message_is_kept(self, spoken: Spoken) -> None:
        """A model that loses it gives worse answers; it stands next to the thinking."""
        state = '[{"type":"reasoning","id":"rs_1","summary":[]},{"type":"message","phase":"commentary"}]'
        answer = message_pb2.Message(
            role=message_pb2.ROLE_ASSISTANT,
            content=[message_pb2.ContentPart(text="Hi")],
            reasoning_state_json=state,
        )
        await spoken.whole(spoken.request(messages=[said(), answer, said()]))
        given = spoken.up.bill[-1].body["input"]
        assert given[1] == {"type": "reasoning", "id": "rs_1", "summary": []}
        assert given[2] == {"role": "assistant", "content": "Hi", "phase": "commentary"}

    async def test_what_is_said_before_the_conversation_are_instructions(self, spoken: Spoken) -> None:
        def system(text: str) -> message_pb2.Message:
            return message_pb2.Message(
                role=message_pb2.ROLE_SYSTEM, content=[message_pb2.ContentPart(text=text)]
            )

        await spoken.whole(
            spoken.request(messages=[system("Be brief"), system("Be kind"), said(), system("Now")])
        )
        body = spoken.up.bill[-1].body
        assert body["instructions"] == "Be brief\n\nBe kind"
        assert body["input"] == [
            {"role": "user", "content": "Hello, json"},
            {"role": "system", "content": "Now"},
        ]
        await spoken.whole(spoken.request(messages=[system("Alone")]))
        assert spoken.up.bill[-1].body["input"] == [{"role": "system", "content": "Alone"}]

    @pytest.mark.parametrize(
        ("choice", "sent"),
        [
            (message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_NONE), "none"),
            (message_pb2.ToolChoice(function_name="weather"), {"type": "function", "name": "weather"}),
            (message_pb2.ToolChoice(custom_name="write"), {"type": "custom", "name": "write"}),
            (
                message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_REQUIRED, allowed_tools=["write"]),
                {"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "write"}]},
            ),
        ],
    )
    async def test_tool_choice_has_the_forms_of_this_api(
        self, spoken: Spoken, choice: Any, sent: Any
    ) -> None:
        await spoken.whole(spoken.request(tools=TOOLS, tool_choice=choice))
        assert spoken.up.bill[-1].body["tool_choice"] == sent
        assert spoken.up.bill[-1].status == 200


class TestChoiceOfTheApi:
    @pytest.mark.parametrize(
        ("model", "path"),
        [
            *((name, "/v1/responses") for name in ("o1-pro", "o3-deep-research-2025-06-26", "codex-mini")),
            *((name, "/v1/responses") for name in ("gpt-5-pro", "gpt-5.1-codex-max", "computer-use-preview")),
            *((name, "/v1/chat/completions") for name in ("gpt-4o", "o3", "gpt-5", "gpt-5-prose", "o3-mini")),
        ],
    )
    async def test_a_model_is_asked_where_it_is(self, spoken: Spoken, model: str, path: str) -> None:
        completion = await spoken.whole(spoken.request(model=model))
        assert spoken.up.bill[-1].path == path
        assert completion.choices[0].message.content[0].text

    @pytest.mark.parametrize(
        ("api", "path"), [("responses", "/v1/responses"), ("chat", "/v1/chat/completions")]
    )
    async def test_a_request_can_choose(self, spoken: Spoken, api: str, path: str) -> None:
        for row in ("openai", "azure"):
            async with speaking(row) as asked:
                await asked.whole(asked.request(provider_options_json=f'{{"api":"{api}"}}'))
                assert asked.up.bill[-1].path == path
                assert "api" not in asked.up.bill[-1].body

    async def test_a_choice_that_is_none_is_refused_by_its_field(self, spoken: Spoken) -> None:
        for own in ('{"api":"chats"}', '{"api":3}'):
            with pytest.raises(errors.InvalidFields) as refusal:
                direct(spoken.provider).check_options(spoken.request(provider_options_json=own))
            assert refusal.value.violations[0][0] == "provider_options_json"

    async def test_a_gateway_gets_the_field_as_its_own(self) -> None:
        async with speaking("groq") as asked:
            await asked.whole(asked.request(provider_options_json='{"api":"responses"}'))
            assert asked.up.bill[-1].body["api"] == "responses"

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"stop_sequences": ["x"]}, "stop_sequences"),
            ({"seed": 1}, "seed"),
            ({"presence_penalty": 1.0}, "presence_penalty"),
            ({"frequency_penalty": 1.0}, "frequency_penalty"),
            ({"logit_bias": {1: 1.0}}, "logit_bias"),
            (
                {
                    "messages": [
                        said(message_pb2.ContentPart(audio=message_pb2.AudioPart(data=b"x", format="wav")))
                    ]
                },
                "messages[0].content",
            ),
            ({"messages": [message_pb2.Message(role=message_pb2.ROLE_USER, name="ann")]}, "messages[0].name"),
            ({"messages": [], "prompt": pb.TextPrompt(text="a", suffix="b")}, "prompt.suffix"),
            ({"messages": [], "prompt": pb.TextPrompt(text="a", best_of=2)}, "prompt.best_of"),
        ],
    )
    async def test_what_this_api_cannot_do_is_refused_by_name(
        self, spoken: Spoken, fields: Any, field: str
    ) -> None:
        with pytest.raises(errors.UnsupportedOption) as refusal:
            direct(spoken.provider).check_options(spoken.request(**fields))
        assert refusal.value.metadata["field"] == field
        assert refusal.value.metadata["provider"] == "openai"

    @pytest.mark.parametrize("stream", [False, True])
    async def test_several_choices_are_not_taken_for_one(self, spoken: Spoken, stream: bool) -> None:
        asked = spoken.request(choice_count=2)
        with pytest.raises(errors.UnsupportedOption, match="choice_count"):
            await (spoken.chunks(asked) if stream else spoken.whole(asked))

    async def test_too_few_tokens_are_refused_before_the_upstream_does(self, spoken: Spoken) -> None:
        with pytest.raises(errors.InvalidFields, match="max_tokens: must be at least 16 for openai"):
            direct(spoken.provider).check_options(spoken.request(max_tokens=15))

    async def test_a_bare_text_is_a_message(self, spoken: Spoken) -> None:
        asked = spoken.request(messages=[], prompt=pb.TextPrompt(text="Go on"))
        direct(spoken.provider).check_options(asked)
        assert (await spoken.whole(asked)).choices[0].message.content[0].text == "You said: Go on"

    async def test_an_answer_is_stored_only_when_that_is_asked_for(self, spoken: Spoken) -> None:
        await spoken.whole(spoken.request())
        await spoken.whole(spoken.request(provider_options_json='{"store":true}'))
        assert [entry.body["store"] for entry in spoken.up.bill] == [False, True]


async def _until_error(spoken: Spoken) -> tuple[str, SpineError]:
    said = ""
    try:
        async with asyncio.timeout(5):
            async for chunk in direct(spoken.provider).stream(spoken.request(), Call()):
                said += "".join(delta.content for delta in chunk.choices)
    except SpineError as error:
        return said, error
    raise AssertionError(f"no error after {said!r}")


def failed(code: str, message: str = "no") -> dict[str, Any]:
    response = {"id": "resp_1", "output": [], "status": "failed", "error": {"code": code, "message": message}}
    return {"type": "response.failed", "sequence_number": 9, "response": response}


FAILURES = [
    (
        {"type": "error", "code": "rate_limit_exceeded", "message": "no", "sequence_number": 3},
        errors.ProviderRateLimited,
    ),
    ({"type": "error", "error": {"code": "server_error", "message": "no"}}, errors.ProviderUnavailable),
    (failed("server_error"), errors.ProviderUnavailable),
    (failed("rate_limit_exceeded"), errors.ProviderRateLimited),
    (failed("invalid_prompt"), errors.ContentFiltered),
    (failed("image_too_large"), errors.ProviderRejected),
    (failed("context_length_exceeded"), errors.ContextLengthExceeded),
]


class TestFaults:
    @pytest.mark.parametrize(("event", "kind"), FAILURES)
    async def test_a_failure_within_a_stream(self, spoken: Spoken, event: Any, kind: Any) -> None:
        spoken.up.script(Reply(["one ", "two"], fault="error", after=6, body=event))
        text, error = await _until_error(spoken)
        assert text == "one two"
        assert type(error) is kind
        assert error.metadata["provider_message"] == "no"

    async def test_a_whole_answer_that_failed(self, spoken: Spoken) -> None:
        spoken.up.script(Reply(body=failed("rate_limit_exceeded")["response"]))
        with pytest.raises(errors.ProviderRateLimited):
            await spoken.whole(spoken.request())

    @pytest.mark.parametrize("fault", ["reset", "close", "truncate"])
    async def test_a_stream_that_is_cut(self, spoken: Spoken, fault: Any) -> None:
        spoken.up.script(Reply(["one ", "two ", "three"], fault=fault, after=6))
        text, error = await _until_error(spoken)
        assert (text, error.metadata["provider_code"]) == ("one two ", "cut_stream")

    async def test_json_that_breaks_off_within_a_stream(self, spoken: Spoken) -> None:
        spoken.up.script(Reply(["one ", "two", "three"], fault="malformed", after=5))
        text, error = await _until_error(spoken)
        assert (text, error.metadata["provider_code"]) == ("one ", "invalid_json")

    async def test_a_stream_that_falls_silent(self, spoken: Spoken) -> None:
        await spoken.hurry()
        spoken.up.script(Reply(["one ", "two"], fault="stall", after=5))
        text, error = await _until_error(spoken)
        assert (text, type(error)) == ("one ", errors.ProviderTimeout)
        await spoken.up.bill.until(lambda bill: bill[0].disconnected)

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("body", ["<html>", "", "[]", "null", "{}", '{"id":"r","output":[]}'])
    async def test_something_else_than_an_answer(self, spoken: Spoken, body: str, stream: bool) -> None:
        spoken.up.script(Reply(body=body, content_type="text/html"))
        with pytest.raises(errors.ProviderError):
            await (spoken.chunks(spoken.request()) if stream else spoken.whole(spoken.request()))

    async def test_missing_usage_stays_missing(self, spoken: Spoken) -> None:
        spoken.up.default = Reply("fine", omit_usage=True)
        assert not (await spoken.whole(spoken.request())).HasField("usage")
        assert not (await folded(await spoken.chunks(spoken.request()))).HasField("usage")

    async def test_every_chunk_says_whose_it_is(self, spoken: Spoken) -> None:
        spoken.up.default = Reply(TEXT, id="resp_7", created=7)
        chunks = await spoken.chunks(spoken.request())
        assert {(chunk.id, chunk.create_time.seconds, chunk.model) for chunk in chunks} == {
            ("resp_7", 7, "o3-pro")
        }

    async def test_a_caller_that_leaves_hangs_up(self, spoken: Spoken) -> None:
        spoken.up.default = Reply(["a", "b"], fault="stall", after=5)
        stream: Any = direct(spoken.provider).stream(spoken.request(), Call())
        assert (await anext(stream)).choices[0].content == "a"
        await stream.aclose()
        await spoken.up.bill.until(lambda bill: bill[-1].disconnected)


async def test_a_deployment_of_azure_is_asked_at_the_resource() -> None:
    async with speaking("azure by deployment") as spoken:
        request = spoken.request(model="o3-pro")
        assert (await spoken.whole(request)).choices[0].message.content[0].text
        assert spoken.up.bill[-1].path == "/openai/responses"
        assert spoken.up.bill[-1].body["model"] == "o3-pro"
