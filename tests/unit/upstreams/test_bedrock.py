"""The simulated Bedrock: it checks who asks, refuses what Bedrock refuses, and frames what it streams."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any

import aiohttp
import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from yarl import URL

from tests.upstreams import aws_wire
from tests.upstreams.bedrock import CLAUDE, NOVA, TITAN, BedrockUpstream, throttled
from tests.upstreams.clients import ECHO
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply, ToolCall, Usage

HELLO: Any = [{"role": "user", "content": [{"text": "Hello"}]}]
PATH = "/model/amazon.nova-lite-v1%3A0/converse"
BODY = json.dumps({"messages": HELLO}).encode()
TOOLS: Any = {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]}
USE: Any = {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}


@pytest.fixture
async def up() -> AsyncIterator[BedrockUpstream]:
    async with BedrockUpstream() as upstream:
        yield upstream


@pytest.fixture
def boto(up: BedrockUpstream) -> Iterator[Any]:
    client = boto_at(up.url)
    yield client
    client.close()


def boto_at(url: str) -> Any:
    config = Config(retries={"total_max_attempts": 1}, proxies={})
    keys = {"aws_access_key_id": aws_wire.ACCESS_KEY, "aws_secret_access_key": aws_wire.SECRET_KEY}
    return boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=url, config=config, **keys)


def signature(up: BedrockUpstream, secret: str = aws_wire.SECRET_KEY, region: str = "us-east-1") -> Any:
    request = AWSRequest("POST", up.url + PATH, data=BODY)
    SigV4Auth(Credentials(aws_wire.ACCESS_KEY, secret), "bedrock", region).add_auth(request)
    return dict(request.headers)


async def post(up: BedrockUpstream, headers: dict[str, str], body: bytes = BODY, path: str = PATH) -> Any:
    """Status and the name of the error."""
    url = URL(up.url + path, encoded=True)
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
        return response.status, response.headers.get("x-amzn-errortype", "").partition(":")[0]


class TestCallers:
    async def test_a_signature_is_of_this_very_request(self, up: BedrockUpstream) -> None:
        signed = signature(up)
        assert await post(up, signed) == (200, "")
        refused = (403, "InvalidSignatureException")
        assert await post(up, signed, body=BODY + b" ") == refused
        assert await post(up, signed, path=PATH.replace("lite", "pro")) == refused
        assert await post(up, signed, path=f"{PATH}?x=1") == refused
        assert await post(up, signed | {"X-Amz-Date": "20200101T000000Z"}) == refused
        assert await post(up, signature(up, secret="wrong")) == refused
        assert await post(up, signature(up, region="eu-central-1")) == refused

    async def test_others_are_told_apart(self, up: BedrockUpstream) -> None:
        assert await post(up, {}) == (403, "MissingAuthenticationTokenException")
        assert await post(up, {"authorization": "Bearer wrong"}) == (403, "AccessDeniedException")
        assert await post(up, {"authorization": f"Bearer {aws_wire.BEARER}"}) == (200, "")
        token = signature(up) | {"X-Amz-Security-Token": "not signed"}
        assert await post(up, token) == (403, "UnrecognizedClientException")

    async def test_the_path_is_encoded_twice_in_a_signature(self, up: BedrockUpstream) -> None:
        """As everywhere but in S3; a signature of the path encoded once is wrong."""
        request = AWSRequest("POST", up.url + PATH, data=BODY)
        signer = SigV4Auth(Credentials(aws_wire.ACCESS_KEY, aws_wire.SECRET_KEY), "bedrock", "us-east-1")
        signer._normalize_url_path = lambda path: path
        signer.add_auth(request)
        assert await post(up, dict(request.headers)) == (403, "InvalidSignatureException")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no messages": ({"messages": []}, "must start with a user message"),
    "assistant first": (
        {"messages": [{"role": "assistant", "content": [{"text": "x"}]}]},
        "must start with a user message",
    ),
    "same role twice": ({"messages": HELLO * 2}, "alternate"),
    "nothing said": ({"messages": [{"role": "user", "content": []}]}, "is empty"),
    "blank text": ({"messages": [{"role": "user", "content": [{"text": " "}]}]}, "is blank"),
    "unknown role": ({"messages": [{"role": "tool", "content": [{"text": "x"}]}]}, "enum value set"),
    "temperature": ({"messages": HELLO, "inferenceConfig": {"temperature": 1.5}}, "less than or equal to 1"),
    "tokens": ({"messages": HELLO, "inferenceConfig": {"maxTokens": 0}}, "greater than or equal to 1"),
    "type": ({"messages": HELLO, "inferenceConfig": {"maxTokens": "5"}}, "Unexpected type"),
    "two kinds": (
        {"messages": [{"role": "user", "content": [{"text": "x", "toolUse": USE["toolUse"]}]}]},
        "Exactly one member",
    ),
    "image": (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"image": {"format": "bmp", "source": {"bytes": "eA=="}}}],
                }
            ]
        },
        "enum value set",
    ),
    "base64": (
        {"messages": [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": "x"}}}]}]},
        "base64",
    ),
    "no result": (
        {
            "messages": [*HELLO, {"role": "assistant", "content": [USE]}, *HELLO],
            "toolConfig": TOOLS,
        },
        "toolResult blocks",
    ),
    "no tools": ({"messages": [*HELLO, {"role": "assistant", "content": [USE]}]}, "toolConfig field"),
    "empty tools": ({"messages": HELLO, "toolConfig": {"tools": []}}, "greater than or equal to 1"),
    "choice": (
        {
            "messages": HELLO,
            "toolConfig": {**TOOLS, "toolChoice": {"any": {}}},
            "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        },
        "forces tool use",
    ),
    "budget": (
        {
            "messages": HELLO,
            "inferenceConfig": {"maxTokens": 1024},
            "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        },
        "max_tokens",
    ),
    "thinking": (
        {
            "messages": [
                *HELLO,
                {
                    "role": "assistant",
                    "content": [{"reasoningContent": {"reasoningText": {"text": "a", "signature": "b"}}}],
                },
            ]
        },
        "signature",
    ),
    "schema": (
        {
            "messages": HELLO,
            "outputConfig": {
                "textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{"}}}
            },
        },
        "not a valid JSON Schema",
    ),
}


class TestRules:
    @pytest.mark.parametrize("name", REFUSED)
    async def test_what_bedrock_refuses_is_refused(self, up: BedrockUpstream, name: str) -> None:
        body, message = REFUSED[name]
        headers = {"authorization": f"Bearer {aws_wire.BEARER}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{up.url}/model/{CLAUDE}/converse", json=body) as response,
        ):
            assert response.status == 400
            assert message in (await response.json())["message"]
        assert up.bill[0].prompt_tokens == 0

    async def test_a_model_that_is_not_there(self, up: BedrockUpstream, boto: Any) -> None:
        up.unknown_models.add(NOVA)
        with pytest.raises(ClientError, match="identifier is invalid"):
            await asyncio.to_thread(boto.converse, modelId=NOVA, messages=HELLO)

    @pytest.mark.parametrize(
        ("model", "body"),
        [
            (TITAN, {"inputText": ""}),
            (TITAN, {"inputText": "x", "dimensions": 16}),
            ("amazon.titan-embed-text-v1", {"inputText": "x", "dimensions": 256}),
            ("cohere.embed-v4:0", {"texts": ["x"]}),
            ("cohere.embed-v4:0", {"texts": ["x"] * 97, "input_type": "search_query"}),
        ],
    )
    async def test_embeddings_have_rules_too(self, boto: Any, model: str, body: Any) -> None:
        with pytest.raises(ClientError, match="ValidationException"):
            await asyncio.to_thread(boto.invoke_model, modelId=model, body=json.dumps(body))


class TestAnswers:
    async def test_boto3_reads_whole_and_streamed(self, up: BedrockUpstream, boto: Any) -> None:
        def both() -> tuple[Any, Any]:
            whole = boto.converse(modelId=NOVA, messages=HELLO)
            with closing(boto.converse_stream(modelId=NOVA, messages=HELLO)["stream"]) as stream:
                return whole, list(stream)

        whole, events = await asyncio.to_thread(both)
        assert whole["output"]["message"]["content"] == [{"text": ECHO}]
        assert whole["stopReason"] == "end_turn"
        assert (whole["usage"]["inputTokens"], whole["usage"]["outputTokens"]) == (2, 4)
        kinds = [next(iter(event)) for event in events]
        assert (kinds[0], kinds[-2:]) == ("messageStart", ["messageStop", "metadata"])
        texts = [
            event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event
        ]
        assert "".join(texts) == ECHO
        assert [(e.model, e.prompt_tokens, e.completion_tokens, e.finished) for e in up.bill] == [
            (NOVA, 2, 4, True)
        ] * 2

    async def test_the_cache_is_counted_apart(self, up: BedrockUpstream, boto: Any) -> None:
        up.script(Reply("x", usage=Usage(prompt_tokens=100, cached_tokens=60, cache_write_tokens=30)))
        usage = (await asyncio.to_thread(boto.converse, modelId=NOVA, messages=HELLO))["usage"]
        assert usage["cacheDetails"] == [{"ttl": "5m", "inputTokens": 30}]
        assert (usage["inputTokens"], usage["cacheReadInputTokens"], usage["cacheWriteInputTokens"]) == (
            10,
            60,
            30,
        )
        assert usage["totalTokens"] == 101

    async def test_a_call_and_its_result_go_to_and_fro(self, up: BedrockUpstream, boto: Any) -> None:
        up.script(Reply(tool_calls=[ToolCall("f", '{"a":1}')]))
        asked = {"modelId": NOVA, "toolConfig": TOOLS}
        answer = await asyncio.to_thread(boto.converse, messages=HELLO, **asked)
        assert answer["stopReason"] == "tool_use"
        said = answer["output"]["message"]
        [use] = [block["toolUse"] for block in said["content"]]
        result = {"toolResult": {"toolUseId": use["toolUseId"], "content": [{"json": {"b": 2}}]}}
        turns = [*HELLO, said, {"role": "user", "content": [result]}]
        await asyncio.to_thread(boto.converse, messages=turns, **asked)
        assert up.bill[1].status == 200

    async def test_scripted_errors_raise_the_sdks_types(self, up: BedrockUpstream, boto: Any) -> None:
        up.script(throttled())
        with pytest.raises(boto.exceptions.ThrottlingException):
            await asyncio.to_thread(boto.converse, modelId=NOVA, messages=HELLO)


def test_it_runs_as_a_process() -> None:
    with UpstreamProcess("bedrock", "--chunks", "3") as process, closing(boto_at(process.url)) as client:
        answer = client.converse(modelId=NOVA, messages=HELLO)
        assert answer["output"]["message"]["content"] == [{"text": " tok" * 3}]
        assert process.bill()[0].path == "/model/amazon.nova-lite-v1:0/converse"
