"""`genai-spine config`, `reload` and `restart`: the configuration checked, shown, imported, put in force."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from genai_spine.cli.output import Json, counted, fail, listens_at, print_json, run

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

    async def asked() -> dict[str, Any]:
        async for line in control.ask(_port(port), "reload"):
            return line
        raise AssertionError("it ends with an error, or with an answer")

    outcome = run(asked())
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


def restart(
    port: Annotated[
        int | None, typer.Option(help="Port that the service listens on. Default: as `up`.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait; the restart goes on after them.", min=1)
    ] = 1800.0,
    as_json: Json = False,
) -> None:
    """Replace the server processes of a running `up`; calls and runs are not cut.

    New ones start with the program and the configuration as they are now, and take the calls; the old ones
    end what they have begun. Where the new ones do not come up, the old ones stay.
    """
    from genai_spine.supervisor import control

    async def asked() -> dict[str, Any]:
        line: dict[str, Any] = {}
        async for line in control.ask(_port(port), "restart", timeout):
            if as_json:
                print_json(line)
            elif "refused" not in line:
                typer.echo(line["text"])
        return line

    outcome = run(asked())
    if outcome["refused"] is not None:
        fail(f"no restart: {outcome['refused']}")
    if as_json:
        return
    replaced = counted(outcome["replaced"], "process")
    cut = f"; {counted(outcome['cut'], 'process')} had to be stopped" if outcome["cut"] else ""
    typer.echo(f"restarted: {replaced} replaced in {outcome['seconds']:g} s{cut}")
    if outcome["needs_restart"]:
        typer.echo(f"only another `up` takes: {', '.join(outcome['needs_restart'])}", err=True)


def _port(given: int | None) -> int:
    """Port of the service that is meant."""
    return listens_at()[1] if given is None else given


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
