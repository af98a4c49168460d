"""Costs equal those of genai-prices' own calculation, to the tick, and behave like money."""

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from genai_prices import data_snapshot, data_units
from genai_prices.data import providers
from genai_prices.types import TieredPrices
from genai_prices.types import Usage as UpstreamUsage
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_spine.billing.price import BUCKETS, GRAINS_PER_TICK, Price
from genai_spine.billing.price_sources import PROVIDER_NAMES
from genai_spine.v1 import usage_pb2
from tests.price_books import (  # noqa: F401  # today is a fixture
    BOOK,
    CLOCK,
    FIELDS,
    INPUT_FIELDS,
    OUTPUT_FIELDS,
    overridden,
    ticks,
    today,
    usage_of,
)

LONG_WRITE = "cache_write_1h_mtok"


def upstream_ticks(model: str, provider: str, usage: usage_pb2.Usage) -> tuple[int, set[str]]:
    """What genai-prices itself says, rounded once to a tick, and the kinds of price that it has."""
    values = {key: 0 for key in data_units.unit_data if key != "requests"}
    values["input_tokens"], values["output_tokens"] = usage.input_tokens, usage.output_tokens
    values["cache_read_tokens"] = usage.cache_read_tokens
    values["cache_write_tokens"] = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    values["cache_write_5m_tokens"] = usage.cache_write_5m_tokens
    values["cache_write_1h_tokens"] = usage.cache_write_1h_tokens
    values["input_audio_tokens"], values["input_image_tokens"] = (
        usage.audio_input_tokens,
        usage.image_input_tokens,
    )
    values["output_reasoning_tokens"] = usage.reasoning_tokens
    values["output_audio_tokens"] = usage.audio_output_tokens
    snapshot = data_snapshot.get_snapshot()
    result = snapshot.calc(UpstreamUsage(**values), model, provider, None, CLOCK.now)
    exact = (result.total_price * 10**10).quantize(Decimal(1), ROUND_HALF_UP)
    return int(exact), {key for key, price in vars(result.model_price).items() if price is not None}


def sampled_models() -> list[tuple[str, str]]:
    """Every third model, and every one with tiers or dated prices, that genai-prices can find."""
    names = []
    for provider in providers:
        for number, info in enumerate(provider.models):
            tiered = isinstance(info.prices, list) or any(
                isinstance(price, TieredPrices) for price in vars(info.prices).values()
            )
            name = PROVIDER_NAMES.get(provider.id, provider.id)
            ours = (price := BOOK.find(name, info.id)) is not None and price.source == "overlay"
            if (tiered or number % 3 == 0) and provider.find_model(info.id) is not None and not ours:
                names.append((provider.id, info.id))
    return names


@pytest.mark.parametrize("when", [(2024, 6, 1, 2, 30), (2026, 11, 21, 2, 30), (2027, 1, 2, 12, 0)])
def test_costs_equal_those_of_genai_prices(when: tuple[int, ...]) -> None:
    CLOCK.set(*when)
    usages = [
        usage_of(uncached_input_tokens=1_237, visible_output_tokens=411),
        usage_of(**{field: 1_000 + 7 * number for number, field in enumerate(FIELDS)}),
        usage_of(uncached_input_tokens=150_001, cache_read_tokens=149_999, reasoning_tokens=33_333),
    ]
    compared = 0
    for provider, model in sampled_models():
        for usage in usages:
            expected, kinds = upstream_ticks(model, provider, usage)
            cost = BOOK.cost(PROVIDER_NAMES.get(provider, provider), model, usage)
            if usage.cache_write_1h_tokens and "cache_write_mtok" in kinds and LONG_WRITE not in kinds:
                assert not cost.price_known, (
                    provider,
                    model,
                )  # genai-prices takes the price of a shorter one
            elif {"input_mtok", "output_mtok"} <= kinds:
                assert (cost.price_known, cost.cost_ticks) == (True, expected), (provider, model, usage)
                compared += 1
            elif not kinds and model.endswith(("-free", ":free")):
                assert (cost.price_known, cost.cost_ticks) == (True, 0), (provider, model)
            else:  # genai-prices counts tokens without a price as free; we say that we do not know
                assert not cost.price_known, (provider, model)
    assert compared >= 600, compared


COUNTS = st.tuples(*[st.integers(0, 2**32 - 1) for _ in FIELDS])
RATES = st.tuples(*[st.integers(0, 10**23) for _ in BUCKETS])


def flat(rates: tuple[int, ...]) -> Price:
    return Price(provider="p", model="m", name=None, source="overrides", is_free=False, rates=rates)


def usage_from(counts: tuple[int, ...]) -> usage_pb2.Usage:
    return usage_pb2.Usage(**dict(zip(FIELDS, counts, strict=True)))


@given(rates=RATES, first=COUNTS, second=COUNTS)
@settings(max_examples=150, deadline=None)
def test_cost_is_an_integer_within_half_a_tick_and_additive(
    rates: tuple[int, ...], first: tuple[int, ...], second: tuple[int, ...]
) -> None:
    price = flat(rates)
    halves = [tuple(count // 2 for count in counts) for counts in (first, second)]
    both = tuple(a + b for a, b in zip(*halves, strict=True))
    costs = {}
    for counts in (*halves, both):
        costs[counts] = cost = price.ticks(usage_from(counts))
        assert type(cost) is int
        exact = Fraction(sum(c * r for c, r in zip(counts, rates, strict=True)), GRAINS_PER_TICK)
        assert Fraction(-1, 2) < cost - exact <= Fraction(1, 2)
    # Three roundings of half a tick each leave less than one and a half, so one.
    assert abs(costs[both] - costs[halves[0]] - costs[halves[1]]) <= 1


@given(rates=RATES, counts=COUNTS, bucket=st.integers(0, len(FIELDS) - 1), more=st.integers(0, 10**6))
@settings(max_examples=150, deadline=None)
def test_more_tokens_never_cost_less(
    rates: tuple[int, ...], counts: tuple[int, ...], bucket: int, more: int
) -> None:
    longer = list(counts)
    longer[bucket] = min(longer[bucket] + more, 2**32 - 1)
    price = flat(rates)
    before, after = price.ticks(usage_from(counts)), price.ticks(usage_from(tuple(longer)))
    assert before is not None
    assert after is not None
    assert before <= after


@given(tokens=st.lists(st.integers(0, 500_000), min_size=2, max_size=2).map(sorted))
@settings(max_examples=100, deadline=None)
def test_longer_input_never_costs_less_across_a_tier(tokens: list[int]) -> None:
    less, more = (ticks("gemini", "gemini-2.5-pro", uncached_input_tokens=count) for count in tokens)
    assert less <= more


def test_half_a_tick_is_rounded_up_once_on_the_sum(tmp_path: Path) -> None:
    # 0.00003 USD for a million tokens is 0.3 ticks for one.
    book = overridden(tmp_path, "[{provider: openai, model: tiny, input: 0.00003, output: 0.00002}]")
    assert ticks("openai", "tiny", book, uncached_input_tokens=1) == 0
    assert ticks("openai", "tiny", book, uncached_input_tokens=1, visible_output_tokens=1) == 1
    assert ticks("openai", "tiny", book, uncached_input_tokens=3) == 1
    assert (
        ticks("openai", "tiny", book, uncached_input_tokens=1, cache_read_tokens=1, reasoning_tokens=2) == 1
    )


def test_price_finer_than_a_tick_is_kept_exactly() -> None:
    # 0.08333333333333334 USD for a million tokens of cache write: 83.33333333333334 for a thousand million.
    used = ticks("openrouter", "google/gemini-2.5-flash-lite", cache_write_5m_tokens=10**9)
    assert used == 833_333_333_333
