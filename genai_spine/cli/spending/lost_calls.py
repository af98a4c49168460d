"""Lost calls on the command line: listed, and resolved with what their provider says."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer
from google.protobuf.json_format import ParseDict, ParseError

from genai_spine.billing.ledger import resolver
from genai_spine.billing.ledger.resolver import Resolution, Truth
from genai_spine.billing.price_book import PriceBook
from genai_spine.cli.output import counted, fail, print_listing
from genai_spine.cli.spending.chained import executions_of
from genai_spine.cli.tables import Column, firm, number, show_table
from genai_spine.costs import usd_of
from genai_spine.settings import Settings
from genai_spine.store import schema
from genai_spine.store.booking.lost_calls import LostCalls
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.usage_pb2 import Usage

A_DAY, DAYS = timedelta(days=1), 30
MOST_LISTED = 10_000


def period(since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    """Beginning and end of the days, UTC."""
    end = until.replace(tzinfo=UTC) + A_DAY if until else datetime.now(UTC) + A_DAY
    return (since.replace(tzinfo=UTC) if since else end - DAYS * A_DAY), end


async def listed(
    settings: Settings, days: tuple[datetime, datetime], provider: str | None
) -> list[Execution]:
    """Lost calls of a period that are not resolved, at most MOST_LISTED."""
    database = Database(settings.database)
    try:
        await schema.check(database)
        return await LostCalls(database).unresolved(*days, provider, MOST_LISTED)
    finally:
        await database.close()


async def resolved(
    settings: Settings, book: PriceBook, truths: Sequence[Truth], *, dry_run: bool
) -> list[Resolution]:
    """Resolutions of lost calls. dry_run: nothing is written."""
    database = Database(settings.database)
    try:
        await schema.check(database)
        executions = Executions(database) if dry_run else await executions_of(settings, database)
        return await resolver.resolve(executions, LostCalls(database), book, truths, dry_run=dry_run)
    finally:
        await database.close()


def truth(id: str, given: tuple[int | None, int | None, int], *, not_billed: bool) -> Truth:
    """Truth of the options: tokens of input, of output, and of input from the cache."""
    input_tokens, output_tokens, cached = given
    if not_billed != (input_tokens is None and output_tokens is None and not cached):
        fail("say --not-billed, or how many --input-tokens and --output-tokens were billed")
    if not_billed:
        return Truth(id)
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens, cache_read_tokens=cached)
    return Truth(id, _checked(usage, id))


def truths_in(file: Path) -> list[Truth]:
    """Truths of a listing in which they were filled in; calls without one are left out."""
    try:
        calls = json.loads(file.read_text(encoding="utf-8"))["calls"]
        found = [_truth(call) for call in calls if call.get("not_billed") or call.get("usage")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ParseError) as error:
        fail(f"{file}: {error}")
    return found or fail(f"{file}: no call in it has usage or not_billed")


def _truth(call: dict[str, Any]) -> Truth:
    if call.get("not_billed"):
        return Truth(str(call["id"]))
    return Truth(str(call["id"]), _checked(ParseDict(call["usage"], Usage()), str(call["id"])))


def _checked(usage: Usage, id: str) -> Usage:
    try:
        return resolver.checked(usage)
    except ValueError as error:
        fail(f"call {id}: {error}")


def show_lost(calls: Sequence[Execution], *, as_json: bool) -> None:
    if as_json:
        entries = [
            {
                **{name: getattr(call, name) for name in ("id", "request_id", "provider", "model")},
                "tenant_id": call.tenant_id,
                "create_time": call.create_time.ToJsonString(),
                "cost_ticks": call.cost.cost_ticks,
                "price_known": call.cost.price_known,
                "usage": {},
                "not_billed": False,
            }
            for call in calls
        ]
        print_listing("calls", entries)
        return
    columns = (firm("call"), Column("model"), firm("begun (UTC)"), Column("request"), number("booked $"))
    rows = [
        (
            call.id,
            f"{call.provider}:{call.model}",
            call.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S"),
            call.request_id,
            f"{usd_of(call.cost.cost_ticks):.6f}" if call.cost.price_known else "unknown",
        )
        for call in calls
    ]
    show_table(columns, rows)


def show_resolved(outcome: Sequence[Resolution], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_listing("calls", [asdict(one) for one in outcome], dry_run=dry_run)
        return
    columns = (firm("call"), number("booked $"), number("billed $"), Column("problem"))
    rows = [
        (one.id, *(f"{usd_of(ticks):.6f}" for ticks in (one.old_ticks, one.new_ticks)), one.problem or "-")
        for one in outcome
    ]
    show_table(columns, rows)
    done = sum(not one.problem for one in outcome)
    typer.echo(f"{'would resolve' if dry_run else 'resolved'} {counted(done, 'call')}")
