"""Resolver of lost calls: what their provider says of them takes the place of what was reserved.

A call is resolved once, whoever does it: its row must still be as it was. The budgets that it was charged to
are corrected with it, and the old version is kept as an amendment.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from genai_spine.billing.price_book import PriceBook
from genai_spine.costs import usd_of
from genai_spine.store.booking.execution_rows import COST, USAGE
from genai_spine.store.booking.ledger_chain import Correction
from genai_spine.store.booking.lost_calls import LostCalls, correction
from genai_spine.store.executions import Executions
from genai_spine.v1 import execution_pb2, usage_pb2
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.usage_pb2 import Cost, Usage

BATCH = 500  # rows of one transaction
INPUTS = (
    *("cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"),
    *("audio_input_tokens", "image_input_tokens"),
)
OUTPUTS = ("reasoning_tokens", "audio_output_tokens")
REPORTED = usage_pb2.PROVENANCE_PROVIDER_REPORTED
UNRESOLVED = (
    execution_pb2.LOSS_RESOLUTION_UNSPECIFIED,
    execution_pb2.LOSS_RESOLUTION_RESERVE,
    execution_pb2.LOSS_RESOLUTION_STREAM,
)


@dataclass(frozen=True, slots=True)
class Truth:
    """Usage of a call, as its provider tells it. usage: as checked() gives it; None: it billed nothing."""

    id: str
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """Outcome for a lost call. problem: why it was left as it is; empty: it was resolved."""

    id: str
    old_ticks: int = 0
    new_ticks: int = 0
    problem: str = ""


async def resolve(
    executions: Executions, calls: LostCalls, book: PriceBook, truths: Sequence[Truth], *, dry_run: bool
) -> list[Resolution]:
    """Resolutions in the order of the truths. dry_run: nothing is written."""
    outcome: list[Resolution] = []
    for start in range(0, len(truths), BATCH):
        some = truths[start : start + BATCH]
        rows = {row.id: row for row in await calls.find([truth.id for truth in some])}
        found = [_resolved(book, rows.get(truth.id), truth) for truth in some]
        changes = [change for change, _ in found if change is not None]
        written = [change.id for change in changes]
        if not dry_run and changes:
            written = await executions.chain.correct("RESOLVED", changes)
        for change, one in found:
            is_late = change is not None and change.id not in written
            outcome.append(Resolution(one.id, problem="somebody else resolved it") if is_late else one)
    return outcome


def checked(usage: Usage) -> Usage:
    """Usage that a provider reports, with all of its parts. Errors: ValueError that names what is wrong."""
    whole = Usage()
    whole.CopyFrom(usage)
    for total, rest, parts in (
        ("input_tokens", "uncached_input_tokens", INPUTS),
        ("output_tokens", "visible_output_tokens", OUTPUTS),
    ):
        left = getattr(usage, total) - sum(getattr(usage, name) for name in parts)
        if left < 0:
            raise ValueError(f"{total} is less than its parts: {', '.join(parts)}")
        setattr(whole, rest, left)
    whole.total_tokens = usage.input_tokens + usage.output_tokens
    whole.input_provenance = whole.output_provenance = REPORTED
    return whole


def _resolved(book: PriceBook, row: Execution | None, truth: Truth) -> tuple[Correction | None, Resolution]:
    if row is None:
        return None, Resolution(truth.id, problem="no call has this id")
    if row.state != execution_pb2.EXECUTION_STATE_LOST or row.resolution not in UNRESOLVED:
        return None, Resolution(truth.id, problem="the call is not lost, or is resolved")
    usage = truth.usage or checked(Usage())
    now = Execution()
    now.CopyFrom(row)
    now.usage.CopyFrom(usage)
    cost = book.rate(now, local=row.cost.is_free)
    if truth.usage is None:
        cost = Cost(price_known=True, price_book=book.version)
    if not cost.price_known:
        return None, Resolution(truth.id, problem=f"{row.provider}:{row.model} has no price")
    return _correction(row, usage, cost), Resolution(row.id, row.cost.cost_ticks, cost.cost_ticks)


def _correction(row: Execution, usage: Usage, cost: Cost) -> Correction:
    values = {name: getattr(usage, name) for name in USAGE}
    values |= {"input_provenance": "PROVIDER_REPORTED", "output_provenance": "PROVIDER_REPORTED"}
    values |= {name: getattr(cost, name) for name in COST}
    values |= {"cost_usd": usd_of(cost.cost_ticks), "resolution": "PROVIDER"}
    return correction(row, values)
