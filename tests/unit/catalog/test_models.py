"""The catalog: every provider's models under names that lead to them; none spoils the list for the rest."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from genai_spine.billing.price_book import PriceBook
from genai_spine.call import Call
from genai_spine.catalog import models
from genai_spine.catalog.models import Catalog
from genai_spine.errors import (
    InvalidFields,
    InvalidRequest,
    ModelNotFound,
    ProviderTimeout,
    ProviderUnavailable,
    SpineError,
)
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint, Provider
from genai_spine.routing.router import Router
from genai_spine.v1 import model_service_pb2
from tests.upstreams.ollama import OllamaUpstream
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.reply import Reply

PRICES = PriceBook.load(None)
TAGS, MODELS = "/api/tags", "/v1/models"


class Listed:
    """A catalog over two simulators, builtin, and one provider that nobody answers for."""

    def __init__(self, openai: OpenAIUpstream, ollama: OllamaUpstream) -> None:
        self.openai, self.ollama = openai, ollama
        endpoints = [
            Endpoint("openai", openai.base_url, "k"),
            Endpoint("ollama", ollama.url),
            Endpoint("builtin", "builtin:"),
            Endpoint("groq", "http://127.0.0.1:9", "k"),
        ]
        self.providers: dict[str, Provider] = {e.name: PROVIDERS[e.name].make(e) for e in endpoints}
        self.catalog = Catalog(Router(self.providers, "openai"), PRICES)

    def answer(self, monkeypatch: pytest.MonkeyPatch, *ids: str) -> None:
        """Lets the provider openai list these."""

        async def list_models() -> list[model_service_pb2.Model]:
            return [model_service_pb2.Model(id=id) for id in ids]

        monkeypatch.setattr(self.providers["openai"], "list_models", list_models)

    async def page(self, **fields: object) -> model_service_pb2.ListModelsResponse:
        return await self.catalog.page(model_service_pb2.ListModelsRequest(**fields), Call())


@pytest.fixture
async def listed() -> AsyncIterator[Listed]:
    async with OpenAIUpstream() as openai, OllamaUpstream() as ollama:
        found = Listed(openai, ollama)
        yield found
        for provider in found.providers.values():
            await provider.close()


class TestPages:
    async def test_all_models_are_listed_in_order_and_who_does_not_answer_is_named(
        self, listed: Listed
    ) -> None:
        response = await listed.page()
        ids = [model.id for model in response.data]
        assert ids == sorted(ids)
        assert {"gpt-4o", "llama3.2:latest", "builtin:extractive", "builtin:hashing"} <= set(ids)
        assert (response.object, response.unreachable_providers, response.next_page_token) == (
            "list",
            ["groq"],
            "",
        )

    async def test_pages_join_into_the_whole_list(self, listed: Listed) -> None:
        whole = [model.id for model in (await listed.page()).data]
        joined: list[str] = []
        token = ""
        for _ in range(len(whole)):
            response = await listed.page(page_size=2, page_token=token)
            assert len(response.data) <= 2
            joined += [model.id for model in response.data]
            token = response.next_page_token
            if not token:
                break
        assert joined == whole

    async def test_one_provider_can_be_listed_alone(self, listed: Listed) -> None:
        response = await listed.page(provider="ollama")
        assert {model.provider for model in response.data} == {"ollama"}
        assert not response.unreachable_providers

    @pytest.mark.parametrize(
        ("fields", "field", "error"),
        [
            ({"provider": "opnai"}, "provider", InvalidRequest),
            ({"page_token": "a"}, "page_token", InvalidFields),
        ],
    )
    async def test_what_cannot_be_listed_is_a_bad_request(
        self, listed: Listed, fields: dict[str, str], field: str, error: type[SpineError]
    ) -> None:
        with pytest.raises(error) as failure:
            await listed.page(**fields)
        assert failure.value.metadata["field"] == field

    async def test_model_is_listed_once_and_an_entry_without_an_id_is_none(
        self, listed: Listed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        listed.answer(monkeypatch, "b", "b", "", "a")
        response = await listed.page(provider="openai")
        assert [model.name for model in response.data] == ["a", "b"]

    async def test_endless_list_is_cut_and_lets_other_calls_have_their_turn(
        self, listed: Listed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(models, "MAX_LISTED", 2000)
        listed.answer(monkeypatch, *(f"m-{number:04}" for number in range(3000)))
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        response = await listed.page(provider="openai", page_size=1000)
        response = await listed.page(provider="openai", page_size=1000, page_token=response.next_page_token)
        task.cancel()
        assert (response.data[-1].name, response.next_page_token) == ("m-1999", "")
        assert turns >= 2000 / models.AT_ONCE

    async def test_a_list_is_kept_for_a_while(self, listed: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
        await listed.page()
        await listed.page()
        assert [entry.path for entry in listed.openai.bill] == [MODELS]
        monkeypatch.setattr(models, "FRESH_S", 0.0)
        await listed.page()
        assert [entry.path for entry in listed.openai.bill] == [MODELS] * 2

    async def test_a_list_that_failed_is_asked_for_again(self, listed: Listed) -> None:
        listed.openai.script(Reply(status=503, body="down"), on=MODELS)
        assert (await listed.page()).unreachable_providers == ["openai", "groq"]
        assert (await listed.page()).unreachable_providers == ["groq"]

    async def test_a_provider_that_hangs_is_left_out(
        self, listed: Listed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(models, "ASK_S", 0.1)
        listed.ollama.script(Reply(fault="stall"), Reply(fault="stall"), on=TAGS)
        assert (await listed.page()).unreachable_providers == ["ollama", "groq"]
        with pytest.raises(ProviderTimeout, match="the list of models"):
            await listed.catalog.model("llama3.2:latest", Call())


class TestModels:
    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("gpt-4o", "gpt-4o"),
            ("openai:gpt-4o", "gpt-4o"),
            ("llama3.2:latest", "llama3.2:latest"),
            ("ollama:llama3.2", "llama3.2:latest"),
            ("builtin:extractive", "builtin:extractive"),
        ],
    )
    async def test_any_name_that_a_completion_accepts_leads_to_the_model(
        self, listed: Listed, name: str, found: str
    ) -> None:
        assert (await listed.catalog.model(name, Call())).id == found

    async def test_ids_may_hold_slashes_and_colons(self, listed: Listed) -> None:
        listed.openai.models.append("org/model:free")
        model = await listed.catalog.model("openai:org/model:free", Call())
        assert (model.id, model.name) == ("openai:org/model:free", "org/model:free")

    @pytest.mark.parametrize("name", ["gpt-99", "ollama:nope", "claude-3"])
    async def test_a_model_that_nobody_has_is_not_found(self, listed: Listed, name: str) -> None:
        with pytest.raises(ModelNotFound):
            await listed.catalog.model(name, Call())

    async def test_a_model_of_a_provider_that_is_down_is_an_error_of_the_provider(
        self, listed: Listed
    ) -> None:
        with pytest.raises(ProviderUnavailable):
            await listed.catalog.model("groq:llama", Call())

    async def test_a_model_has_all_that_strict_clients_read(self, listed: Listed) -> None:
        model = await listed.catalog.model("gpt-4o", Call())
        assert (model.object, model.owned_by, model.name, model.provider) == (
            "model",
            "system",
            "gpt-4o",
            "openai",
        )
        assert model.create_time.seconds > 1_700_000_000
        assert model.supports_streaming

    async def test_prices_are_shown_where_they_are_known(self, listed: Listed) -> None:
        known = await listed.catalog.model("gpt-4o", Call())
        assert (known.input_cost_per_1k, known.output_cost_per_1k) == (0.0025, 0.01)
        assert (known.pricing.input_per_1m, known.pricing.output_per_1m) == (2.5, 10)
        listed.openai.models.append("brand-new")
        unknown = await Catalog(listed.catalog.router, PRICES).model("brand-new", Call())
        assert not unknown.HasField("input_cost_per_1k"), "not known is not free"
        assert not unknown.HasField("pricing")
        own = await listed.catalog.model("llama3.2:latest", Call())
        assert own.HasField("input_cost_per_1k")
        assert own.input_cost_per_1k == 0

    async def test_the_length_of_a_context_is_the_providers_word_or_the_price_books(
        self, listed: Listed
    ) -> None:
        length = listed.catalog.context_length
        assert length("openai", "gpt-4o-2024-08-06") == 128_000
        assert length("openai", "gpt-4") == 8_192
        assert length("ollama", "llama3.2:latest") is None
        assert length("builtin", "extractive") is None  # nobody has asked it yet
        shown = await listed.catalog.model("builtin:extractive", Call())
        assert length("builtin", "extractive") == shown.context_length > 0
        assert length("builtin", "other") is None


class TestHealth:
    async def test_every_provider_of_the_registry_has_a_state(self, listed: Listed) -> None:
        states = await listed.catalog.health()
        assert set(states) == set(PROVIDERS)
        assert (states["openai"], states["ollama"], states["builtin"]) == ("healthy",) * 3
        assert states["groq"].startswith("error: provider groq cannot answer now")
        assert states["mistral"] == "not_configured"
        assert listed.openai.bill.calls == []

    async def test_a_provider_that_hangs_is_unhealthy(
        self, listed: Listed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(models, "ASK_S", 0.1)
        listed.ollama.script(Reply(fault="stall"), on=TAGS)
        assert (await listed.catalog.health())["ollama"] == "unhealthy"
