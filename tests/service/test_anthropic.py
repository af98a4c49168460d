"""Calls that Anthropic answers, through the whole server: answer, error, row and number of calls."""

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio

from genai_spine.providers.base import Endpoint
from genai_spine.v1 import execution_pb2, usage_pb2
from tests.service.running import TIMEOUTS, Running, Upstreams, asked, failure, failure_of, running, text_of
from tests.upstreams import anthropic_errors
from tests.upstreams.anthropic import AnthropicUpstream
from tests.upstreams.reply import Reply, ToolCall, Usage

pytestmark = pytest.mark.asyncio(loop_scope="session")

MODEL = "claude-sonnet-4-20250514"
SUCCEEDED = execution_pb2.EXECUTION_STATE_SUCCEEDED
FAILED = execution_pb2.EXECUTION_STATE_FAILED
METHODS = pytest.mark.parametrize("method", ["CreateCompletion", "StreamCompletion"])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def module_anthropic() -> AsyncIterator[AnthropicUpstream]:
    async with AnthropicUpstream() as upstream:
        yield upstream


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def serving(
    all_upstreams: Upstreams, module_sqlite_url: str, module_anthropic: AnthropicUpstream
) -> AsyncIterator[Running]:
    endpoint = Endpoint("anthropic", module_anthropic.url, "sk-test-1", MODEL, timeouts=TIMEOUTS)
    given = all_upstreams.endpoints() | {"anthropic": endpoint}
    async with running(all_upstreams, module_sqlite_url, endpoints=given) as found:
        yield found


@pytest.fixture
def anthropic(module_anthropic: AnthropicUpstream) -> AnthropicUpstream:
    module_anthropic.reset()
    module_anthropic.unknown_models.clear()
    return module_anthropic


async def ask(
    service: Running, method: str, **fields: Any
) -> tuple[str, usage_pb2.Usage, usage_pb2.Cost, str]:
    """Text, usage, cost and request id."""
    call = getattr(service.completions, method)(asked(model=MODEL, **fields))
    if method == "StreamCompletion":
        chunks = [chunk async for chunk in call]
        last = chunks[-1]
        return text_of(chunks), last.usage, last.cost, last.request_id
    whole = await call
    text = "".join(part.text for part in whole.choices[0].message.content)
    return text, whole.usage, whole.cost, whole.request_id


async def answered(service: Running, method: str, model: str) -> Any:
    """The answer, or the last chunk of its stream."""
    call = getattr(service.completions, method)(asked(model=model))
    return [chunk async for chunk in call][-1] if method == "StreamCompletion" else await call


@METHODS
async def test_terms_and_tools_that_are_reported_enter_price_and_row(
    serving: Running, anthropic: AnthropicUpstream, method: str
) -> None:
    reported = {
        "speed": "fast",
        "inference_geo": "us",
        "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 1},
    }
    anthropic.script(
        Reply("four", usage=Usage(prompt_tokens=1000, completion_tokens=100), usage_extra=reported)
    )
    answer = await answered(serving, method, "claude-opus-4-8")
    # Fast mode is 10 and 50 dollars a million, in the US a tenth more; a search is a cent, a fetch nothing.
    assert answer.cost.cost_ticks == 11 * 1000 * 10_000 + 55 * 100 * 10_000 + 3 * 10**8
    assert answer.units.server_tools == {"web_search": 3, "web_fetch": 1}
    assert not answer.usage.HasField("reported_json"), "it is for the books"
    [row] = await serving.rows(answer.request_id)
    assert (row.speed, row.inference_geo, row.units) == ("fast", "us", answer.units)
    assert row.cost == answer.cost
    assert json.loads(row.usage_json).items() >= reported.items()


@METHODS
async def test_tool_without_a_price_leaves_the_cost_unknown(
    serving: Running, anthropic: AnthropicUpstream, method: str
) -> None:
    anthropic.script(Reply("four", usage_extra={"server_tool_use": {"of_tomorrow_requests": 1}}))
    answer = await answered(serving, method, MODEL)
    assert not answer.cost.price_known
    assert answer.cost.cost_ticks == 0
    [row] = await serving.rows(answer.request_id)
    assert not row.cost.price_known
    assert row.units.server_tools == {"of_tomorrow": 1}


@METHODS
async def test_a_call_is_one_row_at_the_price_of_its_buckets(
    serving: Running, anthropic: AnthropicUpstream, method: str
) -> None:
    usage = Usage(prompt_tokens=1000, completion_tokens=100, cached_tokens=600, cache_write_tokens=300)
    anthropic.script(Reply("four", usage=usage))
    text, found, cost, request_id = await ask(serving, method)
    assert text == "four"
    # 3 and 15 dollars a million; reading from the cache a tenth, writing to it five quarters of the input.
    dollars_per_million = 100 * 3 + 600 * 0.3 + 300 * 3.75 + 100 * 15
    assert cost.cost_ticks == round(dollars_per_million * 10_000)
    [row] = await serving.rows(request_id)
    assert (row.state, row.provider, row.model) == (SUCCEEDED, "anthropic", MODEL)
    assert (row.usage, row.cost) == (found, cost)
    assert found.input_tokens == anthropic.bill.prompt_tokens == 1000
    assert found.output_tokens == anthropic.bill.completion_tokens == 100


@METHODS
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (anthropic_errors.rate_limited(), "PROVIDER_RATE_LIMITED"),
        (anthropic_errors.api_error(), "PROVIDER_UNAVAILABLE"),
        (anthropic_errors.overloaded(), "PROVIDER_UNAVAILABLE"),
        (anthropic_errors.content_filter(), "CONTENT_FILTERED"),
        (anthropic_errors.prompt_too_long(), "CONTEXT_LENGTH_EXCEEDED"),
        (anthropic_errors.invalid_key(), "PROVIDER_AUTHENTICATION"),
        (anthropic_errors.credit_too_low(), "PROVIDER_QUOTA_EXCEEDED"),
        (anthropic_errors.model_not_found(MODEL), "MODEL_NOT_FOUND"),
        (Reply(["one", "two"], fault="malformed"), "PROVIDER_ERROR"),
        (Reply(["one", "two"], fault="close", after=0), "PROVIDER_ERROR"),
    ],
)
async def test_what_goes_wrong_is_a_typed_error_and_a_failed_row(
    serving: Running, anthropic: AnthropicUpstream, method: str, reply: Reply, reason: str
) -> None:
    anthropic.default = reply
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ask(serving, method)
    found = failure_of(raised.value)
    assert found.reason == reason
    [row] = await serving.rows(found.request_id)
    assert (row.state, row.error_reason, row.provider) == (FAILED, reason, "anthropic")
    assert len(anthropic.bill.calls) == 1


@METHODS
async def test_missing_usage_is_estimated_and_marked(
    serving: Running, anthropic: AnthropicUpstream, method: str
) -> None:
    anthropic.script(Reply("four words are here", omit_usage=True))
    _, usage, _, request_id = await ask(serving, method)
    assert usage.output_tokens > 0
    assert {usage.input_provenance, usage.output_provenance} == {usage_pb2.PROVENANCE_ESTIMATED}
    [row] = await serving.rows(request_id)
    assert row.usage == usage


async def test_a_stream_that_is_cut_books_the_input_that_was_reported(
    serving: Running, anthropic: AnthropicUpstream
) -> None:
    usage = Usage(prompt_tokens=1000, cached_tokens=600)
    anthropic.script(Reply(["one ", "two ", "three"], usage=usage, fault="close", after=3))
    found = await failure(serving.completions.StreamCompletion(asked(model=MODEL)))
    assert found.reason == "PROVIDER_ERROR"
    [row] = await serving.rows(found.request_id)
    assert (row.usage.uncached_input_tokens, row.usage.cache_read_tokens) == (400, 600)
    assert row.usage.input_provenance == usage_pb2.PROVENANCE_PROVIDER_REPORTED
    assert row.usage.output_provenance == usage_pb2.PROVENANCE_PARTIAL_STREAM
    assert row.usage.output_tokens > 0
    assert row.usage.total_tokens == row.usage.input_tokens + row.usage.output_tokens


async def test_an_sdk_of_openai_reaches_it_with_tools(serving: Running, anthropic: AnthropicUpstream) -> None:
    anthropic.script(Reply(tool_calls=[ToolCall("weather", '{"city": "Ulm"}', id="toolu_1")]), Reply("sunny"))
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    question = {"role": "user", "content": "Weather?"}
    first = (await serving.chat(model=MODEL, messages=[question], tools=[tool])).json["choices"][0]
    assert first["finish_reason"] == "tool_calls"
    result = {"role": "tool", "tool_call_id": "toolu_1", "content": "20 degrees"}
    messages = [{"role": "system", "content": "Be brief"}, question, first["message"], result]
    second = (await serving.chat(model=MODEL, messages=messages, tools=[tool])).json
    assert second["choices"][0]["message"]["content"] == "sunny"
    body = anthropic.bill[-1].body
    assert body["system"] == [{"type": "text", "text": "Be brief"}]
    assert body["messages"][2]["content"][0]["tool_use_id"] == "toolu_1"
