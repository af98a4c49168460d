"""Strategies and tiers: which candidate comes first."""

from collections import Counter
from random import Random

import pytest

from genai_spine.providers.base import Route
from genai_spine.routing import strategies
from genai_spine.routing.quality_tiers import Tiers
from genai_spine.routing.strategies import STRATEGIES, RoutingContext
from genai_spine.v1 import routing_pb2
from tests.unit.routing.candidates import PRICES, asked, providers, upstreams

MADE = providers()
GPT, MINI = Route(MADE["openai"], "gpt-4o"), Route(MADE["openai"], "gpt-4o-mini")
CLAUDE, LLAMA = Route(MADE["anthropic"], "claude-3-opus-20240229"), Route(MADE["ollama"], "llama3.2:latest")
ALL = [GPT, CLAUDE, MINI, LLAMA]


def context() -> RoutingContext:
    return RoutingContext(PRICES, upstreams(MADE))


def ordered(strategy: int, routes: list[Route], given: RoutingContext | None = None) -> list[Route]:
    return STRATEGIES[strategy](list(routes), asked(), given or context())


def test_every_strategy_but_the_listed_order_has_a_row_and_loses_nobody() -> None:
    assert set(STRATEGIES) == set(routing_pb2.RoutingStrategy.values()) - {
        0,
        routing_pb2.ROUTING_STRATEGY_ORDER,
    }
    for strategy in STRATEGIES:
        assert Counter(route.model for route in ordered(strategy, ALL)) == Counter(r.model for r in ALL)


def test_the_cheapest_is_first_and_an_unknown_price_last() -> None:
    unknown = Route(MADE["openai"], "of-nobody")
    found = ordered(routing_pb2.ROUTING_STRATEGY_COST_OPTIMIZED, [unknown, *ALL])
    assert found == [LLAMA, MINI, GPT, CLAUDE, unknown]


def test_a_long_request_is_counted_and_a_short_one_is_weighed() -> None:
    given = context()
    short, long = asked(), asked()
    long.messages[0].content[0].text = "word " * 10_000
    assert given.expected(short).input_tokens == short.ByteSize() // 4
    assert given.expected(long).input_tokens == pytest.approx(10_000, rel=0.05)


def test_the_best_is_first() -> None:
    found = ordered(routing_pb2.ROUTING_STRATEGY_QUALITY, ALL)
    assert set(found[:2]) == {GPT, CLAUDE}


def test_the_fastest_is_first_once_it_was_measured() -> None:
    given = context()
    given.upstreams["openai"].record_latency("gpt-4o", 50, streamed=True)
    given.upstreams["anthropic"].record_latency(CLAUDE.model, 5000, streamed=False)
    assert ordered(routing_pb2.ROUTING_STRATEGY_SPEED, ALL, given) == [GPT, LLAMA, MINI, CLAUDE]


def test_each_has_its_turn() -> None:
    given = context()
    firsts = [ordered(routing_pb2.ROUTING_STRATEGY_ROUND_ROBIN, ALL, given)[0] for _ in range(8)]
    assert firsts == ALL + ALL


def test_weights_are_probabilities_of_the_first_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategies, "random", Random(1).random)
    routes = [Route(MADE["openai"], "a", 8.0), Route(MADE["openai"], "b", 2.0)]
    firsts = Counter(ordered(routing_pb2.ROUTING_STRATEGY_WEIGHTED, routes)[0].model for _ in range(2000))
    assert 300 <= firsts["b"] <= 500  # 400 expected, standard deviation 18


def test_a_balance_is_cheap_and_good_and_fast() -> None:
    # These two have the same sum of places, so the listed order decides.
    assert ordered(routing_pb2.ROUTING_STRATEGY_BALANCED, ALL)[:2] == [GPT, LLAMA]


class TestTiers:
    @pytest.mark.parametrize(
        ("model", "tier"),
        [
            ("gpt-4o", "PREMIUM"),
            ("gpt-4o-mini", "STANDARD"),
            ("gpt-5-nano", "ECONOMY"),
            ("claude-3-haiku-20240307", "ECONOMY"),
            ("claude-opus-4", "PREMIUM"),
            ("amazon.nova-lite-v1:0", "ECONOMY"),
            ("llama3.2:latest", "STANDARD"),
            ("nobody-knows", "STANDARD"),
        ],
    )
    def test_families_are_ranked(self, model: str, tier: str) -> None:
        assert routing_pb2.QualityTier.Name(Tiers().of("any", model)) == f"QUALITY_TIER_{tier}"

    def test_the_operators_ranking_wins_and_the_narrowest_name_counts(self) -> None:
        ranked = Tiers({"gpt-4o": "economy", "azure:gpt-4o": "standard", "groq": "premium"})
        assert ranked.of("openai", "gpt-4o") == routing_pb2.QUALITY_TIER_ECONOMY
        assert ranked.of("azure", "gpt-4o") == routing_pb2.QUALITY_TIER_STANDARD
        assert ranked.of("groq", "anything") == routing_pb2.QUALITY_TIER_PREMIUM
