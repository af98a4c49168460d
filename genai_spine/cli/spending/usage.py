"""`genai-spine usage` and `genai-spine costs`: what calls of providers used and cost, by the ledger."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

import typer

from genai_spine.cli.client import connected
from genai_spine.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    Tenant,
    Waiting,
    fail,
    print_json,
    print_listing,
    run,
    write,
)
from genai_spine.cli.tables import Column, number, show_table
from genai_spine.costs import usd_of
from genai_spine.v1 import usage_service_pb2 as pb
from genai_spine.v1.usage_service_pb2_grpc import UsageServiceStub

R = TypeVar("R", pb.GetUsageRequest, pb.ExportUsageRequest)
Text = str | None
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day, UTC; it counts too.")]
OLDER_NAMES = {"user": "end_user"}
COLUMNS = (
    *(number("calls"), number("failed"), number("input"), number("output")),
    *(number("$"), number("estimated")),
)


def usage(
    by: Annotated[
        str,
        typer.Option(
            help="A line for each model, provider, day, project, key, end_user (or user), capability, prompt,"
            " operation, run, correlation_id, session, or label:KEY; or for each tenant, of all of them."
        ),
    ] = "model",
    since: Day = None,
    until: Day = None,
    provider: Annotated[Text, typer.Option(help="Only of this provider.")] = None,
    model: Annotated[Text, typer.Option(help="Only of this model.")] = None,
    session_id: Annotated[Text, typer.Option("--session", help="Only of this chat session.")] = None,
    user: Annotated[Text, typer.Option(help="Only for this user.")] = None,
    project: Annotated[Text, typer.Option(help="Only of this project.")] = None,
    key: Annotated[Text, typer.Option(help="Only with this API key, by its id.")] = None,
    capability: Annotated[Text, typer.Option(help="Only for this capability.")] = None,
    run_id: Annotated[Text, typer.Option("--run", help="Only of this run.")] = None,
    label: Annotated[list[str], typer.Option(help="Only with this cost label, key=value; repeatable.")] = [],  # noqa: B006
    most: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Most lines.")] = 1000,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a CSV file of all.")] = False,
    as_focus: Annotated[bool, typer.Option("--focus", help="Print a FOCUS 1.4 file.")] = False,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Add up what calls of providers used and cost, as the ledger has them.

    Without --since: the last 30 days; a session or a run is added up as a whole.
    """
    if as_csv + as_focus + as_json > 1:
        fail("--csv, --focus and --json are different answers; say one of them")
    chosen = {
        "start_date": _day(since),
        "end_date": _day(until),
        "provider": provider,
        "model": model,
        "end_user": user,
        "project_id": project,
        "api_key_id": key,
        "capability": capability,
        "labels": label,
    }
    if as_csv or as_focus:
        if session_id or run_id:
            fail("a file is not about one session or run; without --csv and --focus it can be added up")
        run(_export(address, tenant, _request(pb.ExportUsageRequest, chosen), is_focus=as_focus))
        return
    group_by = OLDER_NAMES.get(by, by)
    request = _request(pb.GetUsageRequest, chosen | {"session_id": session_id, "run_id": run_id})
    request.group_by, request.max_groups = group_by, most
    with Waiting("adding up"):
        found = run(_usage(address, tenant, request))
    _show(found, by, as_json=as_json)


def _request(kind: type[R], fields: dict[str, Any]) -> R:
    """Request with those fields that are given."""
    return kind(**{name: value for name, value in fields.items() if value})


def _show(found: pb.GetUsageResponse, by: str, *, as_json: bool) -> None:
    if as_json:
        groups = [{by: group.key} | _fields(group.total) for group in found.groups]
        further = {"other": _fields(found.other_groups)} if found.HasField("other_groups") else {}
        period = {"period_start": found.period_start, "period_end": found.period_end}
        print_listing("usage", groups, total=_fields(found.total), **further, **period)
        return
    rows = [(group.key or "-", *_cells(group.total)) for group in found.groups]
    if found.HasField("other_groups"):
        rows.append(("others", *_cells(found.other_groups)))
    show_table((Column(by), *COLUMNS), [*rows, ("total", *_cells(found.total))])


def costs(
    since: Day = None,
    until: Day = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List what each day cost. Without --since: the last 30 days."""

    async def read() -> pb.GetCostsResponse:
        async with connected(address, tenant) as channel:
            request = pb.GetCostsRequest(start_date=_day(since), end_date=_day(until))
            listed: pb.GetCostsResponse = await UsageServiceStub(channel).GetCosts(request)
            return listed

    found = run(read())
    if as_json:
        print_json(found)
        return
    columns = (Column("day"), number("calls"), number("$"), number("estimated"))
    rows = [
        (day.date, str(day.requests), *_dollars(day.cost_ticks, day.cost_estimated_ticks))
        for day in found.daily
    ]
    calls = str(sum(day.requests for day in found.daily))
    show_table(
        columns, [*rows, ("total", calls, *_dollars(found.total_cost_ticks, found.cost_estimated_ticks))]
    )


async def _usage(address: str, tenant: str | None, request: pb.GetUsageRequest) -> pb.GetUsageResponse:
    async with connected(address, tenant) as channel:
        found: pb.GetUsageResponse = await UsageServiceStub(channel).GetUsage(request)
        return found


async def _export(
    address: str, tenant: str | None, request: pb.ExportUsageRequest, *, is_focus: bool
) -> None:
    request.format = pb.USAGE_EXPORT_FORMAT_FOCUS if is_focus else pb.USAGE_EXPORT_FORMAT_CSV
    async with connected(address, tenant) as channel:
        async for piece in UsageServiceStub(channel).ExportUsage(request):
            write(piece.data.decode())


def _fields(total: pb.UsageTotals) -> dict[str, int | float]:
    """Sums for a program, whole numbers as such, and first under the names that they had here before."""
    current = [field for field in pb.UsageTotals.DESCRIPTOR.fields if not field.GetOptions().deprecated]
    fields = {field.name: getattr(total, field.name) for field in current}
    return {
        "calls": total.request_count,
        "failed": total.failed_count,
        "unpriced_calls": total.unpriced_count,
        "input_tokens": total.input_token_count,
        "output_tokens": total.output_token_count,
        **fields,
    }


def _cells(total: pb.UsageTotals) -> Sequence[str]:
    counts = (total.request_count, total.failed_count, total.input_token_count, total.output_token_count)
    usd, estimated = _dollars(total.cost_ticks, total.cost_estimated_ticks)
    unknown = f" + {total.unpriced_count} unknown" if total.unpriced_count else ""
    return *map(str, counts), usd + unknown, estimated


def _dollars(*ticks: int) -> Sequence[str]:
    return [f"{usd_of(each):.6f}" for each in ticks]


def _day(given: datetime | None) -> str | None:
    return given.date().isoformat() if given else None
