"""The operator's price of one model, from the settings: it wins over everything, for that model alone."""

from decimal import Decimal

import pytest

from genai_spine.billing.price import OwnPrice, PriceBookError
from genai_spine.billing.price_book import PriceBook
from genai_spine.v1 import usage_pb2
from tests.price_books import BOOK, CLOCK


def own(input: str | None, output: str | None, model: str = "gpt-4o-mini") -> PriceBook:
    prices = [None if usd is None else Decimal(usd) for usd in (input, output)]
    return PriceBook.load(None, OwnPrice("openai", model, *prices), clock=CLOCK)


def test_it_wins_for_all_names_of_the_model_and_for_no_other() -> None:
    book = own("1", "2")
    for name in ("gpt-4o-mini", "gpt-4o-mini-2024-07-18"):
        price = book.find("openai", name)
        assert price is not None
        found = (price.source, price.input_usd_per_1m, price.output_usd_per_1m)
        assert found == ("settings", Decimal(1), Decimal(2))
    assert book.find("openai", "gpt-4o") == BOOK.find("openai", "gpt-4o")


def test_what_is_not_set_is_the_books() -> None:
    known = BOOK.find("openai", "gpt-4o-mini")
    one, other = (own(*given).find("openai", "gpt-4o-mini") for given in (("1", None), (None, "2")))
    assert known is not None
    assert one is not None
    assert other is not None
    assert (one.input_usd_per_1m, one.output_usd_per_1m) == (Decimal(1), known.output_usd_per_1m)
    assert (other.input_usd_per_1m, other.output_usd_per_1m) == (known.input_usd_per_1m, Decimal(2))


def test_half_a_price_of_an_unknown_model_is_refused() -> None:
    with pytest.raises(PriceBookError, match="settings: openai no-such-model: output: no price is known"):
        own("1", None, "no-such-model")


def test_it_is_a_source_of_its_own() -> None:
    book = own("1", "2")
    assert book.version.startswith(f"{BOOK.version} + settings sha256:")
    assert [(source.name, source.rows) for source in book.sources()][-1] == ("settings", 1)


def test_it_counts_on_machines_of_the_operator_too() -> None:
    usage = usage_pb2.Usage(input_tokens=1_000_000)
    assert own("1", "2").cost("openai", "gpt-4o-mini", usage, local=True).cost_usd == 1.0
