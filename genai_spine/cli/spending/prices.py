"""`genai-spine prices`: what models cost, and what past calls would have cost."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genai_spine.cli.output import Json, fail, run
from genai_spine.cli.service.configured import book_with, settings_with

if TYPE_CHECKING:
    from genai_spine.v1 import pricing_service_pb2 as pb

group = typer.Typer(no_args_is_help=True, help="What models cost, and what past calls would have cost.")


# A server is asked only where one is named: what it costs is known without one, too.
PriceAddress = Annotated[
    str | None,
    typer.Option("--address", help="host:port of a server to ask. Default: the book of these settings."),
]


@group.command("list")
def list_prices(
    provider: Annotated[str | None, typer.Option(help="Only this provider's.")] = None,
    address: PriceAddress = None,
    as_json: Json = False,
) -> None:
    """List every price of the book that these settings load, or a server has, and its sources."""
    from genai_spine.cli.spending import price_tables

    if address:
        listed = run(_book_of(address, provider))
        price_tables.show_book(price_tables.Book(listed.price_book, listed.prices), as_json=as_json)
    else:
        price_tables.show_book(price_tables.whole(book_with(settings_with()), provider), as_json=as_json)


@group.command("show")
def show_price(
    model: Annotated[str, typer.Argument(help="provider:model, or a plain name.")],
    address: PriceAddress = None,
    as_json: Json = False,
) -> None:
    """Show what a model costs, by every unit that it is sold in."""
    from genai_spine.catalog.models import Catalog
    from genai_spine.catalog.prices import PriceList
    from genai_spine.cli.spending import price_tables
    from genai_spine.providers import PROVIDERS
    from genai_spine.routing.router import Router

    if address:
        price_tables.show_price(run(_price_of(address, model)), as_json=as_json)
        return
    settings = settings_with()
    providers = {
        name: PROVIDERS[endpoint.registry_name].make(endpoint)
        for name, endpoint in settings.endpoints.items()
    }
    router = Router(providers, settings.default_provider, settings.default_model, settings.model_aliases)
    found = PriceList(Catalog(router, book_with(settings))).price(model)
    price_tables.show_price(run(found), as_json=as_json)


@group.command()
def rerate(
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, UTC.")],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, UTC.")],
    book: Annotated[Path | None, typer.Option(help="Overrides. Default: GENAI_PRICE_OVERRIDES.")] = None,
    provider: Annotated[str | None, typer.Option(help="Only this provider's calls.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Price the calls of a period again, by this price book, and write what they cost now."""
    from genai_spine.billing.rerating import Period
    from genai_spine.cli.spending import price_tables

    if last < first:
        fail("--to is before --from")
    settings = settings_with()
    period = Period(first.date(), last.date(), provider)
    outcome = run(price_tables.rerate(settings, book_with(settings, book), period, dry_run=dry_run))
    price_tables.show_outcome(outcome, dry_run=dry_run, as_json=as_json)


async def _book_of(address: str, provider: str | None) -> "pb.ListPricesResponse":
    """Price book of a server, all pages in one."""
    from genai_spine.cli.client import connected, pages
    from genai_spine.v1 import pricing_service_pb2 as pb
    from genai_spine.v1.pricing_service_pb2_grpc import PricingServiceStub

    async with connected(address) as channel:
        stub = PricingServiceStub(channel)
        request = pb.ListPricesRequest(provider=provider, page_size=5000)
        whole, *others = [page async for page in pages(stub.ListPrices, request)]
        for page in others:
            whole.prices.extend(page.prices)
        whole.next_page_token = ""
        return whole


async def _price_of(address: str, model: str) -> "pb.ModelPrice":
    """Price of one model, as a server has it."""
    from genai_spine.cli.client import connected
    from genai_spine.v1 import pricing_service_pb2 as pb
    from genai_spine.v1.pricing_service_pb2_grpc import PricingServiceStub

    async with connected(address) as channel:
        request = pb.GetPriceRequest(model=model)
        found: pb.ModelPrice = await PricingServiceStub(channel).GetPrice(request)
        return found
