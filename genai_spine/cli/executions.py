"""`genai-spine executions`: list and show calls of providers in the ledger."""

import json
from datetime import datetime
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict, MessageToJson
from rich.table import Column, Table

from genai_spine.cli.client import connected
from genai_spine.cli.output import DEFAULT_ADDRESS, Address, Json, run, show_table
from genai_spine.v1 import execution_service_pb2 as pb
from genai_spine.v1.execution_service_pb2_grpc import ExecutionServiceStub

PAGE_SIZE = 500

group = typer.Typer(no_args_is_help=True, help="Calls of providers: list, show.")
Text = str | None
Time = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC.")]


@group.command("list")
def list_executions(
    request_id: Annotated[Text, typer.Option("--request", help="Only of this request.")] = None,
    session_id: Annotated[Text, typer.Option("--session", help="Only of this chat session.")] = None,
    prompt_id: Annotated[Text, typer.Option("--prompt", help="Only of this prompt.")] = None,
    provider: Annotated[Text, typer.Option(help="Only of this provider.")] = None,
    model: Annotated[Text, typer.Option(help="Only of this model.")] = None,
    capability: Annotated[Text, typer.Option(help="Only for this capability.")] = None,
    user: Annotated[Text, typer.Option(help="Only for this user.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only calls that did not succeed.")] = False,
    since: Time = None,
    until: Time = None,
    limit: Annotated[int, typer.Option(min=1, help="Most calls to show.")] = 50,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List calls, the newest first."""
    request = pb.ListExecutionsRequest(
        request_id=request_id,
        session_id=session_id,
        prompt_id=prompt_id,
        provider=provider,
        model=model,
        capability=capability,
        user=user,
        success=False if failed else None,
    )
    if since:
        request.start_time.FromDatetime(since)
    if until:
        request.end_time.FromDatetime(until)
    found = run(_listed(address, request, limit))
    if as_json:
        typer.echo(json.dumps([_dict(entry) for entry in found]))
        return
    names = ("created", "provider", "model", "tokens", "$", "ms", "outcome")
    table = Table(Column("id", no_wrap=True, min_width=36), *names, box=None)
    for entry in found:
        table.add_row(*_cells(entry))
    show_table(table)


@group.command()
def show(
    id: Annotated[str, typer.Argument(help="Id of the call.")],
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Show everything that is known of one call."""

    async def read() -> pb.ExecutionEntry:
        async with connected(address) as channel:
            request = pb.GetExecutionRequest(execution_id=id)
            entry: pb.ExecutionEntry = await ExecutionServiceStub(channel).GetExecution(request)
            return entry

    entry = run(read())
    if as_json:
        typer.echo(json.dumps(_dict(entry)))
    else:
        typer.echo(MessageToJson(entry.execution, preserving_proto_field_name=True))


async def _listed(address: str, request: pb.ListExecutionsRequest, limit: int) -> list[pb.ExecutionEntry]:
    """Follows the pages until there are enough; a page may be empty before the last one."""
    found: list[pb.ExecutionEntry] = []
    async with connected(address) as channel:
        while len(found) < limit:
            request.limit = min(PAGE_SIZE, limit - len(found))
            page = await ExecutionServiceStub(channel).ListExecutions(request)
            found += page.executions
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
    return found


def _cells(entry: pb.ExecutionEntry) -> tuple[str, ...]:
    outcome = "succeeded" if entry.success else entry.execution.error_reason or "failed"
    if not entry.HasField("success"):
        outcome = "pending"
    return (
        entry.id,
        entry.created_at.ToDatetime().strftime("%Y-%m-%d %H:%M:%S"),
        entry.provider,
        entry.model,
        f"{entry.input_tokens} + {entry.output_tokens}",
        f"{entry.cost_usd:.6f}" if entry.execution.cost.price_known else "?",
        str(entry.latency_ms),
        outcome,
    )


def _dict(entry: pb.ExecutionEntry) -> dict[str, Any]:
    return MessageToDict(entry, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
