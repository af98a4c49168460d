"""Verdict of a torture: the ledger is held against the provider's bill and against what callers were told."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from bench.ledger_torture.callers import UNREADABLE, Ending, Heard
from bench.ledger_torture.schedule import Fault, Kind
from bench.ledger_torture.upstream import BilledUpstream
from genai_spine.store.database import Database
from tests.upstreams.bill import Entry

ROWS = sa.text(
    "SELECT request_id, attempt, state, output_provenance AS provenance, resolution, cost_ticks, held_ticks,"
    " input_tokens, output_tokens FROM executions ORDER BY created_at, id"
)
ANSWERS = sa.text("SELECT content FROM session_messages WHERE role = 'assistant'")
REPORTED = "PROVIDER_REPORTED"
Row = Mapping[str, Any]


@dataclass(slots=True)
class Line:
    """Sums of the rows of one kind."""

    rows: int = 0
    sent: int = 0  # rows whose call is on the bill
    booked_ticks: int = 0
    billed_ticks: int = 0


@dataclass(slots=True)
class Verdict:
    """Lines by kind of row, and everything that is wrong."""

    lines: dict[str, Line] = field(default_factory=lambda: defaultdict(Line))
    endings: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def book(self, row: Row, billed_ticks: int | None) -> None:
        """Adds a row to its line. billed_ticks: None where it was never sent."""
        line = self.lines[_kind(row)]
        line.rows += 1
        line.booked_ticks += row["cost_ticks"]
        if billed_ticks is not None:
            line.sent += 1
            line.billed_ticks += billed_ticks


async def found(database: Database, upstream: BilledUpstream, heard: Mapping[int, Heard]) -> Verdict:
    """Verdict on all calls, once nothing runs any more."""
    async with database.engine.connect() as connection:
        rows = [dict(row) for row in (await connection.execute(ROWS)).mappings()]
        answers = Counter((await connection.execute(ANSWERS)).scalars())
    calls = {id: one.planned.number for one in heard.values() for id in one.request_ids}
    by_call: dict[int | None, list[Row]] = defaultdict(list)
    for row in rows:
        by_call[calls.get(row["request_id"])].append(row)
    entries: dict[int, list[Entry]] = defaultdict(list)
    for entry in upstream.bill.calls:
        if planned := upstream.planned(entry):
            entries[planned.number].append(entry)
    verdict = Verdict()
    if by_call[None]:
        verdict.problems.append(f"{len(by_call[None])} rows of requests that nobody made")
    for number, one in heard.items():
        verdict.endings[one.ending] += 1
        wrong = [
            *_compared(verdict, upstream, by_call[number], entries[number], one),
            *_repeated(one, entries[number]),
            *_told(one, by_call[number], len(entries[number])),
            *_kept(one, answers),
        ]
        verdict.problems += [f"call {number} ({one.planned.kind}): {problem}" for problem in wrong]
    return verdict


def _compared(
    verdict: Verdict, upstream: BilledUpstream, rows: Sequence[Row], entries: Sequence[Entry], heard: Heard
) -> list[str]:
    """What is wrong between the rows of one call and its entries on the bill.

    Of a stream that its caller left, what the provider had sent and nobody read is on the bill alone.
    """
    problems = []
    left = sorted(entries, key=upstream.billed_ticks, reverse=True)
    others = []
    for row in rows:
        if row["state"] == "PENDING" or row["held_ticks"]:
            problems.append(f"attempt {row['attempt']} still holds {row['held_ticks']} ticks")
        if row["provenance"] != REPORTED:
            others.append(row)
            continue
        same = [entry for entry in left if entry.finished and _is_of(row, entry)]
        if not same:
            problems.append(f"attempt {row['attempt']} is booked and not billed")
            continue
        left.remove(same[0])
        billed = upstream.billed_ticks(same[0])
        verdict.book(row, billed)
        if row["cost_ticks"] != billed:
            problems.append(f"booked {row['cost_ticks']} ticks, billed {billed}")
    others.sort(key=lambda row: row["cost_ticks"], reverse=True)
    for row, entry in zip(others, left, strict=False):
        verdict.book(row, upstream.billed_ticks(entry))
        was_left = row["state"] == "CANCELLED" and heard.ending is Ending.LEFT
        least = upstream.billed_ticks(entry, heard.text if was_left else None)
        if row["cost_ticks"] < least:
            less = f"{row['cost_ticks']} ticks, and billed {least}"
            problems.append(f"{_kind(row)} is booked with {less}")
    for row in others[len(left) :]:
        verdict.book(row, None)
    for entry in left[len(others) :]:
        problems.append(f"{upstream.billed_ticks(entry)} ticks are billed and not booked")
    return problems


def _is_of(row: Row, entry: Entry) -> bool:
    tokens = entry.prompt_tokens, entry.completion_tokens
    return (row["input_tokens"], row["output_tokens"]) == tokens


def _repeated(heard: Heard, entries: Sequence[Entry]) -> list[str]:
    """Sends beyond those that a death or a fault of the provider explains."""
    most = 1 + heard.deaths + (heard.planned.fault is not Fault.NONE)
    return [] if len(entries) <= most else [f"sent {len(entries)} times, and {most} are explained"]


def _told(heard: Heard, rows: Sequence[Row], sends: int) -> list[str]:
    """What is wrong with the answer that the caller got."""
    planned, problems = heard.planned, []
    if heard.ending is Ending.STUCK:
        problems.append(f"stuck after {len(heard.request_ids)} tries: {heard.reason}")
    if heard.reason == UNREADABLE:
        problems.append(f"told {UNREADABLE}")
    if heard.ending is not Ending.ANSWERED:
        return problems
    settled = [row["cost_ticks"] for row in rows if row["state"] == "SUCCEEDED"]
    if not settled or heard.cost_ticks not in (None, *settled):
        problems.append(f"answered for {heard.cost_ticks} ticks, settled for {settled}")
    texts = ["".join(planned.words(send)) for send in range(sends)]
    if planned.kind not in (Kind.EMBEDDING, Kind.SUMMARY) and heard.text not in texts:
        problems.append(f"told {heard.text!r}")
    return problems


def _kept(heard: Heard, answers: Mapping[str, int]) -> list[str]:
    """What is wrong with the session that an answered send belongs to."""
    if heard.planned.kind is not Kind.SEND or heard.ending is not Ending.ANSWERED:
        return []
    kept = answers.get(heard.text, 0)
    return [] if kept == 1 else [f"its answer is {kept} times in its session"]


def _kind(row: Row) -> str:
    said = (row["state"], row["provenance"] or "no usage", row["resolution"])
    return ", ".join(word for word in said if word)
