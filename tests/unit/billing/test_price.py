"""What is not counted in tokens: its price, exact, and never 0 because nobody knows it."""

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_spine.billing.price import BUCKETS, MILLION, Price, PriceBookError, grains
from genai_spine.v1 import pricing_service_pb2 as usage_pb
from genai_spine.v1 import usage_pb2
from genai_spine.v1.usage_pb2 import UnitUsage
from tests.price_books import BOOK, usage_of

NOTHING = (0,) * len(BUCKETS)
MS_PER_HOUR = 3_600_000


def price(**fields: object) -> Price:
    """A price of nothing but these units."""
    given = {"rates": NOTHING, "unpriced": tuple(range(len(BUCKETS))), **fields}
    return Price("p", "m", None, "overrides", False, **given)  # type: ignore[arg-type]


def ticks(
    provider: str, model: str, units: UnitUsage | None, usage: usage_pb2.Usage | None = None
) -> int | None:
    found = BOOK.find(provider, model)
    assert found is not None
    return found.ticks(usage or usage_pb2.Usage(), units)


@pytest.mark.parametrize(
    ("provider", "model", "units", "usd"),
    [
        ("openai", "whisper-1", UnitUsage(audio_ms=60_000), "0.006"),
        ("azure", "whisper-1", UnitUsage(audio_ms=60_000), "0.006"),
        ("openai", "whisper-1", UnitUsage(audio_ms=1), "0.0000001"),
        ("openai", "tts-1", UnitUsage(characters=1_000_000), "15"),
        ("openai", "tts-1-hd", UnitUsage(characters=1000), "0.03"),
        ("deepgram", "nova-2", UnitUsage(audio_ms=60_000), "0.0043"),
        ("deepgram", "nova-2-general", UnitUsage(audio_ms=600_000), "0.043"),
        ("groq", "whisper-large-v3-turbo", UnitUsage(audio_ms=MS_PER_HOUR), "0.04"),
    ],
)
def test_sound_and_characters_cost_what_their_provider_says(
    provider: str, model: str, units: UnitUsage, usd: str
) -> None:
    assert ticks(provider, model, units) == Decimal(usd) * 10**10


def test_short_sound_is_billed_at_the_least_length() -> None:
    short, least = UnitUsage(audio_ms=800), UnitUsage(audio_ms=10_000)
    assert ticks("groq", "whisper-large-v3", short) == ticks("groq", "whisper-large-v3", least) == 3_083_333
    assert ticks("groq", "whisper-large-v3", UnitUsage()) == 0


def test_units_that_were_not_reported_are_not_priced_at_zero() -> None:
    assert ticks("openai", "whisper-1", None) is None
    assert ticks("openai", "whisper-1", None, usage_of(visible_output_tokens=5)) is None
    assert ticks("openai", "whisper-1", UnitUsage(characters=5)) is None
    assert ticks("openai", "whisper-1", UnitUsage(images=1)) is None
    assert ticks("openai", "gpt-4o-transcribe", UnitUsage(audio_ms=60_000)) is None, "it is sold by token"
    assert ticks("openai", "whisper-1", UnitUsage()) == 0, "nothing was consumed, and that is reported"


def test_tokens_are_what_is_billed_where_they_have_a_price() -> None:
    usage = usage_of(uncached_input_tokens=1000, visible_output_tokens=100)
    assert ticks("openai", "gpt-image-1", UnitUsage(images=2), usage) == ticks(
        "openai", "gpt-image-1", None, usage
    )
    assert ticks("openai", "gpt-4o", None, usage) == 1000 * 25_000 + 100 * 100_000


def test_tokens_beside_priced_sound_do_not_make_it_unknown() -> None:
    usage = usage_of(visible_output_tokens=5)
    assert ticks("openai", "whisper-1", UnitUsage(audio_ms=1000), usage) == 1_000_000


def test_images_and_requests_are_added_up() -> None:
    sold = price(image=grains(Decimal("0.04"), 1), request=grains(Decimal("0.001"), 1))
    assert sold.ticks(usage_pb2.Usage(), UnitUsage(images=3)) == 1_210_000_000
    assert sold.ticks(usage_of(visible_output_tokens=1)) == 10_000_000
    assert sold.ticks(usage_pb2.Usage(), UnitUsage()) == 0
    assert sold.ticks(usage_pb2.Usage()) is None


def test_free_by_nature_is_free_in_every_unit() -> None:
    assert ticks("ollama", "llama3.2", UnitUsage(images=3, audio_ms=5, characters=7)) == 0


USD = st.decimals(0, 1000, places=18, allow_nan=False)
COUNT = st.integers(0, 2**32 - 1)


@given(hour=USD, mchars=USD, image=USD, audio_ms=COUNT, characters=COUNT, images=COUNT)
@settings(max_examples=150, deadline=None)
def test_units_are_summed_exactly_and_rounded_once(
    hour: Decimal, mchars: Decimal, image: Decimal, audio_ms: int, characters: int, images: int
) -> None:
    sold = price(
        audio_ms=grains(hour, MS_PER_HOUR), character=grains(mchars, MILLION), image=grains(image, 1)
    )
    exact = (
        Fraction(hour) * audio_ms / MS_PER_HOUR
        + Fraction(mchars) * characters / MILLION
        + Fraction(image) * images
    ) * 10**10
    found = sold.ticks(usage_pb2.Usage(), UnitUsage(audio_ms=audio_ms, characters=characters, images=images))
    assert found == (exact + Fraction(1, 2)).__floor__()


@given(usd=st.decimals(0, 10**6, places=20, allow_nan=False), tokens=COUNT)
@settings(max_examples=200, deadline=None)
def test_ticks_of_tokens_equal_decimal_arithmetic(usd: Decimal, tokens: int) -> None:
    rate = grains(usd, MILLION)
    sold = price(rates=(rate,) * len(BUCKETS), unpriced=())
    exact = Fraction(usd) * tokens / MILLION * 10**10
    assert sold.ticks(usage_of(uncached_input_tokens=tokens)) == (exact + Fraction(1, 2)).__floor__()
    assert sold.input_usd_per_1m == usd


@pytest.mark.parametrize("usd", ["NaN", "Infinity", "-1", "1e-21"])
def test_what_is_no_price_is_refused(usd: str) -> None:
    with pytest.raises(PriceBookError):
        grains(Decimal(usd), MILLION)


def test_rounding_is_half_up() -> None:
    half = price(image=grains(Decimal("0.00000000005"), 1))
    assert half.ticks(usage_pb2.Usage(), UnitUsage(images=1)) == int(
        Decimal("0.5").quantize(Decimal(1), ROUND_HALF_UP)
    )


def test_units_list_every_price_once_with_its_tier() -> None:
    found = BOOK.find("gemini", "gemini-2.5-pro")
    assert found is not None
    units = [unit for unit in found.units() if not unit.server_tool]
    listed = {(unit.unit, unit.above_input_tokens): unit.usd for unit in units}
    assert listed == {
        (usage_pb.PRICE_UNIT_INPUT_TOKENS, 0): 1.25,
        (usage_pb.PRICE_UNIT_CACHE_READ_TOKENS, 0): 0.125,
        (usage_pb.PRICE_UNIT_OUTPUT_TOKENS, 0): 10,
        (usage_pb.PRICE_UNIT_INPUT_TOKENS, 200_000): 2.5,
        (usage_pb.PRICE_UNIT_CACHE_READ_TOKENS, 200_000): 0.25,
        (usage_pb.PRICE_UNIT_OUTPUT_TOKENS, 200_000): 15,
    }
    assert {unit.server_tool: unit.usd for unit in found.units() if unit.server_tool} == {"web_search": 35}
    whisper = BOOK.find("openai", "whisper-1")
    assert whisper is not None
    assert [(unit.unit, unit.usd) for unit in whisper.units()] == [(usage_pb.PRICE_UNIT_AUDIO_SECOND, 0.0001)]
