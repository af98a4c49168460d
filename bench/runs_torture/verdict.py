"""Verdict of a torture: items once in the result, sends explained, and the ledger held against the bill."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from bench.runs_torture.upstream import ItemUpstream, answer, billed_ticks
from genai_spine.store.database import Database
from genai_spine.v1.batch_pb2 import RunItem

ROWS = sa.text(
    "SELECT run_id, state, output_provenance AS provenance, cost_ticks, held_ticks, input_tokens,"
    " output_tokens FROM executions"
)
REPORTED = "PROVIDER_REPORTED"


@dataclass(slots=True)
class Verdict:
    """Figures, and everything that is wrong."""

    sends: int = 0
    repeated: int = 0  # sends of an item beyond its first one
    at_kills: int = 0  # calls in flight of workers that were killed or frozen
    at_lost_leases: int = 0  # those of workers that lost their lease and live on
    reported_rows: int = 0
    reported_ticks: int = 0
    other_rows: int = 0
    other_ticks: int = 0
    other_billed_ticks: int = 0
    problems: list[str] = field(default_factory=list)


def compare_items(verdict: Verdict, items: list[RunItem], count: int) -> None:
    """Every item once, in its order, with its own answer."""
    if [item.index for item in items] != list(range(count)):
        verdict.problems.append(f"{len(items)} items in the result, and {count} were submitted")
    for item in items:
        text = (
            item.response.completion.choices[0].message.content[0].text if item.status == "completed" else ""
        )
        if not text.startswith(answer(item.index)):
            verdict.problems.append(f"item {item.index} is {item.status}: {text[:60]!r} {item.error[:100]}")


def compare_sends(verdict: Verdict, upstream: ItemUpstream) -> None:
    """No send of an item beyond its first one and those that were in flight when their worker ended."""
    sends = upstream.sends
    verdict.sends, verdict.repeated = sends.total(), sends.total() - len(sends)
    in_flight = verdict.at_kills + verdict.at_lost_leases
    if verdict.repeated > in_flight:
        verdict.problems.append(f"{verdict.repeated} sends are repeats, and {in_flight} were in flight")


async def compare_books(verdict: Verdict, database: Database, upstream: ItemUpstream) -> None:
    """The ledger equals the bill where the provider reported; other rows are booked with at least as much."""
    async with database.engine.connect() as connection:
        rows = [dict(row) for row in (await connection.execute(ROWS)).mappings()]
    entries = Counter(
        (entry.prompt_tokens, entry.completion_tokens, billed_ticks(entry)) for entry in upstream.bill.calls
    )
    others: list[dict[str, Any]] = []
    for row in rows:
        if row["state"] == "PENDING" or row["held_ticks"]:
            verdict.problems.append(f"a row of run {row['run_id']} still holds money")
        key = (row["input_tokens"], row["output_tokens"], row["cost_ticks"])
        if row["provenance"] != REPORTED:
            others.append(row)
        elif entries[key]:
            entries[key] -= 1
            verdict.reported_rows += 1
            verdict.reported_ticks += row["cost_ticks"]
        else:
            verdict.problems.append(f"a row of run {row['run_id']} is booked with {key}, and not billed")
    verdict.other_rows, verdict.other_ticks = len(others), sum(row["cost_ticks"] for row in others)
    verdict.other_billed_ticks = sum(ticks * number for (_, _, ticks), number in entries.items())
    if sum(entries.values()) > len(others):
        verdict.problems.append(
            f"{sum(entries.values())} calls are billed beside {len(others)} unreported rows"
        )
    if verdict.other_ticks < verdict.other_billed_ticks:
        verdict.problems.append(
            f"{verdict.other_billed_ticks} ticks are billed, {verdict.other_ticks} are booked"
        )
