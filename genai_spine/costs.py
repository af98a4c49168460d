"""Costs, added up in ticks of 1e-10 US dollars: whole numbers, so that every sum is exact."""

from collections.abc import Iterable
from decimal import Decimal

from genai_spine.v1.usage_pb2 import Cost, Usage

TICKS_PER_USD = 10**10


def cost_of(
    ticks: int, *, price_known: bool = True, is_free: bool = False, price_book: str | None = None
) -> Cost:
    """Cost of so many ticks."""
    return Cost(
        cost_usd=usd_of(ticks),
        cost_ticks=ticks,
        price_known=price_known,
        is_free=is_free,
        price_book=price_book,
    )


def usd_of(ticks: int) -> float:
    """US dollars for a reader: the nearest double, as the quotient of two integers is. Never add these up."""
    return ticks / TICKS_PER_USD


def ticks_of(usd: float) -> int:
    """Whole ticks in an amount of US dollars, read as the decimal number that a person wrote."""
    return int(Decimal(repr(usd)) * TICKS_PER_USD)


def sum_costs(costs: Iterable[Cost]) -> Cost:
    """Several costs as one, whose price is known where all are; of none: zero, and known."""
    total = Cost(price_known=True, is_free=True)
    for cost in costs:
        total.cost_ticks += cost.cost_ticks
        total.price_known = total.price_known and cost.price_known
        total.is_free = total.is_free and cost.is_free
        total.price_book = cost.price_book
    total.cost_usd = usd_of(total.cost_ticks)
    return total


def sum_usages(usages: Iterable[Usage]) -> Usage:
    """Several counts of tokens as one; provenance is the last one's."""
    total = Usage()
    for usage in usages:
        for field, value in usage.ListFields():
            if field.enum_type:
                setattr(total, field.name, value)
            elif field.name != "reported_json":  # which is of one call
                setattr(total, field.name, getattr(total, field.name) + value)
    return total
