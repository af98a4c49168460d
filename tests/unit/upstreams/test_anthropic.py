"""The simulator of Anthropic against the official client: what it takes, refuses and counts."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import anthropic
import pytest
from anthropic.types import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsBase

from tests.upstreams import anthropic_rules
from tests.upstreams.anthropic import AnthropicUpstream
from tests.upstreams.clients import ECHO, HELLO, anthropic_client
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply, ToolCall, Usage
from tests.upstreams.samples import count_tokens

MODEL = "claude-haiku-4-5-20251001"
GOOD: Any = {"model": MODEL, "messages": HELLO, "max_tokens": 2000}
HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
TOOL: Any = {"name": "weather", "input_schema": {"type": "object"}}
CALL: Any = {"type": "tool_use", "id": "a", "name": "weather", "input": {}}
RESULT: Any = {"type": "tool_result", "tool_use_id": "a", "content": "sunny"}
MARK: Any = {"cache_control": {"type": "ephemeral"}}


def user(*blocks: Any) -> Any:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> Any:
    return {"role": "assistant", "content": list(blocks)}


def text(said: str, **fields: Any) -> Any:
    return {"type": "text", "text": said, **fields}


@pytest.fixture
async def up() -> AsyncIterator[AnthropicUpstream]:
    async with AnthropicUpstream() as upstream:
        yield upstream


@pytest.fixture
async def sdk(up: AnthropicUpstream) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic_client(up) as client:
        yield client


async def posted(up: AnthropicUpstream, body: Any, path: str = "/v1/messages", **headers: str) -> Any:
    async with (
        aiohttp.ClientSession(headers=HEADERS | headers) as session,
        session.post(up.url + path, json=body) as response,
    ):
        return response.status, json.loads(await response.read())


def test_fields_are_those_of_the_sdk_and_the_sampling_of_earlier_versions() -> None:
    headers = {"user_profile_id", "workspace_id"}
    assert set(anthropic_rules.MESSAGE) == (
        set(MessageCreateParamsBase.__annotations__) - headers | {"stream", *anthropic_rules.SAMPLING}
    )
    assert set(anthropic_rules.COUNTED) == set(MessageCountTokensParams.__annotations__) - headers


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater"),
        ({"messages": None}, "messages: Field required"),
        ({"messages": []}, "at least one message is required"),
        ({"store": True}, "store: Extra inputs are not permitted"),
        ({"temperature": 1.1}, "temperature: range: 0..1"),
        ({"temperature": "hot"}, "temperature: Input should be a valid number"),
        ({"stream": 1}, "stream: Input should be a valid boolean"),
        ({"metadata": {"z": 1}}, "metadata: Extra inputs"),
        ({"stop_sequences": [" "]}, "stop_sequences: each stop sequence must contain non-whitespace"),
        ({"messages": [assistant(text("Hi"))]}, 'first message must use the "user" role'),
        ({"messages": [user(text("a")), user(text("b"))]}, "roles must alternate"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": ""}]}, "must have non-empty content"),
        ({"messages": [user(text(" "))]}, "text content blocks must contain non-whitespace"),
        ({"messages": [user(text("a", more=1))]}, "messages.0.content.0.text.more: Extra inputs"),
        ({"messages": [user(CALL)]}, "Input tag 'tool_use'"),
        ({"messages": [user(RESULT)]}, "unexpected `tool_use_id`"),
        ({"messages": [user(text("a")), assistant(CALL), user(text("b"))]}, "without `tool_result` blocks"),
        ({"messages": [user(text("a")), assistant(CALL)]}, "without `tool_result` blocks"),
        ({"messages": [user(text("a")), assistant(CALL), user(text("b"), RESULT)]}, "immediately after"),
        ({"messages": [user(text("a")), assistant(CALL | {"id": "a b"}), user(RESULT)]}, "match pattern"),
        (
            {"messages": [user(text("a")), assistant(CALL | {"input": "{}"}), user(RESULT)]},
            "valid dictionary",
        ),
        ({"messages": [user({"type": "image", "source": {"type": "url"}})]}, "source.url: Field required"),
        (
            {
                "messages": [
                    user(
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/tiff", "data": "AAAA"},
                        }
                    )
                ]
            },
            "media_type: Input should be image/jpeg",
        ),
        ({"messages": [user(*(text("a", **MARK) for _ in range(5)))]}, "A maximum of 4 blocks"),
        (
            {
                "messages": [
                    user(text("a", **MARK), text("b", cache_control={"type": "ephemeral", "ttl": "1h"}))
                ]
            },
            "ttl='1h' cache_control block must not come after",
        ),
        ({"tool_choice": {"type": "any"}}, "only be specified while providing tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, "Tool 'x' not found"),
        ({"tools": [TOOL, TOOL]}, "Tool names must be unique"),
        ({"tools": [TOOL | {"parameters": {}}]}, "tools.0.custom.parameters: Extra inputs"),
        ({"tools": [TOOL | {"input_schema": {}}]}, "input_schema.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1023}}, "greater than or equal to 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "`max_tokens` must be greater than"),
        ({"thinking": {"type": "adaptive"}}, "adaptive thinking is not supported"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}, "temperature": 0},
            "`temperature` may only",
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "top_k": 5}, "`top_k` must be unset"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "top_p": 0.5}, "`top_p` must be greater"),
        (
            {
                "thinking": {"type": "enabled", "budget_tokens": 1024},
                "tools": [TOOL],
                "tool_choice": {"type": "any"},
            },
            "Thinking may not be enabled when tool_choice forces",
        ),
        ({"model": "claude-opus-4-7", "temperature": 0.5}, "`temperature` is deprecated"),
        (
            {"model": "claude-opus-4-7", "thinking": {"type": "enabled", "budget_tokens": 1024}},
            '"thinking.type.enabled" is not supported',
        ),
        ({"output_config": {"effort": "low"}}, "does not support the effort"),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            "'additionalProperties' must be explicitly set to false",
        ),
        (
            {
                "output_config": {
                    "format": {"type": "json_schema", "schema": {"type": "integer", "minimum": 1}}
                }
            },
            "property 'minimum' is not supported",
        ),
        (
            {
                "model": "claude-sonnet-4-20250514",
                "output_config": {"format": {"type": "json_schema", "schema": {"type": "integer"}}},
            },
            "does not support output format",
        ),
    ],
)
async def test_what_anthropic_refuses(up: AnthropicUpstream, fields: Any, problem: str) -> None:
    body = {name: value for name, value in (GOOD | fields).items() if value is not None}
    status, answer = await posted(up, body)
    assert (status, answer["type"]) == (400, "error")
    assert answer["error"]["type"] == "invalid_request_error"
    assert problem in answer["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "kind", "status"),
    [
        ({"x-api-key": ""}, "authentication_error", 401),
        ({"x-api-key": "other"}, "authentication_error", 401),
        ({"anthropic-version": "2024-01-01"}, "invalid_request_error", 400),
    ],
)
async def test_headers_are_checked(headers: Any, kind: str, status: int) -> None:
    async with AnthropicUpstream(api_key="k") as up:
        found, answer = await posted(up, GOOD, **headers)
        assert (found, answer["error"]["type"]) == (status, kind)
        assert (await posted(up, GOOD))[0] == 200


async def test_a_file_id_needs_its_beta_header(up: AnthropicUpstream) -> None:
    document = {"type": "document", "source": {"type": "file", "file_id": "f"}}
    body = GOOD | {"messages": [user(document)]}
    assert (await posted(up, body))[0] == 400
    assert (await posted(up, body, **{"anthropic-beta": "files-api-2025-04-14"}))[0] == 200


async def test_a_lenient_one_takes_what_the_strict_one_refuses() -> None:
    async with AnthropicUpstream(strict=False) as up:
        assert (await posted(up, GOOD | {"store": True}))[0] == 200


async def test_a_count_takes_no_limit_and_is_no_billed_call(up: AnthropicUpstream) -> None:
    path = "/v1/messages/count_tokens"
    body = {"model": MODEL, "messages": HELLO, "system": "Be brief"}
    expected = count_tokens("Hello") + count_tokens("Be brief")
    assert await posted(up, body, path) == (200, {"input_tokens": expected})
    assert (await posted(up, GOOD, path))[0] == 400
    assert up.bill.calls == []


@pytest.mark.parametrize("stream", [False, True])
async def test_the_official_client_reads_what_was_scripted(
    up: AnthropicUpstream, sdk: Any, stream: bool
) -> None:
    up.script(
        Reply(
            ["Hé", "llo"],
            reasoning="hm",
            tool_calls=[ToolCall("weather", '{"city": "Ulm"}', id="a"), ToolCall("now", id="b")],
            usage=Usage(prompt_tokens=100, completion_tokens=50, cached_tokens=60, cache_write_tokens=10),
        )
    )
    if stream:
        async with sdk.messages.stream(**GOOD) as arriving:
            answer = await arriving.get_final_message()
    else:
        answer = await sdk.messages.create(**GOOD)
    thought, said, weather, now = answer.content
    assert (thought.thinking, said.text) == ("hm", "Héllo")
    assert (weather.id, weather.input, now.input) == ("a", {"city": "Ulm"}, {})
    assert answer.stop_reason == "tool_use"
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (30, 60, 50)
    assert usage.cache_creation.ephemeral_5m_input_tokens == usage.cache_creation_input_tokens == 10
    [entry] = up.bill.calls
    assert (entry.prompt_tokens, entry.completion_tokens, entry.finished) == (100, 50, True)


async def test_without_a_script_it_echoes_and_stops_where_it_is_told(up: AnthropicUpstream, sdk: Any) -> None:
    assert (await sdk.messages.create(**GOOD)).content[0].text == ECHO
    stopped = await sdk.messages.create(**GOOD, stop_sequences=["said"])
    assert (stopped.content[0].text, stopped.stop_reason) == ("You ", "stop_sequence")
    short = await sdk.messages.create(**(GOOD | {"max_tokens": 2}))
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 2)


async def test_a_stop_sequence_that_was_met_is_named(up: AnthropicUpstream, sdk: Any) -> None:
    up.script(Reply("one two"))
    answer = await sdk.messages.create(**GOOD, stop_sequences=["two"])
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "two")


async def test_as_a_process_it_keeps_a_bill() -> None:
    with UpstreamProcess("anthropic", "--chunks", "3") as process:
        request = aiohttp.ClientSession(headers=HEADERS)
        async with request as session, session.post(f"{process.url}/v1/messages", json=GOOD) as response:
            answer = await response.json()
        assert answer["content"][0]["text"] == " tok tok tok"
        assert [entry.path for entry in process.bill()] == ["/v1/messages"]
