"""`genai-spine executions`: list and show calls of providers in the ledger."""

from collections.abc import AsyncIterator
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToJson

from genai_spine.cli.client import connected, pages
from genai_spine.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    PageToken,
    Time,
    print_json,
    print_listing,
    run,
    set_times,
)
from genai_spine.cli.tables import Column, firm, number, show_table
from genai_spine.v1 import execution_service_pb2 as pb
from genai_spine.v1.execution_pb2 import (
    EXECUTION_STATE_CANCELLED,
    EXECUTION_STATE_FAILED,
    EXECUTION_STATE_LOST,
    Execution,
    ExecutionState,
)
from genai_spine.v1.execution_service_pb2_grpc import ExecutionServiceStub

PAGE_SIZE = 500
COLUMNS = (
    *(firm("id"), firm("created (UTC)"), Column("model"), number("tokens"), number("$"), number("ms")),
    firm("outcome"),
)
FAILED = (EXECUTION_STATE_FAILED, EXECUTION_STATE_CANCELLED, EXECUTION_STATE_LOST)

group = typer.Typer(no_args_is_help=True, help="Calls of providers: list, show.")
Text = str | None


@group.command("list")
def list_executions(
    request_id: Annotated[Text, typer.Option("--request", help="Only of this request.")] = None,
    session_id: Annotated[Text, typer.Option("--session", help="Only of this chat session.")] = None,
    prompt_id: Annotated[Text, typer.Option("--prompt", help="Only of this prompt.")] = None,
    provider: Annotated[Text, typer.Option(help="Only of this provider.")] = None,
    model: Annotated[Text, typer.Option(help="Only of this model.")] = None,
    capability: Annotated[Text, typer.Option(help="Only for this capability.")] = None,
    user: Annotated[Text, typer.Option(help="Only for this user.")] = None,
    label: Annotated[list[str], typer.Option(help="Only with this cost label, key=value; repeatable.")] = [],  # noqa: B006
    failed: Annotated[bool, typer.Option("--failed", help="Only calls that did not succeed.")] = False,
    since: Time = None,
    until: Time = None,
    limit: Annotated[int, typer.Option(min=1, help="Most calls to show.")] = 50,
    page_token: PageToken = None,
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
        end_user=user,
        states=FAILED if failed else (),
        labels=label,
        page_token=page_token,
    )
    set_times(request, since, until)
    found, further = run(_listed(address, request, limit))
    if as_json:
        print_listing("executions", found, next_page_token=further)
    else:
        show_table(COLUMNS, [_cells(entry) for entry in found])


@group.command()
def show(
    id: Annotated[str, typer.Argument(help="Id of the call.")],
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Show everything that is known of one call."""

    async def read() -> Execution:
        async with connected(address) as channel:
            request = pb.GetExecutionRequest(execution_id=id)
            entry: Execution = await ExecutionServiceStub(channel).GetExecution(request)
            return entry

    entry = run(read())
    if as_json:
        print_json(entry)
    else:
        typer.echo(MessageToJson(entry, preserving_proto_field_name=True))


async def execution_pages(
    address: str, request: pb.ListExecutionsRequest
) -> AsyncIterator[pb.ListExecutionsResponse]:
    """Pages of calls, the newest first; one may be empty before the last."""
    async with connected(address) as channel:
        async for page in pages(ExecutionServiceStub(channel).ListExecutions, request):
            yield page


async def _listed(address: str, request: pb.ListExecutionsRequest, limit: int) -> tuple[list[Execution], str]:
    """So many calls, and the token of what follows them."""
    found: list[Execution] = []
    request.page_size = min(PAGE_SIZE, limit)
    async for page in execution_pages(address, request):
        found += page.executions
        request.page_size = min(PAGE_SIZE, limit - len(found))
        if not request.page_size:
            return found, page.next_page_token
    return found, ""


def _cells(entry: Execution) -> tuple[str, ...]:
    state = ExecutionState.Name(entry.state).removeprefix("EXECUTION_STATE_").lower()
    outcome = state if state in ("pending", "succeeded") else entry.error_reason or "failed"
    return (
        entry.id,
        entry.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S"),
        f"{entry.provider}:{entry.model}",
        f"{entry.usage.input_tokens} + {entry.usage.output_tokens}",
        f"{entry.cost.cost_usd:.6f}" if entry.cost.price_known else "?",
        str(entry.latency_ms),
        outcome,
    )
