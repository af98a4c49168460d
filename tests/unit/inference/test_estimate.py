"""Upper bounds of what calls cost, by their requests."""

from typing import Any

import pytest

from genai_spine.billing.price_book import PriceBook
from genai_spine.billing.upper_bound import CallSize, upper_bound
from genai_spine.inference import estimate
from genai_spine.inference.estimate import InputCount, ReserveRules
from genai_spine.providers.base import Route
from genai_spine.tokens import counts
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import message_pb2, usage_pb2
from tests.unit.inference.scripted import MODEL, PRICES, Scripted, asked
from tests.upstreams.sounds import wav

RULES = ReserveRules(max_answer_tokens=100)
INPUT, OUTPUT = 1500, 6000  # ticks for a token of gpt-4o-mini


def counted(request: Any, model: str = MODEL) -> InputCount:
    return InputCount(request, model)


def most(
    request: Any, *, prices: PriceBook = PRICES, model: str = MODEL, is_counted: bool = True
) -> int | None:
    route = Route(Scripted("openai"), model)
    return estimate.most_ticks(request, route, prices, RULES, counted(request, model) if is_counted else None)


def test_most_ticks_is_the_counted_input_and_the_longest_answer() -> None:
    ticks = most(asked("one two three four", max_tokens=10))
    assert ticks is not None
    assert 4 * INPUT + 10 * OUTPUT < ticks <= 20 * INPUT + 10 * OUTPUT


def test_most_ticks_covers_every_choice_and_an_answer_without_a_limit() -> None:
    one, three = most(asked("hello", max_tokens=10)), most(asked("hello", max_tokens=10, choice_count=3))
    assert three - one == 2 * 10 * OUTPUT
    assert most(asked("hello")) - one == 90 * OUTPUT


def test_reserve_rules_answer_tokens_are_those_of_all_choices() -> None:
    assert RULES.answer_tokens(asked()) == 100
    assert RULES.answer_tokens(asked(max_tokens=7, choice_count=3)) == 21


def test_most_ticks_without_counting_is_more() -> None:
    request = asked("some words that are counted or not " * 20, max_tokens=1)
    assert most(request) < most(request, is_counted=False) <= request.ByteSize() * INPUT + OUTPUT


def test_most_ticks_counts_no_input_that_weighs_little_beside_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counts, "estimate_input", None)
    request = asked("hello", max_tokens=4096)
    assert most(request) == request.ByteSize() * INPUT + 4096 * OUTPUT


def test_an_input_is_counted_once_for_its_cost_and_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, estimate_input = [], counts.estimate_input

    def look(request: Any, model: str) -> int:
        looks.append(request)
        return estimate_input(request, model)

    monkeypatch.setattr(counts, "estimate_input", look)
    request = asked("some words that are counted " * 20, max_tokens=1)
    count = counted(request)
    assert looks == []
    estimate.most_ticks(request, Route(Scripted("openai"), MODEL), PRICES, RULES, count)
    size = estimate.call_size(request, MODEL, RULES, count)
    assert (looks, size.input_tokens) == ([request], count.tokens)


@pytest.mark.parametrize("model", [MODEL, "claude-3-5-sonnet-20241022"])
def test_most_ticks_of_an_image_is_more_than_its_address_has_bytes(model: str) -> None:
    provider, request = "openai" if model == MODEL else "anthropic", asked("hello", max_tokens=1)
    route = Route(Scripted(provider), model)
    text = estimate.most_ticks(request, route, PRICES, RULES, None)
    request.messages[0].content.add().image.url = "https://example.com/a.png"
    image = estimate.most_ticks(request, route, PRICES, RULES, None)
    assert image - text > 500 * INPUT


@pytest.mark.parametrize("text", ["hello", "some words that are counted or not " * 500])
@pytest.mark.parametrize("is_counted", [True, False])
def test_most_ticks_of_text_is_what_a_look_at_its_messages_would_give(text: str, is_counted: bool) -> None:
    request = asked(text, max_tokens=10)
    size = estimate.call_size(request, MODEL, RULES, counted(request) if is_counted else None)
    assert most(request, is_counted=is_counted) == PRICES.most_ticks("openai", MODEL, size)


@pytest.mark.parametrize("is_counted", [True, False])
def test_most_ticks_of_what_the_book_does_not_know_is_unknown(is_counted: bool) -> None:
    assert most(asked("hello"), model="unheard-of", is_counted=is_counted) is None


def test_call_size_of_every_operation_is_an_upper_bound() -> None:
    def size(request: Any) -> estimate.CallSize:
        return estimate.call_size(request, MODEL, RULES, counted(request))

    assert size(media.CreateImagesRequest(prompt="a", image_count=3)).units.images == 3
    assert size(media.CreateImagesRequest(prompt="a")).units.images == 1
    assert size(media.CreateSpeechRequest(input="hello")).units.characters == 5
    assert size(media.CreateTranscriptionRequest(data=b"x" * 2500)).units.audio_ms == 3000
    apart = media.CreateTranscriptionRequest(data=b"x" * 2500, multichannel=True)
    assert size(apart).units.audio_ms == 6000
    header = media.CreateTranscriptionRequest(data=wav([], 2.0, 3))
    assert size(header).units.audio_ms == 3000, "a second more than it lasts"
    header.multichannel = True
    assert size(header).units.audio_ms == 9000
    with pytest.raises(TypeError):
        size("a text")


def test_call_size_knows_marks_of_the_cache() -> None:
    request = asked("hello")
    assert not estimate.call_size(request, MODEL, RULES, counted(request)).kinds
    request.messages[0].prompt_cache = message_pb2.PROMPT_CACHE_1H
    assert estimate.call_size(request, MODEL, RULES, counted(request)).kinds


@pytest.mark.parametrize("tokens", [1000, 199_999, 200_001, 400_000])
def test_reserve_of_a_known_usage_is_never_less_than_its_price(tokens: int) -> None:
    for price in PRICES.prices():
        if price.provider in ("openai", "anthropic", "google") and not price.unpriced:
            used = usage_pb2.Usage(input_tokens=tokens, uncached_input_tokens=tokens, output_tokens=50)
            used.visible_output_tokens = 50
            most_of_it = upper_bound((price,), CallSize(tokens, 50))
            assert most_of_it >= price.ticks(used)
