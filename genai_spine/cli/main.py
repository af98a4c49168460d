"""The command line: `genai-spine up | serve | migrate | chat | summarize | models | prompts | ...`.

Every command has --help, and --json where it prints something a program may read. Exit codes: 0 done,
1 it failed (the reason is on standard error), 2 the command line is wrong, 130 Ctrl-C. Commands that wait
for a run: 3 the run failed, 4 it was cancelled, 5 it has not ended.
"""

import gc
import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID

from genai_spine.cli import (
    capabilities,
    client,
    completion,
    config,
    executions,
    models,
    prompt_editor,
    prompts,
    sessions,
)
from genai_spine.cli.access import audit, keys, tenants
from genai_spine.cli.conversation import converse
from genai_spine.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    as_rest,
    complain,
    fail,
    plain,
    print_json,
    print_listing,
    run,
)
from genai_spine.cli.privacy import commands as privacy
from genai_spine.cli.request_log import commands as request_log
from genai_spine.cli.runs import batches, dead_letters, pipelines, schedules
from genai_spine.cli.runs import commands as runs
from genai_spine.cli.spending import budgets, ledger
from genai_spine.cli.tables import Column, number, show_table
from genai_spine.cli.usage import costs, usage
from genai_spine.telemetry import logs
from genai_spine.version import VERSION

# The server's own modules are imported by the commands that need them: a health check in a container
# would else spend a second of CPU on loading databases, prices and word lists, every time.
if TYPE_CHECKING:
    from genai_spine.billing.price_book import PriceBook
    from genai_spine.configuration.loader import Configuration
    from genai_spine.settings import Settings

Lane = Literal["cpu", "gpu", "batch"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="GenAI Spine: one typed AI service for all your services.",
)
for command in (prompt_editor.create, prompt_editor.edit):
    prompts.group.command()(command)
app.add_typer(prompts.group, name="prompts")
app.add_typer(sessions.group, name="sessions")
app.add_typer(executions.group, name="executions")
app.add_typer(request_log.group, name="log")
app.add_typer(config.group, name="config")
app.command(name="reload")(config.reload)
app.command(name="restart")(config.restart)
app.add_typer(models.group, name="models")
app.add_typer(keys.group, name="keys")
app.add_typer(tenants.tenants, name="tenants")
app.add_typer(tenants.projects, name="projects")
app.add_typer(audit.group, name="audit")
app.add_typer(budgets.group, name="budget")
app.add_typer(ledger.group, name="ledger")
app.command()(models.drift)
app.add_typer(runs.group, name="runs")
app.command(name="workers")(runs.workers)
app.command(name="batch")(batches.batch)
app.add_typer(schedules.group, name="schedules")
app.add_typer(pipelines.group, name="pipelines")
app.add_typer(dead_letters.group, name="dlq")


def main() -> None:
    """Run of the command line. Output that cannot be written ends it with a line, not with a traceback."""
    completion.prepare()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except OSError as error:
        # Python flushes once more at the end, and says so if that fails.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # who read our output has left, and knows
            complain(f"the output cannot be written: {error.strerror or error}")
        sys.exit(1)


def configuration_with(**options: Any) -> "Configuration":
    """Configuration of genai.yaml and the environment. options: of the command line, None where not given."""
    from genai_spine.configuration.loader import load

    try:
        found = load(**options)
    except ValueError as error:
        fail(error)
    logs.configure("DEBUG" if found.settings.debug else found.settings.log_level)
    return found


def settings_with(**options: Any) -> "Settings":
    return configuration_with(**options).settings


def book_with(settings: "Settings", overrides: Path | None = None) -> "PriceBook":
    from genai_spine.billing.price import PriceBookError
    from genai_spine.billing.price_book import PriceBook

    try:
        path = overrides or settings.price_overrides
        return PriceBook.load(path, settings.own_price, settings.operator_models)
    except PriceBookError as error:
        fail(error)


def known_lanes(given: list[str] | None) -> list[str] | None:
    """A list of Literals is more than Typer can check by itself."""
    if unknown := set(given or ()) - set(get_args(Lane)):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))} is not one of {', '.join(get_args(Lane))}")
    return given


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if show:
        typer.echo(VERSION)
        raise typer.Exit()


@app.command()
def up(
    port: Annotated[int | None, typer.Option(help="Public port. Default: GENAI_API_PORT, 8100.")] = None,
    processes: Annotated[int | None, typer.Option(help="Server processes on lane cpu.")] = None,
    lane: Annotated[
        list[str] | None, typer.Option(help="Lanes to start; repeatable. Default: cpu.", callback=known_lanes)
    ] = None,
    as_json: Json = False,
) -> None:
    """Start the server and Envoy, and print the URLs and the first calls to try."""
    from genai_spine.supervisor import up

    configuration = configuration_with(api_port=port, processes=processes)
    run(up.up(configuration, list(lane or ["cpu"]), as_json=as_json))


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address. Default: GENAI_GRPC_HOST, 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0: any. Default: GENAI_GRPC_PORT, 50051.")] = None,
    lane: Annotated[Lane | None, typer.Option(help="Lane that it serves. Default: cpu.")] = None,
    processes: Annotated[
        int | None, typer.Option(help="Processes, on these ports and those after them. Default: 1.")
    ] = None,
    http_port: Annotated[
        int | None, typer.Option(help="Port of OpenAI's paths over HTTP; 0: any. Default: GENAI_HTTP_PORT.")
    ] = None,
) -> None:
    """Start the server alone, without Envoy: gRPC, and OpenAI's paths over HTTP."""
    logs.write_stack_when_aborted()
    gc.disable()  # nothing that a start makes is garbage; the server that runs collects again
    from genai_spine import server
    from genai_spine.supervisor import up

    configuration = configuration_with(
        grpc_host=host, grpc_port=port, http_port=http_port, lane=lane, processes=processes
    )
    if configuration.settings.processes == 1:
        run(server.serve(configuration, lambda fields: typer.echo(json.dumps(fields))))
    else:
        gc.enable()
        run(up.serve(configuration))


@app.command()
def work(
    lanes: Annotated[str, typer.Option(help="Lanes whose runs it makes, with commas between them.")] = "cpu",
    concurrency: Annotated[
        int | None, typer.Option(help="Runs at once. Default: GENAI_RUN_CONCURRENCY, 32.", min=1)
    ] = None,
    others: Annotated[
        bool, typer.Option("--others", help="Also the runs of lanes that no other worker names.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address of its health service.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of its health service; 0: any.")] = 0,
) -> None:
    """Start a worker: it makes durable runs of its lanes, and takes no calls. It needs PostgreSQL."""
    logs.write_stack_when_aborted()
    gc.disable()
    from genai_spine import server

    named = [lane.strip() for lane in lanes.split(",") if lane.strip()]
    configuration = configuration_with(
        grpc_host=host,
        grpc_port=port,
        run_lanes=",".join(named),
        run_other_lanes=others,
        run_concurrency=concurrency,
        lane=next((lane for lane in named if lane in get_args(Lane)), None),
    )
    if not configuration.settings.database.startswith("postgres"):
        fail(
            "a worker needs PostgreSQL: with SQLite the server makes its runs itself. Set GENAI_DATABASE_URL"
        )
    run(server.serve(configuration, lambda fields: typer.echo(json.dumps(fields)), only_runs=True))


@app.command()
def migrate(
    no_key: Annotated[bool, typer.Option("--no-key", help="Make no first key.")] = False,
    as_json: Json = False,
) -> None:
    """Bring the database's tables up to this version; make a root secret and a first key where they are due.

    With SQLite a root secret is made beside the database. Where GENAI_AUTH=on and there is no key, the first
    admin key is made, and printed this once.
    """
    from genai_spine.access import secrets
    from genai_spine.store import schema

    settings = settings_with()
    applied = run(schema.upgrade(settings.database))
    head = schema.head()
    made = secrets.create_beside(settings.database) if settings.has_no_secret else None
    wants_key = settings.auth == "on" and not no_key
    first = run(keys.first_key(settings)) if wants_key else None
    if as_json:
        secret = {
            "secret_key_file": str(made) if made else None,
            "first_key": first.secret if first else None,
        }
        print_json({"applied": applied, "revision": head, **secret})
        return
    done = f"applied {', '.join(applied)}" if applied else "nothing to do"
    typer.echo(f"database at revision {head}: {done}")
    if made:
        typer.echo(f"root secret: made {made}; keep a copy of it as safe as the database")
    if first:
        typer.echo(f"first admin key, not shown again: {first.secret}")


@app.command()
def chat(
    text: Annotated[list[str] | None, typer.Argument(help="What to say; - reads standard input.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model. Default: the server's.")] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="Instructions.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens of an answer.")] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Talk to a model; the answer streams. Without text: a conversation, until Ctrl-D.

    What is piped in is one message: cat notes.txt | genai-spine chat.
    """
    talk = client.Chat(model, system, max_tokens, as_json=as_json)
    converse(talk.opened(address), " ".join(text) if text else None)


@app.command()
def providers(address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """List the configured providers, whether they answer, and how their calls go."""
    from genai_spine.v1.provider_service_pb2 import Capability

    listed, health = run(client.providers(address))
    if as_json:
        entries = [as_rest(info) | {"health": health.get(info.provider_name, "")} for info in listed]
        print_listing("providers", entries)
        return
    rows = []
    for info in listed:
        state = "available" if info.is_available else f"circuit open for {info.rest_ms / 1000:.0f} s"
        state = state if health.get(info.provider_name) == "healthy" else "does not answer"
        kinds = {Capability.Name(offer.capability) for offer in info.capabilities}
        shown = ", ".join(sorted(kind.removeprefix("CAPABILITY_").lower() for kind in kinds))
        rows.append((info.provider_name, state, str(info.running), str(info.key_count), shown))
    columns = (Column("provider"), Column("state"), number("running"), number("keys"))
    show_table((*columns, Column("what it offers")), rows)


@app.command()
def pull(
    model: Annotated[str, typer.Argument(help="Model, by the provider's name.")],
    provider: Annotated[str, typer.Option(help="Provider that keeps models on its disk.")] = "ollama",
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Fetch a model onto a provider's disk, with its progress."""

    async def follow() -> None:
        with Progress(console=Console(stderr=True), disable=as_json) as shown:
            tasks: dict[str, TaskID] = {}
            async for step in client.pull(address, provider, model):
                if as_json:
                    print_json(step)
                    continue
                if step.status not in tasks:
                    tasks[step.status] = shown.add_task(escape(plain(step.status)), total=None)
                total = step.total_bytes if step.HasField("total_bytes") else 1
                done = step.completed_bytes if step.HasField("total_bytes") else 1
                shown.update(tasks[step.status], total=total, completed=done)

    run(follow())


price_commands = typer.Typer(
    no_args_is_help=True, help="What models cost, and what past calls would have cost."
)
app.add_typer(price_commands, name="prices")


# A server is asked only where one is named: what it costs is known without one, too.
PriceAddress = Annotated[
    str | None,
    typer.Option("--address", help="host:port of a server to ask. Default: the book of these settings."),
]


@price_commands.command("list")
def list_prices(
    provider: Annotated[str | None, typer.Option(help="Only this provider's.")] = None,
    address: PriceAddress = None,
    as_json: Json = False,
) -> None:
    """List every price of the book that these settings load, or a server has, and its sources."""
    from genai_spine.cli import prices

    if address:
        listed = run(client.prices(address, provider))
        prices.show_book(prices.Book(listed.price_book, listed.prices), as_json=as_json)
    else:
        prices.show_book(prices.whole(book_with(settings_with()), provider), as_json=as_json)


@price_commands.command("show")
def show_price(
    model: Annotated[str, typer.Argument(help="provider:model, or a plain name.")],
    address: PriceAddress = None,
    as_json: Json = False,
) -> None:
    """Show what a model costs, by every unit that it is sold in."""
    from genai_spine.catalog.models import Catalog
    from genai_spine.catalog.prices import PriceList
    from genai_spine.cli import prices
    from genai_spine.providers import PROVIDERS
    from genai_spine.routing.router import Router

    if address:
        prices.show_price(run(client.price(address, model)), as_json=as_json)
        return
    settings = settings_with()
    providers = {
        name: PROVIDERS[endpoint.registry_name].make(endpoint)
        for name, endpoint in settings.endpoints.items()
    }
    router = Router(providers, settings.default_provider, settings.default_model, settings.model_aliases)
    found = PriceList(Catalog(router, book_with(settings))).price(model)
    prices.show_price(run(found), as_json=as_json)


@price_commands.command()
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
    from genai_spine.cli import prices

    if last < first:
        fail("--to is before --from")
    settings = settings_with()
    period = Period(first.date(), last.date(), provider)
    outcome = run(prices.rerate(settings, book_with(settings, book), period, dry_run=dry_run))
    prices.show_outcome(outcome, dry_run=dry_run, as_json=as_json)


@app.command(name="doctor")
def doctor_command(as_json: Json = False) -> None:
    """Check settings, database, providers and Envoy; exit 1 if something is broken."""
    from genai_spine.supervisor import doctor

    settings = settings_with()
    findings = run(doctor.examine(settings))
    if as_json:
        print_listing("findings", [finding._asdict() for finding in findings])
    else:
        columns = (Column("state"), Column("part"), Column("what was found"))
        show_table(columns, [(finding.state, finding.part, finding.text) for finding in findings])
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)


@app.command()
def health(
    service: Annotated[str, typer.Option(help="Full name of a gRPC service. Default: the server.")] = "",
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Ask a server by grpc.health.v1; exit 0 if it serves."""
    from genai_spine.supervisor import health_check

    state = run(health_check.health(address, service, client.CONNECT_TIMEOUT_S))
    print_json({"status": state}) if as_json else typer.echo(state)
    if state != "SERVING":
        raise typer.Exit(1)


# After the others, so that --help begins with how to start.
capabilities.add_to(app)
privacy.add_to(app)
app.command()(usage)
app.command()(costs)
app.command()(completion.completion)
