"""`genai-spine dlq`: runs whose retries are used up; list, show, replay, resolve, purge."""

from typing import Annotated

import typer

from genai_spine.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    PageToken,
    Tenant,
    plain,
    print_json,
    print_listing,
    run,
)
from genai_spine.cli.runs.asked import dead_letters
from genai_spine.cli.runs.progress_view import ending
from genai_spine.cli.tables import Column, firm, number, show_table
from genai_spine.v1 import dead_letter_service_pb2 as pb

COLUMNS = (
    firm("dead letter"),
    firm("run"),
    Column("name"),
    number("replays"),
    firm("since"),
    Column("error"),
)

group = typer.Typer(
    no_args_is_help=True,
    help="Dead letters, the runs whose retries are used up: list, show, replay, resolve, purge.",
)

Id = Annotated[str, typer.Argument(help="Id of the dead letter.", metavar="DEAD_LETTER")]


@group.command("list")
def list_dead_letters(
    name: Annotated[str | None, typer.Option(help="Only of this work.")] = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Also those that are resolved.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Most to show.")] = 50,
    page_token: PageToken = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List dead letters, the newest first."""
    request = pb.ListDeadLettersRequest(
        name=name, include_resolved=resolved, page_size=limit, page_token=page_token
    )
    found = run(dead_letters(address, tenant, "ListDeadLetters", request))
    if as_json:
        print_listing("dead_letters", list(found.dead_letters), next_page_token=found.next_page_token)
    else:
        show_table(COLUMNS, [_row(letter) for letter in found.dead_letters])


@group.command()
def show(id: Id, tenant: Tenant = None, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Show a dead letter."""
    request = pb.GetDeadLetterRequest(dead_letter_id=id)
    _say(run(dead_letters(address, tenant, "GetDeadLetter", request)), as_json=as_json)


@group.command()
def replay(id: Id, tenant: Tenant = None, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Let its run be made again, with the next attempt."""
    request = pb.ReplayDeadLetterRequest(dead_letter_id=id)
    found = run(dead_letters(address, tenant, "ReplayDeadLetter", request))
    print_json(found) if as_json else typer.echo(ending(found))


@group.command()
def resolve(id: Id, tenant: Tenant = None, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Mark it as dealt with; its run stays as it is."""
    request = pb.ResolveDeadLetterRequest(dead_letter_id=id)
    _say(run(dead_letters(address, tenant, "ResolveDeadLetter", request)), as_json=as_json)


@group.command()
def purge(
    days: Annotated[int, typer.Option(min=0, max=36500, help="Days since they were resolved.")] = 90,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Delete those that were resolved long ago."""
    request = pb.PurgeDeadLettersRequest(resolved_days=days)
    found = run(dead_letters(address, tenant, "PurgeDeadLetters", request))
    print_json(found) if as_json else typer.echo(f"deleted {found.deleted}")


def _say(letter: pb.DeadLetter, *, as_json: bool) -> None:
    print_json(letter) if as_json else show_table(COLUMNS, [_row(letter)])


def _row(letter: pb.DeadLetter) -> tuple[str, ...]:
    since = letter.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
    replays = f"{letter.replay_count}/{letter.max_replays}"
    error = plain(f"{letter.error.type}: {letter.error.message}")
    return letter.dead_letter_id, letter.run_id, letter.name, replays, since, error
