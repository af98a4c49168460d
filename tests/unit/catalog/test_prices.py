"""What callers' names for models lead to, where settings or an operator's file say something about it."""

from pathlib import Path

import pytest

from genai_spine.billing.price_book import PriceBook
from genai_spine.catalog.models import Catalog
from genai_spine.catalog.prices import PriceList
from genai_spine.errors import PriceNotFound
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint
from genai_spine.routing.router import Alias, Member, Router
from genai_spine.v1 import pricing_service_pb2 as pb
from tests.price_books import BOOK, overridden


def price_list(book: PriceBook = BOOK, *, default: str = "openai", **aliases: Alias) -> PriceList:
    """With openai and vllm configured; nobody listens at either address."""
    urls = {"openai": "http://127.0.0.1:9/v1", "vllm": "http://127.0.0.1:9/v1"}
    providers = {name: PROVIDERS[name].make(Endpoint(name, url, "k")) for name, url in urls.items()}
    return PriceList(Catalog(Router(providers, default, None, aliases), book))


async def test_alias_has_the_price_of_its_first_model_that_can_be_called() -> None:
    fast = Alias((Member("groq:llama-3.3-70b-versatile"), Member("gpt-4o-mini")))
    assert (await price_list(fast=fast).price("fast")).model == "gpt-4o-mini"


async def test_alias_of_which_nothing_is_configured_has_the_price_of_its_first_model() -> None:
    clever = Alias((Member("groq:llama-3.3-70b-versatile"), Member("mistral:none")))
    found = await price_list(clever=clever).price("clever")
    assert (found.provider, found.input_cost_per_1m_tokens) == ("groq", 0.59)


async def test_local_provider_that_cannot_be_asked_has_no_say_about_a_plain_name() -> None:
    prices = price_list(default="vllm")
    assert (await prices.price("gemini-2.5-flash")).provider == "gemini"
    with pytest.raises(PriceNotFound):
        await prices.price("no-such-model")
    assert (await prices.price("vllm:no-such-model")).is_free


async def test_operators_price_counts_for_a_local_model(tmp_path: Path) -> None:
    book = overridden(tmp_path, "[{provider: vllm, model: mine, input: 1, output: 2}]")
    found = await price_list(book, default="vllm").price("mine")
    assert (found.is_free, found.provider, found.source, found.output_cost_per_1m_tokens) == (
        False,
        "vllm",
        "overrides",
        2,
    )
    request = pb.EstimateCostRequest(model="mine", input_tokens=10, output_tokens=1)
    assert (await price_list(book, default="vllm").estimate(request)).cost.cost_ticks == 120_000


async def test_price_says_since_when_it_holds_only_if_it_is_dated(tmp_path: Path) -> None:
    book = overridden(tmp_path, "[{provider: openai, model: gpt-4o, input: 1, valid_from: 2026-11-01}]")
    assert (await price_list(book).price("gpt-4o")).valid_from == "2026-11-01"
    assert not (await price_list().price("gpt-4o")).HasField("valid_from")
