"""The rows of the price book, of genai-prices and of price files, and how they are compiled to prices."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

from genai_prices import data as genai_prices_data
from genai_prices.types import (
    ClauseEquals,
    ClauseOr,
    ClauseStartsWith,
    MatchLogic,
    ModelInfo,
    ModelPrice,
    StartDateConstraint,
    Tier,
    TieredPrices,
)

from genai_spine.billing.price import (
    BUCKETS,
    MILLION,
    OUTPUT,
    TOOL_CALLS,
    Price,
    PriceBookError,
    Rates,
    grains,
)

# Our provider names where genai-prices uses another; every other name is looked up as it is. A provider
# that genai-prices does not have (ollama, vllm, deepinfra, ...) has only the rows of the two files.
PROVIDER_IDS = {"bedrock": "aws", "gemini": "google", "moonshot": "moonshotai", "xai": "x-ai"}
PROVIDER_NAMES = {upstream: ours for ours, upstream in PROVIDER_IDS.items()}

# For each bucket of tokens the kinds of price that fit it, narrowest first: the first that a row has
# counts. The kinds are genai-prices' keys without "_mtok", and the fields of a row in our YAML.
BUCKET_KINDS = (
    ("input",),  # uncached_input_tokens
    ("cache_read", "input"),  # cache_read_tokens
    ("cache_write_5m", "cache_write", "input"),  # cache_write_5m_tokens
    # cache_write_1h_tokens; the price of a write says nothing about one that is kept longer.
    ("cache_write_1h", "input"),
    ("input_audio", "input"),  # audio_input_tokens
    ("input_image", "input"),  # image_input_tokens
    ("output",),  # visible_output_tokens
    ("output_reasoning", "output"),  # reasoning_tokens
    ("output_audio", "output"),  # audio_output_tokens
)
LASTING_WRITE = 3  # place of cache_write_1h
KINDS = tuple(dict.fromkeys(kind for kinds in BUCKET_KINDS for kind in kinds))

# genai-prices' keys of what is not counted in tokens, and how many of our counts one of its amounts is.
AUDIO_HOURS, AUDIO_INPUT_HOURS, CHARACTERS = "audio_hours", "input_audio_hours", "input_mchars"
IMAGES, REQUESTS = "images", "requests_kcount"
UNIT_KEYS = (AUDIO_HOURS, AUDIO_INPUT_HOURS, CHARACTERS, IMAGES, REQUESTS)
MS_PER_HOUR = 3_600_000

# The tools that genai-prices has prices of, by its keys. A file's have the key tool:NAME.
TOOL = "tool:"
TOOL_KEYS = {
    "web_searches_kcount": "web_search",
    "storage_searches_kcount": "file_search",
    "social_searches_kcount": "x_search",
    "code_executions_kcount": "code_execution",
}

CONFIGURATION = "configuration"  # source of the prices of genai.yaml

Amount = Decimal | TieredPrices
ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class StatedPrice:
    """The operator's price of one model of one provider: the fields of a row of a price file, as text."""

    provider: str
    model: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Seller:
    """Provider as a seller: what holds for all of its models."""

    tools: Mapping[str, int] = field(default_factory=dict)  # grains for one call, by the tool's name
    places: Mapping[str, Decimal] = field(default_factory=dict)  # what tokens cost more by, by place


NO_SELLER = Seller()


@dataclass(frozen=True, slots=True)
class Row:
    """One model of one source. genai-prices has the prices of all times in one row, a file a row for each."""

    info: ModelInfo
    owner: str  # genai-prices id of the provider that sells at these prices
    source: str
    is_free: bool = False
    valid_from: date | None = None  # of a file's row: before this day it is not there
    least_audio_ms: int = 0

    @property
    def names(self) -> Iterator[str]:
        """Names that the row is found by, in lower case: its model, then its aliases."""
        yield self.info.id.lower()
        yield from _clause_names(self.info.match)

    @property
    def periods(self) -> Iterator[tuple[ModelPrice, date | None]]:
        """Prices of the row, each with its first day."""
        if isinstance(self.info.prices, ModelPrice):
            yield self.info.prices, self.valid_from
            return
        for period in self.info.prices:
            when = period.constraint
            yield period.prices, when.start_date if isinstance(when, StartDateConstraint) else None

    def at_terms(self, now: datetime, when: Mapping[str, str]) -> ModelPrice | None:
        """Prices of a time at other terms than the ordinary ones; None: nobody says what it costs at these.

        when: as Terms.variant. Prices that a variant leaves out are the ordinary ones.
        """
        variants = [
            variant.prices
            for variant in self.info.price_variants or ()
            if variant.when == when and (variant.constraint is None or variant.constraint.active(now))
        ]
        if not variants:
            return None
        prices = dict(vars(self.info.get_prices(now)))
        for variant in reversed(variants):  # the first one has the last word
            prices |= {key: price for key, price in vars(variant).items() if price is not None}
        return ModelPrice(**prices)

    def compiled(
        self, prices: ModelPrice, valid_from: date | None, seller: Seller, factor: Decimal = ONE
    ) -> Price | None:
        """The price of one period; None when it has none that we count. Raises PriceBookError.

        seller: what holds for all models of the owner. factor: by which prices of tokens are multiplied.
        """
        given = vars(prices)
        amounts = [_amount(given, kinds) for kinds in BUCKET_KINDS]
        if all(amount is None for amount in amounts) and not any(map(given.get, UNIT_KEYS)):
            # genai-prices leaves out the prices of free models, but also of models that are priced in
            # another way or not any more. Only a name that says free is a price of 0.
            if given or not self.info.id.endswith((":free", "-free")):
                return None
            amounts = [Decimal(0)] * len(BUCKETS)
        if given.get("cache_write_1h_mtok") is None and (
            given.get("cache_write_mtok") is not None or given.get("cache_write_5m_mtok") is not None
        ):
            amounts[LASTING_WRITE] = None  # it costs more than a write that is kept for minutes
        amounts = [_times(amount, factor) for amount in amounts]
        starts = {
            tier.start for amount in amounts if isinstance(amount, TieredPrices) for tier in amount.tiers
        }
        try:
            return Price(
                provider=PROVIDER_NAMES.get(self.owner, self.owner),
                model=self.info.id,
                name=self.info.name,
                source=self.source,
                is_free=self.is_free,
                rates=_rates(amounts, -1),
                unpriced=tuple(bucket for bucket, amount in enumerate(amounts) if amount is None),
                tiers=tuple((start, _rates(amounts, start)) for start in sorted(starts, reverse=True)),
                audio_ms=_unit(given, AUDIO_HOURS, MS_PER_HOUR)
                or _unit(given, AUDIO_INPUT_HOURS, MS_PER_HOUR),
                character=_unit(given, CHARACTERS, MILLION),
                image=_unit(given, IMAGES, 1),
                request=_unit(given, REQUESTS, 1000),
                tools=_tools(given) if amounts[OUTPUT] is None else {**seller.tools, **_tools(given)},
                least_audio_ms=self.least_audio_ms,
                valid_from=valid_from,
            )
        except PriceBookError as error:
            raise PriceBookError(f"{self.source}: {self.owner} {self.info.id}: {error}") from None


def published() -> Iterator[Row]:
    """The rows of genai-prices."""
    for provider in genai_prices_data.providers:
        for info in provider.models:
            yield Row(info, provider.id, "genai-prices")


def checksum(path: Path) -> str:
    """Short digest of a file, by which a price book's version names it."""
    return f"sha256:{sha256(path.read_bytes()).hexdigest()[:12]}"


def digest_of(stated: object) -> str:
    """Short digest of prices that the settings or genai.yaml state."""
    return f"sha256:{sha256(repr(stated).encode()).hexdigest()[:12]}"


def _tools(prices: Mapping[str, Amount | None]) -> dict[str, int]:
    """Grains for one call of each tool."""
    found: dict[str, int] = {}
    for key, amount in prices.items():
        name = key.removeprefix(TOOL) if key.startswith(TOOL) else TOOL_KEYS.get(key)
        if name is not None and amount is not None:
            found[name] = grains(_at(amount, -1), TOOL_CALLS)
    return found


def _times(amount: Amount | None, factor: Decimal) -> Amount | None:
    if amount is None or factor == ONE:
        return amount
    if isinstance(amount, Decimal):
        return amount * factor
    tiers = [Tier(start=tier.start, price=tier.price * factor) for tier in amount.tiers]
    return TieredPrices(base=amount.base * factor, tiers=tiers)


def _clause_names(clause: MatchLogic) -> Iterator[str]:
    if isinstance(clause, ClauseOr):
        for part in clause.or_:
            yield from _clause_names(part)
    elif isinstance(clause, ClauseEquals):
        yield clause.equals.lower()
    elif isinstance(clause, ClauseStartsWith):
        yield clause.starts_with.lower()


def _amount(prices: Mapping[str, Amount | None], kinds: Iterable[str]) -> Amount | None:
    amounts = (prices.get(f"{kind}_mtok") for kind in kinds)
    return next((amount for amount in amounts if amount is not None), None)


def _rates(amounts: Iterable[Amount | None], start: int) -> Rates:
    """Rates of a request whose input exceeds `start` tokens; -1: no tier is reached."""
    return tuple(0 if amount is None else grains(_at(amount, start), MILLION) for amount in amounts)


def _at(amount: Amount, start: int) -> Decimal:
    if isinstance(amount, Decimal):
        return amount
    reached = [tier.price for tier in amount.tiers if tier.start <= start]
    return reached[-1] if reached else amount.base


def _unit(prices: Mapping[str, Amount | None], key: str, counts: int) -> int | None:
    amount = prices.get(key)
    return None if amount is None else grains(_at(amount, -1), counts)
