"""Our client and the official `anthropic` one, given the same exchange, send the same and find the same."""

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import msgspec
import pytest
from anthropic.types import (
    ContentBlockParam,
    OutputConfigParam,
    TextBlockParam,
    ThinkingConfigParam,
    ToolChoiceParam,
    ToolParam,
)
from pydantic import TypeAdapter

from genai_spine.call import Call
from genai_spine.chunks import fold
from genai_spine.errors import ProviderFailure
from genai_spine.providers.anthropic.response import FINISH_REASONS
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from tests.contract import options as samples
from tests.contract.options import FUNCTION, PNG, PNG_URL, SAMPLES, said
from tests.contract.spoken import Spoken, speaking
from tests.direct import direct
from tests.upstreams import anthropic_errors
from tests.upstreams.clients import anthropic_client
from tests.upstreams.reply import Reply, ToolCall, Usage

MODEL = "claude-haiku-4-5-20251001"
HELLO: Any = {"role": "user", "content": [{"type": "text", "text": "Hello"}]}
ASKED: Any = {"model": MODEL, "messages": [HELLO], "max_tokens": 4096}
TEXT = ["Hé", "llo", " 🙂", "日本", " <&> \n"]
CALLS = [
    ToolCall("weather", ['{"city"', ': "Ulm"}'], id="a"),
    ToolCall("time", '{"zone": 1}', id="b"),
    ToolCall("stop", id="c"),
]
WEATHER = {
    "name": "weather",
    "description": "says it",
    "input_schema": msgspec.json.decode(FUNCTION.parameters_json),
}
CLOSED = '{"type":"object","properties":{"z":{"type":"integer"}},"additionalProperties":false}'
COUNTS = Usage(
    prompt_tokens=900, completion_tokens=80, cached_tokens=512, cache_write_tokens=88, reasoning_tokens=30
)
PARALLEL = {"tools": [message_pb2.Tool(function=FUNCTION)], "parallel_tool_calls": False}
EXCHANGES: dict[str, tuple[Reply, dict[str, Any], dict[str, Any]]] = {  # reply, our fields, the SDK's
    "text": (Reply(TEXT, id="msg_1", model="claude-haiku-4-5"), {}, {}),
    "usage": (Reply(TEXT, usage=COUNTS), {}, {}),
    "length": (Reply(TEXT), {"max_tokens": 2}, {"max_tokens": 2}),
    "stop": (Reply(TEXT), {"stop_sequences": ["llo"]}, {"stop_sequences": ["llo"]}),
    "sampling": (
        Reply(TEXT),
        {"temperature": 0.5, "top_k": 7, "user": "u1"},
        {
            "metadata": {"user_id": "u1"},
            "extra_body": {"temperature": 0.5, "top_k": 7},
            "extra_headers": {"anthropic-version": "2023-06-01"},  # newer ones have no sampling
        },
    ),
    "tools": (Reply("Let me see", tool_calls=CALLS), {"tools": PARALLEL["tools"]}, {"tools": [WEATHER]}),
    "only tools": (
        Reply(tool_calls=CALLS),
        PARALLEL,
        {"tools": [WEATHER], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    ),
    "forced": (
        Reply(),
        {"tools": PARALLEL["tools"], "tool_choice": message_pb2.ToolChoice(function_name="weather")},
        {"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "weather"}},
    ),
    "thinking": (
        Reply(TEXT, reasoning=["hm, ", "well"], tool_calls=CALLS),
        {"reasoning_max_tokens": 2000, "max_tokens": 5000},
        {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 5000},
    ),
    "schema": (
        Reply(),
        {
            "response_format": pb.ResponseFormat(
                json_schema=pb.JsonSchema(name="n", schema_json=CLOSED, strict=True)
            )
        },
        {"output_config": {"format": {"type": "json_schema", "schema": msgspec.json.decode(CLOSED)}}},
    ),
    "refusal": (Reply(TEXT, finish_reason="content_filter"), {}, {}),
    "context": (Reply(TEXT, finish_reason="model_context_window_exceeded"), {}, {}),
    "bytes": (Reply(TEXT, tool_calls=CALLS, bytes_per_write=3, line_end="\r\n", comment="ping"), {}, {}),
}


@pytest.fixture
async def spoken() -> AsyncIterator[Spoken]:
    async with speaking("anthropic") as found:
        found.model = MODEL
        yield found


@pytest.fixture
async def sdk(spoken: Spoken) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic_client(spoken.up) as client:
        yield client


def ours(completion: pb.Completion) -> dict[str, Any]:
    """What a completion says, in plain values."""
    [choice] = completion.choices
    usage, message = completion.usage, choice.message
    return {
        "id": completion.id,
        "model": completion.model,
        "tier": completion.service_tier,
        "text": "".join(part.text for part in message.content),
        "thinking": message.reasoning,
        "state": msgspec.json.decode(message.reasoning_state_json or "[]"),
        "calls": [
            (call.id, call.function.name, msgspec.json.decode(call.function.arguments_json))
            for call in message.tool_calls
        ],
        "finish": choice.finish_reason,
        "usage": {
            "uncached": usage.uncached_input_tokens,
            "cached": usage.cache_read_tokens,
            "5m": usage.cache_write_5m_tokens,
            "1h": usage.cache_write_1h_tokens,
            "output": usage.output_tokens,
            "thinking": usage.reasoning_tokens,
        },
    }


def theirs(answer: Any) -> dict[str, Any]:
    """What the SDK's message says."""
    usage, thoughts = answer.usage, [block for block in answer.content if block.type == "thinking"]
    details = usage.output_tokens_details
    return {
        "id": answer.id,
        "model": answer.model,
        "tier": usage.service_tier,
        "text": "".join(block.text for block in answer.content if block.type == "text"),
        "thinking": "".join(block.thinking for block in thoughts),
        "state": [block.to_dict() for block in thoughts],
        "calls": [
            (block.id, block.name, block.input) for block in answer.content if block.type == "tool_use"
        ],
        "finish": FINISH_REASONS[answer.stop_reason],
        "usage": {
            "uncached": usage.input_tokens,
            "cached": usage.cache_read_input_tokens,
            "5m": usage.cache_creation.ephemeral_5m_input_tokens,
            "1h": usage.cache_creation.ephemeral_1h_input_tokens,
            "output": usage.output_tokens,
            "thinking": details.thinking_tokens if details else 0,
        },
    }


def fixed(reply: Reply) -> Reply:
    """Answers alike however often it is asked."""
    known = {name: getattr(reply, name) for name in reply.__struct_fields__}
    calls = [msgspec.structs.replace(call, id=call.id or "x") for call in reply.tool_calls]
    return Reply(**(known | {"id": reply.id or "msg_x", "tool_calls": calls}))


class TestAnswers:
    @pytest.mark.parametrize("name", EXCHANGES)
    async def test_a_whole_answer(self, spoken: Spoken, sdk: Any, name: str) -> None:
        reply, fields, options = EXCHANGES[name]
        spoken.up.default = fixed(reply)
        answer = await sdk.messages.create(**(ASKED | options))
        found = ours(await spoken.whole(spoken.request("Hello", **fields)))
        assert _without_made_up_ids(found) == _without_made_up_ids(theirs(answer))
        assert spoken.up.bill[0].body == spoken.up.bill[1].body

    @pytest.mark.parametrize("name", EXCHANGES)
    async def test_a_streamed_answer(self, spoken: Spoken, sdk: Any, name: str) -> None:
        reply, fields, options = EXCHANGES[name]
        spoken.up.default = fixed(reply)
        async with sdk.messages.stream(**(ASKED | options)) as stream:
            answer = await stream.get_final_message()
        found = ours(await fold(direct(spoken.provider).stream(spoken.request("Hello", **fields), Call())))
        assert _without_made_up_ids(found) == _without_made_up_ids(theirs(answer))
        assert spoken.up.bill[0].body == spoken.up.bill[1].body

    async def test_a_count_of_tokens(self, spoken: Spoken, sdk: Any) -> None:
        counted = await sdk.messages.count_tokens(
            model=MODEL,
            messages=[HELLO],
            tools=[WEATHER],
            system=[{"type": "text", "text": "Be brief"}],
        )
        messages = [
            message_pb2.Message(
                role=message_pb2.ROLE_SYSTEM, content=[message_pb2.ContentPart(text="Be brief")]
            ),
            said(message_pb2.ContentPart(text="Hello")),
        ]
        request = spoken.request(
            messages=messages, tools=PARALLEL["tools"], temperature=0.5, user="u", stop_sequences=["x"]
        )
        assert await direct(spoken.provider).count_tokens(request, Call()) == counted.input_tokens > 0
        assert spoken.up.bill[0].body == spoken.up.bill[1].body
        assert spoken.up.bill.calls == [], "a count is no billed call"

    async def test_models_of_several_pages(self, spoken: Spoken, sdk: Any) -> None:
        spoken.up.page_size = 2  # type: ignore[attr-defined]
        listed = [model async for model in sdk.models.list()]
        assert len(listed) > 2
        found = await spoken.provider.list_models()
        assert [
            (model.id, model.create_time.seconds, model.display_name, model.context_length) for model in found
        ] == [
            (model.id, int(model.created_at.timestamp()), model.display_name, model.max_input_tokens)
            for model in listed
        ]


def _without_made_up_ids(found: dict[str, Any]) -> dict[str, Any]:
    """Ids that the upstream makes up hold the number of the request."""
    calls = [("toolu" if id.startswith("toolu_") else id, *rest) for id, *rest in found["calls"]]
    return found | {"calls": calls}


class TestRequests:
    """What we send, by the SDK's own types of requests."""

    @pytest.mark.parametrize("field", sorted({*samples.ANTHROPIC, "max_tokens", "stop_sequences"}))
    async def test_every_option_is_of_the_types_of_the_sdk(self, field: str) -> None:
        async with speaking("anthropic") as spoken:
            await spoken.whole(samples.request(field, spoken.model))
            check_types(spoken.up.bill[-1].body)

    async def test_a_conversation_with_everything_in_it_is_too(self, spoken: Spoken) -> None:
        state = (
            '[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"d"}]'
        )
        call = message_pb2.ToolCall(
            id="c1", function=message_pb2.FunctionCall(name="weather", arguments_json='{"z": 1}')
        )
        image = message_pb2.ContentPart(image=message_pb2.ImagePart(data=PNG, media_type="image/png"))
        messages = [
            message_pb2.Message(
                role=message_pb2.ROLE_SYSTEM,
                content=[message_pb2.ContentPart(text="Be brief")],
                prompt_cache=message_pb2.PROMPT_CACHE_1H,
            ),
            said(
                message_pb2.ContentPart(text="Look"),
                message_pb2.ContentPart(image=message_pb2.ImagePart(url="https://example.com/a.png")),
                message_pb2.ContentPart(image=message_pb2.ImagePart(url=PNG_URL)),
                message_pb2.ContentPart(
                    file=message_pb2.FilePart(file_data="data:application/pdf;base64,JVBERg==")
                ),
                message_pb2.ContentPart(
                    file=message_pb2.FilePart(file_data="data:text/csv;base64,YSxi", filename="a.csv")
                ),
                message_pb2.ContentPart(file=message_pb2.FilePart(file_id="file_1")),
            ),
            message_pb2.Message(
                role=message_pb2.ROLE_ASSISTANT, tool_calls=[call], reasoning_state_json=state
            ),
            message_pb2.Message(
                role=message_pb2.ROLE_TOOL,
                tool_call_id="c1",
                content=[message_pb2.ContentPart(text="sunny"), image],
                prompt_cache=message_pb2.PROMPT_CACHE_5M,
            ),
        ]
        request = spoken.request(messages=messages, reasoning_effort="REASONING_EFFORT_LOW", **PARALLEL)
        direct(spoken.provider).check_options(request)
        await spoken.whole(request)
        entry = spoken.up.bill[-1]
        assert entry.status == 200
        check_types(entry.body)

    def test_there_is_a_sample_for_every_option(self) -> None:
        assert set(samples.ANTHROPIC) <= set(SAMPLES)


def check_types(body: dict[str, Any]) -> None:
    """One value at a time: of a list in a request type pydantic looks at nothing."""
    for block in body.get("system", []):
        TypeAdapter(TextBlockParam).validate_python(block, strict=True)
    for message in body["messages"]:
        assert message["role"] in ("user", "assistant")
        for block in message["content"]:
            TypeAdapter(ContentBlockParam).validate_python(block, strict=True)
    for tool in body.get("tools", []):
        TypeAdapter(ToolParam).validate_python(tool, strict=True)
    for name, kind in (
        ("tool_choice", ToolChoiceParam),
        ("thinking", ThinkingConfigParam),
        ("output_config", OutputConfigParam),
    ):
        if name in body:
            TypeAdapter(kind).validate_python(body[name], strict=True)


class TestErrors:
    @pytest.mark.parametrize(
        "reply",
        [
            anthropic_errors.rate_limited(3),
            anthropic_errors.prompt_too_long(),
            anthropic_errors.invalid_key(),
            anthropic_errors.overloaded(),
            anthropic_errors.credit_too_low(),
            anthropic_errors.api_error(),
        ],
    )
    async def test_errors_name_the_same_type_and_message(
        self, spoken: Spoken, sdk: anthropic.AsyncAnthropic, reply: Reply
    ) -> None:
        spoken.up.default = reply
        with pytest.raises(anthropic.APIStatusError) as theirs:
            await sdk.messages.create(**ASKED)
        with pytest.raises(ProviderFailure) as found:
            await spoken.whole(spoken.request())
        body: Any = theirs.value.body
        assert found.value.metadata["provider_code"] == theirs.value.type
        assert found.value.metadata["provider_message"] == body["error"]["message"]
        assert found.value.retry_after_s == (3 if theirs.value.status_code == 429 else None)
