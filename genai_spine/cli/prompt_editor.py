"""`genai-spine prompts create | edit`: prompts as YAML in the editor of who calls."""

import os
import re
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genai_spine.cli.output import DEFAULT_ADDRESS, Address, Json, fail
from genai_spine.cli.prompts import Name, call_service, group, say_version
from genai_spine.errors import SpineError
from genai_spine.v1 import prompt_service_pb2 as pb

VARIABLE = re.compile(r"\{\{-?\s*([A-Za-z_]\w*)\s*[|}-]")  # {{ name }}, {{ name | upper }}

if TYPE_CHECKING:
    from genai_spine.v1.prompt_service_pb2_grpc import PromptServiceAsyncStub as Stub


@group.command()
def create(
    slug: Annotated[str, typer.Argument(help="Name for programs: small letters, digits and hyphens.")],
    file: Annotated[
        typer.FileText | None,
        typer.Option("--file", "-f", help="File with the template; -: standard input. Default: an editor."),
    ] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="Instructions, a template.")] = None,
    variable: Annotated[
        list[str] | None,
        typer.Option("--variable", "-v", help="Name of a value; repeatable. Default: those in {{ }}."),
    ] = None,
    title: Annotated[str | None, typer.Option("--name", help="Name for people. Default: the slug.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    category: Annotated[str | None, typer.Option(help="Default: custom.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Word to find it by; repeatable.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Default: the server's.")] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Make a prompt of a template, in which {{ name }} stands for a value."""
    template = file.read() if file else "Write about {{ subject }}."
    names = variable or dict.fromkeys(VARIABLE.findall(f"{system or ''}{template}"))
    prompt = pb.Prompt(
        slug=slug,
        name=title or slug,
        user_prompt_template=template,
        variables=[pb.PromptVariable(name=name) for name in names],
        system_prompt=system,
        description=description,
        category=category,
        tags=tag,
        preferred_model=model,
    )
    path = None
    if file is None:
        prompt, path = _written(prompt)
    request = pb.CreatePromptRequest(prompt=prompt)
    try:
        created = call_service(address, lambda stub: stub.CreatePrompt(request))
    except typer.Exit:
        if path:
            typer.echo(f"what you wrote is in {path}", err=True)
        raise
    if path:
        path.unlink()
    say_version(created, as_json)


def _written(prompt: pb.Prompt) -> tuple[pb.Prompt, Path]:
    """A new prompt as somebody wrote it in the editor, and the file of it."""
    from genai_spine.prompts import yaml_format

    path, text = _edited(yaml_format.dumped(yaml_format.entry(prompt)), prompt.slug)
    try:
        [given] = yaml_format.read(text)
    except (SpineError, ValueError) as error:
        fail(f"{error}; what you wrote is in {path}")
    return given, path


@group.command()
def edit(
    name: Name,
    notes: Annotated[str | None, typer.Option(help="Why; stands in the version.")] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Open a prompt as YAML in $VISUAL or $EDITOR, and save what was changed.

    Nobody's change is overwritten: when the prompt was changed meanwhile, saving fails and the file stays.
    """
    from genai_spine.prompts import yaml_format
    from genai_spine.prompts.editor import EDITABLE

    try:
        prompt = call_service(address, lambda stub: stub.GetPrompt(pb.GetPromptRequest(prompt_id=name)))
    except typer.Exit:
        typer.echo(f"`genai-spine prompts create {name}` makes a new one", err=True)
        raise
    before = yaml_format.dumped(yaml_format.entry(prompt))
    path, after = _edited(before, prompt.slug)
    if after == before:
        path.unlink()
        typer.echo("nothing was changed", err=True)
        return

    async def save(stub: "Stub") -> pb.Prompt:
        [given] = yaml_format.read(after)
        given.etag, given.change_notes = prompt.etag, notes or ""
        request = pb.UpdatePromptRequest(prompt_id=prompt.id, prompt=given)
        request.update_mask.paths.extend(EDITABLE)
        return await stub.UpdatePrompt(request)

    try:
        saved = call_service(address, save)
    except typer.Exit:
        typer.echo(f"what you wrote is in {path}", err=True)
        raise
    path.unlink()
    say_version(saved, as_json)


def _edited(text: str, slug: str) -> tuple[Path, str]:
    """The file that the editor left, and its text."""
    handle, path = tempfile.mkstemp(prefix=f"{slug}-", suffix=".yaml")
    with os.fdopen(handle, "w") as file:
        file.write(text)
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    try:
        ended = subprocess.run([*editor, path], check=False)
    except OSError as error:
        fail(f"the editor {editor[0]} cannot be started: {error.strerror}")
    if ended.returncode:
        fail(f"the editor {editor[0]} ended with {ended.returncode}; nothing was saved")
    return Path(path), Path(path).read_text()
