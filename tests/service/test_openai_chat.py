"""POST /v1/chat/completions without a stream: nothing that either side says gets lost on the way."""

from typing import Any

import pytest

from tests.service.running import Running, asked
from tests.upstreams.reply import Content, Reply, ToolCall, Usage

pytestmark = pytest.mark.asyncio(loop_scope="session")

HI = [{"role": "user", "content": "Hi, json"}]
# Keys in no order, a number that no double holds, 1.0 beside 1, escapes of both kinds.
SCHEMA = '{"z":{"maximum":12345678901234567890,"minimum":1.0},"type":"object","a":"\\u00e9é"}'
WRITE = {"type": "custom", "custom": {"name": "write", "description": "d", "format": {"type": "text"}}}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": HI, **fields}


def body_with(fields: str) -> bytes:
    """For an endpoint that takes any field; the simulator may refuse them, but keeps what it got."""
    return f'{{{fields},"model":"vllm:any","messages":[{{"role":"user","content":"Hi"}}]}}'.encode()


class TestAnswers:
    async def test_an_answer_has_openais_shape_and_types(self, service: Running) -> None:
        service.openai.script(Reply("four", created=7, usage=Usage(prompt_tokens=9, completion_tokens=4)))
        posted = await service.chat()
        assert posted.content_type == "application/json"
        answer = posted.json
        request_id, execution_id = answer.pop("request_id"), answer.pop("execution_id")
        assert answer.pop("id") == "chatcmpl-" + execution_id.replace("-", "")[-24:]
        usage = answer.pop("usage")
        assert answer == {
            "object": "chat.completion",
            "created": 7,
            "model": "gpt-4o",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "four", "refusal": None, "annotations": []},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "system_fingerprint": "fp_5d2f9c0a1b",
            "service_tier": "default",
            "provider": "openai",
        }
        assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (9, 4, 13)
        assert all(
            isinstance(usage[name], dict) for name in ("prompt_tokens_details", "completion_tokens_details")
        )
        assert usage["cost_usd"] == (9 * 2.5 + 4 * 10) / 1e6
        assert posted.headers["x-genai-cost-usd"] == "0.0000625000"
        assert posted.headers["x-genai-execution-id"] == execution_id
        assert posted.headers["x-request-id"] == request_id

    async def test_what_is_not_there_is_null(self, service: Running) -> None:
        service.openai.script(Reply("a", system_fingerprint=None, service_tier=None))
        answer = (await service.chat()).json
        assert answer["system_fingerprint"] is None
        assert answer["service_tier"] is None
        assert answer["choices"][0]["logprobs"] is None

    async def test_tool_calls_have_null_content_and_arguments_as_text(self, service: Running) -> None:
        calls = [
            ToolCall("weather", '{"n": 12345678901234567890}', id="a"),
            ToolCall("w", "free", id="b", kind="custom"),
        ]
        service.openai.script(Reply(tool_calls=calls))
        [choice] = (await service.chat(tools=[WEATHER])).json["choices"]
        assert choice["message"]["content"] is None
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["tool_calls"] == [
            {
                "id": "a",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"n": 12345678901234567890}'},
            },
            {"id": "b", "type": "custom", "custom": {"name": "w", "input": "free"}},
        ]

    async def test_functions_of_the_old_style_are_answered_in_the_old_style(self, service: Running) -> None:
        service.openai.script(Reply(tool_calls=[ToolCall("weather", '{"a":1}', id="a")]))
        posted = await service.chat(functions=[WEATHER["function"]], function_call={"name": "weather"})
        [choice] = posted.json["choices"]
        assert choice["message"]["function_call"] == {"name": "weather", "arguments": '{"a":1}'}
        assert "tool_calls" not in choice["message"]
        assert choice["finish_reason"] == "function_call"
        body = service.openai.bill[0].body
        assert body["tools"] == [WEATHER]
        assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}

    async def test_reasoning_refusal_annotations_and_logprobs_are_passed_on(self, service: Running) -> None:
        notes = [{"type": "url_citation", "n": 12345678901234567890}]
        service.openai.script(
            Reply("a", reasoning="hm", message_extra={"annotations": notes}), Reply(refusal="no")
        )
        posted = await service.chat(logprobs=True, top_logprobs=1)
        assert b"12345678901234567890" in posted.data
        [choice] = posted.json["choices"]
        assert (choice["message"]["reasoning_content"], choice["message"]["annotations"]) == ("hm", notes)
        assert choice["logprobs"]["content"][0]["bytes"] == [97]
        assert choice["logprobs"]["refusal"] is None
        [choice] = (await service.chat()).json["choices"]
        assert (choice["message"]["content"], choice["message"]["refusal"]) == (None, "no")

    async def test_n_answers_are_numbered_and_paid_together(self, service: Running) -> None:
        service.openai.script(Reply(choices=[Content("a"), Content("b"), Content("c")]))
        answer = (await service.chat(n=3)).json
        assert [(choice["index"], choice["message"]["content"]) for choice in answer["choices"]] == [
            (0, "a"),
            (1, "b"),
            (2, "c"),
        ]
        assert answer["usage"]["completion_tokens"] == service.openai.bill[0].completion_tokens


# A field as clients send it, and as it must stand in the upstream's bill; None: left out there.
FIELDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"max_tokens": 5}, {"max_completion_tokens": 5}),
    ({"max_completion_tokens": 6, "max_tokens": None}, {"max_completion_tokens": 6}),
    ({"stop": "end"}, {"stop": ["end"]}),
    ({"stop": ["a", "b"]}, {"stop": ["a", "b"]}),
    ({"stop": None}, {"stop": None}),
    ({"seed": -(2**63)}, {"seed": -(2**63)}),
    ({"logit_bias": {"50256": -100, "7": 5}}, {"logit_bias": {"50256": -100, "7": 5}}),
    ({"temperature": None, "top_p": None}, {"temperature": None, "top_p": None}),
    ({"temperature": 0, "top_p": 1}, {"temperature": 0, "top_p": 1}),
    ({"presence_penalty": -2, "frequency_penalty": 2}, {"presence_penalty": -2, "frequency_penalty": 2}),
    ({"user": "ann"}, {"user": "ann"}),
    ({"model": "gpt-5.4", "reasoning_effort": "xhigh"}, {"reasoning_effort": "xhigh"}),
    ({"model": "gpt-6-sol", "reasoning_effort": "max"}, {"reasoning_effort": "max"}),
    ({"parallel_tool_calls": False, "tools": [WEATHER]}, {"parallel_tool_calls": False}),
    ({"tools": [WEATHER], "tool_choice": "required"}, {"tool_choice": "required"}),
    ({"tools": [WEATHER], "tool_choice": "none"}, {"tool_choice": "none"}),
    (
        {"tools": [WEATHER], "tool_choice": WEATHER | {"function": {"name": "weather"}}},
        {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
    ),
    (
        {
            "tools": [WEATHER],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "auto",
                    "tools": [{"type": "function", "function": {"name": "weather"}}],
                },
            },
        },
        {
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "auto",
                    "tools": [{"type": "function", "function": {"name": "weather"}}],
                },
            }
        },
    ),
    (
        {"tools": [WRITE], "tool_choice": {"type": "custom", "custom": {"name": "write"}}},
        {"tools": [WRITE], "tool_choice": {"type": "custom", "custom": {"name": "write"}}},
    ),
    ({"response_format": {"type": "text"}}, {"response_format": {"type": "text"}}),
    ({"response_format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
    # Fields that the contract does not know go through as they are.
    (
        {"safety_identifier": "s", "prompt_cache_key": "k"},
        {"safety_identifier": "s", "prompt_cache_key": "k"},
    ),
    (
        {"model": "gpt-5.4", "prompt_cache_retention": "24h", "verbosity": "low"},
        {"prompt_cache_retention": "24h", "verbosity": "low"},
    ),
    ({"modalities": ["text"], "service_tier": "flex"}, {"modalities": ["text"], "service_tier": "flex"}),
    ({"audio": {"voice": "a", "format": "wav"}}, {"audio": {"voice": "a", "format": "wav"}}),
    # What is stored, this service stores; metadata of nothing stored is the provider's own.
    ({"store": True, "metadata": {"b": "1", "a": "2"}}, {"store": False, "metadata": None}),
    ({"store": False, "metadata": {"b": 1}}, {"store": False, "metadata": {"b": 1}}),
    ({"metadata": {"b": {"c": 1}}}, {"store": None, "metadata": {"b": {"c": 1}}}),
    (
        {"prediction": {"type": "content", "content": "x"}},
        {"prediction": {"type": "content", "content": "x"}},
    ),
    ({"web_search_options": {}, "moderation": {"x": 1}}, {"web_search_options": {}, "moderation": {"x": 1}}),
]


class TestFields:
    @pytest.mark.parametrize(("given", "sent"), FIELDS, ids=lambda value: ",".join(value))
    async def test_every_parameter_reaches_the_provider(
        self, service: Running, given: dict[str, Any], sent: dict[str, Any]
    ) -> None:
        assert (await service.chat(messages=HI, **given)).json["choices"]
        body = service.openai.bill[0].body
        assert {name: body.get(name) for name in sent} == sent
        assert service.openai.bill[0].status == 200

    @pytest.mark.parametrize(
        "text",
        [
            '{"type":"json_schema","json_schema":{"name":"x","schema":' + SCHEMA + ',"strict":false}}',
            '{"type":"json_schema","json_schema":{"description":"d","schema":' + SCHEMA + ',"name":"x"}}',
        ],
    )
    async def test_a_schema_keeps_its_bytes(self, service: Running, text: str) -> None:
        await service.post("/v1/chat/completions", body_with(f'"response_format":{text}'))
        assert SCHEMA in service.openai.bill[0].raw

    async def test_parameters_of_tools_keep_their_bytes(self, service: Running) -> None:
        tools = '"tools":[{"type":"function","function":{"name":"f","parameters":' + SCHEMA + "}}]"
        await service.post("/v1/chat/completions", body_with(tools))
        assert SCHEMA in service.openai.bill[0].raw

    async def test_unknown_fields_are_forwarded_byte_by_byte(self, service: Running) -> None:
        own = f'"chat_template_kwargs":{SCHEMA},"min_p":0.10'
        await service.post("/v1/chat/completions", body_with(own))
        assert service.openai.bill[0].raw.startswith("{" + own + ",")

    async def test_ollama_gets_its_own_fields_too(self, service: Running) -> None:
        await service.chat(
            model="llama3.2:latest", keep_alive="5m", options={"num_ctx": 4096}, temperature=0.5
        )
        body = service.ollama.bill[0].body
        assert (body["keep_alive"], body["options"]) == ("5m", {"num_ctx": 4096, "temperature": 0.5})

    async def test_the_provider_may_be_named_apart(self, service: Running) -> None:
        assert (await service.chat(provider="ollama", model="gpt-oss:20b")).json["provider"] == "ollama"
        assert "provider" not in service.ollama.bill[0].body

    async def test_what_a_provider_cannot_do_is_refused_by_openais_name(self, service: Running) -> None:
        posted = await service.chat(model="llama3.2:latest", logit_bias={"7": 1}, n=2)
        assert (posted.problem["status"], posted.problem["param"]) == (400, "logit_bias")
        assert "ollama does not support" in posted.problem["message"]

    async def test_headers_of_sdks_do_no_harm(self, service: Running) -> None:
        posted = await service.post(
            "/v1/chat/completions",
            chat(),
            authorization="Bearer x",
            openai_organization="o",
            x_stainless_retry_count="1",
            idempotency_key="k",
        )
        assert posted.json["choices"]
        assert service.openai.bill[0].headers["authorization"] == "Bearer sk-test-1", (
            "our key, not the caller's"
        )


class TestMessages:
    async def test_content_may_be_a_text_parts_null_or_missing(self, service: Running) -> None:
        call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        messages = [
            {"role": "developer", "content": "be"},
            {"role": "system", "content": [{"type": "text", "text": "brief"}]},
            {
                "role": "user",
                "name": "ann",
                "content": [
                    {"type": "text", "text": "Look"},
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"},
                    },
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                    {
                        "type": "file",
                        "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a"},
                    },
                ],
            },
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "sunny"}]},
            {"role": "assistant", "tool_calls": [call | {"id": "c2"}]},
            {"role": "tool", "tool_call_id": "c2", "content": ""},
            {"role": "assistant", "content": "ok", "refusal": None, "annotations": [], "audio": None},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
            {"role": "assistant", "content": None, "refusal": "no"},
            {"role": "user", "content": "And?"},
        ]
        assert (await service.chat(messages=messages)).json["choices"]
        sent = service.openai.bill[0].body["messages"]
        assert [message["role"] for message in sent] == [message["role"] for message in messages]
        assert sent[1]["content"] == "brief"
        assert sent[2] == messages[2]
        assert sent[3] == messages[3]
        assert sent[4]["content"] == "sunny"
        assert sent[5]["tool_calls"] == [call | {"id": "c2"}]
        assert sent[7] == {"role": "assistant", "content": "ok"}
        assert sent[8] == sent[9] == messages[8]

    async def test_a_conversation_with_functions_of_the_old_style_goes_on(self, service: Running) -> None:
        messages = [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}},
            {"role": "function", "name": "weather", "content": "sunny"},
        ]
        answer = (await service.chat(messages=messages, functions=[WEATHER["function"]])).json
        assert answer["choices"][0]["message"]["content"] == "You said: Weather?"
        call, result = service.openai.bill[0].body["messages"][1:]
        assert result["role"] == "tool"
        assert result["tool_call_id"] == call["tool_calls"][0]["id"]
        assert call["tool_calls"][0]["function"] == {"name": "weather", "arguments": "{}"}

    async def test_a_function_message_alone_stays_what_it_is(self, service: Running) -> None:
        messages = [*HI, {"role": "function", "name": "weather", "content": "sunny"}]
        await service.chat(messages=messages)
        assert service.openai.bill[0].body["messages"][1] == messages[1]

    async def test_custom_calls_go_back_as_such(self, service: Running) -> None:
        call = {"id": "c", "type": "custom", "custom": {"name": "write", "input": "free"}}
        messages = [
            *HI,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "done"},
        ]
        await service.chat(messages=messages)
        assert service.openai.bill[0].body["messages"][1]["tool_calls"] == [call]


async def test_the_facade_and_the_typed_rpc_ask_the_upstream_for_the_same(service: Running) -> None:
    await service.chat(messages=HI, temperature=0.5, n=2, stop=["x"], seed=3)
    request = asked("Hi, json", temperature=0.5, choice_count=2, stop_sequences=["x"], seed=3)
    await service.completions.CreateCompletion(request)
    first, second = service.openai.bill
    assert first.raw == second.raw
