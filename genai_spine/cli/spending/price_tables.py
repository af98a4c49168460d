"""Output of `genai-spine prices`: tables for people, JSON for programs."""

import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import typer
from rich.console import Console
from rich.progress import Progress

from genai_spine.billing import rerating
from genai_spine.billing.price_book import PriceBook
from genai_spine.billing.rerating import Line, Outcome, Period
from genai_spine.catalog.prices import entry
from genai_spine.cli.output import counted, plain, print_json, print_listing
from genai_spine.cli.spending.chained import executions_of
from genai_spine.cli.tables import Column, number, show_table
from genai_spine.costs import TICKS_PER_USD, usd_of
from genai_spine.settings import Settings
from genai_spine.store import schema
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.v1 import pricing_service_pb2 as pb

UNITS = {
    pb.PRICE_UNIT_AUDIO_SECOND: "a second of sound",
    pb.PRICE_UNIT_CHARACTERS: "1,000,000 characters",
    pb.PRICE_UNIT_IMAGE: "an image",
    pb.PRICE_UNIT_REQUEST: "a request",
}


class Book(NamedTuple):
    """Price book as it is shown."""

    version: str
    prices: Sequence[pb.ModelPrice]
    sources: Sequence[dict[str, Any]] = ()  # a server does not tell them


def whole(book: PriceBook, provider: str | None) -> Book:
    """Price book of these settings."""
    sources = [
        source._asdict() | {"valid_from": source.valid_from and source.valid_from.isoformat()}
        for source in book.sources()
    ]
    return Book(
        book.version,
        [entry(price) for price in book.prices() if provider in (None, price.provider)],
        sources,
    )


def show_book(book: Book, *, as_json: bool) -> None:
    """Prices of a book, with their sources."""
    if as_json:
        print_listing("prices", list(book.prices), price_book=book.version, sources=book.sources)
        return
    columns = (Column("model"), Column("provider"), number("$ per 1M in"), number("$ per 1M out"))
    rows = [
        (price.model, price.provider, *_per_token(price), _others(price), price.source)
        for price in book.prices
    ]
    show_table((*columns, Column("other units"), Column("source")), rows)
    for source in book.sources:
        newest = f", newest price from {source['valid_from']}" if source["valid_from"] else ""
        typer.echo(f"{source['name']} {source['checksum']}: {source['rows']} prices{newest}")


def show_price(price: pb.ModelPrice, *, as_json: bool) -> None:
    """Price of one model, by every unit."""
    if as_json:
        print_json(price)
        return
    since = f", from {price.valid_from}" if price.HasField("valid_from") else ""
    typer.echo(plain(f"{price.provider}:{price.model} ({price.source}{since})"))
    if price.is_free:
        typer.echo("costs nothing: it runs on your own machines")
    for unit in price.units:
        above = f", if the input is longer than {unit.above_input_tokens}" if unit.above_input_tokens else ""
        name = f"1,000 calls of {unit.server_tool}" if unit.server_tool else _name(unit.unit)
        typer.echo(plain(f"{f'${unit.usd:.12g}':>16} for {name}{above}"))


async def rerate(settings: Settings, book: PriceBook, period: Period, *, dry_run: bool) -> Outcome:
    """Outcome of pricing a period again. dry_run: nothing is written."""
    database = Database(settings.database)
    bar = Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    task = bar.add_task("rows", total=None)
    try:
        await schema.check(database)
        with bar:
            return await rerating.rerate(
                Executions(database) if dry_run else await executions_of(settings, database),
                book,
                period,
                dry_run=dry_run,
                progress=lambda done, to_do: bar.update(task, completed=done, total=to_do),
            )
    finally:
        await database.close()


def show_outcome(outcome: Outcome, *, dry_run: bool, as_json: bool) -> None:
    lines = sorted(outcome.lines.items())
    if as_json:
        models = [{"provider": provider, "model": model} | _line(line) for (provider, model), line in lines]
        said = {"price_book": outcome.price_book, "dry_run": dry_run, "changed_rows": outcome.changed_rows}
        print_listing("models", models, **said, total=_line(outcome.total()))
        return
    rows = []
    for name, line in [*((":".join(key), line) for key, line in lines), ("total", outcome.total())]:
        amounts = (line.old_ticks, line.new_ticks, line.new_ticks - line.old_ticks)
        rows.append((name, str(line.rows), str(line.unpriced_rows), *map(_dollars, amounts)))
    titles = ("rows", "no price", "old $", "new $", "change $")
    show_table((Column("model"), *map(number, titles)), rows)
    done = "would change" if dry_run else "changed"
    typer.echo(f"{done} the cost of {counted(outcome.changed_rows, 'row')}; price book: {outcome.price_book}")


def _line(line: Line) -> dict[str, int | float]:
    difference = line.new_ticks - line.old_ticks
    return {
        "rows": line.rows,
        "unpriced_rows": line.unpriced_rows,
        "old_cost_ticks": line.old_ticks,
        "new_cost_ticks": line.new_ticks,
        "difference_ticks": difference,
        "old_cost_usd": usd_of(line.old_ticks),
        "new_cost_usd": usd_of(line.new_ticks),
        "difference_usd": usd_of(difference),
    }


def _per_token(price: pb.ModelPrice) -> tuple[str, str]:
    if price.is_free:
        return "free", "free"
    usd = {unit.unit: f"{unit.usd:g}" for unit in reversed(price.units)}  # the lowest tier counts
    return usd.get(pb.PRICE_UNIT_INPUT_TOKENS, ""), usd.get(pb.PRICE_UNIT_OUTPUT_TOKENS, "")


def _others(price: pb.ModelPrice) -> str:
    return ", ".join(f"${unit.usd:.6g} {UNITS[unit.unit]}" for unit in price.units if unit.unit in UNITS)


def _name(unit: pb.PriceUnit) -> str:
    """pb.PRICE_UNIT_CACHE_READ_TOKENS: 1,000,000 cache read tokens."""
    words = pb.PriceUnit.Name(unit).removeprefix("PRICE_UNIT_").lower().replace("_", " ")
    return UNITS.get(unit) or f"1,000,000 {words}"


def _dollars(ticks: int) -> str:
    return f"{Decimal(ticks) / TICKS_PER_USD:f}"
