"""Re-rating: what the calls of a period cost by another price book.

Costs follow from rows alone, so a row is rated by the very function that priced it first. A row that this
book has priced already is left out; so a run that was cut off goes on where it stopped, and a second run
changes nothing. A row that the book has no price for stays as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from genai_spine.billing.price_book import PriceBook
from genai_spine.store.executions import Executions, Scope
from genai_spine.v1 import usage_pb2
from genai_spine.v1.execution_pb2 import Execution

BATCH = 500  # rows of one transaction


class Period(NamedTuple):
    """Whole days, UTC, the last one included."""

    first: date
    last: date
    provider: str | None = None  # None: all


@dataclass(slots=True)
class Line:
    """One model's calls of the period that another book priced."""

    rows: int = 0
    unpriced_rows: int = 0  # of these, rows that the book has no price for
    old_ticks: int = 0
    new_ticks: int = 0


@dataclass(slots=True)
class Outcome:
    """Result of a re-rating: the lines by provider and model, and how many costs changed."""

    price_book: str
    lines: dict[tuple[str, str], Line] = field(default_factory=dict)  # by provider and model
    changed_rows: int = 0  # whose cost is another one

    def total(self) -> Line:
        """Sum over all lines; costs in ticks of 1e-10 USD."""
        lines = self.lines.values()
        return Line(
            rows=sum(line.rows for line in lines),
            unpriced_rows=sum(line.unpriced_rows for line in lines),
            old_ticks=sum(line.old_ticks for line in lines),
            new_ticks=sum(line.new_ticks for line in lines),
        )


async def rerate(
    executions: Executions,
    book: PriceBook,
    period: Period,
    *,
    dry_run: bool,
    progress: Callable[[int, int], None],
) -> Outcome:
    """progress: gets the rows that are done and the rows to do, after each batch."""
    start, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in period[:2])
    scope = Scope(start, end + timedelta(days=1), book.version, period.provider)
    outcome = Outcome(book.version)
    to_do, done = await executions.count(scope), 0
    last: Execution | None = None
    progress(done, to_do)
    while rows := await executions.page(scope, last, BATCH):
        rated = [(row, cost) for row in rows if (cost := _rated(book, row, outcome)) is not None]
        if not dry_run:
            await executions.reprice(rated)
        last = rows[-1]
        done += len(rows)
        progress(done, to_do)
    return outcome


def _rated(book: PriceBook, row: Execution, outcome: Outcome) -> usage_pb2.Cost | None:
    """The row's cost by the book, counted; None: the book cannot tell."""
    line = outcome.lines.setdefault((row.provider, row.model), Line())
    line.rows += 1
    line.old_ticks += row.cost.cost_ticks
    # Free by nature stays so, unless the operator's own file has a price.
    cost = book.rate(row, local=row.cost.is_free)
    if not cost.price_known:
        line.unpriced_rows += 1
        line.new_ticks += row.cost.cost_ticks
        return None
    line.new_ticks += cost.cost_ticks
    if (cost.cost_ticks, cost.is_free, True) != (row.cost.cost_ticks, row.cost.is_free, row.cost.price_known):
        outcome.changed_rows += 1
    return cost
