"""Requests as public bug reports have them: what the vendor gets, whose simulator refuses what it refuses."""

import json
from typing import Any

import msgspec
import pytest

from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
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
    results,
)
from tests.service.public_reports import reported
from tests.service.running import Posted, Running
from tests.upstreams.reply import Reply, ToolCall, Usage
from tests.upstreams.server import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="session")
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
Vendors = dict[str, Upstream]


def body(vendors: Vendors, name: str) -> dict[str, Any]:
    found: dict[str, Any] = vendors[name].bill.calls[-1].body
    return found


def said(posted: Posted) -> dict[str, Any]:
    message: dict[str, Any] = posted.json["choices"][0]["message"]
    return message


@STREAMED
@reported("T10", "NVIDIA-NeMo/Gym#2374, tinyhumansai/openhuman#3548, HKUDS/OpenHarness#338")
async def test_signature_of_a_call_goes_out_and_back(
    serving: Running, vendors: Vendors, report: str, streamed: bool
) -> None:
    call = ToolCall("weather", OSLO, extra={"extra_content": SIGNED})
    vendors["gemini"].script(Reply(tool_calls=[call]), Reply(report))
    asked = {"model": "gemini:gemini-3-pro", "tools": [WEATHER]}
    first = await ask(serving, streamed, messages=[HI], **asked)
    assert first["tool_calls"][0]["extra_content"] == SIGNED
    second = await ask(serving, streamed, messages=[HI, first, *results(first)], **asked)
    assert second["content"] == report
    assert body(vendors, "gemini")["messages"][1]["tool_calls"][0]["extra_content"] == SIGNED


@STREAMED
@pytest.mark.parametrize("model", [CLAUDE, BEDROCK])
@reported("A4", "langgenius/dify#41092, NousResearch/hermes-agent#4626, mozilla-ai/any-llm#1312")
async def test_signed_thinking_goes_out_and_back(
    serving: Running, vendors: Vendors, report: str, model: str, streamed: bool
) -> None:
    upstream = vendors[model.partition(":")[0]]
    upstream.script(Reply(reasoning="Hm.", tool_calls=[ToolCall("weather", OSLO)]), Reply(report))
    asked = {"model": model, "tools": [WEATHER], "reasoning_effort": "low"}
    first = await ask(serving, streamed, messages=[HI], **asked)
    second = await ask(serving, streamed, messages=[HI, first, *results(first)], **asked)
    assert second["content"] == report
    assert first["reasoning_details"][0]["signature"] in json.dumps(upstream.bill.calls[-1].body)


@STREAMED
@reported("A4b", "BerriAI/litellm#38809, openai/openai-agents-python#4155")
async def test_a_signed_block_without_text_goes_back_natively(
    serving: Running, vendors: Vendors, report: str, streamed: bool
) -> None:
    block = {"type": "thinking", "thinking": "", "signature": "sig_1"}
    use = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}
    vendors["anthropic"].script(_message(block, use, streamed=streamed), Reply(report))
    user = message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text="Hi")])
    tool = message_pb2.Tool(function=message_pb2.FunctionTool(name="weather"))
    request = pb.CreateCompletionRequest(
        model=CLAUDE, messages=[user], tools=[tool], reasoning_effort=pb.REASONING_EFFORT_LOW
    )
    if streamed:
        chunks = [chunk async for chunk in serving.completions.StreamCompletion(request)]
        state = "".join(d.reasoning_state_json for chunk in chunks for d in chunk.choices)
        message = message_pb2.Message(role=message_pb2.ROLE_ASSISTANT, reasoning_state_json=state)
        message.tool_calls.add(id="toolu_1", function={"name": "weather", "arguments_json": OSLO})
    else:
        message = (await serving.completions.CreateCompletion(request)).choices[0].message
    assert msgspec.json.decode(message.reasoning_state_json)
    answer = message_pb2.Message(
        role=message_pb2.ROLE_TOOL, tool_call_id="toolu_1", content=[message_pb2.ContentPart(text="sunny")]
    )
    request.messages.extend([message, answer])
    second = await serving.completions.CreateCompletion(request)
    assert second.choices[0].message.content[0].text == report
    assert body(vendors, "anthropic")["messages"][1]["content"][0] == block


def _message(*blocks: dict[str, Any], streamed: bool) -> Reply:
    usage = {"input_tokens": 7, "output_tokens": 5}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5"}
    if not streamed:
        return Reply(body={**head, "content": list(blocks), "stop_reason": "tool_use", "usage": usage})
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**head, "content": [], "usage": usage}}
    ]
    for index, block in enumerate(blocks):
        start = {**block} | ({"signature": ""} if "signature" in block else {"input": {}})
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        delta = (
            {"type": "signature_delta", "signature": block["signature"]}
            if "signature" in block
            else {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        )
        events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": usage})
    events.append({"type": "message_stop"})
    text = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events)
    return Reply(body=text, content_type="text/event-stream")


@pytest.mark.parametrize("after", [0, 4])
@reported("A1", "anthropics/anthropic-sdk-python#1918, envoyproxy/ai-gateway#2697, Helicone/helicone#4678")
async def test_overload_in_a_stream_is_an_error(
    serving: Running, vendors: Vendors, report: str, after: int
) -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": report}}
    vendors["anthropic"].script(Reply(["one ", "two"], fault="error", after=after, body=overloaded))
    posted = await serving.chat(stream=True, model=CLAUDE)
    if after:
        assert report in posted.events[-1]["error"]["message"]
    else:
        assert posted.problem["details"]["provider_code"] == "overloaded_error"
    [row] = await serving.rows(posted.headers["x-request-id"])
    assert row.error_reason


@reported("A2", "tensorzero/tensorzero#5481, envoyproxy/ai-gateway#2239, envoyproxy/ai-gateway#2241")
async def test_totals_that_are_repeated_count_once(serving: Running, vendors: Vendors, report: str) -> None:
    usage = Usage(prompt_tokens=1000, completion_tokens=100, cached_tokens=600, cache_write_tokens=300)
    vendors["anthropic"].script(Reply(report, usage=usage))
    posted = await serving.chat(stream=True, model=CLAUDE, stream_options={"include_usage": True})
    told = posted.events[-2]["usage"]
    assert (told["prompt_tokens"], told["completion_tokens"]) == (1000, 100)
    assert told["prompt_tokens_details"]["cached_tokens"] == 600


@pytest.mark.parametrize("model", [CLAUDE, BEDROCK])
@reported("A5", "NousResearch/hermes-agent#11906, Portkey-AI/gateway#1104, bigduu/Bamboo-agent#351")
async def test_an_empty_turn_and_empty_arguments_are_taken(
    serving: Running, vendors: Vendors, report: str, model: str
) -> None:
    made = calling(("call_1", "")) | {"content": ""}
    assert await ask(
        serving, False, model=model, messages=[HI, made, *results(made, report)], tools=[WEATHER]
    )
    block = body(vendors, model.partition(":")[0])["messages"][1]["content"][0]
    assert (block.get("input") if model == CLAUDE else block["toolUse"]["input"]) == {}


@pytest.mark.parametrize("model", [CLAUDE, BEDROCK])
@reported("A7", "NVIDIA-NeMo/Switchyard#502, open-webui/open-webui#28305, can1357/oh-my-pi#2055")
async def test_an_id_of_two_rounds_is_two_ids(
    serving: Running, vendors: Vendors, report: str, model: str
) -> None:
    one, two = calling(("call_0", OSLO)), calling(("call_0", ROME))
    messages = [HI, one, *results(one, "sunny"), two, *results(two, report)]
    await ask(serving, False, model=model, messages=messages, tools=[WEATHER])
    text = json.dumps(body(vendors, model.partition(":")[0]))
    name = '"id": "' if model == CLAUDE else '"toolUseId": "'
    assert len({part.partition('"')[0] for part in text.split(name)[1:]}) == 2


@pytest.mark.parametrize("declared", ["image/jpg", "IMAGE/JPG", "image/jpg;charset=utf-8", "image/pjpeg"])
@pytest.mark.parametrize("model", [CLAUDE, BEDROCK])
@reported("A8", "NousResearch/hermes-agent#55429")
async def test_a_picture_is_called_as_the_vendor_calls_it(
    serving: Running, vendors: Vendors, report: str, model: str, declared: str
) -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:{declared};base64,/9j/4AAQSkZJRg=="}}
    content = [{"type": "text", "text": report}, image]
    assert await ask(serving, False, model=model, messages=[{"role": "user", "content": content}])
    block = body(vendors, model.partition(":")[0])["messages"][0]["content"][1]
    if model == CLAUDE:
        assert block["source"]["media_type"] == "image/jpeg"
    else:
        assert block["image"]["format"] == "jpeg"


OPENAIS = {
    "store": True,
    "metadata": {"run": "1"},
    "prompt_cache_key": "k",
    "safety_identifier": "s",
    "service_tier": "default",
    "verbosity": "low",
    "modalities": ["text"],
    "prediction": {"type": "content", "content": "x"},
}
TAKEN = {"mistral": {"prompt_cache_key", "prediction"}, "gemini": {"modalities"}}


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("model", [CLAUDE, BEDROCK, "mistral:m", "gemini:gemini-2.5-pro", "groq:g"])
@reported("A9", "anomalyco/opencode#4386, amrit110/oli#7, Aider-AI/aider#4404")
async def test_openais_own_parameters_go_to_nobody_else(
    serving: Running, vendors: Vendors, report: str, model: str, stored: bool
) -> None:
    asked = OPENAIS | {"store": stored}
    posted = await serving.chat(model=model, messages=[{"role": "user", "content": report}], **asked)
    assert said(posted)["content"]
    [row] = await serving.rows(posted.headers["x-request-id"])
    assert not stored or not {"store", "metadata"} & {warning.option for warning in row.warnings}
    sent = body(vendors, model.partition(":")[0])
    taken = TAKEN.get(model.partition(":")[0], set())
    assert not {"store", "prompt_cache_key", "verbosity", "modalities", "prediction"} & set(sent) - taken
    assert not set(OPENAIS) & set(sent.get("additionalModelRequestFields", ()))


@reported("B2", "vxcontrol/pentagi#160, vercel/ai#7537, langgenius/dify#17545, timothy-agent/timothy#282")
async def test_a_history_with_calls_needs_no_tools(serving: Running, vendors: Vendors, report: str) -> None:
    made = calling(("call_1", OSLO))
    messages = [HI, made, *results(made), {"role": "user", "content": report}]
    assert await ask(serving, False, model=BEDROCK, messages=messages)
    [tool] = body(vendors, "bedrock")["toolConfig"]["tools"]
    assert tool["toolSpec"]["name"] == "weather"


@reported("B4", "editor-code-assistant/eca#233")
async def test_ids_of_others_are_nine_letters_at_mistral(
    serving: Running, vendors: Vendors, report: str
) -> None:
    made = calling(("call_abcdef123456", OSLO), ("call_abcdef123457", ROME))
    messages = [HI, made, *results(made, report, report)]
    assert await ask(serving, False, model="mistral:m", messages=messages, tools=[WEATHER])
    sent = body(vendors, "mistral")["messages"]
    assert [call["id"] for call in sent[1]["tool_calls"]] == [each["tool_call_id"] for each in sent[2:]]


LISTS = [
    {"role": "system", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
    HI,
    calling(("call_1", OSLO)) | {"content": [{"type": "text", "text": "Let me look."}]},
    {
        "role": "tool",
        "tool_call_id": "call_1",
        "content": [{"type": "text", "text": "sun"}, {"type": "text", "text": "ny"}],
    },
]


@pytest.mark.parametrize("model", ["openai:gpt-4o", "mistral:m", "gemini:gemini-2.5-pro", CLAUDE, BEDROCK])
@reported("C1", "Neroued/ninfer#57, InsForge/InsForge#1787")
async def test_content_of_any_role_may_be_a_list(
    serving: Running, vendors: Vendors, report: str, model: str
) -> None:
    assert await ask(serving, False, model=model, messages=LISTS, tools=[WEATHER], user=report)
    text = json.dumps(body(vendors, model.partition(":")[0]))
    assert all(word in text for word in ("Be ", "brief.", "Let me look.", "sun", "ny"))


@pytest.mark.parametrize(
    ("model", "given", "sent"),
    [
        ("openai:gpt-4o", {"max_completion_tokens": 6}, {"max_completion_tokens": 6}),
        ("openai:gpt-4o", {"max_tokens": 6}, {"max_completion_tokens": 6}),
        ("openrouter:m", {"max_completion_tokens": 6}, {"max_tokens": 6}),
        ("openai:gpt-4o", {"stop": "end"}, {"stop": ["end"]}),
        ("openai:gpt-4o", {"seed": 7, "n": 2}, {"seed": 7, "n": 2}),
        ("openai:gpt-4o", {"stream_options": None}, {"stream_options": None}),
        ("openrouter:m", {"a_field_of_tomorrow": {"x": [1.5]}}, {"a_field_of_tomorrow": {"x": [1.5]}}),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
@reported("P1", "parameters")
async def test_parameters_arrive_as_they_were_meant(
    serving: Running, vendors: Vendors, report: str, model: str, given: dict[str, Any], sent: dict[str, Any]
) -> None:
    assert (await serving.chat(model=model, user=report, **given)).json["choices"]
    found = body(vendors, model.partition(":")[0])
    assert {name: found.get(name) for name in sent} == sent


@reported("P2", "values of the SDK")
async def test_values_of_the_sdk_are_taken(serving: Running, vendors: Vendors, report: str) -> None:
    url = "data:image/png;base64,iVBORw0KGgo="
    image = {"type": "image_url", "image_url": {"url": url, "detail": "original"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": report}, image]}]
    posted = await serving.chat(model="openai:gpt-6-sol", reasoning_effort="max", messages=messages)
    assert posted.json["choices"]
    sent = body(vendors, "openai")
    assert sent["reasoning_effort"] == "max"
    assert sent["messages"][0]["content"][1]["image_url"]["detail"] == "original"


@reported("H1", "5 MB tool schema")
async def test_a_tool_of_5_mb_arrives(serving: Running, vendors: Vendors, report: str) -> None:
    properties = {f"p{number}": {"type": "string", "description": "x" * 1000} for number in range(5000)}
    tool = {
        "type": "function",
        "function": {"name": "big", "parameters": {"type": "object", "properties": properties}},
    }
    assert said(await serving.chat(model="openai:gpt-4o", tools=[tool], user=report))
    [sent] = body(vendors, "openai")["tools"]
    assert sent["function"]["parameters"]["properties"] == properties


RECURSIVE = {
    "type": "object",
    "properties": {"node": {"$ref": "#/$defs/node"}},
    "required": ["node"],
    "additionalProperties": False,
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            "required": ["next"],
            "additionalProperties": False,
        }
    },
}
SCRIPTS = {
    "type": "object",
    "properties": {
        "名前": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "größe": {"$ref": "#/$defs/zahl"},
    },
    "required": ["名前", "größe"],
    "additionalProperties": False,
    "$defs": {"zahl": {"type": ["integer", "null"]}},
}


@pytest.mark.parametrize("model", ["openai:gpt-4o", CLAUDE, BEDROCK])
@reported("J2", "datalab-to/marker#984, anthropics/anthropic-sdk-csharp#205, pydantic/pydantic-ai#1598")
async def test_schemas_with_references_null_and_other_scripts(
    serving: Running, vendors: Vendors, report: str, model: str
) -> None:
    vendors[model.partition(":")[0]].script(Reply('{"名前": null, "größe": 3}'))
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCRIPTS, "strict": True}}
    posted = await serving.chat(model=model, response_format=form, user=report)
    assert json.loads(said(posted)["content"]) == {"名前": None, "größe": 3}


@pytest.mark.parametrize("model", ["openai:gpt-4o", CLAUDE, BEDROCK])
@reported("J2", "datalab-to/marker#984, pydantic/pydantic-ai#1598")
async def test_recursion_works_or_is_refused_by_name(
    serving: Running, vendors: Vendors, report: str, model: str
) -> None:
    vendors[model.partition(":")[0]].script(Reply('{"node": {"next": null}}'))
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": RECURSIVE, "strict": True}}
    posted = await serving.chat(model=model, response_format=form, user=report)
    if posted.error is None:
        assert json.loads(said(posted)["content"]) == {"node": {"next": None}}
    else:
        assert posted.problem["status"] == 400
        assert "leads back to itself" in posted.problem["message"]
