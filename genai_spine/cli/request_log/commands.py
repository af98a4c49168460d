"""`genai-spine log`: what was asked and answered, where the request log is on: list, show, delete."""

from typing import Annotated

import typer
from google.protobuf.json_format import MessageToJson

from genai_spine.cli.client import connected
from genai_spine.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    PageToken,
    Tenant,
    Time,
    fail,
    print_json,
    print_listing,
    run,
    set_times,
)
from genai_spine.cli.tables import Column, firm, number, show_table
from genai_spine.v1 import request_log_service_pb2 as pb
from genai_spine.v1.request_log_service_pb2_grpc import RequestLogServiceStub

COLUMNS = (
    *(firm("id"), firm("came (UTC)"), Column("method"), Column("model"), number("ms"), number("bytes")),
    firm("outcome"),
)

group = typer.Typer(no_args_is_help=True, help="Request log, where it is on: list, show, delete.")
Text = str | None


@group.command("list")
def list_entries(
    request_id: Annotated[Text, typer.Option("--request", help="Only of this request.")] = None,
    user: Annotated[Text, typer.Option(help="Only for this user.")] = None,
    key: Annotated[Text, typer.Option(help="Only with this key, by its id.")] = None,
    model: Annotated[Text, typer.Option(help="Only calls that named this model.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only calls that failed.")] = False,
    since: Time = None,
    until: Time = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Most entries to show.")] = 50,
    page_token: PageToken = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List entries, the newest first, without what was said."""
    request = pb.ListRequestLogsRequest(
        request_id=request_id,
        end_user=user,
        api_key_id=key,
        model=model,
        failed=failed,
        page_size=limit,
        page_token=page_token,
    )
    set_times(request, since, until)

    async def read() -> pb.ListRequestLogsResponse:
        async with connected(address, tenant) as channel:
            found: pb.ListRequestLogsResponse = await RequestLogServiceStub(channel).ListRequestLogs(request)
            return found

    page = run(read())
    if as_json:
        print_listing("request_logs", list(page.request_logs), next_page_token=page.next_page_token)
    else:
        show_table(COLUMNS, [_cells(entry) for entry in page.request_logs])


@group.command()
def show(
    id: Annotated[str, typer.Argument(help="Id of the entry.")],
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Show one entry: what was asked and answered."""

    async def read() -> pb.RequestLog:
        async with connected(address, tenant) as channel:
            request = pb.GetRequestLogRequest(request_log_id=id)
            found: pb.RequestLog = await RequestLogServiceStub(channel).GetRequestLog(request)
            return found

    entry = run(read())
    if as_json:
        print_json(entry)
    else:
        typer.echo(MessageToJson(entry, preserving_proto_field_name=True))


@group.command()
def delete(
    id: Annotated[Text, typer.Argument(help="Id of the entry.")] = None,
    request_id: Annotated[Text, typer.Option("--request", help="All of this request.")] = None,
    user: Annotated[Text, typer.Option(help="All for this user.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of the tenant.")] = False,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Delete one entry, those of a request, those for a user, or all of the tenant. There is no way back."""
    if sum(map(bool, (id, request_id, user, everything))) != 1:
        fail("say just one of: an id, --request, --user, --all")
    request = pb.DeleteRequestLogsRequest(
        request_log_id=id, request_id=request_id, end_user=user, all=everything
    )

    async def deleted() -> pb.DeleteRequestLogsResponse:
        async with connected(address, tenant) as channel:
            stub = RequestLogServiceStub(channel)
            found: pb.DeleteRequestLogsResponse = await stub.DeleteRequestLogs(request)
            return found

    answer = run(deleted())
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"deleted {answer.deleted_count} of the request log")


def _cells(entry: pb.RequestLog) -> tuple[str, ...]:
    return (
        entry.id,
        entry.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S"),
        entry.method.rpartition("/")[2],
        entry.model,
        str(entry.latency_ms),
        f"{entry.request_bytes} + {entry.answer_bytes}",
        entry.error_reason or ("failed" if entry.HasField("error") else entry.code),
    )
