"""Price files: rows of prices.yaml, of the operator's overrides, of genai.yaml and of the settings, checked.

The form of a price file is described at the head of prices.yaml.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import yaml
from genai_prices.types import (
    ClauseEquals,
    ClauseOr,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Tier,
    TieredPrices,
)

from genai_spine.billing.price import MILLION, TOOL_CALLS, OwnPrice, PriceBookError, grains
from genai_spine.billing.price_sources import (
    AUDIO_HOURS,
    CHARACTERS,
    CONFIGURATION,
    IMAGES,
    KINDS,
    PROVIDER_IDS,
    REQUESTS,
    TOOL,
    UNIT_KEYS,
    Amount,
    Row,
    Seller,
    StatedPrice,
)
from genai_spine.billing.terms import terms


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


class FileVariant(Amounts, kw_only=True):
    """Prices of calls at other terms than the ordinary ones; what it leaves out is as the row has it."""

    service_tier: str | None = None
    speed: str | None = None
    batch: bool = False
    tiers: list[FileTier] = []


class FileRow(Amounts, kw_only=True):
    """One row of prices.yaml or of the operator's overrides."""

    provider: Annotated[str, msgspec.Meta(min_length=1)]
    model: Annotated[str, msgspec.Meta(min_length=1)]
    aliases: list[str] = []
    free: bool = False
    tiers: list[FileTier] = []
    variants: list[FileVariant] = []
    tools: dict[str, Decimal] = {}  # US dollars for 1,000 calls of a tool that the provider runs
    # US dollars for one second, minute or hour of sound, 1,000,000 characters, one image, one request.
    audio_second: Decimal | None = None
    audio_minute: Decimal | None = None
    audio_hour: Decimal | None = None
    characters: Decimal | None = None
    image: Decimal | None = None
    request: Decimal | None = None
    least_audio_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600)] | None = None
    valid_from: date | None = None


class FileSeller(msgspec.Struct, forbid_unknown_fields=True):
    """Row without a model: what holds for all models of a provider."""

    provider: Annotated[str, msgspec.Meta(min_length=1)]
    tools: dict[str, Decimal] = {}  # as in FileRow, whose own come first
    inference_geo: dict[str, Decimal] = {}  # what prices of tokens are multiplied by, by the place


class PriceFile(NamedTuple):
    """Contents of a price file."""

    rows: list[Row]
    sellers: dict[str, Seller]  # by genai-prices' id of the provider


# Of FileRow: the key of the same price in genai-prices, and how many of the field one amount of it is.
UNIT_FIELDS = {
    "audio_second": (AUDIO_HOURS, 3600),
    "audio_minute": (AUDIO_HOURS, 60),
    "audio_hour": (AUDIO_HOURS, 1),
    "characters": (CHARACTERS, 1),
    "image": (IMAGES, 1),
    "request": (REQUESTS, 1000),
}


def read(path: Path, source: str) -> PriceFile:
    """A price file; of its rows those come first that hold first.

    Raises PriceBookError naming the file, row and field.
    """
    try:
        # The base loader keeps every scalar as its text, so that no price passes through a float.
        items: Any = yaml.load(path.read_bytes(), Loader=yaml.BaseLoader)
    except (OSError, yaml.YAMLError, RecursionError) as error:
        raise PriceBookError(f"{path}: {error}") from None
    if not isinstance(items, list):
        raise PriceBookError(f"{path}: must be a list of rows")
    rows: list[Row] = []
    sellers: dict[str, Seller] = {}
    taken: dict[tuple[str, str, date | None], int] = {}
    for number, item in enumerate(items, 1):
        where = f"{path}: row {number}"
        if isinstance(item, dict) and "model" not in item and ("tools" in item or "inference_geo" in item):
            owner, seller = _seller(item, where)
            if owner in sellers:
                raise PriceBookError(f"{where}: provider: {item['provider']} has such a row already")
            sellers[owner] = seller
            continue
        row = _file_row(item, source, where)
        for name in row.names:
            first = taken.setdefault((row.owner, name, row.valid_from), number)
            if first != number:
                raise PriceBookError(f"{where}: model: {name!r} is also in row {first}")
        rows.append(row)
    return PriceFile(sorted(rows, key=lambda row: row.valid_from or date.min), sellers)


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


def _seller(item: Any, where: str) -> tuple[str, Seller]:
    try:
        row = msgspec.convert(item, FileSeller, strict=False)
    except msgspec.ValidationError as error:
        raise PriceBookError(f"{where}: {error}") from None
    for place, factor in row.inference_geo.items():
        if not factor.is_finite() or factor <= 0:
            raise PriceBookError(f"{where}: inference_geo: {place}: {factor} is no factor")
    tools = {name: _checked(usd, TOOL_CALLS, f"{where}: tools: {name}") for name, usd in row.tools.items()}
    return PROVIDER_IDS.get(row.provider, row.provider), Seller(tools, row.inference_geo)


def _file_row(item: Any, source: str, where: str) -> Row:
    try:
        row = msgspec.convert(item, FileRow, strict=False)
    except msgspec.ValidationError as error:
        raise PriceBookError(f"{where}: {error}") from None
    prices = {f"{kind}_mtok": _file_amount(row, row.tiers, kind, where) for kind in KINDS}
    prices |= _file_units(row, where)
    if row.free:
        if row.tiers or row.variants or row.tools or any(amount is not None for amount in prices.values()):
            raise PriceBookError(f"{where}: free: a free row has no prices")
        prices = {"input_mtok": Decimal(0), "output_mtok": Decimal(0)}
    elif prices["input_mtok"] is None and not any(prices.get(key) is not None for key in UNIT_KEYS):
        raise PriceBookError(f"{where}: input: needed, unless the row says free: true or has another unit")
    for name, usd in row.tools.items():
        _checked(usd, TOOL_CALLS, f"{where}: tools: {name}")
        prices[TOOL + name] = usd
    match = ClauseOr(or_=[ClauseEquals(equals=name) for name in (row.model, *row.aliases)])
    variants = [*_variants(row, where)]
    info = ModelInfo(id=row.model, match=match, prices=ModelPrice(**prices), price_variants=variants or None)
    least_audio_ms = 1000 * (row.least_audio_seconds or 0)
    owner = PROVIDER_IDS.get(row.provider, row.provider)
    return Row(info, owner, source, row.free, row.valid_from, least_audio_ms)


def _variants(row: FileRow, where: str) -> Iterator[PriceVariant]:
    for number, variant in enumerate(row.variants, 1):
        there = f"{where}: variants[{number}]"
        said = terms(variant.service_tier or "", variant.speed or "", batch=variant.batch)
        when = dict(said.variant)
        if not when:
            raise PriceBookError(
                f"{there}: service_tier, speed or batch: one is needed, not the ordinary one"
            )
        if variant.input is None:
            raise PriceBookError(f"{there}: input: needed")
        prices = {f"{kind}_mtok": _file_amount(variant, variant.tiers, kind, there) for kind in KINDS}
        yield PriceVariant(when=when, prices=ModelPrice(**prices))


def _checked(usd: Decimal, counts: int, where: str) -> int:
    try:
        return grains(usd, counts)
    except PriceBookError as error:
        raise PriceBookError(f"{where}: {error}") from None


def _file_amount(row: FileRow | FileVariant, steps: list[FileTier], kind: str, where: str) -> Amount | None:
    stated = [(tier.above_input_tokens, getattr(tier, kind)) for tier in steps]
    tiers = [Tier(start=start, price=price) for start, price in stated if price is not None]
    base: Decimal | None = getattr(row, kind)
    if tiers and base is None:
        raise PriceBookError(f"{where}: {kind}: has a price in tiers, but none below them")
    if base is not None and row.input is None and not (isinstance(row, FileRow) and row.free):
        raise PriceBookError(f"{where}: input: needed beside {kind}")
    for price in (base or Decimal(0), *(tier.price for tier in tiers)):
        _checked(price, MILLION, f"{where}: {kind}")
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
        _checked(usd, MILLION, f"{where}: {field}")
        prices[key] = usd * count
    if row.least_audio_seconds and AUDIO_HOURS not in prices:
        raise PriceBookError(f"{where}: least_audio_seconds: sound has no price")
    return prices
