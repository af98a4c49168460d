"""`genai-spine prompts`: list, show, delete, diff, rollback, label, run, export and import."""

import json
from collections.abc import AsyncIterable, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genai_spine.cli.client import connected, pages
from genai_spine.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    StreamedAnswer,
    as_rest,
    counted,
    fail,
    harmless,
    plain,
    print_json,
    print_listing,
    run,
    standard_input,
    write,
)
from genai_spine.cli.tables import Column, number, show_table
from genai_spine.v1 import prompt_service_pb2 as pb
from genai_spine.v1.prompt_service_pb2_grpc import PromptServiceStub

if TYPE_CHECKING:
    from genai_spine.v1.prompt_service_pb2_grpc import PromptServiceAsyncStub as Stub

group = typer.Typer(no_args_is_help=True, help="Prompts: kept, changed, filled in and run.")
Name = Annotated[str, typer.Argument(help="Slug or id.")]
Version = Annotated[
    str | None, typer.Option(help="Number or label. Default: production, where it is set, or latest.")
]


def call_service(address: str, send: "Callable[[Stub], Awaitable[Any]]") -> Any:
    """Answer of one call of PromptService; the command fails where the call does."""

    async def once() -> Any:
        async with connected(address) as channel:
            return await send(PromptServiceStub(channel))

    return run(once())


@group.command("list")
def list_prompts(
    category: Annotated[str | None, typer.Option(help="Only of this category.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only with one of these tags; repeatable.")] = None,
    search: Annotated[str | None, typer.Option(help="Only with this text in name or description.")] = None,
    system: Annotated[bool | None, typer.Option(help="Only shipped ones, or only others.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Deleted ones as well.")] = False,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List prompts, the newest change first."""
    request = pb.ListPromptsRequest(
        category=category, tags=tag, search=search, is_system=system, include_inactive=everything
    )
    request.page_size = 200

    async def listed(stub: "Stub") -> list[pb.Prompt]:
        return [prompt async for page in pages(stub.ListPrompts, request) for prompt in page.prompts]

    found = call_service(address, listed)
    if as_json:
        print_listing("prompts", found)
        return
    rows = []
    for prompt in found:
        labels = ", ".join(
            f"{label}={number}" for label, number in sorted(prompt.labels.items()) if label != "latest"
        )
        slug = prompt.slug if prompt.is_active else f"{prompt.slug} (deleted)"
        rows.append((slug, str(prompt.version), prompt.category, labels, prompt.name))
    columns = (Column("slug"), number("version"), Column("category"), Column("labels"), Column("name"))
    show_table(columns, rows)


@group.command()
def show(
    name: Name,
    version: Annotated[str | None, typer.Option(help="Number or label. Default: as it is now.")] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Print a prompt as YAML, or one of its versions."""
    if version is not None:
        request = pb.GetPromptVersionRequest(prompt_id=name, version=version)
        found = call_service(address, lambda stub: stub.GetPromptVersion(request))
    else:
        found = call_service(address, lambda stub: stub.GetPrompt(pb.GetPromptRequest(prompt_id=name)))
    if as_json:
        print_json(found)
        return
    from genai_spine.prompts import yaml_format

    if isinstance(found, pb.PromptVersion):
        fields = {field.name for field in pb.Prompt.DESCRIPTOR.fields}
        shown = {key: value for key, value in as_rest(found).items() if key in fields - {"id", "create_time"}}
        typer.echo(yaml_format.dumped(shown), nl=False)
    else:
        typer.echo(yaml_format.dumped(yaml_format.entry(found)), nl=False)


@group.command()
def delete(
    name: Name,
    hard: Annotated[bool, typer.Option("--hard", help="With all versions, for good.")] = False,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Delete a prompt; its versions stay, unless it is for good."""
    request = pb.DeletePromptRequest(prompt_id=name, hard=hard)
    call_service(address, lambda stub: stub.DeletePrompt(request))
    print_json({"deleted": name}) if as_json else typer.echo(plain(f"deleted {name}"))


@group.command()
def diff(
    name: Name,
    first: Annotated[str | None, typer.Argument(help="As --from.", metavar="[FROM]")] = None,
    second: Annotated[str | None, typer.Argument(help="As --to.", metavar="[TO]")] = None,
    before: Annotated[str | None, typer.Option("--from", help="Default: the one before --to.")] = None,
    after: Annotated[str | None, typer.Option("--to", help="Number or label. Default: latest.")] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Show what differs between two versions, such as: genai-spine prompts diff greeting 1 2."""
    if (first and before) or (second and after):
        raise typer.BadParameter("say each version once: `diff NAME 1 2`, or with --from and --to")
    sides = {"from": first or before, "to": second or after}
    request = pb.DiffPromptVersionsRequest(prompt_id=name, **sides)
    found = call_service(address, lambda stub: stub.DiffPromptVersions(request))
    if as_json:
        print_json(found)
        return
    typer.echo(f"version {found.from_version} -> {found.to_version}")
    for field in found.fields:
        old, late = (
            getattr(field, side) if field.HasField(side) else "(not set)" for side in ("before", "after")
        )
        text = f"{field.field}\n{field.unified}" if field.unified else f"{field.field}: {old} -> {late}"
        typer.echo(f"\n{harmless(text)}")


@group.command()
def rollback(
    name: Name,
    version: Annotated[int, typer.Argument(help="Number of the version to go back to.")],
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Make a new version with the content of an old one."""
    request = pb.RollbackPromptRequest(prompt_id=name, version=version)
    say_version(call_service(address, lambda stub: stub.RollbackPrompt(request)), as_json)


@group.command()
def label(
    name: Name,
    label: Annotated[str, typer.Argument(help="production, staging, ...")],
    version: Annotated[int, typer.Argument(help="Number of the version that it shall point at.")],
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Point a label at a version."""
    request = pb.SetPromptLabelRequest(prompt_id=name, label=label, version=version)
    say_version(call_service(address, lambda stub: stub.SetPromptLabel(request)), as_json)


@group.command("run")
def run_prompt(
    name: Name,
    variable: Annotated[
        list[str] | None,
        typer.Option("--variable", "-v", help="name=value, name=@file or name=@- (input); repeatable."),
    ] = None,
    version: Version = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model. Default: the prompt's.")] = None,
    provider: Annotated[str | None, typer.Option(help="Provider. Default: the prompt's.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Randomness. Default: the prompt's.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens of the answer.")] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Fill in a prompt and ask a model; the answer streams."""
    given = dict(_read(text) for text in variable or ())
    request = pb.ExecutePromptRequest(prompt_slug=name, version=version)
    for key, value in (("provider", provider), ("model", model)):
        if value is not None:
            setattr(request.options, key, value)
    if temperature is not None:
        request.options.temperature = temperature
    if max_tokens is not None:
        request.options.max_tokens = max_tokens

    async def execute(stub: "Stub") -> pb.ExecutePromptResponse:
        prompt = await stub.GetPrompt(pb.GetPromptRequest(prompt_id=name))
        types = {declared.name: declared.type for declared in prompt.variables}
        request.variables.update({key: _typed(key, text, types.get(key)) for key, text in given.items()})
        if as_json:
            return await stub.ExecutePrompt(request)
        return await _streamed(stub.StreamPrompt(request))

    result = call_service(address, execute)
    if as_json:
        print_json(result)
        return
    took = result.result
    cost = f"${took.cost.cost_usd:.6f}" if took.cost.price_known else "price not known"
    tokens = f"{took.usage.input_tokens}+{counted(took.usage.output_tokens, 'token')}"
    version_used = f"{result.prompt_slug} version {result.prompt_version}"
    typer.echo(f"[{version_used}, {took.provider}:{took.model}, {tokens}, {cost}]", err=True)


async def _streamed(events: AsyncIterable[pb.PromptEvent]) -> pb.ExecutePromptResponse:
    result = pb.ExecutePromptResponse()
    with StreamedAnswer("waiting for the model") as shown:
        async for event in events:
            if event.HasField("result"):
                result = event.result
            else:
                shown.write(event.text)
    return result


def _read(given: str) -> tuple[str, str]:
    name, equals, text = given.partition("=")
    if not equals:
        raise typer.BadParameter(f"{given!r} is not name=value")
    if text == "@-":
        return name, standard_input()
    try:
        return name, Path(text[1:]).read_text() if text.startswith("@") else text
    except OSError as error:
        fail(error)


def _typed(name: str, text: str, kind: str | None) -> Any:
    """A text as the variable's type needs it."""
    if kind not in ("integer", "number", "boolean", "array"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(f"variable {name} must be a JSON value of type {kind}, got {text[:60]!r}") from None


@group.command("export")
def export_prompts(
    names: Annotated[list[str] | None, typer.Argument(help="Slugs or ids. Default: all own ones.")] = None,
    system: Annotated[bool, typer.Option("--system", help="The shipped ones as well.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File. Default: print.")] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Write prompts as YAML."""
    request = pb.ExportPromptsRequest(prompt_ids=names, include_system=system)
    found = call_service(address, lambda stub: stub.ExportPrompts(request))
    if output is not None:
        output.write_text(found.yaml)
        typer.echo(f"{counted(found.prompt_count, 'prompt')} in {output}", err=True)
    else:
        print_json(found) if as_json else write(found.yaml)


@group.command("import")
def import_prompts(
    file: Annotated[typer.FileText, typer.Argument(help="YAML; - reads standard input.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen only.")] = False,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Make prompts from YAML, and change those of the same slug: all of them or none."""
    request = pb.ImportPromptsRequest(yaml=file.read(), dry_run=dry_run)
    found = call_service(address, lambda stub: stub.ImportPrompts(request))
    if as_json:
        print_json(found)
        return
    for outcome in ("created", "updated", "unchanged"):
        for slug in getattr(found, outcome):
            typer.echo(f"{outcome:<10} {slug}")


def say_version(prompt: pb.Prompt, as_json: bool) -> None:
    text = f"{prompt.slug} is at version {prompt.version}"
    labels = [f"{name}={number}" for name, number in sorted(prompt.labels.items()) if name != "latest"]
    text += f" ({', '.join(labels)})" if labels else ""
    print_json(prompt) if as_json else typer.echo(plain(text))
