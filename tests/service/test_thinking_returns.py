"""Thinking of earlier answers that comes back, through the whole server: whole and streamed, by OpenAI's path
and natively, to vendors that refuse what their real ones refuse (tests/upstreams/vendor_rules.py).
"""

import json
from typing import Any

import msgspec
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from genai_spine.v1 import session_service_pb2 as sessions
from tests.service.chats import Chat, begun
from tests.service.conversations import (
    BEDROCK,
    CLAUDE,
    HI,
    OSLO,
    ROME,
    SIGNED,
    WEATHER,
    ask,
    calling,
    last_messages,
    results,
)
from tests.service.running import Running, failure
from tests.upstreams.reply import Reply, ToolCall
from tests.upstreams.server import Upstream
from tests.upstreams.vendor_rules import SKIP

pytestmark = pytest.mark.asyncio(loop_scope="session")
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class TestGeminiSignatures:
    @STREAMED
    async def test_signature_of_a_call_goes_out_and_back(
        self, serving: Running, vendors: dict[str, Upstream], stream: bool
    ) -> None:
        call = ToolCall("weather", OSLO, extra={"extra_content": SIGNED})
        vendors["gemini"].script(Reply(tool_calls=[call, ToolCall("weather", ROME)]), Reply("Sunny."))
        asked = {"model": "gemini:gemini-3-pro", "tools": [WEATHER]}
        first = await ask(serving, stream, messages=[HI], **asked)
        assert [call.get("extra_content") for call in first["tool_calls"]] == [SIGNED, None]
        second = await ask(serving, stream, messages=[HI, first, *results(first)], **asked)
        assert second["content"] == "Sunny."
        [_, said, *_] = last_messages(vendors["gemini"])
        assert [call.get("extra_content") for call in said["tool_calls"]] == [SIGNED, None]

    @STREAMED
    async def test_signature_of_a_text_goes_out_and_back(
        self, serving: Running, vendors: dict[str, Upstream], stream: bool
    ) -> None:
        vendors["gemini"].script(Reply("Hi", message_extra={"extra_content": SIGNED}), Reply("Yes."))
        first = await ask(serving, stream, messages=[HI], model="gemini:gemini-3-pro")
        assert first["extra_content"] == SIGNED
        assert "reasoning_details" not in first
        await ask(serving, stream, messages=[HI, first, HI], model="gemini:gemini-3-pro")
        assert last_messages(vendors["gemini"])[1] == {
            "role": "assistant",
            "content": "Hi",
            "extra_content": SIGNED,
        }

    async def test_natively_it_is_the_calls_state(
        self, serving: Running, vendors: dict[str, Upstream]
    ) -> None:
        call = ToolCall("weather", OSLO, extra={"extra_content": SIGNED})
        vendors["gemini"].script(Reply(tool_calls=[call]), Reply(tool_calls=[call]), Reply("Sunny."))
        user = message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text="Hi")])
        tool = message_pb2.Tool(function=message_pb2.FunctionTool(name="weather"))
        asked = pb.CreateCompletionRequest(model="gemini:gemini-3-pro", messages=[user], tools=[tool])
        whole = await serving.completions.CreateCompletion(asked)
        message = whole.choices[0].message
        assert msgspec.json.decode(message.tool_calls[0].provider_state_json) == SIGNED
        chunks = [chunk async for chunk in serving.completions.StreamCompletion(asked)]
        [state] = [
            piece.provider_state_json
            for chunk in chunks
            for delta in chunk.choices
            for piece in delta.tool_calls
            if piece.HasField("provider_state_json")
        ]
        assert state == message.tool_calls[0].provider_state_json
        answer = message_pb2.Message(
            role=message_pb2.ROLE_TOOL,
            tool_call_id=message.tool_calls[0].id,
            content=[message_pb2.ContentPart(text="sunny")],
        )
        asked.messages.extend([message, answer])
        assert (await serving.completions.CreateCompletion(asked)).choices[0].message.content[0].text

    @pytest.mark.parametrize("other", ["openai:gpt-4o", "mistral:m", "groq:g", "deepseek:d", CLAUDE, BEDROCK])
    async def test_other_providers_never_see_it(
        self, serving: Running, vendors: dict[str, Upstream], other: str
    ) -> None:
        said = calling(("call_1", OSLO), extra_content=SIGNED)
        said["tool_calls"][0]["extra_content"] = SIGNED
        await ask(serving, False, model=other, messages=[HI, said, *results(said)], tools=[WEATHER])
        body = json.dumps(vendors[other.partition(":")[0]].bill.calls[-1].body)
        assert "extra_content" not in body
        assert "sig_A" not in body

    async def test_calls_of_another_provider_go_to_gemini_3_as_what_they_are(
        self, serving: Running, vendors: dict[str, Upstream]
    ) -> None:
        said = calling(("call_1", OSLO), ("call_2", ROME))
        await ask(serving, False, model="gemini:gemini-3-pro", messages=[HI, said, *results(said)])
        calls = last_messages(vendors["gemini"])[1]["tool_calls"]
        assert [call.get("extra_content") for call in calls] == [
            {"google": {"thought_signature": SKIP}},
            None,
        ]


class TestSignedThinking:
    @STREAMED
    @pytest.mark.parametrize("model", [CLAUDE, BEDROCK])
    async def test_it_goes_out_as_reasoning_details_and_back_as_it_was(
        self, serving: Running, vendors: dict[str, Upstream], model: str, stream: bool
    ) -> None:
        upstream = vendors[model.partition(":")[0]]
        upstream.script(Reply(reasoning="Hm.", tool_calls=[ToolCall("weather", OSLO)]), Reply("Sunny."))
        asked = {"model": model, "tools": [WEATHER], "reasoning_effort": "low"}
        first = await ask(serving, stream, messages=[HI], **asked)
        [detail] = first["reasoning_details"]
        assert (detail["type"], detail["text"]) == ("reasoning.text", "Hm.")
        assert detail["signature"]
        second = await ask(serving, stream, messages=[HI, first, *results(first)], **asked)
        assert second["content"] == "Sunny."
        body = upstream.bill.calls[-1].body
        signed = {"thinking": "Hm.", "signature": detail["signature"], "type": "thinking"}
        in_bedrock = {
            "reasoningContent": {"reasoningText": {"text": "Hm.", "signature": detail["signature"]}}
        }
        thinking = body.get("thinking") or body["additionalModelRequestFields"]["thinking"]
        assert body["messages"][1]["content"][0] == (signed if model == CLAUDE else in_bedrock)
        assert thinking["type"] == "enabled"

    @pytest.mark.parametrize("model", [CLAUDE, BEDROCK])
    async def test_it_comes_back_as_thinking_blocks_as_well(
        self, serving: Running, vendors: dict[str, Upstream], model: str
    ) -> None:
        upstream = vendors[model.partition(":")[0]]
        upstream.script(Reply(reasoning="Hm.", tool_calls=[ToolCall("weather", OSLO)]), Reply("Sunny."))
        asked = {"model": model, "tools": [WEATHER], "reasoning_effort": "low"}
        first = await ask(serving, False, messages=[HI], **asked)
        [detail] = first.pop("reasoning_details")
        first["thinking_blocks"] = [
            {"type": "thinking", "thinking": detail["text"], "signature": detail["signature"]}
        ]
        await ask(serving, False, messages=[HI, first, *results(first)], **asked)
        assert detail["signature"] in json.dumps(upstream.bill.calls[-1].body)

    @pytest.mark.parametrize("model", [CLAUDE, BEDROCK])
    @pytest.mark.parametrize("own", [False, True], ids=["effort", "own field"])
    async def test_thinking_is_left_out_where_the_calls_were_made_without(
        self, serving: Running, vendors: dict[str, Upstream], model: str, own: bool
    ) -> None:
        if own and model == BEDROCK:
            how: dict[str, Any] = {"reasoning_effort": "high"}
        else:
            how = (
                {"thinking": {"type": "enabled", "budget_tokens": 2000}}
                if own
                else {"reasoning_effort": "low"}
            )
        said = calling(("call_1", OSLO))
        messages = [HI, said, *results(said)]
        await ask(serving, False, model=model, messages=messages, tools=[WEATHER], max_tokens=9000, **how)
        body = vendors[model.partition(":")[0]].bill.calls[-1].body
        assert "thinking" not in body
        assert "thinking" not in body.get("additionalModelRequestFields", {})
        # A new question is a new turn, which may think again.
        await ask(
            serving,
            False,
            model=model,
            messages=[*messages, {"role": "assistant", "content": "Sunny."}, HI],
            tools=[WEATHER],
            max_tokens=9000,
            **how,
        )
        body = vendors[model.partition(":")[0]].bill.calls[-1].body
        assert (body.get("thinking") or body["additionalModelRequestFields"]["thinking"])["type"] == "enabled"

    async def test_redacted_thinking_goes_back_too(
        self, serving: Running, vendors: dict[str, Upstream]
    ) -> None:
        details = [
            {"type": "reasoning.text", "text": "Hm.", "signature": "s", "format": "anthropic-claude-v1"},
            {"type": "reasoning.encrypted", "data": "b64==", "format": "anthropic-claude-v1"},
        ]
        said = calling(("toolu_1", OSLO), reasoning_details=details)
        await ask(serving, False, model=CLAUDE, messages=[HI, said, *results(said)], reasoning_effort="low")
        assert last_messages(vendors["anthropic"])[1]["content"][:2] == [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "redacted_thinking", "data": "b64=="},
        ]

    async def test_it_comes_back_among_the_parts_of_the_content_as_well(
        self, serving: Running, vendors: dict[str, Upstream]
    ) -> None:
        parts = [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "redacted_thinking", "data": "b64=="},
            {"type": "text", "text": "Let me look."},
        ]
        said = calling(("toolu_1", OSLO)) | {"content": parts}
        await ask(serving, False, model=CLAUDE, messages=[HI, said, *results(said)], reasoning_effort="low")
        assert last_messages(vendors["anthropic"])[1]["content"][:3] == parts

    @STREAMED
    async def test_the_official_sdk_keeps_it(
        self, serving: Running, vendors: dict[str, Upstream], stream: bool
    ) -> None:
        call = ToolCall("weather", OSLO, extra={"extra_content": SIGNED})
        vendors["gemini"].script(Reply(reasoning="Hm.", tool_calls=[call]))
        posted = await serving.chat(
            stream=stream, model="gemini:gemini-3-pro", messages=[HI], tools=[WEATHER], n=1
        )
        if stream:
            state: ChatCompletionStreamState[Any] = ChatCompletionStreamState()
            for event in posted.events[:-1]:
                state.handle_chunk(ChatCompletionChunk.model_validate(event))
            message: Any = state.current_completion_snapshot.choices[0].message
        else:
            message = ChatCompletion.model_validate(posted.json).choices[0].message
        [made] = message.to_dict()["tool_calls"]
        assert made["extra_content"] == SIGNED
        assert message.to_dict()["reasoning_content"] == "Hm."


class TestReasoningContent:
    @STREAMED
    @pytest.mark.parametrize(
        ("provider", "model"), [("deepseek", "deepseek-v4-pro"), ("moonshot", "kimi-k2-thinking")]
    )
    async def test_it_goes_back_with_calls_of_tools(
        self, serving: Running, vendors: dict[str, Upstream], provider: str, model: str, stream: bool
    ) -> None:
        vendors[provider].script(
            Reply(reasoning="Hm.", tool_calls=[ToolCall("weather", OSLO)]), Reply("Sunny.")
        )
        asked = {"model": f"{provider}:{model}", "tools": [WEATHER]}
        first = await ask(serving, stream, messages=[HI], **asked)
        assert first["reasoning_content"] == "Hm."
        second = await ask(serving, stream, messages=[HI, first, *results(first)], **asked)
        assert second["content"] == "Sunny."
        assert last_messages(vendors[provider])[1]["reasoning_content"] == "Hm."

    @pytest.mark.parametrize(("provider", "model"), [("deepseek", "d"), ("moonshot", "kimi-k2.5")])
    async def test_calls_of_another_provider_have_an_empty_one(
        self, serving: Running, vendors: dict[str, Upstream], provider: str, model: str
    ) -> None:
        said = calling(("call_1", OSLO))
        model = f"{provider}:deepseek-chat" if provider == "deepseek" else f"{provider}:{model}"
        await ask(serving, False, model=model, messages=[HI, said, *results(said)])
        assert last_messages(vendors[provider])[1]["reasoning_content"] == ""

    async def test_deepseek_does_not_get_it_for_answers_without_calls(
        self, serving: Running, vendors: dict[str, Upstream]
    ) -> None:
        said = {"role": "assistant", "content": "Hello", "reasoning": "Hm."}
        await ask(serving, False, model="deepseek:deepseek-reasoner", messages=[HI, said, HI])
        assert "reasoning_content" not in last_messages(vendors["deepseek"])[1]

    @pytest.mark.parametrize("other", ["openai:gpt-4o", "mistral:m", "groq:g", "gemini:gemini-3-pro"])
    async def test_others_never_see_it(
        self, serving: Running, vendors: dict[str, Upstream], other: str
    ) -> None:
        said = calling(
            ("call_1", OSLO), reasoning_content="Hm.", reasoning_details=[{"type": "reasoning.text"}]
        )
        await ask(serving, False, model=other, messages=[HI, said, *results(said)])
        assert "reasoning" not in json.dumps(last_messages(vendors[other.partition(":")[0]]))

    @STREAMED
    async def test_openrouters_details_go_back_as_they_came(
        self, serving: Running, vendors: dict[str, Upstream], stream: bool
    ) -> None:
        details = [
            {"type": "reasoning.summary", "summary": "Hm.", "format": "openai-responses-v1", "index": 0},
            {"type": "reasoning.encrypted", "data": "e==", "id": "rs_1", "index": 1, "format": "x"},
        ]
        upstream = vendors["openrouter"]
        call = ToolCall("weather", OSLO)
        upstream.script(
            Reply(
                reasoning="Hm.",
                reasoning_field="reasoning",
                tool_calls=[call],
                message_extra={"reasoning_details": details},
            ),
            Reply("Sunny."),
        )
        asked = {"model": "openrouter:openai/gpt-5.5", "tools": [WEATHER]}
        first = await ask(serving, stream, messages=[HI], **asked)
        assert first["reasoning_details"] == details
        await ask(serving, stream, messages=[HI, first, *results(first)], **asked)
        assert last_messages(upstream)[1]["reasoning_details"] == details

    @STREAMED
    async def test_encrypted_items_of_the_responses_api_go_back(
        self, serving: Running, vendors: dict[str, Upstream], stream: bool
    ) -> None:
        vendors["openai"].script(
            Reply(reasoning="Hm.", tool_calls=[ToolCall("weather", OSLO)]), Reply("Sunny.")
        )
        asked = {"model": "openai:o3-pro", "tools": [WEATHER]}
        first = await ask(serving, stream, messages=[HI], **asked)
        assert {detail["type"] for detail in first["reasoning_details"]} >= {"reasoning.encrypted"}
        second = await ask(serving, stream, messages=[HI, first, *results(first)], **asked)
        assert second["content"] == "Sunny."
        items = vendors["openai"].bill.calls[-1].body["input"]
        [reasoning] = [item for item in items if item.get("type") == "reasoning"]
        [encrypted] = [d for d in first["reasoning_details"] if d["type"] == "reasoning.encrypted"]
        assert (reasoning["id"], reasoning["encrypted_content"]) == (encrypted["id"], encrypted["data"])


class TestSessions:
    @pytest.mark.parametrize("way", ["send", "stream", "branch", "import"])
    async def test_a_stored_answer_goes_back_with_its_state(
        self, serving: Running, vendors: dict[str, Upstream], way: str
    ) -> None:
        vendors["gemini"].script(Reply("Hi", message_extra={"extra_content": SIGNED}), Reply("Yes."))
        chat = await begun(serving, model="gemini:gemini-3-pro")
        if way == "stream":
            _ = [event async for event in chat.stub.StreamMessage(chat.said("Hello"))]
        else:
            await chat.send("Hello")
        question, answer = await chat.messages()
        assert not question.HasField("reasoning_state_json")
        assert msgspec.json.decode(answer.reasoning_state_json) == [{"extra_content": SIGNED}]
        if way == "branch":
            request = sessions.BranchSessionRequest(session_id=chat.id, message_id=answer.id)
            chat = Chat(serving, await chat.stub.BranchSession(request))
        elif way == "import":
            exported = await chat.stub.ExportSession(sessions.ExportSessionRequest(session_id=chat.id))
            request = sessions.ImportSessionRequest(session_json=exported.text)
            chat = Chat(serving, await chat.stub.ImportSession(request))
        await chat.send("And?")
        assert last_messages(vendors["gemini"])[1]["extra_content"] == SIGNED

    async def test_a_state_that_is_none_is_refused_at_import(self, serving: Running) -> None:
        chat = await begun(serving, model="gemini:gemini-3-pro")
        await chat.send("Hello")
        exported = await chat.stub.ExportSession(sessions.ExportSessionRequest(session_id=chat.id))
        entries = msgspec.json.decode(exported.text)
        entries["messages"][1]["message"]["reasoning_state_json"] = "{}"
        request = sessions.ImportSessionRequest(session_json=msgspec.json.encode(entries).decode())
        found = await failure(chat.stub.ImportSession(request))
        assert found.fields == ["messages[1].message.reasoning_state_json"]
