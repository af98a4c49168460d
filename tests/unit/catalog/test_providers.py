"""The capability registry: order, tiers, cheapest, costs and chains, as pipelines.md section 1 has them."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.billing.price_book import PriceBook
from genai_spine.catalog.providers import Amount, CapabilityRegistry, cost, described
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint
from genai_spine.routing.quality_tiers import Tiers
from genai_spine.v1 import provider_service_pb2 as pb
from genai_spine.v1 import routing_pb2

GENERATION, SUMMARY = pb.CAPABILITY_LLM_GENERATION, pb.CAPABILITY_SUMMARIZATION
ECONOMY, STANDARD, PREMIUM = (
    routing_pb2.QUALITY_TIER_ECONOMY,
    routing_pb2.QUALITY_TIER_STANDARD,
    routing_pb2.QUALITY_TIER_PREMIUM,
)


def provider(name: str, *offers: dict[str, Any], available: bool = True) -> pb.ProviderInfo:
    given = [{"capability": GENERATION, "provider_name": name, "priority": 100} | offer for offer in offers]
    return pb.ProviderInfo(provider_name=name, is_available=available, capabilities=given)


@pytest.fixture
def registry() -> CapabilityRegistry:
    return CapabilityRegistry(
        [
            provider("a", {"priority": 50, "quality_tier": STANDARD, "cost_per_unit": 2.0}),
            provider("b", {"priority": 10, "quality_tier": PREMIUM, "cost_per_unit": 9.0}),
            provider("c", {"priority": 90, "quality_tier": STANDARD, "cost_per_unit": 1.0}),
            provider("d", {"priority": 20, "quality_tier": ECONOMY, "cost_per_unit": 0.1}),
            provider("off", {"priority": 1, "quality_tier": STANDARD}, available=False),
        ]
    )


def names(offers: list[pb.ProviderCapability]) -> list[str]:
    return [offer.provider_name for offer in offers]


def test_offers_are_sorted_by_priority(registry: CapabilityRegistry) -> None:
    assert names(registry.offers(GENERATION)) == ["b", "d", "a", "c"]
    assert names(registry.offers(GENERATION, available_only=False)) == ["off", "b", "d", "a", "c"]
    assert registry.offers(SUMMARY) == []


def test_a_tier_is_exact_and_excluded_names_stay_out(registry: CapabilityRegistry) -> None:
    assert names(registry.offers(GENERATION, STANDARD)) == ["a", "c"]
    assert names(registry.offers(GENERATION, STANDARD, exclude={"a"})) == ["c"]


def test_the_cheapest_is_at_or_above_a_tier(registry: CapabilityRegistry) -> None:
    found = [registry.cheapest(GENERATION, tier) for tier in (0, STANDARD, PREMIUM)]
    assert [offer.provider_name for offer in found if offer] == ["d", "c", "b"]
    assert registry.cheapest(GENERATION, PREMIUM, exclude={"b"}) is None


def test_a_known_provider_is_updated_and_an_unknown_one_cannot_be_taken_out(
    registry: CapabilityRegistry,
) -> None:
    registry.register(provider("a", {"priority": 1}))
    assert names(registry.offers(GENERATION))[0] == "a"
    assert (registry.unregister("a"), registry.unregister("a")) == (True, False)


def test_availability_can_be_switched(registry: CapabilityRegistry) -> None:
    assert registry.mark("b", available=False)
    assert "b" not in names(registry.offers(GENERATION))
    assert not registry.mark("nobody", available=True)


def test_what_is_not_offered_is_absent_and_no_error(registry: CapabilityRegistry) -> None:
    assert registry.offer(SUMMARY, "a") is None
    assert registry.estimate(GENERATION, "nobody", Amount()) is None


class TestChain:
    def test_the_primary_comes_first_then_its_own_tier_then_the_rest(
        self, registry: CapabilityRegistry
    ) -> None:
        assert registry.fallback_chain(GENERATION, "a") == ["a", "c", "b", "d"]
        assert registry.fallback_chain(GENERATION, "a", prefer_same_quality=False) == ["a", "b", "d", "c"]

    def test_a_primary_that_cannot_be_asked_is_passed_over(self, registry: CapabilityRegistry) -> None:
        for primary in (None, "off", "nobody"):
            assert registry.fallback_chain(GENERATION, primary) == ["b", "d", "a", "c"]
        assert registry.fallback_chain(GENERATION, "b", exclude={"b"}) == ["d", "a", "c"]

    @given(st.integers(0, 6), st.sampled_from(["a", "b", "c", "d", "off", None]))
    def test_it_is_never_longer_than_asked_and_names_nobody_twice(
        self, most: int, primary: str | None
    ) -> None:
        registry = CapabilityRegistry([provider(name, {}) for name in "abcd"])
        chain = registry.fallback_chain(GENERATION, primary, most)
        assert len(chain) == len(set(chain)) == min(most + 1, 4)


@pytest.mark.parametrize(
    ("unit", "amount", "usd"),
    [
        ("PER_1K_TOKENS", Amount(input_tokens=500, output_tokens=100), "1.4"),
        ("PER_1M_TOKENS", Amount(input_tokens=500_000, output_tokens=100_000), "1.4"),
        ("PER_MINUTE", Amount(seconds=90), "3"),
        ("PER_SECOND", Amount(seconds=1.5), "3"),
        ("PER_CHARACTER", Amount(characters=7), "14"),
        ("PER_REQUEST", Amount(requests=3), "6"),
        ("FREE", Amount(input_tokens=500, seconds=90), "0"),
    ],
)
def test_units_cost_what_was_consumed(unit: str, amount: Amount, usd: str) -> None:
    offer = pb.ProviderCapability(cost_per_unit=2, output_cost_per_unit=4, cost_unit=f"COST_UNIT_{unit}")
    assert cost(offer, amount) == Decimal(usd)


def test_without_an_output_price_output_costs_as_input() -> None:
    offer = pb.ProviderCapability(cost_per_unit=0.1, cost_unit=pb.COST_UNIT_PER_1K_TOKENS)
    assert cost(offer, Amount(input_tokens=1000, output_tokens=2000)) == Decimal("0.3")


PRICES = PriceBook.load()


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_provider_is_described_by_what_it_can_do(name: str) -> None:
    row = PROVIDERS[name]
    url = "builtin:" if name == "builtin" else row.base_url or "http://localhost:1"
    endpoint = Endpoint(name, url, "k", row.model, row.embedding_model)
    found = described(row.make(endpoint), PRICES, Tiers())
    assert len({offer.capability for offer in found.capabilities}) == len(found.capabilities)
    assert {offer.provider_name for offer in found.capabilities} == {name}
    structured = pb.CAPABILITY_LLM_STRUCTURED in {offer.capability for offer in found.capabilities}
    assert structured == (name not in ("builtin", "deepgram"))


def test_deepgram_is_described_as_shipped() -> None:
    row = PROVIDERS["deepgram"]
    endpoint = Endpoint("deepgram", row.base_url or "", "k", default_media_models=row.media_models)
    found = described(row.make(endpoint), PRICES, Tiers())
    shown = {
        pb.Capability.Name(offer.capability).removeprefix("CAPABILITY_").lower(): (
            offer.cost_per_unit,
            offer.priority,
            offer.model_name,
        )
        for offer in found.capabilities
    }
    assert shown == {
        "transcription": (0.0043, 10, "nova-2"),
        "transcription_diarization": (0.0043, 5, "nova-2"),
        "transcription_dual_channel": (0.0086, 5, "nova-2"),
    }
    assert {offer.quality_tier for offer in found.capabilities} == {routing_pb2.QUALITY_TIER_PREMIUM}


def test_openai_is_described_as_shipped() -> None:
    row = PROVIDERS["openai"]
    found = described(row.make(Endpoint("openai", row.base_url or "", "k", row.model)), PRICES, Tiers())
    offers = {offer.capability: offer for offer in found.capabilities}
    chat = offers[GENERATION]
    assert (chat.cost_per_unit, chat.output_cost_per_unit) == (0.15, 0.6)
    assert (chat.quality_tier, chat.priority) == (STANDARD, 50)
    assert offers[pb.CAPABILITY_TRANSCRIPTION].cost_per_unit == 0.006
    assert pb.CAPABILITY_TRANSCRIPTION_DUAL_CHANNEL not in offers  # its adapter refuses two channels
