"""Upper bound of a call: at least what its settlement books, by the prices of the terms that it asked for."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_spine.billing.price import Price
from genai_spine.billing.price_book import PriceBook
from genai_spine.billing.terms import ORDINARY, Terms, terms
from genai_spine.billing.upper_bound import CallSize, call_size, image_size, text_rates, upper_bound
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import message_pb2
from genai_spine.v1 import pricing_service_pb2 as prices_pb
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.usage_pb2 import UnitUsage
from tests.price_books import overridden, today, usage_of  # noqa: F401  # today is a fixture
from tests.unit.billing.test_terms import FILE

TICKS_PER_M = 10_000  # of one token at 1 US dollar for 1,000,000
EVERY_KIND = frozenset(
    (
        prices_pb.PRICE_UNIT_CACHE_WRITE_5M_TOKENS,
        prices_pb.PRICE_UNIT_CACHE_WRITE_1H_TOKENS,
        prices_pb.PRICE_UNIT_AUDIO_INPUT_TOKENS,
        prices_pb.PRICE_UNIT_IMAGE_INPUT_TOKENS,
    )
)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    return overridden(tmp_path_factory.mktemp("prices"), FILE.replace("provider: p", "provider: anthropic"))


def most(book: PriceBook, size: CallSize, provider: str = "anthropic") -> int:
    ticks = book.most_ticks(provider, "m", size)
    assert ticks is not None
    return ticks


def asking(**options: object) -> pb.CreateCompletionRequest:
    request = pb.CreateCompletionRequest(provider_options_json=json.dumps(options) if options else None)
    request.messages.add(role=message_pb2.ROLE_USER).content.add(text="Hello")
    return request


def test_plain_call_costs_its_input_and_the_longest_answer(book: PriceBook) -> None:
    assert most(book, CallSize(1000, 100)) == (3 * 1000 + 15 * 100) * TICKS_PER_M


def test_mark_for_the_cache_makes_all_input_as_dear_as_a_write(book: PriceBook) -> None:
    for mark, usd in [(message_pb2.PROMPT_CACHE_5M, 3.75), (message_pb2.PROMPT_CACHE_1H, 6)]:
        for place in ("message", "part", "tool"):
            request = asking()
            marked = {
                "message": request.messages[0],
                "part": request.messages[0].content[0],
                "tool": request.tools.add(),
            }
            marked[place].prompt_cache = mark
            assert most(book, call_size(request, 1000, 0)) == int(usd * 1000 * TICKS_PER_M)


def test_input_that_may_reach_a_longer_context_is_priced_there(book: PriceBook) -> None:
    assert most(book, CallSize(200_000, 10)) == (3 * 200_000 + 150) * TICKS_PER_M
    assert most(book, CallSize(200_001, 10)) == (6 * 200_001 + 225) * TICKS_PER_M


@pytest.mark.parametrize(
    ("options", "input_usd"),
    [
        ({"service_tier": "priority"}, 6),
        ({"service_tier": "flex"}, 3),  # it may be served as any other call
        ({"service_tier": "auto"}, 3),
        ({"speed": "fast"}, 18),
        ({"inference_geo": "us"}, 3.3),
        ({"speed": "fast", "inference_geo": "us"}, 19.8),
    ],
)
def test_terms_that_are_asked_for_count_as_in_the_settlement(
    options: dict[str, object], input_usd: float, book: PriceBook
) -> None:
    assert most(book, call_size(asking(**options), 1000, 0)) == round(input_usd * 1000 * TICKS_PER_M)


@pytest.mark.parametrize(
    "options",
    [
        {"service_tier": "reserved"},
        {"inference_geo": "eu"},
        {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]},
        {"service_tier": 7},
    ],
)
def test_bound_of_what_has_no_price_is_unknown(options: dict[str, object], book: PriceBook) -> None:
    assert book.most_ticks("anthropic", "m", call_size(asking(**options), 1000, 10)) is None


def test_tools_of_the_provider_are_reserved_for_as_often_as_they_may_be_called(book: PriceBook) -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    a_search = 10**10 // 100
    for options, calls in [
        ({"tools": [{**search, "max_uses": 3}]}, 3),
        ({"tools": [search]}, 10),
        ({"tools": [search], "max_tool_calls": 2}, 2),
        ({"web_search_options": {}}, 1),
        ({"web_search_options": None}, 0),
        ({"tools": [{"type": "function", "name": "mine"}]}, 0),
    ]:
        assert most(book, call_size(asking(**options), 0, 0)) == calls * a_search, options


@pytest.mark.parametrize(
    ("asked", "options", "output"),
    [
        ({}, {"max_completion_tokens": 900}, 900),
        ({}, {"max_tokens": 900, "n": 3}, 2700),
        ({}, {"max_output_tokens": 40}, 100),  # which of the two counts is the provider's choice
        ({"choice_count": 2}, {"best_of": 5}, 250),
        ({"choice_count": 2}, {"n": 1}, 100),
        ({}, {"n": None, "max_tokens": None}, 100),
    ],
)
def test_limits_in_the_providers_own_options_count_as_well(
    asked: dict[str, int], options: dict[str, int | None], output: int
) -> None:
    request = pb.CreateCompletionRequest(**asked, provider_options_json=json.dumps(options))
    assert call_size(request, 10, 100).output_tokens == output


def test_images_that_the_providers_own_options_ask_for_count_as_well() -> None:
    request = media.CreateImagesRequest(image_count=2, provider_options_json='{"n": 7}')
    assert image_size(request, 5).units.images == 7
    assert image_size(media.CreateImagesRequest(), 5).units.images == 1
    odd = media.CreateImagesRequest(provider_options_json='{"n": "many"}')
    assert image_size(odd, 5).at not in (ORDINARY, terms("", "", ""))


def test_free_and_local_calls_reserve_nothing_and_unknown_models_are_unknown(book: PriceBook) -> None:
    assert book.most_ticks("ollama", "llama3.2", CallSize(10**6, 10**6)) == 0
    assert book.most_ticks("vllm", "mine", CallSize(10**6), local=True) == 0
    assert book.most_ticks("vllm", "mine", CallSize(10**6)) is None
    assert book.listed("ollama", "llama3.2").is_free
    assert book.listed("vllm", "mine", local=True).is_free
    assert not book.listed("anthropic", "m").is_free


def test_what_is_not_counted_in_tokens_is_bound_by_its_own_price(tmp_path: Path) -> None:
    heard = overridden(tmp_path, "[{provider: p, model: m, audio_second: 0.0001, least_audio_seconds: 10}]")
    assert most(heard, CallSize(units=UnitUsage(audio_ms=1)), "p") == 10_000_000
    assert heard.most_ticks("p", "m", CallSize(units=UnitUsage(images=1))) is None
    drawn = overridden(tmp_path, "[{provider: p, model: m, image: 0.04}]")
    assert most(drawn, CallSize(5, units=UnitUsage(images=2)), "p") == 800_000_000


def test_provider_that_caches_by_itself_may_bill_a_write_of_all_input(tmp_path: Path) -> None:
    row = "[{provider: PROVIDER, model: m, input: 1, cache_write: 1.25, output: 2}]"
    for provider, usd in [("openai", 1.25), ("anthropic", 1), ("bedrock", 1)]:
        book = overridden(tmp_path, row.replace("PROVIDER", provider))
        assert book.most_ticks(provider, "m", CallSize(1000)) == round(usd * 1000 * TICKS_PER_M)


SEARCHES = UnitUsage(server_tools={"web_search": 2})
TIERS = st.sampled_from([ORDINARY, terms("flex"), terms("priority"), terms("", "fast")])
TOKENS = st.integers(0, 400_000)


@given(at=TIERS, place=st.sampled_from(["", "us"]), tokens=st.tuples(TOKENS, TOKENS, TOKENS, TOKENS, TOKENS))
@settings(max_examples=200, deadline=None)
def test_settlement_of_a_call_within_its_size_never_costs_more(
    at: Terms, place: str, tokens: tuple[int, ...], book: PriceBook
) -> None:
    plain, read, short, hour, made = tokens
    usage = usage_of(
        uncached_input_tokens=plain,
        cache_read_tokens=read,
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=hour,
        visible_output_tokens=made,
    )
    at = at._replace(inference_geo=place or None)
    size = CallSize(usage.input_tokens, made, SEARCHES, EVERY_KIND, at)
    execution = Execution(provider="anthropic", model="m", usage=usage, units=SEARCHES)
    execution.service_tier, execution.speed = at.service_tier or "", at.speed or ""
    execution.inference_geo = place
    cost = book.rate(execution)
    assert cost.price_known
    assert cost.cost_ticks <= most(book, size)


@given(
    rates=st.tuples(st.sampled_from([10, 10**6]), *[st.integers(0, 10**6)] * 8),
    provider=st.sampled_from(["anthropic", "openai"]),
    unpriced=st.sampled_from([(), (3,), (7,)]),
    tokens=st.tuples(st.integers(1, 10**6), st.integers(1, 10**5)),
)
def test_rates_of_text_bound_a_call_of_any_kind_of_input(
    rates: tuple[int, ...], provider: str, unpriced: tuple[int, ...], tokens: tuple[int, int]
) -> None:
    price = Price(provider, "m", None, "overrides", False, rates, unpriced)
    found = text_rates(price)
    if found is not None:
        for kinds in (frozenset(), EVERY_KIND):
            assert found.ticks(*tokens) == upper_bound((price,), CallSize(*tokens, kinds=kinds))
