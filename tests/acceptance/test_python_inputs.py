"""What people write for the Python client: dicts in OpenAI's shape, and its own types, through real Envoy."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from genai_spine_client import (
    ContentPart,
    FunctionTool,
    JsonSchema,
    Message,
    ResponseFormat,
    ResponseFormatKind,
    Role,
    Spine,
    Tool,
    ToolChoice,
    ToolChoiceMode,
)

from tests.acceptance.stack import Stack
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply, ToolCall

MODEL = "gpt-4o"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
FORM = {"type": "json_schema", "json_schema": {"name": "city", "schema": PARAMETERS}}
CITY = JsonSchema(name="city", schema_json=json.dumps(PARAMETERS))


@pytest.fixture
async def spine(stack: Stack) -> AsyncIterator[Spine]:
    async with Spine(port=stack.port, timeout_s=10) as client:
        yield client


@pytest.mark.parametrize(
    "tool",
    [
        WEATHER,
        WEATHER["function"],
        FunctionTool(name="weather", parameters_json=json.dumps(PARAMETERS)),
        Tool(function=FunctionTool(name="weather", parameters_json=json.dumps(PARAMETERS))),
    ],
)
async def test_a_tool_is_called_and_answered(
    spine: Spine, openai_upstream: UpstreamProcess, tool: Any
) -> None:
    openai_upstream.script(Reply(tool_calls=[ToolCall("weather", '{"city":"Oslo"}')]))
    said: list[Any] = [{"role": "user", "content": "Weather in Oslo?"}]
    asked = await spine.complete(said, MODEL, tools=[tool], tool_choice="required")
    [call] = asked.tool_calls
    said += [
        {
            "role": "assistant",
            "tool_calls": [{"id": call.id, "function": {"name": "weather", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "Rain."},
    ]
    await spine.complete(said, MODEL, tools=[tool])
    first, second = openai_upstream.bill()
    sent = first.body["tools"][0]["function"]
    assert (sent["name"], sent["parameters"], first.body["tool_choice"]) == (
        "weather",
        PARAMETERS,
        "required",
    )
    assert second.body["messages"][2]["tool_call_id"] == call.id


@pytest.mark.parametrize(
    "form", [FORM, ResponseFormat(json_schema=JsonSchema("city", json.dumps(PARAMETERS)))]
)
async def test_an_answer_has_the_form_that_is_asked_for(
    spine: Spine, openai_upstream: UpstreamProcess, form: Any
) -> None:
    openai_upstream.script(Reply('{"city": "Oslo"}'))
    answer = await spine.complete("Capital of Norway?", MODEL, response_format=form)
    assert json.loads(answer.content) == {"city": "Oslo"}
    [entry] = openai_upstream.bill()
    assert entry.body["response_format"]["json_schema"]["name"] == "city"


@pytest.mark.parametrize("form", ["json_object", {"type": "json_object"}, ResponseFormatKind.JSON_OBJECT])
async def test_any_json_is_a_form_too(spine: Spine, openai_upstream: UpstreamProcess, form: Any) -> None:
    openai_upstream.script(Reply("{}"))
    given = ResponseFormat(kind=form) if isinstance(form, ResponseFormatKind) else form
    await spine.complete("JSON, please.", MODEL, response_format=given)
    [entry] = openai_upstream.bill()
    assert entry.body["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize(
    ("messages", "fields", "problem"),
    [
        (
            [{"role": "bot", "content": "x"}],
            {},
            r"messages\[0\]\.role is 'bot', which is none of system",
        ),
        ([{"content": "x"}], {}, r"messages\[0\]\.role is missing"),
        ([{"role": "user", "content": [{"type": "video"}]}], {}, r"messages\[0\]\.content\[0\] is no part"),
        ([{"role": "assistant", "tool_calls": [{"id": "1"}]}], {}, r"messages\[0\]\.tool_calls\[0\] has no"),
        ("x", {"tools": [{"type": "web_search"}]}, r"tools\[0\] is no function with a name"),
        ("x", {"tool_choice": "always"}, "tool_choice is 'always', which is none of none, auto, required"),
        (
            "x",
            {"response_format": "yaml"},
            "response_format has type 'yaml', which is none of text",
        ),
        ("x", {"response_format": {"type": "xml"}}, "response_format has type 'xml'"),
    ],
)
async def test_what_is_wrong_is_said_before_anything_is_sent(
    spine: Spine, openai_upstream: UpstreamProcess, messages: Any, fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        await spine.complete(messages, MODEL, **fields)
    assert openai_upstream.bill() == []


async def test_roles_and_choices_are_also_types(spine: Spine, openai_upstream: UpstreamProcess) -> None:
    messages = [
        Message(role=Role.SYSTEM, content=[ContentPart(text="Be brief.")]),
        {"role": "ASSISTANT", "content": "Hi."},
        {"role": Role.USER, "content": "x"},
    ]
    named = {"type": "function", "function": {"name": "weather"}}
    choice = ToolChoice(mode=ToolChoiceMode.NONE)
    await spine.complete(messages, MODEL, tools=[WEATHER], tool_choice=choice)
    await spine.complete("x", MODEL, tools=[WEATHER], tool_choice=named)
    first, second = openai_upstream.bill()
    assert first.body["tool_choice"] == "none"
    assert [turn["role"] for turn in first.body["messages"]] == ["system", "assistant", "user"]
    assert second.body["tool_choice"]["function"] == {"name": "weather"}
