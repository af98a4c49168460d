"""Histories of any kind, through the whole server, to vendors that refuse what their real ones refuse
(tests/upstreams/vendor_rules.py): ids of calls, results in any order, marks for caching.
"""

import json
from typing import Any

import pytest

from tests.service.conversations import (
    BEDROCK,
    CLAUDE,
    CLOCK,
    HI,
    OSLO,
    ROME,
    WEATHER,
    ask,
    calling,
    last_messages,
    results,
)
from tests.service.running import Running
from tests.upstreams.server import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="session")
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class TestCallIds:
    @STREAMED
    @pytest.mark.parametrize(
        "model", [CLAUDE, BEDROCK, "openai:gpt-4o", "mistral:m", "gemini:gemini-3-pro", "openai:o3-pro"]
    )
    async def test_an_id_used_in_two_rounds_is_two_ids(
        self, serving: Running, vendors: dict[str, Upstream], model: str, stream: bool
    ) -> None:
        rounds = [calling(("call_0", OSLO)), calling(("call_0", ROME), ("call_1", OSLO))]
        messages = [
            HI,
            rounds[0],
            *results(rounds[0], "sunny"),
            rounds[1],
            *results(rounds[1], "wet", "cold"),
        ]
        await ask(serving, stream, model=model, messages=messages, tools=[WEATHER])
        body = vendors[model.partition(":")[0]].bill.calls[-1].body
        pairs = _pairs(body)
        assert [text for _, text in pairs] == ["sunny", "wet", "cold"]
        assert len({call_id for call_id, _ in pairs}) == 3

    @pytest.mark.parametrize(
        "call_id", ["call_abcdef123456", "", "x", "functions.weather:0", "toolu_" + "y" * 90, "abcDEF123"]
    )
    @pytest.mark.parametrize("model", ["mistral:m", CLAUDE, BEDROCK, "openai:gpt-4o"])
    async def test_ids_of_other_providers_are_what_this_one_takes(
        self, serving: Running, vendors: dict[str, Upstream], model: str, call_id: str
    ) -> None:
        said = calling((call_id, OSLO))
        await ask(serving, False, model=model, messages=[HI, said, *results(said)], tools=[WEATHER])
        body = vendors[model.partition(":")[0]].bill.calls[-1].body
        [(sent, text)] = _pairs(body)
        assert text == "sunny"
        assert 0 < len(sent) <= 64
        if call_id == "abcDEF123":
            assert sent == call_id


def _pairs(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Id and text of each result, once each is known to answer a call of that id."""
    calls, found = [], []
    for message in body.get("messages") or body["input"]:
        for call in message.get("tool_calls") or []:
            calls.append(call["id"])
        if message.get("role") == "tool":
            found.append((message["tool_call_id"], message["content"]))
        if message.get("type") == "function_call":
            calls.append(message["call_id"])
        if message.get("type") == "function_call_output":
            found.append((message["call_id"], message["output"]))
        for block in message["content"] if isinstance(message.get("content"), list) else []:
            if block.get("type") == "tool_use" or "toolUse" in block:
                calls.append(block.get("id") or block["toolUse"]["toolUseId"])
            if block.get("type") == "tool_result":
                found.append((block["tool_use_id"], block["content"][0]["text"]))
            if "toolResult" in block:
                found.append((block["toolResult"]["toolUseId"], block["toolResult"]["content"][0]["text"]))
    assert [call_id for call_id, _ in found] == calls
    return found


MODELS = pytest.mark.parametrize(
    "model",
    [
        CLAUDE,
        BEDROCK,
        "openai:gpt-4o",
        "mistral:m",
        "gemini:gemini-3-pro",
        "moonshot:kimi-k2.5",
        "openai:o3-pro",
    ],
)


class TestHistories:
    @MODELS
    async def test_calls_without_tools_in_the_request(
        self, serving: Running, vendors: dict[str, Upstream], model: str
    ) -> None:
        said = calling(("call_1", OSLO))
        answer = await ask(
            serving,
            False,
            model=model,
            messages=[HI, said, *results(said), {"role": "user", "content": "Sum up."}],
        )
        assert answer["content"]
        body = vendors[model.partition(":")[0]].bill.calls[-1].body
        if model == CLAUDE:
            assert [tool["name"] for tool in body["tools"]] == ["weather"]
            assert body["tool_choice"] == {"type": "none"}
        elif model == BEDROCK:
            assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["weather"]

    @MODELS
    @pytest.mark.parametrize(
        "case", ["no call", "no result", "out of order", "late", "in two messages", "before its call", "last"]
    )
    async def test_results_stand_behind_their_calls(
        self, serving: Running, vendors: dict[str, Upstream], model: str, case: str
    ) -> None:
        said = calling(("a", OSLO), ("b", ROME))
        one, two = results(said, "sunny", "wet")
        bye = {"role": "user", "content": "And?"}
        messages = {
            "no call": [one, HI],
            "no result": [HI, said, one, bye],
            "out of order": [HI, said, two, one],
            "late": [HI, said, one, {"role": "assistant", "content": "Wait."}, bye, two],
            "in two messages": [HI, said, one, one | {"content": "still"}, two],
            "before its call": [HI, one, said, two],
            "last": [HI, said],
        }[case]
        assert (await ask(serving, False, model=model, messages=messages, tools=[WEATHER]))[
            "role"
        ] == "assistant"
        body = json.dumps(vendors[model.partition(":")[0]].bill.calls[-1].body)
        for message in messages:
            if message["role"] == "tool":
                assert message["content"] in body

    @MODELS
    @pytest.mark.parametrize(
        "messages",
        [
            [HI, {"role": "assistant", "content": ""}, HI],
            [HI, {"role": "assistant", "content": None}, {"role": "user", "content": "  \n"}, HI],
            [HI, HI, {"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}, HI],
            [{"role": "assistant", "content": "Welcome"}, HI],
            [HI, {"role": "system", "content": "Be brief"}, HI],
            [HI, {"role": "user", "content": [{"type": "text", "text": " "}, {"type": "text", "text": "x"}]}],
        ],
        ids=["empty", "null and blank", "twice", "begins with an answer", "system within", "blank part"],
    )
    async def test_conversations_of_any_order(
        self, serving: Running, model: str, messages: list[dict[str, Any]]
    ) -> None:
        assert (await ask(serving, False, model=model, messages=messages))["content"]

    @MODELS
    async def test_a_tool_may_answer_with_an_image(
        self, serving: Running, vendors: dict[str, Upstream], model: str
    ) -> None:
        said = calling(("a", OSLO), ("b", ROME))
        one, two = results(said)
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
        one["content"] = [{"type": "text", "text": "a map"}, picture]
        await ask(serving, False, model=model, messages=[HI, said, one, two], tools=[WEATHER])
        assert PNG in json.dumps(vendors[model.partition(":")[0]].bill.calls[-1].body)


PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


MARK = {"type": "ephemeral"}
LONG_MARK = {"type": "ephemeral", "ttl": "1h"}


class TestCacheControl:
    def messages(self) -> list[dict[str, Any]]:
        text = {"type": "text", "text": "Rules.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
        question = {"type": "text", "text": "Oslo?", "cache_control": MARK}
        return [
            {"role": "system", "content": [text]},
            {"role": "user", "content": [question, {"type": "text", "text": "Now."}]},
        ]

    async def test_anthropic_gets_the_marks_where_they_stood(
        self, serving: Running, vendors: dict[str, Upstream]
    ) -> None:
        tools = [WEATHER, CLOCK | {"cache_control": {"type": "ephemeral", "ttl": "1h"}}]
        await ask(serving, False, model=CLAUDE, messages=self.messages(), tools=tools)
        body = vendors["anthropic"].bill.calls[-1].body
        assert [tool.get("cache_control") for tool in body["tools"]] == [
            None,
            {"type": "ephemeral", "ttl": "1h"},
        ]
        assert body["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
        marks = [block.get("cache_control") for block in body["messages"][0]["content"]]
        assert marks == [{"type": "ephemeral", "ttl": "5m"}, None]

    async def test_bedrock_gets_points_behind_what_was_marked(
        self, serving: Running, vendors: dict[str, Upstream]
    ) -> None:
        tools = [WEATHER, CLOCK | {"cache_control": MARK}]
        await ask(serving, False, model=BEDROCK, messages=self.messages(), tools=tools)
        body = vendors["bedrock"].bill.calls[-1].body
        assert [list(tool) for tool in body["toolConfig"]["tools"]] == [
            ["toolSpec"],
            ["toolSpec"],
            ["cachePoint"],
        ]
        assert [list(block) for block in body["system"]] == [["text"], ["cachePoint"]]
        assert [list(block) for block in body["messages"][0]["content"]] == [
            ["text"],
            ["cachePoint"],
            ["text"],
        ]

    async def test_openrouter_gets_arrays_with_the_marks(
        self, serving: Running, vendors: dict[str, Upstream]
    ) -> None:
        await ask(
            serving,
            False,
            model="openrouter:anthropic/claude-sonnet-5",
            messages=self.messages(),
            tools=[WEATHER],
        )
        system, user = last_messages(vendors["openrouter"])
        long = {"type": "ephemeral", "ttl": "1h"}
        assert system["content"] == [{"type": "text", "text": "Rules.", "cache_control": long}]
        assert user["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "5m"}

    @pytest.mark.parametrize("other", ["openai:gpt-4o", "mistral:m", "gemini:gemini-3-pro", "groq:g"])
    async def test_others_never_see_them(
        self, serving: Running, vendors: dict[str, Upstream], other: str
    ) -> None:
        await ask(serving, False, model=other, messages=self.messages(), tools=[WEATHER])
        assert "cache" not in json.dumps(vendors[other.partition(":")[0]].bill.calls[-1].body)

    @pytest.mark.parametrize("model", [CLAUDE, BEDROCK])
    async def test_of_more_than_four_marks_the_last_four_count(
        self, serving: Running, vendors: dict[str, Upstream], model: str
    ) -> None:
        part = {"type": "text", "text": "x", "cache_control": MARK}
        tools = [WEATHER | {"cache_control": MARK}]
        messages = [
            *self.messages(),
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": [part] * 5},
        ]
        await ask(serving, False, model=model, messages=messages, tools=tools)
        body = vendors[model.partition(":")[0]].bill.calls[-1].body
        word = "cache_control" if model == CLAUDE else "cachePoint"
        assert json.dumps(body).count(word) == json.dumps(body["messages"][-1]).count(word) == 4

    async def test_openais_own_breakpoints_reach_openai(
        self, serving: Running, vendors: dict[str, Upstream]
    ) -> None:
        breakpoint = {"mode": "explicit", "ttl": "12h"}
        part = {"type": "text", "text": "Rules.", "prompt_cache_breakpoint": breakpoint}
        await ask(serving, False, model="openai:gpt-4o", messages=[{"role": "user", "content": [part]}])
        assert last_messages(vendors["openai"])[0]["content"] == [part]
