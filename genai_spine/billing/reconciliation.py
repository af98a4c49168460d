"""Reconciliation: a provider's bill held against the ledger, and each difference named.

Every call of ours is on the books before it is sent. So what a bill has beyond the ledger is a call whose
usage was lost with its process, or one that somebody else made with the key.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from genai_spine.billing.price_book import PriceBook
from genai_spine.billing.provider_bills import BillLine
from genai_spine.store.database import Database
from genai_spine.store.usage.booked import booked
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.usage_pb2 import Usage

Cause = Literal[
    "stale_price", "cache_split", "tier", "missing_call", "foreign_use", "not_billed", "unexplained"
]
CAUSES: dict[Cause, str] = {
    "stale_price": "same tokens, another price: re-rate by a price book that has today's",
    "cache_split": "same input, but another part of it was cached",
    "tier": "same tokens, but of another service tier",
    "missing_call": "calls that the ledger has without their usage, or not at all",
    "foreign_use": "calls with a key or of a model that this service did not use",
    "not_billed": "calls that the ledger has, and the bill has not",
    "unexplained": "the numbers of tokens differ, and nothing here says why",
}
ROUNDING_TICKS = 10_000  # a line of a bill is rounded to a millionth of a dollar, or better


@dataclass(slots=True)
class Side:
    """One side's numbers of a day and model. requests, tokens and ticks are None where nobody says them."""

    requests: int | None = None
    input_tokens: int | None = None
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int | None = None
    ticks: int | None = None
    unsure: int = 0  # of the ledger: calls without their usage
    tiers: dict[str, int] = field(default_factory=dict)  # tokens by service tier

    def add(self, line: BillLine) -> None:
        """Adds a line of a bill, or of the ledger in the same form."""
        tokens = (line.input_tokens or 0) + (line.output_tokens or 0)
        self.merge(
            Side(
                requests=line.requests,
                input_tokens=line.input_tokens,
                cache_read_tokens=line.cache_read_tokens,
                cache_write_tokens=line.cache_write_tokens,
                output_tokens=line.output_tokens,
                ticks=line.ticks,
                tiers={line.tier: tokens} if tokens else {},
            )
        )

    def merge(self, other: "Side") -> None:
        """Adds another side."""
        self.requests = _plus(self.requests, other.requests)
        self.input_tokens = _plus(self.input_tokens, other.input_tokens)
        self.output_tokens = _plus(self.output_tokens, other.output_tokens)
        self.ticks = _plus(self.ticks, other.ticks)
        self.cache_read_tokens += other.cache_read_tokens
        self.cache_write_tokens += other.cache_write_tokens
        self.unsure += other.unsure
        for tier, tokens in other.tiers.items():
            self.tiers[tier] = self.tiers.get(tier, 0) + tokens


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of one day and model, its cause, and what re-rating would make of it."""

    provider: str
    day: str
    model: str
    cause: Cause
    billed: Side
    booked: Side
    rated_ticks: int | None  # the billed tokens by the price book of now; None: it cannot tell

    @property
    def ticks(self) -> int | None:
        """Ticks that the bill has more than the ledger; None: it names no money."""
        return None if self.billed.ticks is None else self.billed.ticks - (self.booked.ticks or 0)

    @property
    def proposal(self) -> str:
        """Command that would mend the ledger's side; empty: none would."""
        if self.cause not in ("stale_price", "tier"):
            return ""
        return f"genai-spine prices rerate --from {self.day} --to {self.day} --provider {self.provider}"


@dataclass(slots=True)
class Reconciliation:
    """Outcome: how many days of models agree, and those that do not."""

    agreeing: int = 0
    differences: list[Difference] = field(default_factory=list)


async def reconcile(
    database: Database, book: PriceBook, lines: Iterable[BillLine], our_keys: Collection[str] = ()
) -> Reconciliation:
    """Bill against ledger, by day and model.

    our_keys: the ids that the provider has for this service's keys; none: all of the bill's keys are ours.
    """
    bills: dict[str, list[BillLine]] = defaultdict(list)
    for line in lines:
        bills[line.provider].append(line)
    outcome = Reconciliation()
    for provider, billed in sorted(bills.items()):
        await _reconcile(outcome, _Bill(provider, billed, frozenset(our_keys)), database, book)
    return outcome


@dataclass(frozen=True, slots=True)
class _Bill:
    provider: str
    lines: list[BillLine]
    our_keys: frozenset[str]

    def is_foreign(self, line: BillLine) -> bool:
        return bool(self.our_keys and line.api_key and line.api_key not in self.our_keys)


async def _reconcile(outcome: Reconciliation, bill: _Bill, database: Database, book: PriceBook) -> None:
    days = [date.fromisoformat(line.day) for line in bill.lines]
    start, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (min(days), max(days)))
    ours = await _ledger_sides(database, bill.provider, start, end + timedelta(days=1))
    asked = {model for _, model in ours}
    theirs: dict[tuple[str, str], Side] = defaultdict(Side)
    foreign: dict[tuple[str, str], Side] = defaultdict(Side)
    for line in bill.lines:
        is_ours = not line.model or any(_is_name_of(model, line.model) for model in asked)
        sides = theirs if is_ours and not bill.is_foreign(line) else foreign
        sides[line.day, line.model].add(line)
    _rename(ours, theirs)

    def differ(key: tuple[str, str], cause: Cause, billed: Side, own: Side) -> None:
        rated = _rated(book, bill.provider, key[1], key[0], billed)
        outcome.differences.append(Difference(bill.provider, *key, cause, billed, own, rated))

    for key, side in sorted(foreign.items()):
        differ(key, "foreign_use", side, Side())
    billed_days = {line.day for line in bill.lines}
    for key in sorted({*theirs, *(key for key in ours if key[0] in billed_days)}):
        billed, own = theirs.get(key, Side()), ours.get(key, Side())
        cause = _cause(billed, own) if key in theirs else "not_billed" if own.ticks else None
        if cause is None:
            outcome.agreeing += 1
        else:
            differ(key, cause, billed, own)


def _is_name_of(asked: str, billed: str) -> bool:
    """Whether a bill may call the model that was asked for so: gpt-4o is billed as gpt-4o-2024-08-06."""
    return billed == asked or billed.startswith(f"{asked}-20")


def _rename(ours: dict[tuple[str, str], Side], theirs: Mapping[tuple[str, str], Side]) -> None:
    """Puts calls under the bill's name of their model, where no answer said that name."""
    for key in [key for key in ours if key not in theirs]:
        names = [other for other in theirs if other[0] == key[0] and _is_name_of(key[1], other[1])]
        if len(names) == 1:
            ours.setdefault(names[0], Side()).merge(ours.pop(key))


async def _ledger_sides(
    database: Database, provider: str, start: datetime, end: datetime
) -> dict[tuple[str, str], Side]:
    sides: dict[tuple[str, str], Side] = defaultdict(Side)
    for (day, model, tier), sums in (await booked(database, provider, start, end)).items():
        side = sides[day, model]
        side.add(
            BillLine(
                provider=provider,
                day=day,
                model=model,
                requests=sums["request_count"],
                input_tokens=sums["input_tokens"],
                cache_read_tokens=sums["cache_read_tokens"],
                cache_write_tokens=sums["cache_write_5m_tokens"] + sums["cache_write_1h_tokens"],
                output_tokens=sums["output_tokens"],
                ticks=sums["cost_ticks"],
                tier="" if tier in ("default", "standard", "auto") else tier,
            )
        )
        side.unsure += sums["unsure_count"]
    return sides


def _cause(billed: Side, own: Side) -> Cause | None:
    """Cause of a difference; None: there is none."""
    if own.requests is None:  # what has no model, such as searches, or no call on this day
        return "missing_call" if billed.requests else "unexplained"
    fewer = billed.requests is not None and billed.requests < (own.requests or 0)
    more = billed.requests is not None and billed.requests > (own.requests or 0)
    is_same_size = billed.input_tokens is None or (
        (billed.input_tokens, billed.output_tokens) == (own.input_tokens or 0, own.output_tokens or 0)
    )
    if more or (not is_same_size and own.unsure):
        return "missing_call"
    if fewer and not is_same_size:
        return "not_billed"
    if not is_same_size:
        return "unexplained"
    if billed.input_tokens is not None and (
        (billed.cache_read_tokens, billed.cache_write_tokens)
        != (own.cache_read_tokens, own.cache_write_tokens)
    ):
        return "cache_split"
    if billed.tiers and billed.tiers != own.tiers:
        return "tier"
    if billed.ticks is not None and abs(billed.ticks - (own.ticks or 0)) > ROUNDING_TICKS:
        return "stale_price"
    return None


def _rated(book: PriceBook, provider: str, model: str, day: str, side: Side) -> int | None:
    """Cost of a side's tokens by the book's prices of that day, without regard to tiers of length."""
    if side.input_tokens is None:
        return None
    cached = side.cache_read_tokens + side.cache_write_tokens
    usage = Usage(
        input_tokens=min(side.input_tokens, 2**32 - 1),
        uncached_input_tokens=min(side.input_tokens - cached, 2**32 - 1),
        cache_read_tokens=min(side.cache_read_tokens, 2**32 - 1),
        cache_write_5m_tokens=min(side.cache_write_tokens, 2**32 - 1),
        output_tokens=min(side.output_tokens or 0, 2**32 - 1),
        visible_output_tokens=min(side.output_tokens or 0, 2**32 - 1),
    )
    tier = next(iter(side.tiers), "") if len(side.tiers) == 1 else ""
    row = Execution(provider=provider, model=model, usage=usage, service_tier=tier or None)
    row.create_time.FromJsonString(f"{day}T12:00:00Z")
    cost = book.rate(row)
    return cost.cost_ticks if cost.price_known else None


def _plus(one: int | None, other: int | None) -> int | None:
    return other if one is None else one + (other or 0)
