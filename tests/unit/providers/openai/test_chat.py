"""OpenAI's JSON as upstreams speak it: what is written keeps its bytes, what is read is normalised once."""

import json
from typing import Any

import msgspec
import pytest

from genai_spine.chunks import ChunkBuilder
from genai_spine.json_schema.rewrite import SchemaRules
from genai_spine.providers.openai import chat
from genai_spine.providers.openai.adapter import OPTIONS
from genai_spine.providers.openai.chat import Answer, TextAnswer, add_choice
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, usage_pb2

USER = message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text="Hi")])


def written(**fields: Any) -> Any:
    """The JSON of a request, as its text."""
    request = pb.CreateCompletionRequest(**{"model": "m", "messages": [USER], **fields})
    body = chat.write_request(request, request.model, OPTIONS, stream=False)
    chat.write_chat(body, request, SchemaRules())
    return msgspec.json.encode(body).decode()


def read(body: str, kind: Any = Answer) -> pb.CompletionChunk:
    builder = ChunkBuilder()
    for choice in msgspec.json.decode(body, type=kind).choices:
        add_choice(builder, choice)
    return builder.build()


def usage(**fields: Any) -> usage_pb2.Usage:
    return chat.usage(msgspec.convert(fields, chat.Usage))


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


class TestChatAnswer:
    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            ("stop", "STOP"),
            ("eos", "STOP"),
            ("something new", "STOP"),
            ("length", "LENGTH"),
            ("max_tokens", "LENGTH"),
            ("tool_calls", "TOOL_CALLS"),
            ("function_call", "TOOL_CALLS"),
            ("content_filter", "CONTENT_FILTER"),
            ("SAFETY", "CONTENT_FILTER"),
        ],
    )
    def test_finish_reasons_each_become_one_of_ours(self, said: str, reason: str) -> None:
        chunk = read(json.dumps({"choices": [{"delta": {}, "finish_reason": said}]}))
        assert pb.FinishReason.Name(chunk.choices[0].finish_reason) == f"FINISH_REASON_{reason}"

    def test_answer_may_leave_out_or_add_fields(self) -> None:
        body = (
            '{"id":null,"created":1.5,"model":null,"new":1,"choices":[{"delta":{"content":null},"new":{}}]}'
        )
        assert read(body).choices[0].content == ""
        assert msgspec.json.decode('{"choices": [{}]}', type=Answer).choices[0].delta is None

    @pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
    def test_thinking_is_read_under_both_of_its_names(self, field: str) -> None:
        chunk = read(json.dumps({"choices": [{"delta": {field: "hm"}}]}))
        assert chunk.choices[0].reasoning == "hm"

    def test_calls_of_a_whole_message_are_numbered(self) -> None:
        calls = [{"id": i, "type": "function", "function": {"name": i, "arguments": "{}"}} for i in "ab"]
        chunk = read(json.dumps({"choices": [{"message": {"tool_calls": calls}}]}))
        assert [(call.index, call.id) for call in chunk.choices[0].tool_calls] == [(0, "a"), (1, "b")]

    def test_call_in_the_style_before_tools_is_a_call(self) -> None:
        body = {"choices": [{"message": {"function_call": {"name": "f", "arguments": "{}"}}}]}
        [call] = read(json.dumps(body)).choices[0].tool_calls
        assert (call.index, call.name, call.arguments) == (0, "f", "{}")

    def test_annotations_are_kept_as_they_came(self) -> None:
        note = '[{"url":"x","n":12345678901234567890}]'
        chunk = read('{"choices":[{"message":{"content":"a","annotations":' + note + "}}]}")
        assert chunk.choices[0].annotations_json == note
        assert (
            not read('{"choices":[{"message":{"annotations":[]}}]}').choices[0].HasField("annotations_json")
        )

    def test_logprobs_of_both_apis(self) -> None:
        token = {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [{"token": "e", "logprob": -9}],
        }
        chunk = read(json.dumps({"choices": [{"delta": {}, "logprobs": {"content": [token]}}]}))
        [found] = chunk.choices[0].logprobs.content
        assert (found.token, found.logprob, found.token_bytes) == ("é", -0.5, b"\xc3\xa9")
        assert [(top.token, top.logprob, top.HasField("token_bytes")) for top in found.top_logprobs] == [
            ("e", -9.0, False)
        ]
        old = {"tokens": ["a", "b"], "token_logprobs": [None, -1.0], "top_logprobs": [None, {"b": -1.0}]}
        chunk = read(json.dumps({"choices": [{"text": "ab", "logprobs": old}]}), TextAnswer)
        assert [(entry.token, entry.logprob) for entry in chunk.choices[0].logprobs.content] == [
            ("a", 0.0),
            ("b", -1.0),
        ]
        assert chunk.choices[0].logprobs.content[1].top_logprobs[0].token == "b"

    @pytest.mark.parametrize(
        "choice", [{"index": -1}, {"index": 10**12}, {"delta": {"tool_calls": [{"index": -1}]}}, {"delta": 3}]
    )
    def test_answer_that_the_contract_cannot_hold_is_unreadable(self, choice: Any) -> None:
        with pytest.raises(msgspec.ValidationError):
            read(json.dumps({"choices": [choice]}))


class TestChatUsage:
    def test_buckets_are_disjoint_and_add_up(self) -> None:
        found = usage(
            prompt_tokens=100,
            completion_tokens=50,
            total_tokens=150,
            prompt_tokens_details={
                "cached_tokens": 40,
                "audio_tokens": 10,
                "cache_write_tokens": 5,
                "image_tokens": 3,
            },
            completion_tokens_details={
                "reasoning_tokens": 20,
                "audio_tokens": 4,
                "accepted_prediction_tokens": 2,
                "rejected_prediction_tokens": 1,
            },
        )
        assert (found.input_tokens, found.output_tokens, found.total_tokens) == (100, 50, 150)
        assert (found.uncached_input_tokens, found.cache_read_tokens, found.cache_write_5m_tokens) == (
            42,
            40,
            5,
        )
        assert (found.audio_input_tokens, found.image_input_tokens) == (10, 3)
        assert (found.visible_output_tokens, found.reasoning_tokens, found.audio_output_tokens) == (26, 20, 4)
        assert (found.accepted_prediction_tokens, found.rejected_prediction_tokens) == (2, 1)

    def test_deepseek_names_its_cached_tokens_itself(self) -> None:
        found = usage(prompt_tokens=10, completion_tokens=1, prompt_cache_hit_tokens=6)
        assert (found.uncached_input_tokens, found.cache_read_tokens) == (4, 6)

    def test_xai_leaves_reasoning_out_of_its_completion_tokens(self) -> None:
        details = {"reasoning_tokens": 30}
        apart = usage(
            prompt_tokens=10, completion_tokens=5, total_tokens=45, completion_tokens_details=details
        )
        assert (apart.output_tokens, apart.visible_output_tokens, apart.reasoning_tokens) == (35, 5, 30)
        within = usage(
            prompt_tokens=10, completion_tokens=35, total_tokens=45, completion_tokens_details=details
        )
        assert within == apart

    def test_details_that_exceed_the_total_still_add_up(self) -> None:
        found = usage(prompt_tokens=5, completion_tokens=2, prompt_tokens_details={"cached_tokens": 9})
        assert (found.input_tokens, found.uncached_input_tokens, found.cache_read_tokens) == (9, 0, 9)

    @pytest.mark.parametrize("garbage", [-1, 2**31, 2**40, None])
    def test_count_that_is_none_counts_nothing(self, garbage: int | None) -> None:
        found = usage(prompt_tokens=garbage, completion_tokens=garbage, prompt_tokens_details=None)
        assert found.total_tokens == 0


@pytest.mark.parametrize(
    ("said", "seconds"), [(1763683200, 1763683200), (1.9, 1), (None, 0), (-5, 0), (1e300, 0), (2**32, 0)]
)
def test_time_that_the_contract_cannot_hold_is_not_known(said: Any, seconds: int) -> None:
    assert chat.seconds(said) == seconds
