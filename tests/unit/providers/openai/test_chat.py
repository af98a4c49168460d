"""OpenAI's JSON as upstreams take it: what is written keeps its bytes."""

import json
from typing import Any

import msgspec
import pytest

from genai_spine.json_schema.rewrite import SchemaRules
from genai_spine.providers.openai import chat
from genai_spine.providers.openai.adapter import OPTIONS
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

USER = message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text="Hi")])


def written(**fields: Any) -> Any:
    """The JSON of a request, as its text."""
    request = pb.CreateCompletionRequest(**{"model": "m", "messages": [USER], **fields})
    body = chat.write_request(request, request.model, OPTIONS, stream=False)
    chat.write_chat(body, request, SchemaRules())
    return msgspec.json.encode(body).decode()


class TestChatRequest:
    def test_request_holds_only_what_the_caller_set(self) -> None:
        assert json.loads(written()) == {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}

    def test_zero_is_written_when_it_was_set(self) -> None:
        body = json.loads(written(temperature=0, seed=0, presence_penalty=0, logprobs=False))
        assert (body["temperature"], body["seed"], body["presence_penalty"]) == (0, 0, 0)
        assert body["logprobs"] is False

    def test_schemas_keep_their_key_order_and_their_numbers(self) -> None:
        schema = '{"z":{"maximum":12345678901234567890,"minimum":1.0},"a":"é\\u00e9","type":"object"}'
        form = pb.ResponseFormat(json_schema=pb.JsonSchema(name="x", schema_json=schema, strict=True))
        tool = message_pb2.Tool(function=message_pb2.FunctionTool(name="f", parameters_json=schema))
        body = written(response_format=form, tools=[tool])
        assert f'"schema":{schema},"strict":true' in body
        assert f'"parameters":{schema}' in body

    def test_fields_of_the_providers_own_keep_their_bytes_and_do_not_override_ours(self) -> None:
        body = written(provider_options_json='{"x":{"b": 1.0,"a":99999999999999999999},"model":"other"}')
        assert body.startswith('{"x":{"b": 1.0,"a":99999999999999999999},"model":"m"')

    @pytest.mark.parametrize(
        ("choice", "sent"),
        [
            (message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_NONE), "none"),
            (message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_REQUIRED), "required"),
            (message_pb2.ToolChoice(), "auto"),
            (message_pb2.ToolChoice(function_name="f"), {"type": "function", "function": {"name": "f"}}),
            (message_pb2.ToolChoice(custom_name="c"), {"type": "custom", "custom": {"name": "c"}}),
            (
                message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_REQUIRED, allowed_tools=["c", "f"]),
                {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "required",
                        "tools": [
                            {"type": "custom", "custom": {"name": "c"}},
                            {"type": "function", "function": {"name": "f"}},
                        ],
                    },
                },
            ),
        ],
    )
    def test_tool_choice_has_openais_forms(self, choice: message_pb2.ToolChoice, sent: Any) -> None:
        tools = [
            message_pb2.Tool(function=message_pb2.FunctionTool(name="f")),
            message_pb2.Tool(custom=message_pb2.CustomTool(name="c")),
        ]
        assert json.loads(written(tools=tools, tool_choice=choice))["tool_choice"] == sent

    @pytest.mark.parametrize(
        ("effort", "sent"), [("LOW", "low"), ("XHIGH", "xhigh"), ("NONE", "none"), ("MINIMAL", "minimal")]
    )
    def test_reasoning_effort_is_in_openais_words(self, effort: str, sent: str) -> None:
        assert json.loads(written(reasoning_effort=f"REASONING_EFFORT_{effort}"))["reasoning_effort"] == sent

    def test_messages_of_every_role(self) -> None:
        function = message_pb2.ToolCall(
            id="c1", function=message_pb2.FunctionCall(name="f", arguments_json="{bad")
        )
        custom = message_pb2.ToolCall(id="c2", custom=message_pb2.CustomCall(name="w", input="free"))
        messages = [
            message_pb2.Message(
                role=message_pb2.ROLE_DEVELOPER, content=[message_pb2.ContentPart(text="be")]
            ),
            message_pb2.Message(
                role=message_pb2.ROLE_USER,
                name="ann",
                content=[message_pb2.ContentPart(text="a"), message_pb2.ContentPart(text="b")],
            ),
            message_pb2.Message(role=message_pb2.ROLE_ASSISTANT, tool_calls=[function, custom]),
            message_pb2.Message(
                role=message_pb2.ROLE_TOOL, tool_call_id="c1", content=[message_pb2.ContentPart(text="1")]
            ),
            message_pb2.Message(role=message_pb2.ROLE_TOOL, tool_call_id="c2"),
            message_pb2.Message(role=message_pb2.ROLE_FUNCTION, name="f"),
            message_pb2.Message(
                role=message_pb2.ROLE_ASSISTANT, content=[message_pb2.ContentPart(refusal="no")]
            ),
        ]
        body = json.loads(written(messages=messages))["messages"]
        assert body[0] == {"role": "developer", "content": "be"}
        parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        assert body[1] == {"role": "user", "content": parts, "name": "ann"}
        assert body[2]["content"] is None
        assert body[2]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{bad"}
        assert body[2]["tool_calls"][1] == {
            "id": "c2",
            "type": "custom",
            "custom": {"name": "w", "input": "free"},
        }
        assert body[3] == {"role": "tool", "content": "1", "tool_call_id": "c1"}
        assert body[4] == {"role": "tool", "content": "", "tool_call_id": "c2"}
        assert body[5] == {"role": "function", "content": "", "name": "f"}
        assert body[6]["content"] == [{"type": "refusal", "refusal": "no"}]

    def test_prompt_of_tokens_and_its_logprobs(self) -> None:
        prompt = pb.TextPrompt(tokens=pb.TokenList(tokens=[1, 2]), suffix="end", best_of=3)
        request = pb.CreateCompletionRequest(model="m", prompt=prompt, logprobs=True, top_logprobs=4)
        body = chat.write_request(request, request.model, OPTIONS, stream=True)
        chat.write_prompt(body, prompt)
        assert body == {
            "model": "m",
            "prompt": [1, 2],
            "suffix": "end",
            "best_of": 3,
            "logprobs": 4,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
