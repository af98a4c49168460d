"""Bedrock behind a whole server, which signs: rows, prices of the cache, another attempt in time."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
import pytest_asyncio

from genai_spine.providers.base import Endpoint
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, message_pb2, usage_pb2
from tests.service.running import TIMEOUTS, Running, Upstreams, running
from tests.upstreams import aws_wire
from tests.upstreams.bedrock import NOVA, TITAN, BedrockUpstream, throttled
from tests.upstreams.reply import Reply, Usage

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("aws_credentials")]

SONNET = "bedrock:global.anthropic.claude-sonnet-4-5-20250929-v1:0"
USER = message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text="Hello")])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def up() -> AsyncIterator[BedrockUpstream]:
    async with BedrockUpstream(session_token=aws_wire.SESSION_TOKEN) as upstream:
        yield upstream


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cloud(
    all_upstreams: Upstreams, module_sqlite_url: str, up: BedrockUpstream
) -> AsyncIterator[Running]:
    further = {"control_url": up.url}
    endpoint = Endpoint("bedrock", up.url, None, NOVA, TITAN, TIMEOUTS, further=further)
    settings = {"endpoints": {"bedrock": endpoint}, "default_provider": "bedrock", "provider_retries": 1}
    async with running(all_upstreams, module_sqlite_url, **settings) as found:
        yield found


@pytest.fixture(autouse=True)
def unscripted(up: BedrockUpstream) -> None:
    up.reset()


async def test_an_answer_is_one_row_and_the_cache_has_its_own_price(
    cloud: Running, up: BedrockUpstream
) -> None:
    usage = Usage(prompt_tokens=1000, completion_tokens=10, cached_tokens=600, cache_write_tokens=300)
    up.default = Reply("Hi there", usage=usage)
    asked = pb.CreateCompletionRequest(model=SONNET, messages=[USER])
    whole = await cloud.completions.CreateCompletion(asked)
    *_, last = [chunk async for chunk in cloud.completions.StreamCompletion(asked)]
    # US dollars for a million tokens: 3 new, 0.3 read, 3.75 written, 15 made.
    dollars = (100 * Decimal(3) + 600 * Decimal("0.3") + 300 * Decimal("3.75") + 10 * Decimal(15)) / 10**6
    for answer in (whole, last):
        assert answer.cost.cost_ticks == dollars * 10**10
        [row] = await cloud.rows(answer.request_id)
        assert (row.provider, row.model) == ("bedrock", SONNET.removeprefix("bedrock:"))
        assert row.cost.cost_ticks == answer.cost.cost_ticks
        assert row.usage == answer.usage
        assert row.usage.input_provenance == usage_pb2.PROVENANCE_PROVIDER_REPORTED
        assert row.usage.total_tokens == 1010


async def test_an_exception_before_the_first_word_can_be_tried_again(
    cloud: Running, up: BedrockUpstream
) -> None:
    """It comes after HTTP status 200 and the message's start."""
    body = {"throttlingException": {"message": "slow down"}}
    up.script(Reply("one", fault="error", after=1, body=body), Reply(["fi", "ne"]))
    asked = pb.CreateCompletionRequest(model=NOVA, messages=[USER])
    chunks = [chunk async for chunk in cloud.completions.StreamCompletion(asked)]
    assert "".join(delta.content for chunk in chunks for delta in chunk.choices) == "fine"
    first, second = await cloud.rows(chunks[-1].request_id)
    assert first.state == execution_pb2.EXECUTION_STATE_FAILED
    assert "slow down" in first.error
    assert second.state == execution_pb2.EXECUTION_STATE_SUCCEEDED
    assert len(up.bill.calls) == 2


async def test_embeddings_of_several_texts_are_one_row(cloud: Running, up: BedrockUpstream) -> None:
    inputs = [pb.EmbeddingInput(text=text) for text in ("one", "two", "three")]
    response = await cloud.completions.CreateEmbeddings(
        pb.CreateEmbeddingsRequest(model=TITAN, inputs=inputs)
    )
    [row] = await cloud.rows(response.request_id)
    assert row.usage.input_tokens == up.bill.prompt_tokens > 0
    assert row.cost.price_known
    assert len(up.bill.calls) == 3


async def test_it_speaks_openais_json(cloud: Running, up: BedrockUpstream) -> None:
    up.script(throttled())
    posted = await cloud.chat(model=NOVA, stream=True, stream_options={"include_usage": True})
    assert posted.events[-1] == "[DONE]"
    assert posted.events[-2]["usage"]["completion_tokens"] == up.bill[-1].completion_tokens
    text = "".join(
        choice["delta"].get("content") or "" for event in posted.events[:-1] for choice in event["choices"]
    )
    assert text == "You said: Hello"
