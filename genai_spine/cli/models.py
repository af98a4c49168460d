"""`genai-spine models` (list, explain, behaviour) and `drift`: what can be called, and what it accepts."""

from collections.abc import Sequence
from typing import Annotated

import typer

from genai_spine.cli.client import connected, pages
from genai_spine.cli.output import DEFAULT_ADDRESS, Address, Json, counted, print_json, run
from genai_spine.cli.tables import Column, number, show_table
from genai_spine.v1 import model_behaviour_pb2 as behaviour
from genai_spine.v1 import model_service_pb2 as pb
from genai_spine.v1.model_service_pb2_grpc import ModelServiceStub

group = typer.Typer(help="Models: list them, and explain what one accepts.")
Provider = Annotated[str | None, typer.Option(help="Only this provider's.")]


@group.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    provider: Provider = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List the models that can be called, or explain what one accepts."""
    if context.invoked_subcommand is not None:
        return
    listed = run(_listed(address, provider))
    if as_json:
        print_json(listed)
        return
    rows = []
    for entry in listed.data:
        prices = (entry.pricing.input_per_1m, entry.pricing.output_per_1m)
        costs = [f"{price:g}" for price in prices] if entry.HasField("pricing") else ["?", "?"]
        context_length = entry.context_window or entry.context_length
        rows.append((entry.id, entry.provider, str(context_length or ""), *costs))
    columns = (Column("model"), Column("provider"), number("context"))
    show_table((*columns, number("$ per 1M in"), number("$ per 1M out")), rows)
    for name in listed.unreachable_providers:
        typer.echo(f"provider {name} does not answer; its models are not listed", err=True)


@group.command()
def explain(
    model: Annotated[str, typer.Argument(help="Any name that a request may use.")],
    provider: Annotated[str | None, typer.Option(help="Its provider. Default: found from the name.")] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Show what the behaviour book says of a model: options, levels of effort, sources and their age."""

    async def read() -> behaviour.ModelBehaviour:
        async with connected(address) as channel:
            request = pb.ExplainModelRequest(model=model, provider=provider)
            found: behaviour.ModelBehaviour = await ModelServiceStub(channel).ExplainModel(request)
            return found

    found = run(read())
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found.provider}:{found.model}, behaviour book {found.book_version}")
    if found.has_effort:
        typer.echo(f"reasoning effort: {', '.join(found.effort_levels) or 'none at all'}")
    for name in ("api_version", "authentication"):
        if value := getattr(found, name):
            typer.echo(f"{name.replace('_', ' ')}: {value}")
    for name, fact in sorted(found.facts.items()):
        typer.echo(f"{name.replace('_', ' ')}: {fact}")
    titles = ("option", "action", "to", "when", "by the row")
    options = [
        (option.option, _action(option.action), option.mapped_to, option.when, option.row)
        for option in found.options
    ]
    show_table([Column(title) for title in titles], options)
    _show_rows(found.rows)


@group.command("behaviour")
def list_behaviour(
    provider: Provider = None, address: Address = DEFAULT_ADDRESS, as_json: Json = False
) -> None:
    """List the rows of the behaviour book, the weakest first."""

    async def read() -> pb.ListBehaviourResponse:
        async with connected(address) as channel:
            request = pb.ListBehaviourRequest(provider=provider)
            found: pb.ListBehaviourResponse = await ModelServiceStub(channel).ListBehaviour(request)
            return found

    found = run(read())
    if as_json:
        print_json(found)
    else:
        _show_rows(found.rows)


def drift(
    provider: Annotated[
        str, typer.Argument(help="Provider that is asked; each question costs a few tokens.")
    ],
    model: Annotated[
        list[str], typer.Option(help="Model to ask; repeatable. Default: those of the book's rows.")
    ] = [],  # noqa: B006
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Ask a provider whether it keeps to the behaviour book. Exit status 1: some rules no longer hold."""

    async def ask() -> pb.DetectDriftResponse:
        async with connected(address) as channel:
            request = pb.DetectDriftRequest(provider=provider, models=model)
            found: pb.DetectDriftResponse = await ModelServiceStub(channel).DetectDrift(request)
            return found

    found = run(ask())
    if as_json:
        print_json(found)
    else:
        _show_drift(found)
    if found.drifts:
        raise typer.Exit(1)


def _show_drift(found: pb.DetectDriftResponse) -> None:
    typer.echo(
        f"{counted(found.probe_count, 'question')} to {', '.join(found.models) or 'no model'}", err=True
    )
    for name in found.unavailable_models:
        typer.echo(f"{name} could not be asked", err=True)
    if not found.drifts:
        typer.echo("every rule holds", err=True)
        return
    titles = ("model", "option", "the book says", "the upstream", "row")
    rows = [
        (
            entry.model,
            entry.option or "the whole request",
            _action(entry.expected),
            entry.observed,
            entry.row or "none",
        )
        for entry in found.drifts
    ]
    show_table([Column(title) for title in titles], rows)


def _show_rows(rows: "Sequence[behaviour.BehaviourRow]") -> None:
    titles = ("row", "provider", "model", "evidence", "checked")
    cells = [
        (row.name, row.provider, row.model, row.evidence, row.checked_on, str(row.age_days), row.source)
        for row in rows
    ]
    show_table([*(Column(title) for title in titles), number("days"), Column("source")], cells)


def _action(action: "behaviour.OptionAction") -> str:
    return behaviour.OptionAction.Name(action).removeprefix("OPTION_ACTION_").lower()


async def _listed(address: str, provider: str | None) -> pb.ListModelsResponse:
    """List of models, all pages in one."""
    async with connected(address) as channel:
        stub = ModelServiceStub(channel)
        request = pb.ListModelsRequest(provider=provider)
        whole, *others = [page async for page in pages(stub.ListModels, request)]
        for page in others:
            whole.data.extend(page.data)
        whole.next_page_token = ""
        return whole
