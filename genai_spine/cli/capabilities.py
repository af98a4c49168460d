"""`genai-spine summarize | extract | classify | rewrite FILE`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table

from genai_spine.cli.client import connected
from genai_spine.cli.output import DEFAULT_ADDRESS, Address, Json, fail, run
from genai_spine.v1 import capability_service_pb2 as pb
from genai_spine.v1.capability_service_pb2_grpc import CapabilityServiceStub

File = Annotated[str, typer.Argument(help="File with the text; - reads standard input.")]
Model = Annotated[str | None, typer.Option("--model", "-m", help="Model. Default: the server's.")]
Provider = Annotated[str | None, typer.Option(help="Provider. Default: found from the model.")]
Domain = Annotated[str | None, typer.Option(help="What kind of text it is, as a hint.")]
Long = Annotated[
    Literal["refuse", "truncate", "map_reduce"],
    typer.Option("--long", help="What is done with a text that the model has no room for."),
]
POLICIES = {
    "refuse": pb.LONG_INPUT_REFUSE,
    "truncate": pb.LONG_INPUT_TRUNCATE,
    "map_reduce": pb.LONG_INPUT_MAP_REDUCE,
}
Mode = Literal["clean", "format", "organize", "professional", "casual", "summarize", "technical"]


def summarize(
    file: File,
    max_sentences: Annotated[int | None, typer.Option(help="Most sentences. Default: 3.")] = None,
    bullets: Annotated[bool, typer.Option("--bullets", help="Bullet points, no paragraph.")] = False,
    focus: Annotated[str | None, typer.Option(help="What it is about above all.")] = None,
    model: Model = None,
    provider: Provider = None,
    domain: Domain = None,
    long: Long = "refuse",
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Shorten a text to some sentences or bullet points."""
    request = pb.SummarizeRequest(
        content=read(file),
        max_sentences=max_sentences,
        output_format="bullet_points" if bullets else None,
        focus=focus,
        model=model,
        provider=provider,
        domain=domain,
        long_input=_policy(long),
    )
    written = _WrittenAnswer(as_json)
    answer = watch(pb.StreamCapabilityRequest(summarize=request), address, written).summarize
    written.end(answer, answer.summary)


def rewrite(
    file: File,
    mode: Annotated[Mode, typer.Option(help="In which way.")] = "clean",
    context: Annotated[str | None, typer.Option(help="What the model should know besides.")] = None,
    change_code: Annotated[bool, typer.Option("--change-code", help="Code blocks as well.")] = False,
    temperature: Annotated[float | None, typer.Option(help="Randomness. Default: that of the mode.")] = None,
    model: Model = None,
    provider: Provider = None,
    domain: Domain = None,
    long: Long = "refuse",
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Say a text in another form or tone."""
    request = pb.RewriteRequest(
        content=read(file),
        mode=mode,
        preserve_code_blocks=not change_code,
        temperature=temperature,
        model=model,
        provider=provider,
        domain=domain,
        long_input=_policy(long),
    )
    if context:
        request.context.string_value = context
    written = _WrittenAnswer(as_json)
    answer = watch(pb.StreamCapabilityRequest(rewrite=request), address, written).rewrite
    written.end(answer, answer.rewritten)


def extract(
    file: File,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", "-t", help="Kind to find; repeatable. Default: persons, places and so on."),
    ] = None,
    include_context: Annotated[bool, typer.Option("--context", help="The words around each.")] = False,
    only_found: Annotated[
        bool, typer.Option("--only-found", help="Leave out what does not stand in the text.")
    ] = False,
    model: Model = None,
    provider: Provider = None,
    domain: Domain = None,
    long: Long = "refuse",
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Find named things in a text, with their places."""
    request = pb.ExtractRequest(
        content=read(file),
        entity_types=types,
        include_context=include_context,
        unfound=pb.UNFOUND_ENTITY_DROP if only_found else pb.UNFOUND_ENTITY_MARK,
        model=model,
        provider=provider,
        domain=domain,
        long_input=_policy(long),
    )
    answer = watch(pb.StreamCapabilityRequest(extract=request), address).extract
    if as_json:
        _print(answer)
        return
    table = Table("from", "to", "type", "text", "sure", *(["context"] * include_context), box=None)
    for entity in answer.entities:
        place = (str(entity.start), str(entity.end)) if entity.verified else ("?", "?")
        context = [entity.context] * include_context
        table.add_row(*place, entity.type, entity.text, f"{entity.confidence:.2f}", *context)
    Console().print(table)


def classify(
    file: File,
    categories: Annotated[list[str], typer.Option("--category", "-c", help="Category; repeatable.")],
    several: Annotated[bool, typer.Option("--several", help="Several may fit.")] = False,
    model: Model = None,
    provider: Provider = None,
    domain: Domain = None,
    long: Long = "refuse",
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Say to which of the given categories a text belongs."""
    request = pb.ClassifyRequest(
        content=read(file),
        categories=categories,
        multi_label=several,
        model=model,
        provider=provider,
        domain=domain,
        long_input=_policy(long),
    )
    answer = watch(pb.StreamCapabilityRequest(classify=request), address).classify
    if as_json:
        _print(answer)
        return
    for entry in answer.classifications:
        typer.echo(f"{entry.confidence:.2f}  {entry.category}")


def add_to(app: typer.Typer) -> None:
    for command in (summarize, extract, classify, rewrite):
        app.command()(command)


def read(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text("utf-8")
    except OSError as error:
        fail(error)
    except UnicodeDecodeError:
        fail(f"{file} is no text in UTF-8")


def watch(
    request: pb.StreamCapabilityRequest, address: str, take: Callable[[str], None] | None = None
) -> pb.CapabilityEvent:
    """The last event, with the result. take: gets the text as it comes. Progress goes to standard error."""

    async def follow() -> pb.CapabilityEvent:
        last = pb.CapabilityEvent()
        async with connected(address) as channel:
            async for event in CapabilityServiceStub(channel).StreamCapability(request):
                last = event
                if event.text and take:
                    take(event.text)
                if event.progress.done:
                    typer.echo(f"{event.progress.done} of {event.progress.total} pieces", err=True)
        return last

    event: pb.CapabilityEvent = run(follow())
    return event


class _WrittenAnswer:
    """Text on a terminal as it comes; for a pipe and as JSON only the result counts."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.live = sys.stdout.isatty() and not as_json
        self.seen = False

    def __call__(self, text: str) -> None:
        if self.live:
            self.seen = True
            typer.echo(text, nl=False)

    def end(self, answer: Message, text: str) -> None:
        if self.as_json:
            _print(answer)
        else:
            typer.echo("" if self.seen else text)
        context: pb.CapabilityContext = answer.context  # type: ignore[attr-defined]  # every response has it
        if context.omitted_characters:
            typer.echo(f"{context.omitted_characters} characters in the middle were not read", err=True)
        if context.answer_was_cut:
            typer.echo("a limit of tokens ended the answer; it may be incomplete", err=True)


def _print(answer: Message) -> None:
    shown: dict[str, Any] = MessageToDict(
        answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    typer.echo(json.dumps(shown, ensure_ascii=False))


def _policy(long: str) -> pb.LongInput:
    return POLICIES[long]
