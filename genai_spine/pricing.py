"""The price book: what the tokens of a model cost, in integer ticks (1 tick = 1e-10 USD).

Sources, the first that knows a model wins: the operator's overrides, prices.yaml, genai-prices
(https://github.com/pydantic/genai-prices, pinned in pyproject.toml). Only the data and the matching rules
of genai-prices are used; its updater is never started, so nothing here touches the network.

A price is kept as an integer of 1e-20 USD per 1,000,000 tokens, because some published prices have 18
decimals. The cost of a call is summed exactly and rounded once, half up, to a tick.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from operator import mul
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml
from genai_prices import __version__ as GENAI_PRICES_VERSION
from genai_prices import data as genai_prices_data
from genai_prices.types import (
    ClauseEquals,
    ClauseOr,
    ClauseStartsWith,
    MatchLogic,
    ModelInfo,
    ModelPrice,
    Provider,
    Tier,
    TieredPrices,
)

from genai_spine.v1 import completion_service_pb2 as pb

# Our provider names where genai-prices uses another; every other name is looked up as it is. A provider
# that genai-prices does not have (ollama, vllm, deepinfra, ...) has only the rows of the two files.
PROVIDER_IDS = {"bedrock": "aws", "gemini": "google", "xai": "x-ai"}
PROVIDER_NAMES = {upstream: ours for ours, upstream in PROVIDER_IDS.items()}

TICKS_PER_USD = 10**10
UNITS_PER_USD = 10**20  # of the prices kept here
UNITS_PER_TICK = UNITS_PER_USD // TICKS_PER_USD * 1_000_000  # prices are for 1,000,000 tokens

# For each bucket of Usage the kinds of price that fit it, narrowest first: the first that a row has counts.
# The kinds are genai-prices' keys without "_mtok", and the fields of a row in our YAML.
INPUT_BUCKETS = (
    ("input",),  # uncached_input_tokens
    ("cache_read", "input"),  # cache_read_tokens
    ("cache_write_5m", "cache_write", "input"),  # cache_write_5m_tokens
    ("cache_write_1h", "cache_write", "input"),  # cache_write_1h_tokens
    ("input_audio", "input"),  # audio_input_tokens
    ("input_image", "input"),  # image_input_tokens
)
OUTPUT_BUCKETS = (
    ("output",),  # visible_output_tokens
    ("output_reasoning", "output"),  # reasoning_tokens
    ("output_audio", "output"),  # audio_output_tokens
)
BUCKETS = INPUT_BUCKETS + OUTPUT_BUCKETS
KINDS = tuple(dict.fromkeys(kind for kinds in BUCKETS for kind in kinds))

Rates = tuple[int, ...]  # one per bucket, 1e-20 USD per 1,000,000 tokens; 0 where there is no price
Amount = Decimal | TieredPrices

# A known name covers a longer one when the rest starts with one of these: "gpt-4o" covers "gpt-4o-2024",
# not "gpt-4omega"; "gpt-5" does not cover "gpt-5.9".
BOUNDARIES = frozenset("-:@_")
# Here ":free" or ":nitro" after a name means another price, so the plain name says nothing about it.
VARIANTS_HAVE_OWN_PRICES = frozenset({"openrouter"})
# Dates that can be put in order: 20240229, 2024-02-29 and Mistral's 2411; -v1:0 is Bedrock's.
DATED = re.compile(r"-(20\d{6}|20\d\d-\d\d-\d\d|2[3-9]\d\d)(-v\d+(:\d+)?)?")
MEMO_SIZE = 4096  # models; more are looked up again


class PriceBookError(ValueError):
    """A price file or price that cannot be used; says which row and field."""


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
    above_input_tokens: Annotated[int, msgspec.Meta(ge=1)]


class FileRow(Amounts, kw_only=True):
    """One row of prices.yaml or of the operator's overrides."""

    provider: Annotated[str, msgspec.Meta(min_length=1)]
    model: Annotated[str, msgspec.Meta(min_length=1)]
    aliases: list[str] = []
    free: bool = False
    tiers: list[FileTier] = []


@dataclass(frozen=True, slots=True)
class Row:
    """One model of one source, with its prices of all times."""

    info: ModelInfo
    owner: str  # genai-prices id of the provider that sells at these prices
    source: str
    is_free: bool = False

    @property
    def periods(self) -> list[ModelPrice]:
        prices = self.info.prices
        return [prices] if isinstance(prices, ModelPrice) else [period.prices for period in prices]


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs at one time."""

    provider: str  # whose price it is: openai for gpt-4o on azure
    model: str  # the row's name, which can be shorter or longer than the one asked for
    name: str | None  # for people
    source: str  # "overrides", "overlay" or "genai-prices"
    is_free: bool  # free by nature; a hosted model with a price of 0 is not
    rates: Rates
    unpriced: tuple[int, ...] = ()  # buckets without a price
    tiers: tuple[tuple[int, Rates], ...] = ()  # (input tokens that must be exceeded, rates), highest first
    request_fee: int = 0  # of a request that used tokens, as a rate for one token

    @property
    def input_usd_per_1m(self) -> Decimal | None:
        """US dollars for 1,000,000 uncached input tokens, before any tier; None: no price."""
        return self._usd(0)

    @property
    def output_usd_per_1m(self) -> Decimal | None:
        """US dollars for 1,000,000 visible output tokens, before any tier; None for embeddings."""
        return self._usd(len(INPUT_BUCKETS))

    def ticks(self, usage: pb.Usage) -> int | None:
        """The cost of usage; None when it has tokens of a bucket without a price.

        As in genai-prices, input longer than a tier's start prices the whole request at that tier.
        """
        counts = _counts(usage)
        if self.unpriced and any(counts[bucket] for bucket in self.unpriced):
            return None
        rates = self.rates
        if self.tiers:
            input_tokens = sum(counts[: len(INPUT_BUCKETS)])
            for start, tier in self.tiers:
                if input_tokens > start:
                    rates = tier
                    break
        units: int = sum(map(mul, counts, rates))
        if self.request_fee and any(counts):
            units += self.request_fee
        return (units + UNITS_PER_TICK // 2) // UNITS_PER_TICK

    def _usd(self, bucket: int) -> Decimal | None:
        return None if bucket in self.unpriced else Decimal(self.rates[bucket]) / UNITS_PER_USD


class PriceBook:
    """Built once at start by load(); safe to share between threads."""

    def __init__(self, rows: Iterable[Row], version: str, clock: Callable[[], float]) -> None:
        """rows: those of the files, the strongest last. clock: Unix time in seconds."""
        self.version = version
        self._clock = clock
        self._upstream = {provider.id: provider for provider in genai_prices_data.providers}
        self._rows = {id(info): Row(info, owner, "genai-prices") for owner, info in _models()}
        self._known = {owner: self._known_names(provider) for owner, provider in self._upstream.items()}
        self._own: dict[str, dict[str, Row]] = {}
        for row in rows:
            self._own.setdefault(row.owner, {}).update((name, row) for name in _names(row.info))
        every = [*self._rows.values(), *(row for names in self._own.values() for row in names.values())]
        self._prices = {id(prices): _compile(row, prices) for row in every for prices in row.periods}
        self._row = lru_cache(MEMO_SIZE)(self._find_row)
        self._price = lru_cache(MEMO_SIZE)(self._price_at)

    @classmethod
    def load(cls, overrides: Path | None = None, *, clock: Callable[[], float] = time.time) -> "PriceBook":
        """Reads, checks and compiles all prices. Raises PriceBookError naming the file, row and field."""
        files = {"overlay": Path(__file__).with_name("prices.yaml")}
        if overrides is not None:
            files["overrides"] = overrides
        rows = [row for source, path in files.items() for row in _read(path, source)]
        compiled = {f"genai-prices {GENAI_PRICES_VERSION}": Path(genai_prices_data.__file__), **files}
        return cls(rows, " + ".join(f"{name} {_checksum(path)}" for name, path in compiled.items()), clock)

    def find(self, provider: str, model: str) -> Price | None:
        """The price that holds now; None when the book has none per token for this model.

        An exact name or alias comes first, then what genai-prices' own rules match, then the newest dated
        row of an undated family name, then the longest known name that the model's name goes on from.
        """
        return self._price(provider, model, None, self._minute())

    def context_length(self, provider: str, model: str) -> int | None:
        """Most tokens of input and output together, as genai-prices has it; found as a price is."""
        upstream = PROVIDER_IDS.get(provider, provider)
        row = self._row(upstream, model.lower().removeprefix("models/"))
        return row.info.context_window if row else None

    def cost(
        self,
        provider: str,
        model: str,
        usage: pb.Usage,
        *,
        local: bool = False,
        service_tier: str | None = None,
    ) -> pb.Cost:
        """What usage costs now; price_known is false, with 0 ticks, when the book cannot tell.

        local: the model runs on the operator's machines, where tokens cost nothing. service_tier: the tier
        that the provider says it served ("flex", "priority", ...), which can have prices of its own.
        """
        if local:
            return pb.Cost(price_known=True, is_free=True, price_book=self.version)
        price = self._price(provider, model, service_tier, self._minute())
        ticks = None if price is None else price.ticks(usage)
        if price is None or ticks is None:
            return pb.Cost(price_book=self.version)
        return pb.Cost(
            cost_usd=ticks / TICKS_PER_USD,  # of two integers: the nearest double
            cost_ticks=ticks,
            price_known=True,
            is_free=price.is_free,
            price_book=self.version,
        )

    def list(self) -> "list[Price]":
        """Every model with a price per token, at its price of now, sorted by model, then provider."""
        now = _utc(self._minute())
        prices = (self._prices[id(row.info.get_prices(now))] for row in self._all())
        return sorted(filter(None, prices), key=lambda price: (price.model, price.provider))

    def _minute(self) -> int:
        """Prices change at dates and, off-peak, at times of day; all of them at whole minutes."""
        return int(self._clock()) // 60

    def _all(self) -> Iterator[Row]:
        """Every row that is not replaced by a stronger one of the same name."""
        for names in self._own.values():
            yield from {id(row): row for row in names.values()}.values()
        for row in self._rows.values():
            if row.info.id.lower() not in self._own.get(row.owner, {}):
                yield row

    def _price_at(self, provider: str, model: str, service_tier: str | None, minute: int) -> Price | None:
        upstream = PROVIDER_IDS.get(provider, provider)
        row = self._row(upstream, model.lower().removeprefix("models/"))  # "models/" is Gemini's
        if row is None:
            return None
        # One provider's tiers say nothing about another that sells the same model; so in genai-prices.
        if service_tier and row.owner == upstream:
            return _compile(row, row.info.get_prices(_utc(minute), {"service_tier": service_tier}))
        return self._prices[id(row.info.get_prices(_utc(minute)))]

    def _find_row(self, upstream: str, name: str) -> Row | None:
        own, known = self._own.get(upstream, {}), self._known.get(upstream, {})
        if name in own:
            return own[name]
        own_prefix = _longest_prefix(upstream, name, own)
        matched = self._match(upstream, name)
        if matched is not None:
            # A row of ours for gpt-4o also covers gpt-4o-2024-08-06, which genai-prices has as the same
            # model, but not gpt-4o-mini, which it has as another.
            if own_prefix is not None and self._match(upstream, own_prefix) is matched:
                return own[own_prefix]
            return own.get(matched.info.id.lower(), matched)
        dated = _newest_dated(name, own) or _newest_dated(name, known)
        if dated is not None:
            return dated
        prefix = _longest_prefix(upstream, name, known)
        if own_prefix is not None and len(own_prefix) >= len(prefix or ""):
            return own[own_prefix]
        return known[prefix] if prefix else None

    def _match(self, upstream: str, name: str) -> Row | None:
        """What genai-prices takes the name for, in this provider or in those whose models it sells."""
        provider = self._upstream.get(upstream)
        if provider is None:
            return None
        info = provider.find_model(name, all_providers=genai_prices_data.providers)
        return self._known[upstream].get(name) if info is None else self._rows[id(info)]

    def _known_names(self, provider: Provider) -> dict[str, Row]:
        names: dict[str, Row] = {}
        for owner in (provider.id, *(provider.fallback_model_providers or ())):
            for info in self._upstream[owner].models:
                for name in _names(info):
                    names.setdefault(name, self._rows[id(info)])
        return names


def _utc(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)


def _models() -> Iterator[tuple[str, ModelInfo]]:
    return ((provider.id, info) for provider in genai_prices_data.providers for info in provider.models)


def _names(info: ModelInfo) -> Iterator[str]:
    yield info.id.lower()
    yield from _clause_names(info.match)


def _clause_names(clause: MatchLogic) -> Iterator[str]:
    if isinstance(clause, ClauseOr):
        for part in clause.or_:
            yield from _clause_names(part)
    elif isinstance(clause, ClauseEquals):
        yield clause.equals.lower()
    elif isinstance(clause, ClauseStartsWith):
        yield clause.starts_with.lower()


def _longest_prefix(upstream: str, name: str, known: Mapping[str, Row]) -> str | None:
    """The longest known name that `name` goes on from at a boundary."""
    for end in range(len(name) - 1, 0, -1):
        if name[end] == ":" and upstream in VARIANTS_HAVE_OWN_PRICES:
            return None
        if name[end] in BOUNDARIES and name[:end] in known:
            return name[:end]
    return None


def _newest_dated(name: str, known: Mapping[str, Row]) -> Row | None:
    """The row of the newest known name that is `name` with a date after it."""
    dates: dict[str, Row] = {}
    for candidate, row in known.items():
        if candidate.startswith(name) and (date := DATED.fullmatch(candidate, len(name))):
            digits = date[1].replace("-", "")
            dates["20" + digits if len(digits) == 4 else digits] = row
    return dates[max(dates)] if dates else None


def _compile(row: Row, prices: ModelPrice) -> Price | None:
    """The price of a row in one period; None when there is none per token. Raises PriceBookError."""
    amounts = [_amount(vars(prices), kinds) for kinds in BUCKETS]
    if all(amount is None for amount in amounts):
        # genai-prices leaves out the prices of free models, but also of models that are priced in another
        # way or not any more. Only a name that says free is a price of 0.
        if vars(prices) or not row.info.id.endswith((":free", "-free")):
            return None
        amounts = [Decimal(0)] * len(BUCKETS)
    starts = {tier.start for amount in amounts if isinstance(amount, TieredPrices) for tier in amount.tiers}
    try:
        return Price(
            provider=PROVIDER_NAMES.get(row.owner, row.owner),
            model=row.info.id,
            name=row.info.name,
            source=row.source,
            is_free=row.is_free,
            rates=_rates(amounts, -1),
            unpriced=tuple(bucket for bucket, amount in enumerate(amounts) if amount is None),
            tiers=tuple((start, _rates(amounts, start)) for start in sorted(starts, reverse=True)),
            request_fee=_units(vars(prices).get("requests_kcount") or Decimal(0)) * 1000,
        )
    except PriceBookError as error:
        raise PriceBookError(f"{row.source}: {row.owner} {row.info.id}: {error}") from None


def _amount(prices: Mapping[str, Amount | None], kinds: Iterable[str]) -> Amount | None:
    amounts = (prices.get(f"{kind}_mtok") for kind in kinds)
    return next((amount for amount in amounts if amount is not None), None)


def _rates(amounts: Iterable[Amount | None], start: int) -> Rates:
    """Rates of a request whose input exceeds `start` tokens; -1: no tier is reached."""
    return tuple(0 if amount is None else _units(_at(amount, start)) for amount in amounts)


def _at(amount: Amount, start: int) -> Decimal:
    if isinstance(amount, Decimal):
        return amount
    reached = [tier.price for tier in amount.tiers if tier.start <= start]
    return reached[-1] if reached else amount.base


def _units(usd: Decimal) -> int:
    if not usd.is_finite() or usd < 0:
        raise PriceBookError(f"{usd} is not a price")
    numerator, denominator = usd.as_integer_ratio()
    units, rest = divmod(numerator * UNITS_PER_USD, denominator)
    if rest:
        raise PriceBookError(f"{usd} has more than 20 decimals")
    return units


def _counts(usage: pb.Usage) -> tuple[int, ...]:
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


def _checksum(path: Path) -> str:
    return f"sha256:{sha256(path.read_bytes()).hexdigest()[:12]}"


def _read(path: Path, source: str) -> list[Row]:
    """The rows of a price file. Raises PriceBookError."""
    try:
        # The base loader keeps every scalar as its text, so that no price passes through a float.
        items: Any = yaml.load(path.read_bytes(), Loader=yaml.BaseLoader)
    except (OSError, yaml.YAMLError) as error:
        raise PriceBookError(f"{path}: {error}") from None
    if not isinstance(items, list):
        raise PriceBookError(f"{path}: must be a list of rows")
    rows: list[Row] = []
    taken: dict[tuple[str, str], int] = {}
    for number, item in enumerate(items, 1):
        row = _file_row(item, source, f"{path}: row {number}")
        for name in _names(row.info):
            first = taken.setdefault((row.owner, name), number)
            if first != number:
                raise PriceBookError(f"{path}: row {number}: model: {name!r} is also in row {first}")
        rows.append(row)
    return rows


def _file_row(item: Any, source: str, where: str) -> Row:
    try:
        row = msgspec.convert(item, FileRow, strict=False)
    except msgspec.ValidationError as error:
        raise PriceBookError(f"{where}: {error}") from None
    prices = {f"{kind}_mtok": _file_amount(row, kind, where) for kind in KINDS}
    if row.free:
        if row.tiers or any(amount is not None for amount in prices.values()):
            raise PriceBookError(f"{where}: free: a free row has no prices")
        prices = {"input_mtok": Decimal(0), "output_mtok": Decimal(0)}
    elif row.input is None:
        raise PriceBookError(f"{where}: input: needed, unless the row says free: true")
    match = ClauseOr(or_=[ClauseEquals(equals=name) for name in (row.model, *row.aliases)])
    info = ModelInfo(id=row.model, match=match, prices=ModelPrice(**prices))
    return Row(info, PROVIDER_IDS.get(row.provider, row.provider), source, is_free=row.free)


def _file_amount(row: FileRow, kind: str, where: str) -> Amount | None:
    steps = [(tier.above_input_tokens, getattr(tier, kind)) for tier in row.tiers]
    tiers = [Tier(start=start, price=price) for start, price in steps if price is not None]
    base: Decimal | None = getattr(row, kind)
    if tiers and base is None:
        raise PriceBookError(f"{where}: {kind}: has a price in tiers, but none below them")
    try:
        for price in (base or Decimal(0), *(tier.price for tier in tiers)):
            _units(price)
    except PriceBookError as error:
        raise PriceBookError(f"{where}: {kind}: {error}") from None
    return TieredPrices(base=base, tiers=tiers) if base is not None and tiers else base
