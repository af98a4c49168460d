"""A price: what the tokens and other units of one model cost at one time, in exact integers.

Money is kept in grains of 1/9e20 USD per 1,000,000 counts: some published prices have 18 decimals, and a
price per minute or hour has thirds of a second in it. The cost of a call is summed exactly in grains and
rounded once, half up, to a tick (1e-10 USD).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from operator import mul
from typing import NamedTuple

from genai_spine.costs import TICKS_PER_USD
from genai_spine.v1 import pricing_service_pb2 as usage_pb
from genai_spine.v1 import usage_pb2

MILLION = 1_000_000
TOOL_CALLS = 1000  # that a price of a provider's tool is for
GRAINS_PER_USD = 9 * 10**20
GRAINS_PER_TICK = GRAINS_PER_USD // TICKS_PER_USD * MILLION

INPUT_BUCKETS = (
    usage_pb.PRICE_UNIT_INPUT_TOKENS,
    usage_pb.PRICE_UNIT_CACHE_READ_TOKENS,
    usage_pb.PRICE_UNIT_CACHE_WRITE_5M_TOKENS,
    usage_pb.PRICE_UNIT_CACHE_WRITE_1H_TOKENS,
    usage_pb.PRICE_UNIT_AUDIO_INPUT_TOKENS,
    usage_pb.PRICE_UNIT_IMAGE_INPUT_TOKENS,
)
OUTPUT_BUCKETS = (
    usage_pb.PRICE_UNIT_OUTPUT_TOKENS,
    usage_pb.PRICE_UNIT_REASONING_TOKENS,
    usage_pb.PRICE_UNIT_AUDIO_OUTPUT_TOKENS,
)
CACHE_WRITES = (
    usage_pb.PRICE_UNIT_CACHE_WRITE_5M_TOKENS,
    usage_pb.PRICE_UNIT_CACHE_WRITE_1H_TOKENS,
)
BUCKETS = INPUT_BUCKETS + OUTPUT_BUCKETS
INPUT, OUTPUT = 0, len(INPUT_BUCKETS)  # places of the plain buckets

Rates = tuple[int, ...]  # grains for one token of each bucket; 0 where there is no price


class PriceBookError(ValueError):
    """A price file or price that cannot be used; says which row and field."""


def grains(usd: Decimal, counts: int) -> int:
    """The rate of one count when so many counts cost `usd` together. Raises PriceBookError."""
    if not usd.is_finite() or usd < 0:
        raise PriceBookError(f"{usd} is not a price")
    numerator, denominator = usd.as_integer_ratio()
    rate, rest = divmod(numerator * GRAINS_PER_USD * MILLION, denominator * counts)
    if rest:
        raise PriceBookError(f"{usd} has more than 20 decimals")
    return rate


class OwnPrice(NamedTuple):
    """The operator's price of one model, in US dollars for 1,000,000 tokens; None: as the book has it."""

    provider: str
    model: str
    input: Decimal | None
    output: Decimal | None


@dataclass(frozen=True, slots=True)
class Price:
    """Price of a model at one time, in grains: exact integers."""

    provider: str  # whose price it is: openai for gpt-4o on azure
    model: str  # the row's name, which can be shorter or longer than the one asked for
    name: str | None  # for people
    source: str  # "settings", "configuration", "overrides", "overlay" or "genai-prices"
    is_free: bool  # free by nature; a hosted model with a price of 0 is not
    rates: Rates
    unpriced: tuple[int, ...] = ()  # places of buckets without a price
    tiers: tuple[tuple[int, Rates], ...] = ()  # (input tokens that must be exceeded, rates), highest first
    # Grains for one of each; None: has no such price.
    audio_ms: int | None = None
    character: int | None = None
    image: int | None = None
    request: int | None = None
    # Grains for one call of a tool that the provider runs, by its name; of a tool that is not in it there
    # is no price.
    tools: Mapping[str, int] = field(default_factory=dict)
    least_audio_ms: int = 0  # shorter sound is billed as this long
    valid_from: date | None = None  # first day of this price; None: since ever

    @property
    def is_operators(self) -> bool:
        """Whether the price counts for a model on the operator's own machines, too."""
        return self.source in ("settings", "configuration", "overrides")

    @property
    def per_token(self) -> bool:
        """Whether at least one bucket of tokens has a price."""
        return len(self.unpriced) < len(BUCKETS)

    @property
    def input_usd_per_1m(self) -> Decimal | None:
        """US dollars for 1,000,000 uncached input tokens, before any tier; None: no price."""
        return self._usd(INPUT)

    @property
    def output_usd_per_1m(self) -> Decimal | None:
        """US dollars for 1,000,000 visible output tokens, before any tier; None for embeddings."""
        return self._usd(OUTPUT)

    def ticks(self, usage: usage_pb2.Usage, units: usage_pb2.UnitUsage | None = None) -> int | None:
        """The cost of what a call consumed; None when there is no price for something of it.

        Where a row has a price per token, tokens are what is billed, and images or sound beside them count
        only where they have a price, too. Where it has none, nobody knows what a call cost whose `units`
        were not reported. As in genai-prices, input longer than a tier's start prices the whole request at
        that tier. Calls of the provider's tools are billed beside the rest.
        """
        if self.is_free:
            return 0
        called = self._called(units) if units is not None and units.server_tools else 0
        if called is None:
            return None
        counts = _counts(usage)
        if self.unpriced and self.per_token and any(counts[bucket] for bucket in self.unpriced):
            return None
        total = self._tokens(counts)
        used = any(counts)
        if units is not None and (units.audio_ms or units.characters or units.images):
            sold, priced = self._units(units)
            if not priced and self.request is None and not (used and self.per_token):
                return None
            total, used = total + sold, True
        elif not self.per_token and units is None and (self.request is None or not used):
            return None
        if self.request and used:
            total += self.request
        return (total + called + GRAINS_PER_TICK // 2) // GRAINS_PER_TICK

    def units(self) -> Iterator[usage_pb.UnitPrice]:
        """Every price by its unit; kinds of tokens that cost as plain input or output are left out."""
        for start, rates in ((0, self.rates), *reversed(self.tiers)):
            for bucket, unit in enumerate(BUCKETS):
                plain = INPUT if bucket < OUTPUT else OUTPUT
                if bucket not in self.unpriced and (bucket == plain or rates[bucket] != rates[plain]):
                    yield usage_pb.UnitPrice(
                        unit=unit, usd=float(_dollars(rates[bucket], MILLION)), above_input_tokens=start
                    )
        for unit, rate, count in (
            (usage_pb.PRICE_UNIT_AUDIO_SECOND, self.audio_ms, 1000),
            (usage_pb.PRICE_UNIT_CHARACTERS, self.character, MILLION),
            (usage_pb.PRICE_UNIT_IMAGE, self.image, 1),
            (usage_pb.PRICE_UNIT_REQUEST, self.request, 1),
        ):
            if rate is not None:
                yield usage_pb.UnitPrice(unit=unit, usd=float(_dollars(rate, count)))
        for name, rate in sorted(self.tools.items()):
            usd = float(_dollars(rate, TOOL_CALLS))
            yield usage_pb.UnitPrice(unit=usage_pb.PRICE_UNIT_SERVER_TOOL, server_tool=name, usd=usd)

    def _tokens(self, counts: tuple[int, ...]) -> int:
        rates = self.rates
        if self.tiers:
            input_tokens = sum(counts[:OUTPUT])
            for start, tier in self.tiers:
                if input_tokens > start:
                    rates = tier
                    break
        return sum(map(mul, counts, rates))

    def _called(self, units: usage_pb2.UnitUsage) -> int | None:
        """Grains of the calls of the provider's tools; None: one of them has no price."""
        total = 0
        for name, count in units.server_tools.items():
            rate = self.tools.get(name)
            if rate is None and count:
                return None
            total += count * (rate or 0)
        return total

    def _units(self, units: usage_pb2.UnitUsage) -> tuple[int, bool]:
        """Grains, and whether anything of it has a price."""
        audio_ms = max(units.audio_ms, self.least_audio_ms) if units.audio_ms else 0
        sold = (
            (audio_ms, self.audio_ms),
            (units.characters, self.character),
            (units.images, self.image),
        )
        priced = [count * rate for count, rate in sold if count and rate is not None]
        return sum(priced), bool(priced)

    def _usd(self, bucket: int) -> Decimal | None:
        return None if bucket in self.unpriced else _dollars(self.rates[bucket], MILLION)


def _dollars(rate: int, counts: int) -> Decimal:
    """Cost of so many counts at this rate."""
    return Decimal(rate * counts) / (GRAINS_PER_USD * MILLION)


def _counts(usage: usage_pb2.Usage) -> tuple[int, ...]:
    """The tokens of each bucket.

    Tokens that the totals have beyond their buckets count as uncached input and visible output: usage that
    comes without its split is not free.
    """
    cache_read, write_5m = usage.cache_read_tokens, usage.cache_write_5m_tokens
    write_1h, audio, image = usage.cache_write_1h_tokens, usage.audio_input_tokens, usage.image_input_tokens
    reasoning, audio_output = usage.reasoning_tokens, usage.audio_output_tokens
    uncached, visible = usage.uncached_input_tokens, usage.visible_output_tokens
    spare = usage.input_tokens - cache_read - write_5m - write_1h - audio - image
    if spare > uncached:
        uncached = spare
    spare = usage.output_tokens - reasoning - audio_output
    if spare > visible:
        visible = spare
    return uncached, cache_read, write_5m, write_1h, audio, image, visible, reasoning, audio_output
