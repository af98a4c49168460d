"""`genai-spine ledger`: verify its hash chain, resolve lost calls, hold it against providers' bills."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from genai_spine.cli.output import Json, counted, fail, print_json, print_listing, run
from genai_spine.cli.tables import Column, firm, number, show_table
from genai_spine.costs import usd_of

# The database and the prices are imported by the commands that need them.
if TYPE_CHECKING:
    from genai_spine.billing.ledger.verification import ChainHead, Verification
    from genai_spine.billing.price_book import PriceBook
    from genai_spine.billing.provider_bills import BillLine
    from genai_spine.billing.reconciliation import Reconciliation
    from genai_spine.settings import Settings

MOST_SHOWN = 50  # findings
group = typer.Typer(
    no_args_is_help=True, help="The ledger: verify, resolve, and hold against providers' bills."
)
Text = str | None
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day, UTC; it counts too.")]


@group.command()
def verify(
    against: Annotated[
        Path | None, typer.Option(help="Output of an earlier `verify --json`: nothing of it may be gone.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that nobody changed, deleted or added rows of the ledger; exit 1 if somebody did.

    It reads the database of these settings, beside servers that run, and needs their root secret.
    """
    from genai_spine.cli.service.configured import settings_with

    outcome = run(_verified(settings_with(), _heads(against) if against else ()))
    if as_json:
        print_json(
            {
                "batches": outcome.batches,
                "versions": outcome.versions,
                "chains": [head._asdict() for head in outcome.heads],
                "findings": [finding._asdict() for finding in outcome.findings],
            }
        )
    else:
        _show_findings(outcome)
    if outcome.findings:
        raise typer.Exit(1)


async def _verified(settings: "Settings", before: "Sequence[ChainHead]") -> "Verification":
    from genai_spine.access.secrets import LEDGER
    from genai_spine.billing.ledger import verification
    from genai_spine.cli.spending.chained import NO_SECRET
    from genai_spine.server.access import root_secret
    from genai_spine.store import schema
    from genai_spine.store.booking.chain_rows import ChainRows
    from genai_spine.store.database import Database

    if (root := root_secret(settings)) is None:
        fail(NO_SECRET)
    database = Database(settings.database)
    bar = Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    task = bar.add_task("batches", total=None)
    try:
        await schema.check(database)
        with bar:
            async with ChainRows.snapshot(database) as rows:
                return await verification.verify(
                    rows, root.keys(LEDGER), before, lambda done: bar.update(task, completed=done)
                )
    finally:
        await database.close()


def _heads(file: Path) -> "list[ChainHead]":
    from genai_spine.billing.ledger.verification import ChainHead

    try:
        chains = json.loads(file.read_text(encoding="utf-8"))["chains"]
        heads = [ChainHead(str(one["chain"]), int(one["seq"]), str(one["hash"])) for one in chains]
        for head in heads:
            bytes.fromhex(head.hash)
    except (OSError, ValueError, KeyError, TypeError) as error:
        fail(f"{file} is no output of `ledger verify --json`: {error!r}")
    return heads


def _show_findings(outcome: "Verification") -> None:
    from genai_spine.billing.ledger.verification import KINDS

    columns = (firm("found"), Column("call"), Column("chain"), number("batch"), Column("written"))
    rows = [
        (found.kind, found.execution_id or "-", found.chain or "-", str(found.seq or "-"), found.time or "-")
        for found in outcome.findings[:MOST_SHOWN]
    ]
    if rows:
        show_table(columns, rows)
    kinds = Counter(finding.kind for finding in outcome.findings)
    for kind, count in sorted(kinds.items()):
        typer.echo(f"{kind}, {count}: {KINDS[kind]}")
    verified = f"{counted(outcome.versions, 'version')} in {counted(outcome.batches, 'commit')}"
    chains = counted(len(outcome.heads), "chain")
    typer.echo(f"{verified} of {chains}: {'not as written' if kinds else 'all as written'}")


@group.command()
def resolve(
    call: Annotated[Text, typer.Argument(help="Id of a lost call. Without: all of them are listed.")] = None,
    input_tokens: Annotated[int | None, typer.Option(min=0, help="That the provider billed.")] = None,
    output_tokens: Annotated[int | None, typer.Option(min=0, help="That the provider billed.")] = None,
    cached_tokens: Annotated[int, typer.Option(min=0, help="Of the input, read from its cache.")] = 0,
    not_billed: Annotated[bool, typer.Option("--not-billed", help="The provider billed nothing.")] = False,
    file: Annotated[
        Path | None, typer.Option(help="Many calls: the listing of --json, with usage or not_billed.")
    ] = None,
    since: Day = None,
    until: Day = None,
    provider: Annotated[Text, typer.Option(help="List only this provider's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """List lost calls, or book what their provider says of them; exit 1 if one was not resolved.

    A lost call is booked with what was reserved for it. Without --since: those of the last 30 days.
    """
    from genai_spine.cli.service.configured import book_with, settings_with
    from genai_spine.cli.spending import lost_calls

    settings = settings_with()
    if call is None and file is None:
        period = lost_calls.period(since, until)
        lost_calls.show_lost(run(lost_calls.listed(settings, period, provider)), as_json=as_json)
        return
    if call is not None and file is not None:
        fail("say a call or --file, not both")
    if file is not None:
        truths = lost_calls.truths_in(file)
    else:
        given = (input_tokens, output_tokens, cached_tokens)
        truths = [lost_calls.truth(str(call), given, not_billed=not_billed)]
    outcome = run(lost_calls.resolved(settings, book_with(settings), truths, dry_run=dry_run))
    lost_calls.show_resolved(outcome, dry_run=dry_run, as_json=as_json)
    if any(one.problem for one in outcome):
        raise typer.Exit(1)


@group.command()
def reconcile(
    files: Annotated[list[Path], typer.Argument(help="Bills; - reads standard input.")],
    provider: Annotated[Text, typer.Option(help="Whose a CSV without that column is.")] = None,
    our_key: Annotated[
        list[str], typer.Option(help="Provider's id of a key of this service; repeatable. Default: all are.")
    ] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Hold a provider's bill against the ledger, by day and model; exit 1 if they differ.

    Bills: OpenAI's usage and costs, Anthropic's usage and cost report, as JSON, or a CSV.
    """
    from genai_spine.billing.provider_bills import BillError, read_bill
    from genai_spine.cli.service.configured import book_with, settings_with

    lines = []
    for file in files:
        try:
            text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
            lines += read_bill(text, provider)
        except (BillError, UnicodeDecodeError, OSError) as error:
            fail(f"{file}: {error}")
    settings = settings_with()
    outcome = run(_reconciled(settings.database, book_with(settings), lines, our_key))
    _show_differences(outcome, as_json=as_json)
    if outcome.differences:
        raise typer.Exit(1)


async def _reconciled(
    url: str, book: "PriceBook", lines: "list[BillLine]", our_keys: list[str]
) -> "Reconciliation":
    from genai_spine.billing import reconciliation
    from genai_spine.store import schema
    from genai_spine.store.database import Database

    database = Database(url)
    try:
        await schema.check(database)
        return await reconciliation.reconcile(database, book, lines, our_keys)
    finally:
        await database.close()


def _show_differences(outcome: "Reconciliation", *, as_json: bool) -> None:
    from genai_spine.billing.reconciliation import CAUSES

    if as_json:
        entries = [
            {
                **{name: getattr(found, name) for name in ("provider", "day", "model", "cause")},
                "billed": asdict(found.billed),
                "booked": asdict(found.booked),
                "difference_ticks": found.ticks,
                "rated_ticks": found.rated_ticks,
                "proposal": found.proposal,
            }
            for found in outcome.differences
        ]
        print_listing("differences", entries, agreeing=outcome.agreeing)
        return
    rows = []
    for found in outcome.differences:
        amounts = (found.billed.ticks, found.booked.ticks or 0, found.ticks, found.rated_ticks)
        shown = ["-" if ticks is None else f"{usd_of(ticks):.6f}" for ticks in amounts]
        rows.append((found.day, found.model or "-", found.cause, *shown))
    titles = ("billed $", "booked $", "difference $", "by prices of now $")
    if rows:
        show_table((Column("day"), Column("model"), Column("cause"), *map(number, titles)), rows)
    for cause in sorted({found.cause for found in outcome.differences}):
        typer.echo(f"{cause}: {CAUSES[cause]}")
    for proposal in sorted({found.proposal for found in outcome.differences if found.proposal}):
        typer.echo(f"try: {proposal} --dry-run")
    agreeing, differing = outcome.agreeing, len(outcome.differences)
    typer.echo(f"{counted(agreeing, 'day')} of a model agree, {differing} differ")
