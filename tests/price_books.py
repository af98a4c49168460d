"""Price books and usage for the tests of pricing."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from genai_spine.billing.price_book import PriceBook
from genai_spine.v1 import usage_pb2

INPUT_FIELDS = (
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "audio_input_tokens",
    "image_input_tokens",
)
OUTPUT_FIELDS = ("visible_output_tokens", "reasoning_tokens", "audio_output_tokens")
FIELDS = INPUT_FIELDS + OUTPUT_FIELDS


class Clock:
    def __init__(self) -> None:
        self.set(2026, 11, 21, 12, 0)

    def set(self, *when: int) -> None:
        self.now = datetime(*when, tzinfo=UTC)  # type: ignore[arg-type, misc]

    def __call__(self) -> float:
        return self.now.timestamp()


CLOCK = Clock()
BOOK = PriceBook.load(clock=CLOCK)


@pytest.fixture(autouse=True)
def today() -> None:
    CLOCK.set(2026, 11, 21, 12, 0)


def usage_of(**buckets: int) -> usage_pb2.Usage:
    """Usage with the totals that its buckets sum to."""
    usage = usage_pb2.Usage(**buckets)
    usage.input_tokens = sum(getattr(usage, field) for field in INPUT_FIELDS)
    usage.output_tokens = sum(getattr(usage, field) for field in OUTPUT_FIELDS)
    usage.total_tokens = usage.input_tokens + usage.output_tokens
    return usage


def ticks(provider: str, model: str, /, _book: PriceBook = BOOK, **buckets: int) -> int:
    cost = _book.cost(provider, model, usage_of(**buckets))
    assert cost.price_known, (provider, model)
    return cost.cost_ticks


def overridden(tmp_path: Path, text: str) -> PriceBook:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    return PriceBook.load(path, clock=CLOCK)
