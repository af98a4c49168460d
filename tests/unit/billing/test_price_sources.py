"""Price files: units besides tokens, dated rows, and what is refused; and which row a name leads to."""

import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from genai_spine.billing.file_rows import read
from genai_spine.billing.price import PriceBookError
from genai_spine.billing.price_book import BOUNDARIES, PriceBook
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.operation_pb2 import OPERATION_COMPLETION
from genai_spine.v1.usage_pb2 import UnitUsage
from tests.price_books import (  # noqa: F401  # today is a fixture
    BOOK,
    CLOCK,
    overridden,
    ticks,
    today,
    usage_of,
)

UNITS = """
- {provider: p, model: heard, audio_second: 0.0001}
- {provider: p, model: hour, audio_hour: 0.04, least_audio_seconds: 30}
- {provider: p, model: spoken, characters: 16}
- {provider: p, model: drawn, image: 0.04, aliases: [painted]}
- {provider: p, model: asked, request: 0.01, input: 1, output: 2}
"""


def rated(book: PriceBook, model: str, **units: int) -> int:
    cost = book.rate(Execution(provider="p", model=model, units=UnitUsage(**units)))
    assert cost.price_known
    return int(cost.cost_ticks)


def test_units_of_a_file_are_priced(tmp_path: Path) -> None:
    book = overridden(tmp_path, UNITS)
    assert rated(book, "heard", audio_ms=1500) == 1_500_000
    assert rated(book, "hour", audio_ms=1) == rated(book, "hour", audio_ms=30_000) == 3_333_333
    assert rated(book, "spoken", characters=10) == 1_600_000
    assert rated(book, "painted", images=2) == 800_000_000
    assert ticks("p", "asked", book, uncached_input_tokens=1, visible_output_tokens=1) == 100_030_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("audio_second: 1, audio_minute: 1", "audio_minute: sound has a price already"),
        ("audio_second: cheap", r"`\$.audio_second`"),
        ("characters: -1", "characters: -1 is not a price"),
        ("image: NaN", "image: NaN is not a price"),
        ("image: 1, output: 2", "input: needed beside output"),
        ("image: 1, least_audio_seconds: 5", "least_audio_seconds: sound has no price"),
        ("audio_second: 1, least_audio_seconds: 0", r"`\$.least_audio_seconds`"),
        ("free: true, image: 1", "free: a free row has no prices"),
        ("input: 1, valid_from: soon", r"`\$.valid_from`"),
        ("input: 1, per_image: 2", "unknown field `per_image`"),
    ],
)
def test_bad_units_are_refused_with_row_and_field(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PriceBookError, match=f"row 1: .*{said}|row 1: {said}"):
        overridden(tmp_path, f"[{{provider: p, model: m, {text}}}]")


def test_file_that_is_nested_without_end_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(PriceBookError, match=f"^{tmp_path}.*: maximum recursion depth exceeded"):
        overridden(tmp_path, "- " * 5000 + "x")


DATED = """
- {provider: openai, model: gpt-4o, input: 2, output: 9, valid_from: 2026-12-01}
- {provider: openai, model: gpt-4o, input: 1, output: 8, valid_from: 2027-01-01}
"""


def test_row_holds_from_its_day_on_and_the_weaker_source_until_then(tmp_path: Path) -> None:
    book = overridden(tmp_path, DATED)
    for when, expected in [
        ((2026, 11, 30, 23, 59), 25_000),
        ((2026, 12, 1, 0, 0), 20_000),
        ((2026, 12, 31, 23, 59), 20_000),
        ((2027, 1, 1, 0, 0), 10_000),
    ]:
        CLOCK.set(*when)
        for model in ("gpt-4o", "gpt-4o-2024-08-06"):
            assert ticks("openai", model, book, uncached_input_tokens=1) == expected, when
    found = book.find("openai", "gpt-4o")
    assert found is not None
    assert found.valid_from == date(2027, 1, 1)


def test_call_is_rated_by_the_prices_of_its_own_time(tmp_path: Path) -> None:
    book = overridden(tmp_path, DATED)
    call = Execution(provider="openai", model="gpt-4o", usage=usage_of(uncached_input_tokens=1))
    for made, expected in [("2026-11-30T23:59:59Z", 25_000), ("2026-12-05T00:00:00Z", 20_000)]:
        call.create_time.FromJsonString(made)
        assert book.rate(call).cost_ticks == expected
    call.create_time.FromJsonString("2027-06-01T00:00:00Z")
    assert book.rate(call).cost_ticks == 10_000


def test_same_model_twice_from_the_same_day_is_refused(tmp_path: Path) -> None:
    row = "{provider: p, model: m, input: 1, valid_from: 2026-12-01}"
    with pytest.raises(PriceBookError, match="row 2: model: 'm' is also in row 1"):
        overridden(tmp_path, f"[{row}, {row}]")


def test_call_is_rated_by_the_model_that_answered_then_by_the_one_asked_for() -> None:
    usage = usage_of(uncached_input_tokens=1)
    call = Execution(provider="openai", model="gpt-4o", answered_model="gpt-4o-2024-05-13", usage=usage)
    assert BOOK.rate(call).cost_ticks == 50_000
    call.answered_model = "of-tomorrow"
    assert BOOK.rate(call).cost_ticks == 25_000


def test_call_is_rated_at_the_tier_that_was_served_and_batches_at_theirs() -> None:
    usage = usage_of(uncached_input_tokens=1000)
    call = Execution(provider="openai", model="gpt-5", usage=usage)
    standard = BOOK.rate(call).cost_ticks
    call.service_tier = "flex"
    assert BOOK.rate(call).cost_ticks * 2 == standard
    batch = Execution(
        provider="anthropic", model="claude-haiku-4-5", operation="OPERATION_BATCH", usage=usage
    )
    assert BOOK.rate(batch).cost_ticks == 5_000_000
    batch.operation = OPERATION_COMPLETION
    assert BOOK.rate(batch).cost_ticks == 10_000_000


def test_operators_own_price_counts_for_a_local_model_and_nobody_elses(tmp_path: Path) -> None:
    book = overridden(tmp_path, "[{provider: vllm, model: mine, input: 1, output: 1}]")
    usage = usage_of(uncached_input_tokens=1)
    assert book.cost("vllm", "mine", usage, local=True).cost_ticks == 10_000
    assert book.cost("vllm", "other", usage, local=True).is_free
    assert BOOK.cost("openai", "gpt-4o", usage, local=True).is_free


def test_own_price_does_not_hide_the_length_of_the_context(tmp_path: Path) -> None:
    book = overridden(tmp_path, "[{provider: openai, model: gpt-4o, input: 1}]")
    assert book.context_length("openai", "gpt-4o") == 128_000


def test_book_names_its_sources_with_their_rows(tmp_path: Path) -> None:
    book = overridden(tmp_path, UNITS)
    sources = book.sources()
    assert [source.name.partition(" ")[0] for source in sources] == ["genai-prices", "overlay", "overrides"]
    assert " + ".join(f"{source.name} {source.checksum}" for source in sources) == book.version
    assert sources[-1].rows == 5
    assert all(re.fullmatch("sha256:[0-9a-f]{12}", source.checksum) for source in sources)


def test_shipped_file_is_read() -> None:
    rows, sellers = read(Path("genai_spine/billing/prices.yaml"), "overlay")
    assert {row.owner for row in rows} >= {"ollama", "deepgram", "groq", "aws"}
    assert sellers.keys() >= {"openai", "anthropic"}


WORD = st.text("abcd0123456789.", min_size=1, max_size=4)
NAME = st.lists(WORD, min_size=1, max_size=4).map("-".join)


@given(families=st.dictionaries(NAME, st.integers(1, 1000), min_size=1, max_size=6), asked=NAME)
@settings(max_examples=40, deadline=None)
def test_name_takes_the_price_of_the_longest_family_that_it_goes_on_from(
    families: dict[str, int], asked: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = [f"- {{provider: p, model: '{name}', input: {usd}}}" for name, usd in families.items()]
    book = overridden(tmp_path_factory.mktemp("book"), "\n".join(rows))
    covering = [
        name for name in families if asked == name or asked.startswith(tuple(name + b for b in BOUNDARIES))
    ]
    found = book.find("p", asked)
    dated = any(name.startswith(asked) and name != asked for name in families)
    assume(covering or not dated)  # an undated family name leads to its dated row, which has tests of its own
    assert (found and found.input_usd_per_1m) == (
        Decimal(families[max(covering, key=len)]) if covering else None
    )
