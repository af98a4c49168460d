"""Prices and estimates through a real gRPC channel."""

import json
from decimal import Decimal
from typing import Any

import grpc
import pytest

from genai_spine.routing.model_names import owner_of
from genai_spine.v1 import pricing_service_pb2 as pb
from genai_spine.v1 import pricing_service_pb2_grpc
from tests.service.running import Running, asked, failure

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def usage(service: Running) -> Any:
    return pricing_service_pb2_grpc.PricingServiceStub(service.channel)


async def price(usage: Any, model: str) -> pb.ModelPrice:
    found: pb.ModelPrice = await usage.GetPrice(pb.GetPriceRequest(model=model))
    return found


async def estimate(usage: Any, **fields: Any) -> pb.EstimateCostResponse:
    found: pb.EstimateCostResponse = await usage.EstimateCost(pb.EstimateCostRequest(**fields))
    return found


async def test_prices_come_in_pages_and_each_once(usage: Any) -> None:
    pages = []
    request = pb.ListPricesRequest(page_size=900)
    while True:
        pages.append(await usage.ListPrices(request))
        request.page_token = pages[-1].next_page_token
        if not request.page_token:
            break
    assert [len(page.prices) for page in pages[:-1]] == [900] * (len(pages) - 1)
    keys = [(price.model, price.provider) for page in pages for price in page.prices]
    assert keys == sorted(set(keys))
    assert len(keys) > 2000
    assert all(page.price_book.startswith("genai-prices ") for page in pages)


async def test_prices_of_one_provider(usage: Any) -> None:
    listed = await usage.ListPrices(pb.ListPricesRequest(provider="gemini"))
    assert {price.provider for price in listed.prices} == {"gemini"}
    assert (await usage.ListPrices(pb.ListPricesRequest(provider="nobody"))).prices == []


@pytest.mark.parametrize("token", ["no token", "bm90IGpzb24="])
async def test_page_token_of_somebody_else_is_refused(usage: Any, token: str) -> None:
    found = await failure(usage.ListPrices(pb.ListPricesRequest(page_token=token)))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    assert found.fields == ["page_token"]


async def test_array_has_pages_when_a_size_is_asked_for(usage: Any) -> None:
    whole = json.loads((await usage.ListPricesArray(pb.ListPricesArrayRequest(provider="openai"))).data)
    first = await usage.ListPricesArray(pb.ListPricesArrayRequest(provider="openai", page_size=3))
    assert json.loads(first.data) == whole[:3]


async def test_array_is_the_same_list_with_all_fields(usage: Any) -> None:
    body = await usage.ListPricesArray(pb.ListPricesArrayRequest(provider="openai"))
    listed = await usage.ListPrices(pb.ListPricesRequest(provider="openai", page_size=5000))
    assert body.content_type == "application/json"
    prices = json.loads(body.data)
    assert [entry["model"] for entry in prices] == [price.model for price in listed.prices]
    assert all(
        set(entry) - {"valid_from"} == set(pb.ModelPrice.DESCRIPTOR.fields_by_name) - {"valid_from"}
        for entry in prices
    )
    again = await usage.ListPricesArray(pb.ListPricesArrayRequest(provider="openai"))
    assert again.data == body.data


async def test_every_listed_model_is_found_by_the_name_it_is_listed_under(usage: Any) -> None:
    listed = await usage.ListPrices(pb.ListPricesRequest(page_size=5000))
    # Names that say whose they are lead to one provider, which may say it otherwise.
    names = [entry.model for entry in listed.prices if owner_of(entry.model) is None]
    assert len(names) > 1000
    for name in names[::5]:
        assert (await price(usage, name)).model == name


@pytest.mark.parametrize(
    ("asked_for", "provider", "model"),
    [
        ("gpt-4o", "openai", "gpt-4o"),
        ("openai:gpt-4o", "openai", "gpt-4o"),
        ("gpt-4o-mini-2024-07-18", "openai", "gpt-4o-mini"),
        (
            "claude-3-opus",
            "anthropic",
            "claude-3-opus-latest",
        ),  # not configured here, and priced all the same
        ("gemini-2.5-flash", "gemini", "gemini-2.5-flash"),
        ("azure:gpt-4o", "openai", "gpt-4o"),
        (
            "anthropic.claude-3-haiku-20240307-v1:0",
            "bedrock",
            "regional.anthropic.claude-3-haiku-20240307-v1:0",
        ),
    ],
)
async def test_price_is_found_by_the_names_that_calls_use(
    usage: Any, asked_for: str, provider: str, model: str
) -> None:
    found = await price(usage, asked_for)
    assert (found.provider, found.model, found.is_free) == (provider, model, False)
    assert found.input_cost_per_1m_tokens > 0
    assert Decimal(str(found.input_price)) * 1000 == Decimal(str(found.input_cost_per_1m_tokens))
    assert found.input_price == found.input_cost_per_1k
    assert found.output_price == found.output_cost_per_1k


@pytest.mark.parametrize(
    "model", ["llama3.2", "llama3.2:latest", "ollama:my-own", "my-own:7b", "vllm:anything"]
)
async def test_local_model_is_free(usage: Any, model: str) -> None:
    found = await price(usage, model)
    assert (found.is_free, found.input_price, found.output_price) == (True, 0, 0)
    cost = await estimate(usage, model=model, input_tokens=1000, output_tokens=5)
    assert (cost.cost.is_free, cost.cost.price_known, cost.cost.cost_ticks) == (True, True, 0)


async def test_plain_name_is_free_when_the_local_default_provider_has_it(
    usage: Any, service: Running
) -> None:
    assert (await price(usage, "nomic-embed-text")).is_free


@pytest.mark.parametrize("model", ["no-such-model", "openai:no-such", "groq:none", "claude-of-tomorrow"])
async def test_unknown_price_is_not_found_and_an_estimate_says_so(usage: Any, model: str) -> None:
    found = await failure(usage.GetPrice(pb.GetPriceRequest(model=model)))
    assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "PRICE_NOT_FOUND")
    assert found.metadata["model"] == model
    cost = await estimate(usage, model=model, input_tokens=1000, output_tokens=5)
    assert (cost.cost.price_known, cost.cost.is_free, cost.cost.cost_ticks, cost.model) == (
        False,
        False,
        0,
        model,
    )
    assert cost.cost.price_book


@pytest.mark.parametrize(
    "counts",
    [
        {"input_tokens": 1000, "output_tokens": 100},
        {"estimated_input_tokens": 1000, "estimated_output_tokens": 100},
        {"input_tokens": 1000, "estimated_output_tokens": 100},
        {"input_tokens": 1000, "estimated_input_tokens": 1000, "output_tokens": 100},
    ],
)
async def test_estimate_takes_both_names_of_a_count(usage: Any, counts: dict[str, int]) -> None:
    cost = await estimate(usage, model="gpt-4o", **counts)
    assert (cost.estimated_input_tokens, cost.estimated_output_tokens) == (1000, 100)
    assert cost.cost.cost_ticks == 1000 * 25_000 + 100 * 100_000
    assert cost.cost.cost_usd == 0.0035
    assert (cost.input_cost_per_1m, cost.output_cost_per_1m) == (2.5, 10)
    assert (cost.cost.price_known, cost.cost.is_free) == (True, False)


async def test_estimate_counts_cached_tokens_once_and_at_their_price(usage: Any) -> None:
    cost = await estimate(usage, model="gpt-4o", input_tokens=1000, cached_input_tokens=800, output_tokens=0)
    assert cost.cost.cost_ticks == 200 * 25_000 + 800 * 12_500


async def test_estimate_by_token_of_a_model_that_is_sold_by_the_second_is_not_known(usage: Any) -> None:
    cost = await estimate(usage, model="openai:whisper-1", input_tokens=1000, output_tokens=0)
    assert (cost.cost.price_known, cost.cost.cost_ticks) == (False, 0)
    assert [unit.usd for unit in (await price(usage, "openai:whisper-1")).units] == [0.0001]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"output_tokens": 1}, "estimated_input_tokens"),
        ({"input_tokens": 1}, "estimated_output_tokens"),
        ({"input_tokens": 1, "estimated_input_tokens": 2, "output_tokens": 1}, "estimated_input_tokens"),
        ({"input_tokens": 1, "output_tokens": 1, "cached_input_tokens": 2}, "cached_input_tokens"),
        ({"input_tokens": 1, "output_tokens": 1, "model": ""}, "model"),
    ],
)
async def test_wrong_estimate_names_the_field(usage: Any, fields: dict[str, Any], field: str) -> None:
    request = pb.EstimateCostRequest(**({"model": "gpt-4o"} | fields))
    found = await failure(usage.EstimateCost(request))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    assert found.fields == [field]


async def test_estimate_of_a_calls_own_usage_is_what_the_call_cost(usage: Any, service: Running) -> None:
    done = await service.completions.CreateCompletion(asked("Hello"))
    cost = await estimate(
        usage,
        model="gpt-4o",
        input_tokens=done.usage.input_tokens,
        output_tokens=done.usage.output_tokens,
        cached_input_tokens=done.usage.cache_read_tokens,
    )
    assert cost.cost.cost_ticks == done.cost.cost_ticks > 0
    assert cost.cost.price_book == done.cost.price_book
