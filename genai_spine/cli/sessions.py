"""`genai-spine sessions`: chat in a stored session; list, show, export, import and delete."""

import json
import mimetypes
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.table import Column, Table

from genai_spine.cli.client import connected
from genai_spine.cli.output import DEFAULT_ADDRESS, Address, Json, run, show_table
from genai_spine.v1 import session_service_pb2 as pb
from genai_spine.v1.session_service_pb2_grpc import SessionServiceStub

if TYPE_CHECKING:
    from genai_spine.v1.session_service_pb2_grpc import SessionServiceAsyncStub

PAGE_SIZE = 500  # messages

group = typer.Typer(no_args_is_help=True, help="Chat sessions: list, show, chat, export, delete.")
Id = Annotated[str, typer.Argument(help="Id of the session.")]


@group.command("list")
def list_sessions(
    search: Annotated[str | None, typer.Option(help="Only with this text in title or messages.")] = None,
    model: Annotated[str | None, typer.Option(help="Only with this model.")] = None,
    limit: Annotated[int, typer.Option(help="Most sessions to show, up to 100.")] = 50,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List sessions, the newest change first."""

    async def listed() -> pb.ListSessionsResponse:
        async with _service(address) as sessions:
            request = pb.ListSessionsRequest(search=search, model=model, limit=limit)
            found: pb.ListSessionsResponse = await sessions.ListSessions(request)
            return found

    found = run(listed())
    if as_json:
        _print_json(found)
        return
    table = Table(
        Column("id", no_wrap=True, min_width=36), "title", "model", "messages", "tokens", "$", box=None
    )
    for session in found.sessions:
        numbers = (str(session.message_count), str(session.total_tokens), f"{session.total_cost_usd:.6f}")
        table.add_row(session.id, session.title, session.model, *numbers)
    show_table(table)
    if found.total > len(found.sessions):
        typer.echo(f"{len(found.sessions)} of {found.total}", err=True)


@group.command()
def show(id: Id, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Show a session and what was said in it."""

    async def read() -> tuple[pb.Session, list[pb.SessionMessage]]:
        async with _service(address) as sessions:
            session: pb.Session = await sessions.GetSession(pb.GetSessionRequest(session_id=id))
            request = pb.ListMessagesRequest(session_id=id, limit=PAGE_SIZE)
            page = await sessions.ListMessages(request)
            messages = list(page.messages)
            while page.messages and len(messages) < page.total:
                request.offset = len(messages)
                page = await sessions.ListMessages(request)
                messages += page.messages
            return session, messages

    session, messages = run(read())
    if as_json:
        typer.echo(json.dumps(_dict(session) | {"messages": [_dict(message) for message in messages]}))
        return
    typer.echo(f"{session.title or session.id}  {_sums(session)}")
    for message in messages:
        typer.echo(f"\n{message.role} ({message.model}):\n{message.content}")
        for file in message.attachments:
            typer.echo(f"[{file.filename}, {file.media_type}, {file.size_bytes} bytes]")


@group.command()
def chat(
    text: Annotated[list[str] | None, typer.Argument(help="What to say; - reads standard input.")] = None,
    session: Annotated[str | None, typer.Option(help="Id of the session. Default: a new one.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model of a new session.")] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="Instructions of a new one.")] = None,
    title: Annotated[str | None, typer.Option(help="Name of a new one.")] = None,
    file: Annotated[list[Path] | None, typer.Option(help="File to attach; repeatable.")] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Say something in a session; the answer streams. Without text: a conversation, until Ctrl-D."""
    if not (session or model):
        raise typer.BadParameter("a new session needs --model; --session goes on with one")
    files = [_attachment(path) for path in file or ()]
    content = " ".join(text or [])
    content = sys.stdin.read() if content == "-" else content

    async def talk() -> None:
        async with _service(address) as sessions:
            begun = pb.CreateSessionRequest(model=model or "", system_prompt=system, title=title)
            id = session or (await sessions.CreateSession(begun)).id
            request = pb.SendMessageRequest(session_id=id, content=content or _prompted(), attachments=files)
            while request.content:
                await _say(sessions, request, as_json=as_json)
                request = pb.SendMessageRequest(session_id=id, content="" if content else _prompted())

    try:
        run(talk())
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@group.command()
def export(
    id: Id,
    form: Annotated[str, typer.Option("--format", help="json, which imports again, or markdown.")] = "json",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write into.")] = None,
    address: Address = DEFAULT_ADDRESS,
) -> None:
    """Write a session as text."""

    async def exported() -> str:
        async with _service(address) as sessions:
            answer = await sessions.ExportSession(pb.ExportSessionRequest(session_id=id, format=form))
            return str(answer.text)

    written = run(exported())
    if output:
        output.write_text(written, "utf-8")
    else:
        typer.echo(written)


@group.command("import")
def import_session(
    path: Annotated[Path, typer.Argument(help="File that `export` wrote as JSON.", exists=True)],
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Make a session of an exported one; prints its id."""

    async def imported() -> pb.Session:
        async with _service(address) as sessions:
            request = pb.ImportSessionRequest(json=path.read_text("utf-8"))
            session: pb.Session = await sessions.ImportSession(request)
            return session

    session = run(imported())
    _print_json(session) if as_json else typer.echo(session.id)


@group.command()
def delete(id: Id, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Delete a session and everything that was said in it."""

    async def deleted() -> None:
        async with _service(address) as sessions:
            await sessions.DeleteSession(pb.DeleteSessionRequest(session_id=id))

    run(deleted())
    typer.echo(json.dumps({"deleted": id}) if as_json else f"deleted {id}")


@asynccontextmanager
async def _service(address: str) -> "AsyncIterator[SessionServiceAsyncStub]":
    async with connected(address) as channel:
        yield SessionServiceStub(channel)


async def _say(sessions: "SessionServiceAsyncStub", request: pb.SendMessageRequest, *, as_json: bool) -> None:
    async for event in sessions.StreamMessage(request):
        if event.HasField("result"):
            _print_result(event.result, as_json=as_json)
        elif not as_json:
            print(event.text, end="", flush=True)


def _print_result(result: pb.SendMessageResponse, *, as_json: bool) -> None:
    if as_json:
        _print_json(result)
        return
    print()
    tokens = f"{result.input_tokens} + {result.output_tokens} tokens"
    footer = f"[{result.model}, {tokens}, ${result.cost_usd:.6f}, session {result.session_id}]"
    print(footer, file=sys.stderr)


def _attachment(path: Path) -> pb.Attachment:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(str(error)) from None
    kind = mimetypes.guess_type(path.name)[0] or "text/plain"
    if not kind.startswith("image/") and kind != "application/pdf":
        kind = "text/plain"
    return pb.Attachment(filename=path.name, media_type=kind, data=data)


def _prompted() -> str:
    try:
        return input("> ")
    except EOFError:
        return ""


def _sums(session: pb.Session) -> str:
    count = f"{session.message_count} messages, {session.total_tokens} tokens"
    return f"[{session.model}, {count}, ${session.total_cost_usd:.6f}]"


def _dict(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _print_json(message: Message) -> None:
    typer.echo(json.dumps(_dict(message)))
