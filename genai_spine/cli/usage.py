"""`genai-spine usage`: how much was asked, and what it cost, as the ledger has it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from genai_spine.cli.executions import FAILED, PAGE_SIZE, Time, execution_pages
from genai_spine.cli.output import DEFAULT_ADDRESS, Address, Json, Waiting, counted, print_listing, run
from genai_spine.cli.tables import Column, number, show_table
from genai_spine.costs import usd_of
from genai_spine.v1 import execution_service_pb2 as pb
from genai_spine.v1.execution_pb2 import Execution

Text = str | None
By = Literal["model", "provider", "day", "user", "capability", "session"]
GROUPS: dict[str, Callable[[Execution], str]] = {
    "model": lambda entry: f"{entry.provider}:{entry.model}",
    "provider": lambda entry: entry.provider,
    "day": lambda entry: entry.create_time.ToDatetime().strftime("%Y-%m-%d"),
    "user": lambda entry: entry.end_user,
    "capability": lambda entry: entry.capability,
    "session": lambda entry: entry.session_id,
}


@dataclass(slots=True)
class Sum:
    """Sum of calls."""

    calls: int = 0
    failed: int = 0
    unpriced_calls: int = 0  # whose cost is not known
    input_tokens: int = 0
    output_tokens: int = 0
    cost_ticks: int = 0

    def add(self, entry: Execution) -> None:
        self.calls += 1
        self.failed += entry.state in FAILED
        self.unpriced_calls += not entry.cost.price_known
        self.input_tokens += entry.usage.input_tokens
        self.output_tokens += entry.usage.output_tokens
        self.cost_ticks += entry.cost.cost_ticks

    def fields(self) -> dict[str, int | float]:
        return {
            "calls": self.calls,
            "failed": self.failed,
            "unpriced_calls": self.unpriced_calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost_ticks": self.cost_ticks,
            "cost_usd": usd_of(self.cost_ticks),
        }

    def cells(self) -> tuple[str, ...]:
        tokens = (str(self.input_tokens), str(self.output_tokens))
        unknown = f" + {self.unpriced_calls} unknown" if self.unpriced_calls else ""
        return str(self.calls), str(self.failed), *tokens, f"{usd_of(self.cost_ticks):.6f}{unknown}"


def usage(
    by: Annotated[By, typer.Option(help="A line for each of these.")] = "model",
    since: Time = None,
    until: Time = None,
    provider: Annotated[Text, typer.Option(help="Only of this provider.")] = None,
    model: Annotated[Text, typer.Option(help="Only of this model.")] = None,
    session_id: Annotated[Text, typer.Option("--session", help="Only of this chat session.")] = None,
    user: Annotated[Text, typer.Option(help="Only for this user.")] = None,
    label: Annotated[list[str], typer.Option(help="Only with this cost label, key=value; repeatable.")] = [],  # noqa: B006
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Add up what calls of providers took and cost, as the ledger has them.

    Without --since: from the start of this month; a session is added up as a whole.
    """
    request = pb.ListExecutionsRequest(
        provider=provider,
        model=model,
        session_id=session_id,
        end_user=user,
        labels=label,
        page_size=PAGE_SIZE,
    )
    if since or not session_id:
        request.start_time.FromDatetime(since or _month())
    if until:
        request.end_time.FromDatetime(until)
    with Waiting("adding up") as waiting:
        sums, total = run(_added(address, request, GROUPS[by], waiting))
    dearest = sorted(sums.items(), key=lambda item: (-item[1].cost_ticks, item[0]))
    if by == "day":
        dearest = sorted(sums.items())
    if as_json:
        entries = [{by: name} | summed.fields() for name, summed in dearest]
        print_listing("usage", entries, total=total.fields())
        return
    columns = (
        *(Column(by), number("calls"), number("failed")),
        *(number("tokens in"), number("tokens out"), number("$")),
    )
    rows = [(name or "-", *summed.cells()) for name, summed in dearest]
    show_table(columns, [*rows, ("total", *total.cells())])


async def _added(
    address: str, request: pb.ListExecutionsRequest, name: Callable[[Execution], str], waiting: Waiting
) -> tuple[dict[str, Sum], Sum]:
    """Sums by name, and of all. The service pages; nothing but the sums is held."""
    sums: dict[str, Sum] = {}
    total = Sum()
    async for page in execution_pages(address, request):
        for entry in page.executions:
            sums.setdefault(name(entry), Sum()).add(entry)
            total.add(entry)
        waiting.update(f"adding up, {counted(total.calls, 'call')} so far")
    return sums, total


def _month() -> datetime:
    """Start of this month, UTC."""
    return datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
