"""`genai-spine summarize | extract | classify | rewrite FILE`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from google.protobuf.message import Message

from genai_spine.cli.client import connected
from genai_spine.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    StreamedAnswer,
    Waiting,
    fail,
    plain,
    print_json,
    run,
    standard_input,
    write,
)
from genai_spine.cli.tables import Column, number, show_table
from genai_spine.v1 import capability_service_pb2 as pb
from genai_spine.v1.capability_result_pb2 import CapabilityResult
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
    answer = _text(pb.StreamCapabilityRequest(summarize=request), address, as_json=as_json).summarize
    _end(answer, answer.result, answer.summary, as_json=as_json)


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
    answer = _text(pb.StreamCapabilityRequest(rewrite=request), address, as_json=as_json).rewrite
    _end(answer, answer.result, answer.rewritten, as_json=as_json)


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
    with Waiting("extracting") as waiting:
        answer = run(watch(pb.StreamCapabilityRequest(extract=request), address, waiting)).extract
    if as_json:
        print_json(answer)
        return
    columns = [number("from"), number("to"), Column("type"), Column("text"), number("sure")]
    rows = []
    for entity in answer.entities:
        place = (str(entity.start), str(entity.end)) if entity.verified else ("?", "?")
        context = [entity.context] * include_context
        rows.append((*place, entity.type, entity.text, f"{entity.confidence:.2f}", *context))
    show_table(columns + [Column("context")] * include_context, rows)


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
    with Waiting("classifying") as waiting:
        answer = run(watch(pb.StreamCapabilityRequest(classify=request), address, waiting)).classify
    if as_json:
        print_json(answer)
        return
    for entry in answer.classifications:
        typer.echo(f"{entry.confidence:.2f}  {plain(entry.category)}")


def read(file: str) -> str:
    if file == "-":
        return standard_input()
    try:
        return Path(file).read_text("utf-8")
    except OSError as error:
        fail(error)
    except UnicodeDecodeError:
        fail(f"{file} is no text in UTF-8")


async def watch(
    request: pb.StreamCapabilityRequest, address: str, waiting: Waiting, shown: StreamedAnswer | None = None
) -> pb.CapabilityEvent:
    """Last event, with the result. Progress stands beside the spinner; shown: gets the text as it comes."""
    last = pb.CapabilityEvent()
    async with connected(address) as channel:
        async for event in CapabilityServiceStub(channel).StreamCapability(request):
            last = event
            if event.progress.done:
                waiting.say(f"{event.progress.done} of {event.progress.total} chunks")
            if shown:
                shown.write(event.text)
    return last


def _text(request: pb.StreamCapabilityRequest, address: str, *, as_json: bool) -> pb.CapabilityEvent:
    """The last event of a capability that writes text: on a terminal as it comes.

    For a pipe and as JSON only the result counts.
    """
    is_live = sys.stdout.isatty() and not as_json
    with StreamedAnswer("writing") as shown:
        event: pb.CapabilityEvent = run(watch(request, address, shown, shown if is_live else None))
    return event


def _end(answer: Message, result: CapabilityResult, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    elif not sys.stdout.isatty():  # else it is there already
        write(f"{text}\n")
    context = result.context
    if context.omitted_characters:
        typer.echo(f"{context.omitted_characters} characters in the middle were not read", err=True)
    if context.answer_was_cut:
        typer.echo("a limit of tokens ended the answer; it may be incomplete", err=True)


def _policy(long: str) -> pb.LongInput:
    return POLICIES[long]
