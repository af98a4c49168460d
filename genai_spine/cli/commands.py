"""Commands by name: what --help says of each, and the module that is imported once one is called.

To import them all costs half a second of CPU, which neither --help nor completion nor a health check needs.
"""

from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group


class Row(NamedTuple):
    """Command or group of commands; `attribute` of `module` is its function, or its typer.Typer."""

    name: str
    module: str  # below genai_spine.cli
    attribute: str
    help: str  # as its own help begins


COMMANDS = (
    Row(
        "reload",
        "service.config",
        "reload",
        "Let a running `up` read its configuration again; calls that run are not cut.",
    ),
    Row(
        "restart",
        "service.config",
        "restart",
        "Replace the server processes of a running `up`; calls and runs are not cut.",
    ),
    Row("drift", "models", "drift", "Ask a provider whether it keeps to the behaviour book."),
    Row(
        "workers",
        "runs.commands",
        "workers",
        "List the worker processes that live, and what each serves and does.",
    ),
    Row(
        "batch",
        "runs.batches",
        "batch",
        "Run the lines of a file as one batch, and write an answer a line, in their order.",
    ),
    Row(
        "up",
        "service.start",
        "up",
        "Start the server and Envoy, and print the URLs and the first calls to try.",
    ),
    Row(
        "serve",
        "service.start",
        "serve",
        "Start the server alone, without Envoy: gRPC, and OpenAI's paths over HTTP.",
    ),
    Row(
        "work",
        "service.start",
        "work",
        "Start a worker: it makes durable runs of its lanes, and takes no calls.",
    ),
    Row(
        "migrate",
        "service.migrate",
        "migrate",
        "Bring the database's tables up to this version; "
        "make a root secret and a first key where they are due.",
    ),
    Row("chat", "chat", "chat", "Talk to a model; the answer streams."),
    Row(
        "providers",
        "providers",
        "providers",
        "List the configured providers, whether they answer, and how their calls go.",
    ),
    Row("pull", "providers", "pull", "Fetch a model onto a provider's disk, with its progress."),
    Row(
        "doctor",
        "service.doctor",
        "doctor_command",
        "Check settings, database, providers and Envoy; exit 1 if something is broken.",
    ),
    Row("health", "service.health", "health", "Ask a server by grpc.health.v1; exit 0 if it serves."),
    Row("summarize", "capabilities", "summarize", "Shorten a text to some sentences or bullet points."),
    Row("extract", "capabilities", "extract", "Find named things in a text, with their places."),
    Row("classify", "capabilities", "classify", "Say to which of the given categories a text belongs."),
    Row("rewrite", "capabilities", "rewrite", "Say a text in another form or tone."),
    Row(
        "redact",
        "privacy.commands",
        "redact",
        "Redact personal data in a text: e-mail addresses, phone, card and account numbers, IP addresses.",
    ),
    Row(
        "transcribe",
        "audio.commands",
        "transcribe",
        "Write down what is said in a recording, by speaker or channel, or as subtitles.",
    ),
    Row(
        "usage",
        "spending.usage",
        "usage",
        "Add up what calls of providers used and cost, as the ledger has them.",
    ),
    Row("costs", "spending.usage", "costs", "List what each day cost."),
    Row("completion", "completion", "completion", "Print the completion script of a shell."),
    Row("prompts", "prompt_editor", "group", "Prompts: kept, changed, filled in and run."),
    Row("sessions", "sessions", "group", "Chat sessions: list, show, chat, export, delete."),
    Row("executions", "executions", "group", "Calls of providers: list, show."),
    Row("log", "request_log.commands", "group", "Request log, where it is on: list, show, delete."),
    Row(
        "config", "service.config", "group", "genai.yaml: check it, show what is in force, import another's."
    ),
    Row("models", "models", "group", "Models: list them, and explain what one accepts."),
    Row("keys", "access.keys", "group", "Keys of callers: create, list, limit, rotate, revoke, bootstrap."),
    Row(
        "tenants",
        "access.tenants",
        "tenants",
        "Tenants: create, list, limit, disable, enable; their webhook secrets.",
    ),
    Row("projects", "access.tenants", "projects", "Projects of a tenant: create, list, disable, enable."),
    Row("audit", "access.audit", "group", "Who changed what: list, export."),
    Row("budget", "spending.budgets", "group", "What may be spent, and what is: set, show, list, delete."),
    Row(
        "ledger",
        "spending.ledger",
        "group",
        "The ledger: verify, resolve, and hold against providers' bills.",
    ),
    Row(
        "runs",
        "runs.commands",
        "group",
        "Durable runs: submit, list, show, watch, wait, cancel, retry, approve, results.",
    ),
    Row(
        "schedules",
        "runs.schedules",
        "group",
        "Work at set times: list, show, create, update, delete, pause, resume, trigger.",
    ),
    Row(
        "pipelines", "runs.pipelines", "group", "Work of several steps: list, show, run, estimate, validate."
    ),
    Row("rag", "rag.commands", "group", "Answers from documents: ingest, ask, search, collections."),
    Row(
        "dlq",
        "runs.dead_letters",
        "group",
        "Dead letters, the runs whose retries are used up: list, show, replay, resolve, purge.",
    ),
    Row("prices", "spending.prices", "group", "What models cost, and what past calls would have cost."),
)


class OnDemand(TyperGroup):
    """Group whose commands are imported when one is called; until then each is its row."""

    def __init__(self, **options: Any) -> None:
        options["commands"] = {row.name: TyperCommand(row.name, help=row.help) for row in COMMANDS}
        super().__init__(**options)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Name, command and remaining arguments of a command line."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and loaded(str(name)), rest


def loaded(name: str) -> Any:
    """Command or group of this name, imported."""
    row = next(row for row in COMMANDS if row.name == name)
    found = getattr(import_module(f"genai_spine.cli.{row.module}"), row.attribute)
    holder = typer.Typer(rich_markup_mode=None)
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
    else:
        holder.command(name)(found)
    return get_group(holder).commands[name]
