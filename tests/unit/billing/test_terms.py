"""Terms of a call: tier, context, cache, place and tools together price to the tick, or are not known."""

from fractions import Fraction
from itertools import product
from pathlib import Path

import pytest

from genai_spine.billing.price import PriceBookError
from genai_spine.billing.price_book import PriceBook
from genai_spine.billing.terms import ORDINARY, terms, terms_of
from genai_spine.v1.execution_pb2 import Execution
from tests.price_books import BOOK, overridden, today, usage_of  # noqa: F401  # today is a fixture

FILE = """
- provider: p
  model: m
  input: 3
  cache_read: 0.3
  cache_write: 3.75
  cache_write_1h: 6
  output: 15
  tiers: [{above_input_tokens: 200000, input: 6, cache_read: 0.6, cache_write: 7.5, cache_write_1h: 12,
           output: 22.5}]
  tools: {web_search: 10, file_search: 2.5}
  variants:
    - {service_tier: flex, input: 1.5, cache_read: 0.15, cache_write: 1.875, cache_write_1h: 3, output: 7.5}
    - {service_tier: priority, input: 6, cache_read: 0.6, cache_write: 7.5, cache_write_1h: 12, output: 30,
       tiers: [{above_input_tokens: 200000, input: 12, cache_read: 1.2, cache_write: 15, cache_write_1h: 24,
                output: 45}]}
    - {speed: fast, input: 18, cache_read: 1.8, cache_write: 22.5, cache_write_1h: 36, output: 90}
    - {batch: true, input: 1.5, cache_read: 0.15, cache_write: 1.875, cache_write_1h: 3, output: 7.5}
- {provider: p, tools: {web_fetch: 0}, inference_geo: {us: 1.1}}
"""
# By tier: what the plain prices are multiplied by, and whether long input has a tier of its own.
TIERS = {
    "standard": (Fraction(1), True),
    "flex": (Fraction(1, 2), False),
    "priority": (Fraction(2), True),
    "fast": (Fraction(6), False),
    "batch": (Fraction(1, 2), False),
}
CACHES = {  # US dollars for 1,000,000 tokens
    "uncached_input_tokens": Fraction(3),
    "cache_read_tokens": Fraction(3, 10),
    "cache_write_5m_tokens": Fraction(15, 4),
    "cache_write_1h_tokens": Fraction(6),
}
PLACES = {"": Fraction(1), "global": Fraction(1), "us": Fraction(11, 10)}
TOOLS = {"": Fraction(0), "web_search": Fraction(10, 1000), "web_fetch": Fraction(0)}
TICKS = 10**10


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    return overridden(tmp_path_factory.mktemp("prices"), FILE)


def call(tier: str, place: str, tool: str, calls: int = 3) -> Execution:
    made = Execution(provider="p", model="m", inference_geo=place or None)
    if tier == "fast":
        made.speed = tier
    elif tier == "batch":
        made.operation = "OPERATION_BATCH"
    else:
        made.service_tier = tier
    if tool:
        made.units.server_tools[tool] = calls
    return made


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("place", PLACES)
def test_every_combination_prices_to_the_tick(tier: str, place: str, book: PriceBook) -> None:
    seen = 0
    for cache, tokens, tool in product(CACHES, (1, 199_999, 200_000, 200_001), TOOLS):
        made = call(tier, place, tool)
        made.usage.CopyFrom(usage_of(**{cache: tokens}, visible_output_tokens=1001))
        factor, tiered = TIERS[tier]
        is_long = tiered and tokens > 200_000
        given = CACHES[cache] * (2 if is_long else 1) * tokens
        written = Fraction(15) * (Fraction(3, 2) if is_long else 1) * 1001
        usd = (given + written) / 10**6 * factor * PLACES[place] + TOOLS[tool] * 3
        cost = book.rate(made)
        assert cost.price_known
        assert cost.cost_ticks == int(usd * TICKS + Fraction(1, 2)), (cache, tokens, tool)
        seen += 1
    assert seen == 48


@pytest.mark.parametrize(
    "unknown",
    [
        {"service_tier": "reserved"},
        {"speed": "turbo"},
        {"inference_geo": "eu"},
        {"service_tier": "flex", "speed": "fast"},
        {"service_tier": "flex", "operation": "OPERATION_BATCH"},
        {"units": {"server_tools": {"code_interpreter": 1}}},
        {"units": {"server_tools": {"web_search": 1, "of_tomorrow": 1}}},
    ],
)
def test_what_has_no_price_is_unknown_and_never_zero(unknown: dict[str, object], book: PriceBook) -> None:
    usage = usage_of(uncached_input_tokens=1000, visible_output_tokens=10)
    cost = book.rate(Execution(provider="p", model="m", usage=usage, **unknown))  # type: ignore[arg-type]
    assert not cost.price_known
    assert not cost.is_free
    assert cost.price_book == book.version


def test_tool_that_was_not_called_needs_no_price(book: PriceBook) -> None:
    made = call("standard", "", "of_tomorrow", calls=0)
    made.usage.CopyFrom(usage_of(uncached_input_tokens=1))
    assert book.rate(made).cost_ticks == 30_000


def test_write_that_is_kept_longer_has_no_price_where_only_short_ones_have(tmp_path: Path) -> None:
    book = overridden(tmp_path, "[{provider: p, model: m, input: 3, cache_write: 3.75, output: 15}]")
    for bucket, known in [("cache_write_5m_tokens", True), ("cache_write_1h_tokens", False)]:
        assert book.cost("p", "m", usage_of(**{bucket: 10})).price_known is known
    plain = overridden(tmp_path, "[{provider: p, model: m, input: 3, output: 15}]")
    assert plain.cost("p", "m", usage_of(cache_write_1h_tokens=10)).cost_ticks == 300_000


def test_words_for_the_ordinary_are_ordinary() -> None:
    for tier in ("", "default", "standard", "auto", "on_demand"):
        assert terms(tier, "standard", "not_available") == terms(tier, "", "global") == ORDINARY
    batch = terms_of(Execution(service_tier="batch"))
    assert batch == terms_of(Execution(operation="OPERATION_BATCH")) != ORDINARY


def test_shipped_book_has_what_anthropic_reports() -> None:
    """Fast mode, place and searches of Opus 4.8, as its price page states them."""
    made = Execution(provider="anthropic", model="claude-opus-4-8", speed="fast", inference_geo="us")
    made.usage.CopyFrom(usage_of(uncached_input_tokens=10**6, cache_write_1h_tokens=10**6))
    made.units.server_tools["web_search"] = 100
    made.units.server_tools["web_fetch"] = 7
    assert BOOK.rate(made).cost_ticks == (11 + 22 + 1) * TICKS


def test_shipped_book_knows_no_time_in_containers() -> None:
    made = Execution(provider="openai", model="gpt-5", usage=usage_of(uncached_input_tokens=1))
    made.units.server_tools["web_search"] = 1
    assert BOOK.rate(made).cost_ticks == 12_500 + TICKS // 100
    made.units.server_tools["code_interpreter"] = 1
    assert not BOOK.rate(made).price_known


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{provider: p, model: m, input: 1, variants: [{input: 1}]}", "service_tier, speed or batch"),
        ("{provider: p, model: m, input: 1, variants: [{batch: true}]}", "variants.1.: input: needed"),
        (
            "{provider: p, model: m, input: 1, variants: [{speed: fast, input: -1}]}",
            "-1 is not a price",
        ),
        (
            "{provider: p, model: m, input: 1, tools: {web_search: -1}}",
            "web_search: -1 is not a price",
        ),
        ("{provider: p, tools: {web_search: dear}}", "Invalid decimal"),
        ("{provider: p, inference_geo: {us: 0}}", "inference_geo: us: 0 is no factor"),
        ("{provider: p, inference_geo: {us: 1.1}, input: 1}", "unknown field `input`"),
        ("{provider: p, model: m, free: true, tools: {web_search: 1}}", "free: a free row has no prices"),
        ("{provider: p, input: 1}", "missing required field `model`"),
    ],
)
def test_bad_terms_are_refused_with_row_and_field(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(PriceBookError, match=f"row 1: .*{said}|row 1: {said}"):
        overridden(tmp_path, f"[{row}]")


def test_provider_says_a_thing_once(tmp_path: Path) -> None:
    row = "{provider: p, tools: {web_search: 1}}"
    with pytest.raises(PriceBookError, match="row 2: provider: p has such a row already"):
        overridden(tmp_path, f"[{row}, {row}]")


def test_operators_word_on_a_tool_wins(tmp_path: Path) -> None:
    book = overridden(tmp_path, "[{provider: openai, tools: {code_interpreter: 30}}]")
    made = Execution(provider="openai", model="gpt-4o", usage=usage_of())
    made.units.server_tools["code_interpreter"] = 2
    made.units.server_tools["web_search"] = 1
    assert book.rate(made).cost_ticks == TICKS * 7 // 100
