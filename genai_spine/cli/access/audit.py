"""`genai-spine audit`: who changed what; list, and export as lines of JSON."""

from typing import Annotated, Any

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
    print_listing,
    run,
    set_times,
    write,
)
from genai_spine.cli.tables import Column, firm, show_table
from genai_spine.v1 import audit_service_pb2 as pb
from genai_spine.v1.audit_service_pb2_grpc import AuditServiceStub

COLUMNS = (
    firm("time (UTC)"),
    Column("actor"),
    firm("action"),
    Column("target"),
    Column("details"),
    firm("seal"),
)

group = typer.Typer(no_args_is_help=True, help="Who changed what: list, export.")
Text = str | None
Actor = Annotated[Text, typer.Option(help="Only by this actor, such as key:key_1f...")]
Action = Annotated[Text, typer.Option(help="Only this action; keys. stands for all of keys.")]
Target = Annotated[Text, typer.Option(help="Only what was done to this, such as key:key_1f...")]


@group.command("list")
def list_entries(
    actor: Actor = None,
    action: Action = None,
    target: Target = None,
    since: Time = None,
    until: Time = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most entries to show.")] = 50,
    page_token: PageToken = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List changes, the newest first."""
    request = pb.ListAuditEntriesRequest(actor=actor, action=action, target=target, page_size=limit)
    set_times(request, since, until)
    if page_token:
        request.page_token = page_token

    async def listed() -> pb.ListAuditEntriesResponse:
        async with connected(address, tenant) as channel:
            stub: Any = AuditServiceStub(channel)
            found: pb.ListAuditEntriesResponse = await stub.ListAuditEntries(request)
            return found

    found = run(listed())
    if as_json:
        print_listing("entries", list(found.entries), next_page_token=found.next_page_token)
        return
    rows = [
        (
            entry.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S"),
            entry.actor,
            entry.action,
            entry.target,
            MessageToJson(entry.details, indent=None),
            "intact" if entry.intact else "BROKEN",
        )
        for entry in found.entries
    ]
    show_table(COLUMNS, rows)


@group.command()
def export(
    actor: Actor = None,
    action: Action = None,
    target: Target = None,
    since: Time = None,
    until: Time = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
) -> None:
    """Write all changes to standard output, one a line, as JSON."""
    request = pb.ListAuditEntriesRequest(actor=actor, action=action, target=target)
    set_times(request, since, until)

    async def exported() -> None:
        async with connected(address, tenant) as channel:
            stub: Any = AuditServiceStub(channel)
            async for part in stub.ExportAuditEntries(request):
                write(part.data.decode())

    run(exported())
