"""The price book: finds the price of a model and what a call costs, in integer ticks of 1e-10 USD.

Sources, the first that knows a model wins: a price of the settings, of genai.yaml, the operator's overrides,
prices.yaml, genai-prices (https://github.com/pydantic/genai-prices, pinned in pyproject.toml). Only the data
and the matching rules of genai-prices are used; its updater is never started, so nothing here touches the
network.
"""

import re
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from genai_prices import __version__ as GENAI_PRICES_VERSION
from genai_prices import data as genai_prices_data
from genai_prices.types import Provider

from genai_spine.billing.file_rows import configured, read, stated
from genai_spine.billing.price import OwnPrice, Price
from genai_spine.billing.price_sources import (
    CONFIGURATION,
    NO_SELLER,
    ONE,
    PROVIDER_IDS,
    Row,
    Seller,
    StatedPrice,
    checksum,
    digest_of,
    published,
)
from genai_spine.billing.terms import ORDINARY, Terms, terms_of
from genai_spine.billing.upper_bound import CallSize, TextRates, text_rates, upper_bound
from genai_spine.costs import TICKS_PER_USD
from genai_spine.v1 import execution_pb2, usage_pb2

# A known name covers a longer one when the rest starts with one of these: "gpt-4o" covers "gpt-4o-2024",
# not "gpt-4omega"; "gpt-5" does not cover "gpt-5.9".
BOUNDARIES = frozenset("-:@_")
# Here ":free" or ":nitro" after a name means another price, so the plain name says nothing about it.
VARIANTS_HAVE_OWN_PRICES = frozenset({"openrouter"})
# Dates that can be put in order: 20240229, 2024-02-29 and Mistral's 2411; -v1:0 is Bedrock's.
DATED = re.compile(r"-(20\d{6}|20\d\d-\d\d-\d\d|2[3-9]\d\d)(-v\d+(:\d+)?)?")
MEMO_SIZE = 4096  # models; more are looked up again


class Source(NamedTuple):
    """One source of the book."""

    name: str
    checksum: str
    rows: int
    valid_from: date | None  # newest first day of a price that holds now; None: no price is dated


class Listing(NamedTuple):
    """Entry of a model in the book, as it holds now at ordinary terms."""

    price: Price | None  # None: the book has none
    is_free: bool  # its calls certainly cost nothing
    context_length: int | None
    text: TextRates | None  # None: more than the number of tokens decides what a call costs at most


@dataclass(frozen=True, slots=True)
class OperatorModels:
    """Prices, context lengths and sellers of models, as genai.yaml states them."""

    prices: tuple[StatedPrice, ...] = ()
    context_lengths: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by provider and model
    # Name of a provider to the row of the registry that it is an instance of, where they differ.
    sellers: Mapping[str, str] = field(default_factory=dict)


class PriceRows(NamedTuple):
    """Contents of the price files."""

    rows: list[Row]  # the strongest last
    sellers: Mapping[str, Seller]  # by genai-prices' id of the provider


class PriceBook:
    """Built once at start by load(); safe to share between threads."""

    def __init__(
        self, stated: PriceRows, version: str, clock: Callable[[], float], operators: OperatorModels
    ) -> None:
        """clock: Unix time in seconds."""
        self.version = version
        self._operators = operators
        self._clock = clock
        self._upstream = {provider.id: provider for provider in genai_prices_data.providers}
        self._rows = {id(row.info): row for row in published()}
        self._known = {owner: self._known_names(provider) for owner, provider in self._upstream.items()}
        self._stated, files = stated, stated.rows
        starts = sorted({_midnight(row.valid_from) for row in files if row.valid_from})
        self._starts = starts  # minutes at which rows of the files begin to hold
        self._own = [_in_force(files, minute) for minute in (0, *starts)]  # one for each stretch of time
        # Of files at once, so that a start tells their faults; of the 2,600 others when they are asked for.
        self._prices = {
            id(prices): row.compiled(prices, valid_from, self._seller(row.owner))
            for row in files
            for prices, valid_from in row.periods
        }
        self._row = lru_cache(MEMO_SIZE)(self._find_row)
        self._price = lru_cache(MEMO_SIZE)(self._price_at)
        self._length = lru_cache(MEMO_SIZE)(self._find_length)
        self._listing = lru_cache(MEMO_SIZE)(self._listing_at)
        self._list = lru_cache(1)(self._list_at)

    @classmethod
    def load(
        cls,
        overrides: Path | None = None,
        own: OwnPrice | None = None,
        operators: "OperatorModels | None" = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> "PriceBook":
        """Reads, checks and compiles all prices. Raises PriceBookError naming the file, row and field."""
        files = {"overlay": Path(__file__).with_name("prices.yaml")}
        if overrides is not None:
            files["overrides"] = overrides
        contents = [read(path, source) for source, path in files.items()]
        rows = [row for content in contents for row in content.rows]
        compiled = {f"genai-prices {GENAI_PRICES_VERSION}": Path(genai_prices_data.__file__), **files}
        versions = [f"{name} {checksum(path)}" for name, path in compiled.items()]
        operators = operators or OperatorModels()
        if operators.prices:
            rows += [configured(price) for price in operators.prices]
            versions.append(f"{CONFIGURATION} {digest_of(operators.prices)}")
        sellers = _merged(content.sellers for content in contents)
        book = cls(PriceRows(rows, sellers), " + ".join(versions), clock, operators)
        return book._with(own) if own else book

    def _with(self, own: OwnPrice) -> "PriceBook":
        known = self.find(own.provider, own.model)
        if known is not None and own.input is None:
            own = own._replace(input=known.input_usd_per_1m)
        if known is not None and own.output is None:
            own = own._replace(output=known.output_usd_per_1m)
        row = stated(own)
        version = f"{self.version} + settings {digest_of(own)}"
        stated_rows = self._stated._replace(rows=[*self._stated.rows, row])
        return PriceBook(stated_rows, version, self._clock, self._operators)

    def find(self, provider: str, model: str) -> Price | None:
        """The price that holds now; None when the book has none for this model.

        An exact name or alias comes first, then what genai-prices' own rules match, then the newest dated
        row of an undated family name, then the longest known name that the model's name goes on from.
        """
        return self._price(provider, model, ORDINARY, self._minute())

    def has_terms(self, provider: str, model: str, at: Terms) -> bool:
        """Whether there is a price of a model that holds now at these terms."""
        return self._price(provider, model, at, self._minute()) is not None

    def listed(self, provider: str, model: str, *, local: bool = False) -> Listing:
        """All that is asked of the book before a call, in one look. local: as in cost()."""
        return self._listing(provider, model, local, self._minute())

    def _listing_at(self, provider: str, model: str, local: bool, minute: int) -> Listing:
        price = self._price(provider, model, ORDINARY, minute)
        is_free = local if price is None else price.is_free or (local and not price.is_operators)
        length = self._length(provider, model, self._stretch(minute))
        return Listing(price, is_free, length, None if price is None else text_rates(price))

    def context_length(self, provider: str, model: str) -> int | None:
        """Most tokens of input and output together, as the operator or genai-prices has it; found as a price
        is.
        """
        return self._length(provider, model, self._stretch(self._minute()))

    def _find_length(self, provider: str, model: str, stretch: int) -> int | None:
        if length := self._operators.context_lengths.get((provider, model)):
            return length
        upstream = self._sold_by(provider)
        name = model.lower().removeprefix("models/")
        row = self._row(upstream, name, stretch)
        if row is not None and row.info.context_window is None:  # a row of a price file says nothing of it
            row = self._match(upstream, name)
        return row.info.context_window if row else None

    def cost(
        self,
        provider: str,
        model: str,
        usage: usage_pb2.Usage,
        *,
        local: bool = False,
        at: Terms = ORDINARY,
    ) -> usage_pb2.Cost:
        """Cost of tokens by the price of now; price_known is false, with 0 ticks, when the book cannot tell.

        local: the model runs on the operator's machines, where it costs nothing unless the operator's own
        file says so. at: terms that the provider says it served, which have prices of their own or none.
        """
        price = self._price(provider, model, at, self._minute())
        return self._cost(price, usage, None, local)

    def ticks(self, provider: str, model: str, usage: usage_pb2.Usage, *, local: bool = False) -> int | None:
        """As cost(), and only the number; None when the book cannot tell."""
        price = self._price(provider, model, ORDINARY, self._minute())
        if local and (price is None or not price.is_operators):
            return 0
        return None if price is None else price.ticks(usage)

    def most_ticks(self, provider: str, model: str, size: CallSize, *, local: bool = False) -> int | None:
        """Most that a call of this size costs by the prices of now; None when the book cannot tell.

        local: as in cost().
        """
        minute = self._minute()
        ordinary = self._price(provider, model, ORDINARY, minute)
        if local and (ordinary is None or not ordinary.is_operators):
            return 0
        if size.at == ORDINARY:
            return upper_bound((ordinary,), size)
        return upper_bound((self._price(provider, model, size.at, minute), ordinary), size)

    def rate(self, execution: execution_pb2.Execution, *, local: bool = False) -> usage_pb2.Cost:
        """Cost of a call that consumed `usage` and `units`, by the prices of the time it was made.

        The model that answered is looked up first, then the one that was asked for. local: as in cost().
        """
        made = execution.create_time.seconds // 60 if execution.HasField("create_time") else self._minute()
        at = terms_of(execution)
        units = execution.units if execution.HasField("units") else None
        provider, asked, answered = execution.provider, execution.model, execution.answered_model
        usage = execution.usage
        if answered and answered != asked:
            cost = self._cost(self._price(provider, answered, at, made), usage, units, local)
            if cost.price_known:
                return cost
        return self._cost(self._price(provider, asked, at, made), usage, units, local)

    def prices(self) -> list[Price]:
        """Every model with a price, at its price of now, sorted by model, then provider."""
        return list(self._list(self._minute()))

    def sources(self) -> list[Source]:
        """Where the prices of now come from, the weakest first."""
        names: dict[str, str] = dict(part.rsplit(" ", 1) for part in self.version.split(" + "))
        found = []
        prices = self.prices()
        for name, digest in names.items():
            here = [price for price in prices if price.source == name.partition(" ")[0]]
            dates = [price.valid_from for price in here if price.valid_from]
            found.append(Source(name, digest, len(here), max(dates, default=None)))
        return found

    def _cost(
        self, price: Price | None, usage: usage_pb2.Usage, units: usage_pb2.UnitUsage | None, local: bool
    ) -> usage_pb2.Cost:
        if local and (price is None or not price.is_operators):
            return usage_pb2.Cost(price_known=True, is_free=True, price_book=self.version)
        ticks = None if price is None else price.ticks(usage, units)
        if price is None or ticks is None:
            return usage_pb2.Cost(price_book=self.version)
        cost = usage_pb2.Cost()  # fields given by name cost more
        cost.cost_usd, cost.cost_ticks = ticks / TICKS_PER_USD, ticks
        cost.price_known, cost.is_free, cost.price_book = True, price.is_free, self.version
        return cost

    def _seller(self, owner: str) -> Seller:
        return self._stated.sellers.get(owner, NO_SELLER)

    def _sold_by(self, provider: str) -> str:
        """Id in genai-prices of the provider that a configured one is an instance of."""
        sold_as = self._operators.sellers.get(provider, provider)
        return PROVIDER_IDS.get(sold_as, sold_as)

    def _minute(self) -> int:
        """Prices change at dates and, off-peak, at times of day; all of them at whole minutes."""
        return int(self._clock()) // 60

    def _stretch(self, minute: int) -> int:
        return bisect_right(self._starts, minute)

    def _list_at(self, minute: int) -> tuple[Price, ...]:
        now = _utc(minute)
        prices = (self._compiled(row, now) for row in self._all(minute))
        return tuple(sorted(filter(None, prices), key=lambda price: (price.model, price.provider)))

    def _compiled(self, row: Row, now: datetime) -> Price | None:
        """Price of a row at a time and ordinary terms."""
        prices = row.info.get_prices(now)
        if id(prices) not in self._prices:
            valid_from = next(first for others, first in row.periods if others is prices)
            self._prices[id(prices)] = row.compiled(prices, valid_from, self._seller(row.owner))
        return self._prices[id(prices)]

    def _all(self, minute: int) -> Iterator[Row]:
        """Every row that is not replaced by a stronger one of the same name."""
        own = self._own[self._stretch(minute)]
        for names in own.values():
            yield from {id(row): row for row in names.values()}.values()
        for row in self._rows.values():
            if row.info.id.lower() not in own.get(row.owner, {}):
                yield row

    def _price_at(self, provider: str, model: str, at: Terms, minute: int) -> Price | None:
        upstream = self._sold_by(provider)
        name = model.lower().removeprefix("models/")  # "models/" is Gemini's
        row = None
        if provider in self._operators.sellers:  # an instance may have prices of its own
            row = self._own[self._stretch(minute)].get(provider, {}).get(name)
        row = row or self._row(upstream, name, self._stretch(minute))
        if row is None:
            return None
        now, seller = _utc(minute), self._seller(upstream)
        price = self._compiled(row, now)
        is_sellers = row.owner in (upstream, provider)
        if price is None or price.is_free or (at == ORDINARY and is_sellers):
            return price
        if at == ORDINARY:
            # One provider's tools and terms say nothing about another that sells the same model.
            return replace(price, tools=seller.tools)
        factor = seller.places.get(at.inference_geo) if at.inference_geo else ONE
        variant = at.variant
        prices = row.at_terms(now, variant) if variant and is_sellers else row.info.get_prices(now)
        if factor is None or prices is None or (variant and not is_sellers):
            return None  # it is not sold at these terms, as far as is known
        compiled = row.compiled(prices, price.valid_from, seller, factor)
        return compiled if is_sellers or compiled is None else replace(compiled, tools=seller.tools)

    def _find_row(self, upstream: str, name: str, stretch: int) -> Row | None:
        own, known = self._own[stretch].get(upstream, {}), self._known.get(upstream, {})
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
        """Row that genai-prices takes the name for, in this provider or in those whose models it sells."""
        provider = self._upstream.get(upstream)
        if provider is None:
            return None
        info = provider.find_model(name, all_providers=genai_prices_data.providers)
        return self._known[upstream].get(name) if info is None else self._rows[id(info)]

    def _known_names(self, provider: Provider) -> dict[str, Row]:
        names: dict[str, Row] = {}
        for owner in (provider.id, *(provider.fallback_model_providers or ())):
            for info in self._upstream[owner].models:
                row = self._rows[id(info)]
                for name in row.names:
                    names.setdefault(name, row)
        return names


def _merged(contents: Iterable[Mapping[str, Seller]]) -> dict[str, Seller]:
    """What files say about sellers, the strongest file last."""
    merged: dict[str, Seller] = {}
    for sellers in contents:
        for owner, seller in sellers.items():
            known = merged.get(owner, NO_SELLER)
            merged[owner] = Seller({**known.tools, **seller.tools}, {**known.places, **seller.places})
    return merged


def _utc(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)


def _midnight(day: date) -> int:
    """The minute at which a day begins."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) // 60


def _in_force(rows: Iterable[Row], minute: int) -> dict[str, dict[str, Row]]:
    """Provider to name to the strongest row that holds then."""
    own: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.valid_from is None or _midnight(row.valid_from) <= minute:
            own.setdefault(row.owner, {}).update((name, row) for name in row.names)
    return own


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
