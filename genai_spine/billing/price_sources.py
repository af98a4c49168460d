"""The rows of the price book: read from genai-prices and from price files, checked, compiled to prices.

The form of a price file is described at the head of prices.yaml.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml
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

from genai_spine.billing.price import BUCKETS, MILLION, OwnPrice, Price, PriceBookError, Rates, grains

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
    ("cache_write_1h", "cache_write", "input"),  # cache_write_1h_tokens
    ("input_audio", "input"),  # audio_input_tokens
    ("input_image", "input"),  # image_input_tokens
    ("output",),  # visible_output_tokens
    ("output_reasoning", "output"),  # reasoning_tokens
    ("output_audio", "output"),  # audio_output_tokens
)
KINDS = tuple(dict.fromkeys(kind for kinds in BUCKET_KINDS for kind in kinds))

# genai-prices' keys of what is not counted in tokens, and how many of our counts one of its amounts is.
AUDIO_HOURS, AUDIO_INPUT_HOURS, CHARACTERS = "audio_hours", "input_audio_hours", "input_mchars"
IMAGES, REQUESTS = "images", "requests_kcount"
UNIT_KEYS = (AUDIO_HOURS, AUDIO_INPUT_HOURS, CHARACTERS, IMAGES, REQUESTS)
MS_PER_HOUR = 3_600_000

CONFIGURATION = "configuration"  # source of the prices of genai.yaml

Amount = Decimal | TieredPrices


class Amounts(msgspec.Struct, forbid_unknown_fields=True):
    """US dollars for 1,000,000 tokens of each kind."""

    input: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_5m: Decimal | None = None
    cache_write_1h: Decimal | None = None
    input_audio: Decimal | None = None
    input_image: Decimal | None = None
    output: Decimal | None = None
    output_reasoning: Decimal | None = None
    output_audio: Decimal | None = None


class FileTier(Amounts, kw_only=True):
    """Prices above a number of input tokens, as a price file states them."""

    above_input_tokens: Annotated[int, msgspec.Meta(ge=1)]


class FileRow(Amounts, kw_only=True):
    """One row of prices.yaml or of the operator's overrides."""

    provider: Annotated[str, msgspec.Meta(min_length=1)]
    model: Annotated[str, msgspec.Meta(min_length=1)]
    aliases: list[str] = []
    free: bool = False
    tiers: list[FileTier] = []
    # US dollars for one second, minute or hour of sound, 1,000,000 characters, one image, one request.
    audio_second: Decimal | None = None
    audio_minute: Decimal | None = None
    audio_hour: Decimal | None = None
    characters: Decimal | None = None
    image: Decimal | None = None
    request: Decimal | None = None
    least_audio_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600)] | None = None
    valid_from: date | None = None


# Of FileRow: the key of the same price in genai-prices, and how many of the field one amount of it is.
UNIT_FIELDS = {
    "audio_second": (AUDIO_HOURS, 3600),
    "audio_minute": (AUDIO_HOURS, 60),
    "audio_hour": (AUDIO_HOURS, 1),
    "characters": (CHARACTERS, 1),
    "image": (IMAGES, 1),
    "request": (REQUESTS, 1000),
}


@dataclass(frozen=True, slots=True)
class StatedPrice:
    """The operator's price of one model of one provider: the fields of a row of a price file, as text."""

    provider: str
    model: str
    fields: Mapping[str, Any]


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

    def compiled(self, prices: ModelPrice, valid_from: date | None) -> Price | None:
        """The price of one period; None when it has none that we count. Raises PriceBookError."""
        given = vars(prices)
        amounts = [_amount(given, kinds) for kinds in BUCKET_KINDS]
        if all(amount is None for amount in amounts) and not any(map(given.get, UNIT_KEYS)):
            # genai-prices leaves out the prices of free models, but also of models that are priced in
            # another way or not any more. Only a name that says free is a price of 0.
            if given or not self.info.id.endswith((":free", "-free")):
                return None
            amounts = [Decimal(0)] * len(BUCKETS)
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


def read(path: Path, source: str) -> list[Row]:
    """The rows of a price file. Raises PriceBookError naming the file, row and field."""
    try:
        # The base loader keeps every scalar as its text, so that no price passes through a float.
        items: Any = yaml.load(path.read_bytes(), Loader=yaml.BaseLoader)
    except (OSError, yaml.YAMLError, RecursionError) as error:
        raise PriceBookError(f"{path}: {error}") from None
    if not isinstance(items, list):
        raise PriceBookError(f"{path}: must be a list of rows")
    rows: list[Row] = []
    taken: dict[tuple[str, str, date | None], int] = {}
    for number, item in enumerate(items, 1):
        row = _file_row(item, source, f"{path}: row {number}")
        for name in row.names:
            first = taken.setdefault((row.owner, name, row.valid_from), number)
            if first != number:
                raise PriceBookError(f"{path}: row {number}: model: {name!r} is also in row {first}")
        rows.append(row)
    return sorted(rows, key=lambda row: row.valid_from or date.min)


def stated(own: OwnPrice) -> Row:
    """The row of a price of the settings. Raises PriceBookError."""
    if own.input is None or own.output is None:
        missing = "input" if own.input is None else "output"
        raise PriceBookError(
            f"settings: {own.provider} {own.model}: {missing}: no price is known; set it, too"
        )
    prices = {"input": str(own.input), "output": str(own.output)}
    return _file_row({"provider": own.provider, "model": own.model, **prices}, "settings", "settings")


def configured(price: StatedPrice) -> Row:
    """The row of a price of genai.yaml. Raises PriceBookError."""
    item = {**price.fields, "provider": price.provider, "model": price.model}
    return _file_row(item, CONFIGURATION, f"{price.provider} {price.model}")


def checksum(path: Path) -> str:
    """Short digest of a file, by which a price book's version names it."""
    return f"sha256:{sha256(path.read_bytes()).hexdigest()[:12]}"


def digest_of(stated: object) -> str:
    """Short digest of prices that the settings or genai.yaml state."""
    return f"sha256:{sha256(repr(stated).encode()).hexdigest()[:12]}"


def _file_row(item: Any, source: str, where: str) -> Row:
    try:
        row = msgspec.convert(item, FileRow, strict=False)
    except msgspec.ValidationError as error:
        raise PriceBookError(f"{where}: {error}") from None
    prices = {f"{kind}_mtok": _file_amount(row, kind, where) for kind in KINDS}
    prices |= _file_units(row, where)
    if row.free:
        if row.tiers or any(amount is not None for amount in prices.values()):
            raise PriceBookError(f"{where}: free: a free row has no prices")
        prices = {"input_mtok": Decimal(0), "output_mtok": Decimal(0)}
    elif prices["input_mtok"] is None and not any(prices.get(key) is not None for key in UNIT_KEYS):
        raise PriceBookError(f"{where}: input: needed, unless the row says free: true or has another unit")
    match = ClauseOr(or_=[ClauseEquals(equals=name) for name in (row.model, *row.aliases)])
    info = ModelInfo(id=row.model, match=match, prices=ModelPrice(**prices))
    least_audio_ms = 1000 * (row.least_audio_seconds or 0)
    owner = PROVIDER_IDS.get(row.provider, row.provider)
    return Row(info, owner, source, row.free, row.valid_from, least_audio_ms)


def _file_amount(row: FileRow, kind: str, where: str) -> Amount | None:
    steps = [(tier.above_input_tokens, getattr(tier, kind)) for tier in row.tiers]
    tiers = [Tier(start=start, price=price) for start, price in steps if price is not None]
    base: Decimal | None = getattr(row, kind)
    if tiers and base is None:
        raise PriceBookError(f"{where}: {kind}: has a price in tiers, but none below them")
    if base is not None and row.input is None and not row.free:
        raise PriceBookError(f"{where}: input: needed beside {kind}")
    try:
        for price in (base or Decimal(0), *(tier.price for tier in tiers)):
            grains(price, MILLION)
    except PriceBookError as error:
        raise PriceBookError(f"{where}: {kind}: {error}") from None
    return TieredPrices(base=base, tiers=tiers) if base is not None and tiers else base


def _file_units(row: FileRow, where: str) -> dict[str, Amount | None]:
    """The prices that are not per token, by genai-prices' keys."""
    prices: dict[str, Amount | None] = {}
    for field, (key, count) in UNIT_FIELDS.items():
        usd: Decimal | None = getattr(row, field)
        if usd is None:
            continue
        if key in prices:
            raise PriceBookError(f"{where}: {field}: sound has a price already")
        try:
            grains(usd, MILLION)
        except PriceBookError as error:
            raise PriceBookError(f"{where}: {field}: {error}") from None
        prices[key] = usd * count
    if row.least_audio_seconds and AUDIO_HOURS not in prices:
        raise PriceBookError(f"{where}: least_audio_seconds: sound has no price")
    return prices


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
