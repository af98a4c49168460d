"""Our Bedrock adapter and boto3, given the same exchange, ask the same and find the same in the answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from genai_spine.call import Call
from genai_spine.chunks import ChunkBuilder, fold
from genai_spine.errors import SpineError
from genai_spine.json_schema.rewrite import portable
from genai_spine.providers.base import Endpoint
from genai_spine.providers.bedrock.adapter import Bedrock
from genai_spine.providers.bedrock.aws import EventStream
from genai_spine.providers.bedrock.request import SCHEMA as RULES
from genai_spine.providers.bedrock.response import EVENT, STOP_REASONS, ConverseReader
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from tests.contract.bedrock_options import PARAMETERS
from tests.contract.options import FUNCTION, PNG, SCHEMA
from tests.contract.spoken import TIMEOUTS
from tests.upstreams import aws_wire
from tests.upstreams.bedrock import CLAUDE, NOVA, TITAN, BedrockUpstream, throttled
from tests.upstreams.reply import Reply, ToolCall, Usage

pytestmark = pytest.mark.usefixtures("aws_credentials")

TEXT = ["Hé", "llo", " 🙂", "日本", " <&> \n"]
CALLS = [
    ToolCall("weather", ['{"city"', ':"Ulm"}'], id="a"),
    ToolCall("weather", '{"n":12345678901234567890}'),
    ToolCall("weather"),
]
USAGE = Usage(prompt_tokens=900, completion_tokens=80, cached_tokens=512, cache_write_tokens=100)
HELLO: Any = [{"role": "user", "content": [{"text": "Hello"}]}]
CONFIG: Any = {
    "tools": [
        {"toolSpec": {"name": "weather", "description": "says it", "inputSchema": {"json": PARAMETERS}}}
    ]
}
SCHEMA_FORMAT: Any = {
    "textFormat": {
        "type": "json_schema",
        "structure": {"jsonSchema": {"name": "person", "schema": portable(SCHEMA, RULES)}},
    }
}


def said(role: "message_pb2.Role", *parts: message_pb2.ContentPart, **fields: Any) -> message_pb2.Message:
    return message_pb2.Message(role=role, content=parts, **fields)


def text(words: str) -> message_pb2.ContentPart:
    return message_pb2.ContentPart(text=words)


ASK = said(message_pb2.ROLE_USER, text("Hello"))
CALL = message_pb2.ToolCall(
    id="c1", function=message_pb2.FunctionCall(name="weather", arguments='{"city":"Ulm"}')
)
CONVERSATION = [
    said(message_pb2.ROLE_SYSTEM, text("Be brief"), prompt_cache=message_pb2.PROMPT_CACHE_1H),
    said(
        message_pb2.ROLE_USER,
        text("Weather?"),
        message_pb2.ContentPart(image=message_pb2.ImagePart(data=PNG, media_type="image/png")),
        message_pb2.ContentPart(
            file=message_pb2.FilePart(file_data="data:text/plain;base64,aGk=", filename="my_notes.v2.txt")
        ),
    ),
    said(message_pb2.ROLE_ASSISTANT, text("Let me see"), tool_calls=[CALL]),
    said(message_pb2.ROLE_TOOL, text("sunny"), tool_call_id="c1"),
    said(message_pb2.ROLE_USER, text("And now?"), prompt_cache=message_pb2.PROMPT_CACHE_5M),
]
CONVERSATION_SENT: Any = {
    "system": [{"text": "Be brief"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"text": "Weather?"},
                {"image": {"format": "png", "source": {"bytes": PNG}}},
                {"document": {"format": "txt", "name": "my notes v2", "source": {"bytes": b"hi"}}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"text": "Let me see"},
                {"toolUse": {"toolUseId": "c1", "name": "weather", "input": {"city": "Ulm"}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "c1", "content": [{"text": "sunny"}]}},
                {"text": "And now?"},
                {"cachePoint": {"type": "default"}},
            ],
        },
    ],
}
TOOLS = {"tools": [message_pb2.Tool(function=FUNCTION)]}
# Reply, our fields, boto3's.
EXCHANGES: dict[str, tuple[Reply, dict[str, Any], dict[str, Any]]] = {
    "text": (Reply(TEXT), {}, {}),
    "usage": (Reply(TEXT, usage=USAGE), {}, {}),
    "options": (
        Reply(TEXT),
        {"temperature": 0.25, "top_p": 0.5, "max_tokens": 2, "stop_sequences": ["x"], "top_k": 7},
        {
            "inferenceConfig": {"temperature": 0.25, "topP": 0.5, "maxTokens": 2, "stopSequences": ["x"]},
            "additionalModelRequestFields": {"top_k": 7},
        },
    ),
    "reasoning": (
        Reply(TEXT, reasoning=["hm, ", "well"]),
        {"reasoning_effort": pb.REASONING_EFFORT_LOW},
        {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 4096}}},
    ),
    "tools": (Reply("Let me see", tool_calls=CALLS), TOOLS, {"toolConfig": CONFIG}),
    "only tools": (
        Reply(tool_calls=CALLS),
        TOOLS | {"tool_choice": message_pb2.ToolChoice(function_name="weather")},
        {"toolConfig": CONFIG | {"toolChoice": {"tool": {"name": "weather"}}}},
    ),
    "schema": (
        Reply(),
        {"response_format": pb.ResponseFormat(json_schema=pb.JsonSchema(name="person", schema_json=SCHEMA))},
        {"outputConfig": SCHEMA_FORMAT},
    ),
    "conversation": (
        Reply(TEXT),
        TOOLS | {"messages": CONVERSATION},
        {"toolConfig": CONFIG} | CONVERSATION_SENT,
    ),
    "own fields": (
        Reply(TEXT),
        {"provider_options_json": '{"serviceTier":{"type":"flex"},"inferenceConfig":{"maxTokens":50}}'},
        {"serviceTier": {"type": "flex"}, "inferenceConfig": {"maxTokens": 50}},
    ),
    "guardrail": (Reply("No.", finish_reason="guardrail_intervened"), {}, {}),
    "filter": (Reply(TEXT, finish_reason="content_filter"), {}, {}),
    "window": (Reply(TEXT, finish_reason="model_context_window_exceeded"), {}, {}),
    "bytes": (Reply(TEXT, tool_calls=CALLS, bytes_per_write=3), {}, {}),
}


@pytest.fixture
async def up() -> AsyncIterator[BedrockUpstream]:
    async with BedrockUpstream(session_token=aws_wire.SESSION_TOKEN) as upstream:
        yield upstream


@pytest.fixture
async def ours(up: BedrockUpstream) -> AsyncIterator[Bedrock]:
    made = Bedrock(Endpoint("bedrock", up.url, timeouts=TIMEOUTS, further={"control_url": up.url}))
    yield made
    await made.close()


def sdk(up: BedrockUpstream, service: str) -> Any:
    config = Config(retries={"total_max_attempts": 1}, proxies={})
    return boto3.client(service, region_name="us-east-1", endpoint_url=up.url, config=config)


@pytest.fixture
def boto(up: BedrockUpstream) -> Iterator[Any]:
    client = sdk(up, "bedrock-runtime")
    yield client
    client.close()


def request(**fields: Any) -> pb.CreateCompletionRequest:
    return pb.CreateCompletionRequest(**{"model": CLAUDE, "messages": [ASK]} | fields)


async def listen(ours: Bedrock, heard: list[str]) -> None:
    async for chunk in ours.stream(request(model=NOVA), Call()):
        heard.append(chunk.choices[0].content)


def streamed(boto: Any, **asked: Any) -> list[Any]:
    with closing(boto.converse_stream(**asked)["stream"]) as stream:
        return list(stream)


def told(completion: pb.Completion) -> dict[str, Any]:
    """What a completion says, in plain values."""
    [choice] = completion.choices
    message, usage = choice.message, completion.usage
    return {
        "text": "".join(part.text for part in message.content),
        "reasoning": message.reasoning,
        "state": json.loads(message.reasoning_state_json or "[]"),
        "calls": [
            (call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls
        ],
        "finish": choice.finish_reason,
        "usage": (
            usage.uncached_input_tokens,
            usage.cache_read_tokens,
            usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
            usage.output_tokens,
            usage.total_tokens,
        ),
        "tier": completion.service_tier,
    }


def their(message: Any, stop: str, usage: Any, tier: Any) -> dict[str, Any]:
    """The same of what boto3 found."""
    blocks = message["content"]
    thoughts = [block for block in blocks if "reasoningContent" in block]
    uses = [block["toolUse"] for block in blocks if "toolUse" in block]
    return {
        "text": "".join(block.get("text", "") for block in blocks),
        "reasoning": "".join(block["reasoningContent"]["reasoningText"]["text"] for block in thoughts),
        "state": thoughts,
        "calls": [(use["toolUseId"], use["name"], use["input"]) for use in uses],
        "finish": STOP_REASONS[stop],
        "usage": (
            usage["inputTokens"],
            usage["cacheReadInputTokens"],
            usage["cacheWriteInputTokens"],
            usage["outputTokens"],
            usage["totalTokens"],
        ),
        "tier": (tier or {}).get("type", ""),
    }


def gathered(events: Any) -> dict[str, Any]:
    """What the events of boto3's stream add up to."""
    blocks: dict[int, dict[str, Any]] = {}
    rest: dict[str, Any] = {}
    for event in events:
        [(kind, value)] = event.items()
        rest[kind] = value
        if kind == "contentBlockStart":
            blocks[value["contentBlockIndex"]] = {"toolUse": value["start"]["toolUse"] | {"input": ""}}
        if kind != "contentBlockDelta":
            continue
        delta = value["delta"]
        block = blocks.setdefault(value["contentBlockIndex"], {})
        if "text" in delta:
            block["text"] = block.get("text", "") + delta["text"]
        elif "toolUse" in delta:
            block["toolUse"]["input"] += delta["toolUse"]["input"]
        else:
            thought = block.setdefault("reasoningContent", {"reasoningText": {"text": ""}})["reasoningText"]
            for name, piece in delta["reasoningContent"].items():
                thought[name] = thought.get(name, "") + piece
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
    message = {"content": [blocks[index] for index in sorted(blocks)]}
    metadata = rest["metadata"]
    return their(message, rest["messageStop"]["stopReason"], metadata["usage"], metadata.get("serviceTier"))


def check_asked_alike(up: BedrockUpstream) -> None:
    theirs, found = up.bill
    assert found.body == theirs.body
    assert found.raw_path == theirs.raw_path
    # Signed over the same headers; boto3 names its own protocol besides.
    names = [entry.headers["authorization"].partition("SignedHeaders=")[2] for entry in (theirs, found)]
    their_names, our_names = (given.partition(",")[0].split(";") for given in names)
    assert set(our_names) == set(their_names) & {
        "content-type",
        "host",
        "x-amz-date",
        "x-amz-security-token",
    }


class TestConverse:
    @pytest.mark.parametrize("name", EXCHANGES)
    async def test_a_whole_answer(self, up: BedrockUpstream, ours: Bedrock, boto: Any, name: str) -> None:
        reply, fields, options = EXCHANGES[name]
        up.default = fixed(reply)
        asked = {"modelId": CLAUDE, "messages": HELLO} | options
        answer = await asyncio.to_thread(boto.converse, **asked)
        message, stop = answer["output"]["message"], answer["stopReason"]
        expected = their(message, stop, answer["usage"], answer.get("serviceTier"))
        assert told(await ours.complete(request(**fields), Call())) == expected
        check_asked_alike(up)

    @pytest.mark.parametrize("name", EXCHANGES)
    async def test_a_streamed_answer(self, up: BedrockUpstream, ours: Bedrock, boto: Any, name: str) -> None:
        reply, fields, options = EXCHANGES[name]
        up.default = fixed(reply)
        asked = {"modelId": CLAUDE, "messages": HELLO} | options
        expected = gathered(await asyncio.to_thread(streamed, boto, **asked))
        assert told(await fold(ours.stream(request(**fields), Call()))) == expected
        check_asked_alike(up)

    async def test_thinking_goes_back_as_it_came(self, up: BedrockUpstream, ours: Bedrock, boto: Any) -> None:
        """The simulated model refuses thinking whose signature is not its own."""
        up.script(fixed(Reply("", reasoning=["hm, ", "well"], tool_calls=CALLS[:1])), on=CLAUDE)
        asked = request(reasoning_effort=pb.REASONING_EFFORT_LOW, **TOOLS)
        first = (await fold(ours.stream(asked, Call()))).choices[0].message
        asked.messages.append(first)
        asked.messages.append(said(message_pb2.ROLE_TOOL, text("sunny"), tool_call_id="a"))
        await ours.complete(asked, Call())
        assert [list(block) for block in up.bill[1].body["messages"][1]["content"]] == [
            ["reasoningContent"],
            ["toolUse"],
        ]
        messages = up.bill[1].body["messages"]
        await asyncio.to_thread(boto.converse, modelId=CLAUDE, messages=messages, toolConfig=CONFIG)
        assert up.bill[2].body["messages"] == messages

    @pytest.mark.parametrize(
        "reply",
        [
            throttled(),
            aws_wire.error(400, "ValidationException", "Malformed input request, please reformat."),
            aws_wire.error(408, "ModelTimeoutException", "Model has timed out in processing the request."),
            aws_wire.error(424, "ModelErrorException", "The system encountered an unexpected error."),
            aws_wire.error(403, "AccessDeniedException", "You don't have access to the model."),
            aws_wire.error(503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
        ],
        ids=lambda reply: str(reply.status),
    )
    async def test_errors_name_the_same_code_and_message(
        self, up: BedrockUpstream, ours: Bedrock, boto: Any, reply: Reply
    ) -> None:
        up.default = reply
        with pytest.raises(ClientError) as theirs:
            await asyncio.to_thread(boto.converse, modelId=NOVA, messages=HELLO)
        with pytest.raises(SpineError) as found:
            await ours.complete(request(model=NOVA), Call())
        error = theirs.value.response["Error"]
        assert found.value.metadata["provider_code"] == error["Code"]
        assert found.value.metadata["provider_message"] == error["Message"]

    @pytest.mark.parametrize(
        "kind",
        [
            "internalServerException",
            "modelStreamErrorException",
            "validationException",
            "throttlingException",
            "serviceUnavailableException",
        ],
    )
    async def test_exceptions_within_a_stream(
        self, up: BedrockUpstream, ours: Bedrock, boto: Any, kind: str
    ) -> None:
        up.default = Reply(TEXT, fault="error", after=3, body={kind: {"message": "it broke"}})
        with pytest.raises(EventStreamError) as theirs:
            await asyncio.to_thread(streamed, boto, modelId=NOVA, messages=HELLO)
        heard: list[str] = []
        with pytest.raises(SpineError) as found:
            await listen(ours, heard)
        assert "".join(heard) == "Héllo"
        error = theirs.value.response["Error"]
        assert found.value.metadata["provider_code"].lower() == error["Code"].lower()
        assert found.value.metadata["provider_message"] == error["Message"]


class TestOthers:
    @pytest.mark.parametrize("model", [TITAN, "cohere.embed-v4:0"])
    async def test_embeddings(self, up: BedrockUpstream, ours: Bedrock, boto: Any, model: str) -> None:
        cohere = model.startswith("cohere")
        body = {"texts": ["one"], "input_type": "search_document"} if cohere else {"inputText": "one"}
        answer = await asyncio.to_thread(boto.invoke_model, modelId=model, body=json.dumps(body))
        theirs = json.loads(answer["body"].read())
        inputs = [pb.EmbeddingInput(text="one")]
        found = await ours.embed(pb.CreateEmbeddingsRequest(model=model, inputs=inputs), Call())
        vectors = [list(embedding.values) for embedding in found.embeddings]
        assert vectors == (theirs["embeddings"] if cohere else [theirs["embedding"]])
        counted = answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-bedrock-input-token-count"]
        assert found.usage.input_tokens == int(counted) > 0
        assert up.bill[0].body == up.bill[1].body

    async def test_counting(self, up: BedrockUpstream, ours: Bedrock, boto: Any) -> None:
        model = CLAUDE.removeprefix("us.")
        converse = {"messages": HELLO, "toolConfig": CONFIG}
        answer = await asyncio.to_thread(boto.count_tokens, modelId=model, input={"converse": converse})
        assert await ours.count_tokens(request(**TOOLS), Call()) == answer["inputTokens"]
        check_asked_alike(up)

    async def test_models(self, up: BedrockUpstream, ours: Bedrock) -> None:
        def listed() -> list[tuple[str, str, int]]:
            client = sdk(up, "bedrock")
            known = client.list_foundation_models(byInferenceType="ON_DEMAND")["modelSummaries"]
            found = [
                (model["modelId"], model["providerName"], _unix(model["modelLifecycle"]["startOfLifeTime"]))
                for model in known
                if "ON_DEMAND" in model["inferenceTypesSupported"]
            ]
            for page in client.get_paginator("list_inference_profiles").paginate():
                found += [
                    (profile["inferenceProfileId"], "", _unix(profile["createdAt"]))
                    for profile in page["inferenceProfileSummaries"]
                ]
            client.close()
            return found

        theirs = await asyncio.to_thread(listed)
        models = await ours.list_models()
        assert [(model.id, model.created) for model in models] == [(name, born) for name, _, born in theirs]
        assert models[0].owned_by == theirs[0][1]


class TestGolden:
    """One stream with everything in it, cut at every byte."""

    EVENTS = (
        ("messageStart", {"role": "assistant", "p": "abcd"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "hm 🙂"}}}),
        (
            "contentBlockDelta",
            {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "Ab+/="}}},
        ),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": '日本 "<&>" \n'}}),
        ("contentBlockStop", {"contentBlockIndex": 1}),
        (
            "contentBlockStart",
            {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t1", "name": "weather"}}},
        ),
        ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '{"city": "Ü'}}}),
        ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": 'lm"}'}}}),
        ("contentBlockStop", {"contentBlockIndex": 2}),
        ("messageStop", {"stopReason": "tool_use"}),
        (
            "metadata",
            {
                "usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7},
                "metrics": {"latencyMs": 5},
            },
        ),
    )

    def test_every_cut_reads_the_same(self) -> None:
        stream = b"".join(aws_wire.event(kind, payload) for kind, payload in self.EVENTS)
        expected = [json.loads(payload) for payload in EventStream().feed(stream)]
        assert expected == [{kind: payload} for kind, payload in self.EVENTS]
        for at in range(len(stream) + 1):
            splitter = EventStream()
            payloads = splitter.feed(stream[:at]) + splitter.feed(stream[at:]) + splitter.rest()
            assert [json.loads(payload) for payload in payloads] == expected, at
        splitter = EventStream()
        payloads = [payload for at in range(len(stream)) for payload in splitter.feed(stream[at : at + 1])]
        reader, builder = ConverseReader(), ChunkBuilder()
        for payload in payloads:
            reader.event(EVENT.decode(payload), builder.choice())
        [delta] = builder.build().choices
        assert (delta.reasoning, delta.content) == ("hm 🙂", '日本 "<&>" \n')
        [call] = delta.tool_calls
        assert (call.id, call.name, call.arguments) == ("t1", "weather", '{"city": "Ülm"}')
        assert delta.finish_reason == pb.FINISH_REASON_TOOL_CALLS
        thought = {"text": "hm 🙂", "signature": "Ab+/="}
        assert json.loads(delta.reasoning_state_json) == [{"reasoningContent": {"reasoningText": thought}}]

    def test_a_byte_that_changed_is_noticed_wherever_it_is(self) -> None:
        stream = b"".join(aws_wire.event(kind, payload) for kind, payload in self.EVENTS[:3])
        whole = EventStream().feed(stream)
        for at in range(len(stream)):
            changed = bytearray(stream)
            changed[at] ^= 0x40
            payloads = EventStream().feed(bytes(changed))
            good = [payload for payload in payloads if not payload.startswith(b'{"broken"')]
            assert good == whole[: len(good)], at
            assert len(good) < len(whole), at


def _unix(moment: Any) -> int:
    return int(moment.timestamp())


def fixed(reply: Reply) -> Reply:
    """Answers alike however often it is asked: calls without an id get one."""
    calls = [
        ToolCall(call.name, call.arguments, call.id or f"id-{index}")
        for index, call in enumerate(reply.tool_calls)
    ]
    return Reply(**({name: getattr(reply, name) for name in reply.__struct_fields__} | {"tool_calls": calls}))
