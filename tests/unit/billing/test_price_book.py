"""The price book against the table of supported models, against genai-prices' own calculation, and alone."""

import json
import re
import socket
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from genai_spine.billing.price import PriceBookError
from genai_spine.billing.price_book import MEMO_SIZE, PriceBook
from genai_spine.billing.terms import terms
from genai_spine.v1 import usage_pb2
from tests.price_books import (  # noqa: F401  # today is a fixture
    BOOK,
    CLOCK,
    FIELDS,
    INPUT_FIELDS,
    OUTPUT_FIELDS,
    Clock,
    overridden,
    ticks,
    today,
    usage_of,
)

# The table of the specification. USD for 1,000,000 tokens of input and output.
LISTED = [
    ("openai", "gpt-4o", "2.50", "10"),
    ("openai", "gpt-4o-mini", "0.15", "0.60"),
    ("openai", "gpt-5-nano", "0.05", "0.40"),
    ("openai", "gpt-4-turbo", "10", "30"),
    ("openai", "gpt-4", "30", "60"),
    ("openai", "gpt-3.5-turbo", "0.50", "1.50"),
    ("openai", "o1-preview", "15", "60"),
    # The table says 3 / 12, OpenAI's price until January 2025; the price book has the later one and wins.
    ("openai", "o1-mini", "1.10", "4.40"),
    ("openai", "o3-mini", "1.10", "4.40"),
    ("anthropic", "claude-sonnet-4-20250514", "3", "15"),
    ("anthropic", "claude-3-5-sonnet-20241022", "3", "15"),
    ("anthropic", "claude-3-sonnet-20240229", "3", "15"),
    ("anthropic", "claude-3-5-haiku-20241022", "0.80", "4"),
    ("anthropic", "claude-3-haiku-20240307", "0.25", "1.25"),
    ("anthropic", "claude-3-opus-20240229", "15", "75"),
    ("bedrock", "amazon.nova-micro-v1:0", "0.035", "0.14"),
    ("bedrock", "amazon.nova-lite-v1:0", "0.06", "0.24"),
    ("bedrock", "amazon.nova-pro-v1:0", "0.80", "3.20"),
    ("bedrock", "anthropic.claude-3-sonnet-20240229-v1:0", "3", "15"),
    ("bedrock", "anthropic.claude-3-haiku-20240307-v1:0", "0.25", "1.25"),
]
OLLAMA = [
    "llama3.2",
    "llama3.2:latest",
    "llama3.2:3b",
    "llama3.2:1b",
    "llama3.1:latest",
    "llama3.1:8b",
    "llama3.1:70b",
    "llama3:latest",
    "mistral:latest",
    "mixtral:latest",
    "codellama:latest",
    "qwen2.5:latest",
    "deepseek-coder:latest",
    "phi3:latest",
    "gemma2:latest",
]


@pytest.mark.parametrize(("provider", "model", "input_usd", "output_usd"), LISTED)
def test_listed_model_has_its_listed_price(
    provider: str, model: str, input_usd: str, output_usd: str
) -> None:
    price = BOOK.find(provider, model)
    assert price is not None
    assert (price.input_usd_per_1m, price.output_usd_per_1m) == (Decimal(input_usd), Decimal(output_usd))
    assert not price.is_free
    used = ticks(provider, model, uncached_input_tokens=1_000_000, visible_output_tokens=1_000_000)
    assert used == (Decimal(input_usd) + Decimal(output_usd)) * 10**10


@pytest.mark.parametrize("model", OLLAMA)
def test_listed_ollama_model_is_known_and_free(model: str) -> None:
    cost = BOOK.cost("ollama", model, usage_of(uncached_input_tokens=10**6, visible_output_tokens=10**6))
    assert (cost.cost_ticks, cost.price_known, cost.is_free) == (0, True, True)


@pytest.mark.parametrize(
    ("provider", "asked", "row"),
    [
        ("openai", "gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("openai", "gpt-4o-mini-2024", "gpt-4o-mini"),
        ("openai", "gpt-4o-2024-08-06", "gpt-4o"),
        ("openai", "gpt-4o-2024", "gpt-4o"),
        ("openai", "gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("openai", "GPT-4o", "gpt-4o"),
        ("openai", "o1-2024-12-17", "o1"),
        ("openai", "o1-mini-2024-09-12", "o1-mini"),
        ("openai", "gpt-5-2-pro", "gpt-5.2-pro"),  # not gpt-5-2, which is a shorter prefix
        ("openai", "gpt-5.2-20251211", "gpt-5.2"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:org::id", "ft:gpt-4o-mini"),
        ("anthropic", "claude-3-opus", "claude-3-opus-latest"),
        ("anthropic", "claude-3-5-haiku", "claude-3-5-haiku-latest"),
        ("azure", "gpt-4o-mini", "gpt-4o-mini"),
        ("azure", "gpt-4o-mini-eu", "gpt-4o-mini"),
        ("gemini", "models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("gemini", "gemini-2.5-flash-002", "gemini-2.5-flash"),
        ("mistral", "mistral-small", "mistral-small-2603"),  # newest of 2506 and 2603
        ("xai", "grok-2-latest", "grok-2-1212"),
        (
            "bedrock",
            "us.anthropic.claude-sonnet-4-20250514-v1:0",
            "regional.anthropic.claude-sonnet-4-20250514-v1:0",
        ),
        ("bedrock", "anthropic.claude-sonnet-4", "regional.anthropic.claude-sonnet-4-20250514-v1:0"),
        (
            "bedrock",
            "anthropic.claude-3-haiku-20240307-v1:0",
            "regional.anthropic.claude-3-haiku-20240307-v1:0",
        ),
        (
            "bedrock",
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        (
            "bedrock",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-3-5-sonnet-20241022-v2:0",
            "regional.anthropic.claude-3-5-sonnet-20241022-v2:0",
        ),
        (
            "bedrock",
            "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0",
            "amazon.nova-lite-v1:0",
        ),
        ("bedrock", "amazon.titan-embed-text-v2:0", "amazon.titan-embed-text-v2:0"),
        ("bedrock", "us.cohere.embed-v4:0", "cohere.embed-v4:0"),
        ("azure", "whisper-1", "whisper-1"),
        ("azure", "text-embedding-3-small", "text-embedding-3-small"),
        ("openrouter", "openai/gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"),
        ("ollama", "llama3.2:3b-instruct-q4_K_M", "llama3.2"),
    ],
)
def test_name_resolves_to_its_row(provider: str, asked: str, row: str) -> None:
    price = BOOK.find(provider, asked)
    assert price is not None
    assert price.model == row


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "no-such-model"),
        ("openai", ""),
        ("openai", "gpt-4omega"),  # goes on within a word
        ("openai", "gpt-5.9"),  # a version of its own
        ("openai", "claude-3-opus-20240229"),  # another provider's model
        ("groq", "gpt-4o"),
        ("deepinfra", "meta-llama/Llama-3.3-70B-Instruct"),  # in nobody's table
        ("deepgram", "nova-3"),
        # An opaque name: the operator's file can have a row for it.
        ("bedrock", "arn:aws:bedrock:us-east-1:1:application-inference-profile/abcdef"),
        ("openai", "dall-e-3"),  # shut down
        ("vllm", "gpt-4o"),
        ("openrouter", "openai/gpt-4o:nitro"),  # a variant with a price of its own
        ("openai", "moderation"),  # no price in the data, and no word that it is free
        ("", "gpt-4o"),
    ],
)
def test_price_that_nobody_stated_is_unknown_and_not_zero(provider: str, model: str) -> None:
    assert BOOK.find(provider, model) is None
    for usage in (usage_of(uncached_input_tokens=1000), usage_pb2.Usage()):
        cost = BOOK.cost(provider, model, usage)
        assert (cost.cost_ticks, cost.cost_usd, cost.price_known, cost.is_free) == (0, 0.0, False, False)
        assert cost.price_book == BOOK.version


def test_local_model_is_known_and_free_whatever_its_name() -> None:
    for provider, model in [("ollama", "some-model"), ("vllm", "gpt-4o"), ("builtin", "extractive")]:
        cost = BOOK.cost(provider, model, usage_of(uncached_input_tokens=10**6), local=True)
        assert (cost.cost_ticks, cost.price_known, cost.is_free) == (0, True, True)
        assert cost.price_book == BOOK.version


def test_zero_tokens_cost_zero_with_the_price_known() -> None:
    for provider, model in [
        ("openai", "gpt-4o"),
        ("openai", "text-embedding-3-small"),
        ("perplexity", "sonar"),
    ]:
        cost = BOOK.cost(provider, model, usage_pb2.Usage())
        assert (cost.cost_ticks, cost.price_known, cost.is_free) == (0, True, False)


def test_hosted_model_with_price_zero_is_known_but_not_free_by_nature() -> None:
    for provider, model in [("openrouter", "deepseek/deepseek-r1:free")]:
        cost = BOOK.cost(provider, model, usage_of(uncached_input_tokens=10**6))
        assert (cost.cost_ticks, cost.price_known, cost.is_free) == (0, True, False)


def test_paid_model_is_not_covered_by_a_shorter_row_of_price_zero() -> None:
    assert ticks("gemini", "gemma-4-26b-a4b-it-maas", uncached_input_tokens=10**6) == 1_500_000_000


def test_each_bucket_is_billed_once_at_its_own_price() -> None:
    # Claude Haiku 4.5: 1 input, 0.10 cache read, 1.25 and 2 cache write, 5 output. At 1 USD for a million a
    # token is 10,000 ticks.
    prices = {
        "uncached_input_tokens": 10_000,
        "cache_read_tokens": 1_000,
        "cache_write_5m_tokens": 12_500,
        "cache_write_1h_tokens": 20_000,
        "visible_output_tokens": 50_000,
        "reasoning_tokens": 50_000,
    }
    for field, price in prices.items():
        assert ticks("anthropic", "claude-haiku-4-5-20251001", **{field: 7}) == 7 * price, field
    together = dict.fromkeys(prices, 7)
    assert ticks("anthropic", "claude-haiku-4-5-20251001", **together) == 7 * sum(prices.values())


def test_cached_tokens_are_not_billed_again_as_input() -> None:
    # gpt-4o: 2.50 input, 1.25 cached; 1,000 input tokens of which 800 came from the cache.
    usage = usage_pb2.Usage(
        input_tokens=1000, total_tokens=1000, uncached_input_tokens=200, cache_read_tokens=800
    )
    assert BOOK.cost("openai", "gpt-4o", usage).cost_ticks == 200 * 25_000 + 800 * 12_500


def test_audio_and_images_have_their_own_price_where_the_row_has_one() -> None:
    # gpt-realtime: 4 text, 32 audio in, 5 image in, 16 text out, 64 audio out.
    prices = {
        "audio_input_tokens": 320_000,
        "image_input_tokens": 50_000,
        "audio_output_tokens": 640_000,
        "reasoning_tokens": 160_000,
    }
    for field, price in prices.items():
        assert ticks("openai", "gpt-realtime", **{field: 3}) == 3 * price, field


def test_bucket_without_its_own_price_costs_as_the_wider_kind() -> None:
    # gpt-4: 30 input, 60 output and nothing else.
    for field in INPUT_FIELDS:
        assert ticks("openai", "gpt-4", **{field: 3}) == 900_000, field
    for field in OUTPUT_FIELDS:
        assert ticks("openai", "gpt-4", **{field: 3}) == 1_800_000, field


def test_usage_without_its_split_is_billed_as_input_and_output() -> None:
    cost = BOOK.cost("openai", "gpt-4o", usage_pb2.Usage(input_tokens=10, output_tokens=3, total_tokens=13))
    assert cost.cost_ticks == 10 * 25_000 + 3 * 100_000


def test_output_of_an_embedding_model_has_no_known_price() -> None:
    assert ticks("openai", "text-embedding-3-small", uncached_input_tokens=5) == 1000
    usage = usage_of(uncached_input_tokens=5, visible_output_tokens=1)
    cost = BOOK.cost("openai", "text-embedding-3-small", usage)
    assert (cost.cost_ticks, cost.price_known) == (0, False)


def test_long_input_prices_the_whole_request_at_its_tier() -> None:
    # gemini-2.5-pro: 1.25 / 10, and 2.50 / 15 when the input, cached tokens included, is over 200,000.
    at = ticks("gemini", "gemini-2.5-pro", uncached_input_tokens=200_000, visible_output_tokens=10)
    above = ticks("gemini", "gemini-2.5-pro", uncached_input_tokens=200_001, visible_output_tokens=10)
    cached = ticks("gemini", "gemini-2.5-pro", uncached_input_tokens=1, cache_read_tokens=200_000)
    assert at == 200_000 * 12_500 + 10 * 100_000
    assert above == 200_001 * 25_000 + 10 * 150_000
    assert cached == 25_000 + 200_000 * 2_500


def test_price_changes_on_its_date_for_a_model_already_seen() -> None:
    CLOCK.set(2026, 12, 31, 23, 59)
    assert ticks("gemini", "gemini-3.6-flash", uncached_input_tokens=1) == 7_500
    CLOCK.set(2027, 1, 1, 0, 0)
    assert ticks("gemini", "gemini-3.6-flash", uncached_input_tokens=1) == 15_000


def test_price_changes_at_its_time_of_day_for_a_model_already_seen() -> None:
    CLOCK.set(2026, 11, 21, 0, 29)
    assert ticks("deepseek", "deepseek-chat", visible_output_tokens=1) == 5_500
    CLOCK.set(2026, 11, 21, 0, 30)
    assert ticks("deepseek", "deepseek-chat", visible_output_tokens=1) == 11_000
    CLOCK.set(2026, 11, 21, 16, 30)
    assert ticks("deepseek", "deepseek-chat", visible_output_tokens=1) == 5_500


def test_service_tier_is_billed_at_its_own_price_or_is_not_known() -> None:
    usage = usage_of(uncached_input_tokens=1_000, visible_output_tokens=100)

    def with_tier(provider: str, tier: str) -> int | None:
        cost = BOOK.cost(provider, "gpt-5", usage, at=terms(tier))
        assert cost.price_known or not cost.cost_ticks
        return cost.cost_ticks if cost.price_known else None

    standard = with_tier("openai", "")
    assert standard is not None
    assert with_tier("openai", "flex") == standard // 2
    assert with_tier("openai", "priority") == standard * 2
    assert with_tier("openai", "default") == with_tier("azure", "default") == standard
    assert with_tier("openai", "no-such-tier") is None
    assert with_tier("azure", "flex") is None, "OpenAI's tiers are not Azure's"


def test_usd_has_every_digit_of_the_ticks() -> None:
    cost = BOOK.cost("openai", "gpt-5-nano", usage_of(cache_read_tokens=1))
    assert (cost.cost_ticks, json.dumps(cost.cost_usd)) == (50, "5e-09")
    cost = BOOK.cost("openai", "o1-pro", usage_of(uncached_input_tokens=123_457, reasoning_tokens=3))
    assert (
        Decimal(json.dumps(cost.cost_usd)) * 10**10 == cost.cost_ticks == 123_457 * 1_500_000 + 3 * 6_000_000
    )


def test_override_wins_over_the_book_and_covers_dated_names_of_its_model(tmp_path: Path) -> None:
    book = overridden(
        tmp_path, "[{provider: openai, model: gpt-4o, input: '1', cache_read: '0.5', output: '2'}]"
    )
    for model in ("gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-2030-01-01"):
        assert ticks("openai", model, book, uncached_input_tokens=1) == 10_000, model
        assert ticks("openai", model, book, cache_read_tokens=1) == 5_000, model
    assert ticks("openai", "gpt-4o-mini-2024-07-18", book, uncached_input_tokens=1) == 1_500
    assert ticks("openai", "gpt-4o-2024-05-13", book, uncached_input_tokens=1) == 50_000
    assert ticks("azure", "gpt-4o", book, uncached_input_tokens=1) == 25_000


def test_override_covers_other_names_that_the_book_has_for_its_model(tmp_path: Path) -> None:
    book = overridden(tmp_path, "[{provider: openai, model: gpt-3.5-turbo, input: 9, output: 9}]")
    assert ticks("openai", "gpt-35-turbo", book, uncached_input_tokens=1) == 90_000


def test_override_of_an_undated_name_covers_its_dated_model(tmp_path: Path) -> None:
    book = overridden(tmp_path, "[{provider: anthropic, model: claude-3-opus, input: 1, output: 2}]")
    assert ticks("anthropic", "claude-3-opus-20240229", book, uncached_input_tokens=1) == 10_000


def test_override_does_not_cover_names_that_go_on_from_a_longer_known_one(tmp_path: Path) -> None:
    book = overridden(tmp_path, "[{provider: openai, model: gpt-5, input: 100, output: 100}]")
    assert ticks("openai", "gpt-5-mini-of-tomorrow", book, uncached_input_tokens=1) == 2_500
    assert ticks("openai", "gpt-5-of-tomorrow", book, uncached_input_tokens=1) == 1_000_000


def test_override_wins_over_the_shipped_overlay_and_has_aliases(tmp_path: Path) -> None:
    text = "[{provider: ollama, model: llama3.2, aliases: [our-llama], input: 1, output: 1}]"
    book = overridden(tmp_path, text)
    for model in ("llama3.2", "llama3.2:3b", "our-llama", "OUR-LLAMA"):
        cost = book.cost("ollama", model, usage_of(uncached_input_tokens=1))
        assert (cost.cost_ticks, cost.is_free) == (10_000, False), model
    assert book.cost("ollama", "llama3.1", usage_of(uncached_input_tokens=1)).is_free


def test_override_adds_a_provider_and_tiers(tmp_path: Path) -> None:
    text = """
- provider: deepinfra
  model: org/model
  input: 0.1
  output: 0.4
  tiers:
    - {above_input_tokens: 1000, input: 0.2}
    - {above_input_tokens: 2000, input: 0.3, output: 0.8}
"""
    book = overridden(tmp_path, text)
    costs = [
        ticks("deepinfra", "org/model", book, uncached_input_tokens=count, visible_output_tokens=1)
        for count in (1000, 1001, 2001)
    ]
    assert costs == [1000 * 1_000 + 4_000, 1001 * 2_000 + 4_000, 2001 * 3_000 + 8_000]


@pytest.mark.parametrize(
    "dates", [("20250101", "20240101"), ("2025-01-01", "20241231"), ("20250101", "2412")]
)
def test_undated_name_takes_the_newest_dated_row(tmp_path: Path, dates: tuple[str, str]) -> None:
    rows = [f"{{provider: x, model: family-{date}, input: {usd}}}" for usd, date in enumerate(dates, 1)]
    book = overridden(tmp_path, f"[{', '.join(rows)}]")
    assert ticks("x", "family", book, uncached_input_tokens=1) == 10_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("provider: openai", "must be a list of rows"),
        ("[{]", "while parsing"),
        ("[just text]", r"row 1: Expected `object`"),
        ("[{model: m, input: 1}]", r"row 1: .*`provider`"),
        ("[{provider: p, model: '', input: 1}]", r"row 1: .*`\$.model`"),
        ("[{provider: p, model: m, free: true}, {provider: p, model: n}]", "row 2: input: needed"),
        ("[{provider: p, model: m, input: cheap}]", r"row 1: .*`\$.input`"),
        ("[{provider: p, model: m, input:}]", r"row 1: .*`\$.input`"),
        ("[{provider: p, model: m, input: -1}]", "row 1: input: -1 is not a price"),
        ("[{provider: p, model: m, input: 1, output: NaN}]", "row 1: output: NaN is not a price"),
        ("[{provider: p, model: m, input: 1e-21}]", "row 1: input: 1E-21 has more than 20 decimals"),
        ("[{provider: p, model: m, input: 1, inptu: 2}]", r"row 1: .*unknown field `inptu`"),
        ("[{provider: p, model: m, free: perhaps}]", r"row 1: .*`\$.free`"),
        ("[{provider: p, model: m, free: true, output: 1}]", "row 1: free: a free row has no prices"),
        (
            "[{provider: p, model: m, input: 1}, {provider: p, model: M, input: 2}]",
            "row 2: model: 'm' is also in row 1",
        ),
        ("[{provider: p, model: m, input: 1, aliases: x}]", r"row 1: .*`\$.aliases`"),
        ("[{provider: p, model: m, input: 1, tiers: [{input: 2}]}]", r"row 1: .*`above_input_tokens`"),
        (
            "[{provider: p, model: m, input: 1, tiers: [{above_input_tokens: 5, output: 2}]}]",
            "row 1: output: has a price in tiers, but none below them",
        ),
    ],
)
def test_bad_overrides_are_refused_with_their_row_and_field(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PriceBookError, match=said) as caught:
        overridden(tmp_path, text)
    assert str(tmp_path / "prices.yaml") in str(caught.value)


def test_missing_overrides_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PriceBookError, match=r"no-such-file\.yaml"):
        PriceBook.load(tmp_path / "no-such-file.yaml")


def test_version_names_every_source_and_changes_with_its_content(tmp_path: Path) -> None:
    first = overridden(tmp_path, "[{provider: p, model: m, input: 1}]").version
    second = overridden(tmp_path, "[{provider: p, model: m, input: 2}]").version
    source = r"\S+ sha256:[0-9a-f]{12}"
    assert re.fullmatch(rf"genai-prices {source} \+ overlay {source[4:]}", BOOK.version)
    assert first.startswith(BOOK.version + " + overrides sha256:")
    assert first != second


def test_list_has_each_model_once_sorted_with_the_strongest_row(tmp_path: Path) -> None:
    book = overridden(tmp_path, "[{provider: openai, model: gpt-4o, aliases: [x], input: 1, output: 2}]")
    listed = book.prices()
    keys = [(price.model, price.provider) for price in listed]
    assert keys == sorted(keys)
    assert len(keys) == len(set(keys)) > 2000
    (row,) = [price for price in listed if (price.provider, price.model) == ("openai", "gpt-4o")]
    assert (row.source, row.input_usd_per_1m, row.output_usd_per_1m) == ("overrides", Decimal(1), Decimal(2))
    assert {price.model for price in listed if price.is_free} >= {"llama3.2", "gemma2"}
    assert ("gemini-2.5-pro", "gemini") in keys
    assert ("whisper-1", "openai") in keys


def test_everything_listed_is_found_under_its_own_name() -> None:
    for price in BOOK.prices():
        assert BOOK.find(price.provider, price.model) == price


def test_memory_for_names_seen_is_bounded() -> None:
    for number in range(MEMO_SIZE + 100):
        BOOK.find("vllm", f"name-{number}")
    assert BOOK._row.cache_info().currsize <= MEMO_SIZE
    assert BOOK._price.cache_info().currsize <= MEMO_SIZE


def test_nothing_touches_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    book = PriceBook.load()
    assert book.cost("openai", "gpt-4o", usage_of(uncached_input_tokens=1)).cost_ticks == 25_000
    assert not any("genai_prices" in thread.name for thread in threading.enumerate())


def test_length_of_a_context_is_found_as_a_price_is() -> None:
    assert BOOK.context_length("openai", "gpt-4o-2024-08-06") == 128_000
    assert BOOK.context_length("azure", "gpt-4o") == 128_000
    assert BOOK.context_length("anthropic", "claude-3-haiku-20240307") == 200_000
    assert BOOK.context_length("openai", "no-such-model") is None
    assert BOOK.context_length("ollama", "llama3.2:latest") is None
