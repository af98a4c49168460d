"""`genai-spine config` and `genai-spine reload`: the configuration checked, shown, imported, read again."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from genai_spine.cli.output import Json, counted, fail, listens_at, run

if TYPE_CHECKING:
    from genai_spine.configuration.document import ConfigurationError
    from genai_spine.configuration.loader import Configuration

group = typer.Typer(
    no_args_is_help=True, help="genai.yaml: check it, show what is in force, import another's."
)
File = Annotated[Path | None, typer.Argument(help="File. Default: GENAI_CONFIG, genai.yaml.")]


@group.command()
def check(file: File = None, as_json: Json = False) -> None:
    """Check genai.yaml and the environment; exit 1 and every fault with its line when something is wrong."""
    found = _loaded(file, as_json=as_json)
    providers = sorted(found.settings.endpoints)
    if as_json:
        typer.echo(json.dumps({"file": found.source.name or None, "faults": [], "providers": providers}))
        return
    typer.echo(f"ok: {found.source.name or 'no genai.yaml, the environment alone'}")
    typer.echo(f"providers: {', '.join(providers)}")


@group.command()
def show(file: File = None, as_json: Json = False) -> None:
    """Show what is in force, genai.yaml and environment together; secrets are masked."""
    import yaml

    from genai_spine.configuration import show

    found = show.effective(_loaded(file, as_json=as_json))
    if as_json:
        typer.echo(json.dumps(found))
    else:
        typer.echo(yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=110), nl=False)


@group.command("envoy")
def envoy_command(
    directory: Annotated[Path, typer.Argument(help="Folder to write into.")],
) -> None:
    """Write Envoy's effective configuration for these settings, to read or to run elsewhere."""
    from genai_spine.supervisor import up

    typer.echo(up.write_edge_config(_loaded(None, as_json=False).settings, directory))


imports = typer.Typer(no_args_is_help=True, help="Make a genai.yaml of another gateway's configuration.")
group.add_typer(imports, name="import")


@imports.command()
def litellm(
    file: Annotated[Path, typer.Argument(help="LiteLLM's config.yaml.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write. Default: standard output.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn a LiteLLM configuration into ours; what could not be carried is listed on standard error."""
    from genai_spine.configuration import litellm
    from genai_spine.configuration.document import ConfigurationError

    try:
        imported = litellm.read(file)
    except ConfigurationError as error:
        fail(error)
    if output is not None and output.exists():
        fail(f"{output} is there already")
    if as_json:
        typer.echo(json.dumps({"configuration": imported.data, "left_out": imported.left_out}))
    elif output is None:
        typer.echo(imported.text(), nl=False)
    if output is not None:
        output.write_text(imported.text())
    if not as_json:
        for line in imported.left_out:
            typer.echo(f"not carried: {line}", err=True)


def reload(
    port: Annotated[
        int | None, typer.Option(help="Port that the service listens on. Default: as `up`.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let a running `up` read its configuration again; calls that run are not cut."""
    from genai_spine.supervisor import control

    outcome = run(control.ask_reload(listens_at()[1] if port is None else port))
    if as_json:
        typer.echo(json.dumps(outcome))
    elif outcome["refused"] is None:
        processes = counted(outcome["processes"], "process")
        typer.echo(f"reloaded by {processes}: {', '.join(outcome['providers'])}")
        if outcome["needs_restart"]:
            typer.echo(f"needs a restart: {', '.join(outcome['needs_restart'])}", err=True)
    else:
        fail(f"the old configuration stays in force:\n{outcome['refused']}")
    if outcome["refused"] is not None:
        raise typer.Exit(1)


def _loaded(file: Path | None, *, as_json: bool) -> "Configuration":
    """Configuration in force, or of one file; faults end the command."""
    from genai_spine.configuration.document import ConfigurationError
    from genai_spine.configuration.loader import Configuration, load, read
    from genai_spine.configuration.source import Source

    try:
        if file is None:
            return load()
        source = Source.of(file.absolute())
        return Configuration(read(source), source, {})
    except ConfigurationError as error:
        if as_json:
            _fail_as_json(error)
        fail(error)
    except ValueError as error:
        fail(error)


def _fail_as_json(error: "ConfigurationError") -> NoReturn:
    """Faults as JSON on standard output, and status 1."""
    faults = [
        {"file": fault.source or None, "line": fault.line, "path": fault.path, "problem": fault.problem}
        for fault in error.faults
    ]
    typer.echo(json.dumps({"faults": faults}))
    raise typer.Exit(1)
