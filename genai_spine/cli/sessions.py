"""`genai-spine sessions`: chat in a stored session; list, show, export, import and delete."""

import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genai_spine.cli.client import connected, pages
from genai_spine.cli.conversation import Say, converse
from genai_spine.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    PageToken,
    StreamedAnswer,
    as_rest,
    counted,
    harmless,
    plain,
    print_json,
    print_listing,
    run,
    write,
)
from genai_spine.cli.tables import Column, firm, number, show_table
from genai_spine.v1 import session_service_pb2 as pb
from genai_spine.v1.session_service_pb2_grpc import SessionServiceStub

if TYPE_CHECKING:
    from genai_spine.v1.session_service_pb2_grpc import SessionServiceAsyncStub

PAGE_SIZE = 500  # messages

COLUMNS = (
    *(firm("id"), firm("changed (UTC)"), Column("title"), Column("model")),
    *(number("messages"), number("tokens"), number("$")),
)

group = typer.Typer(no_args_is_help=True, help="Chat sessions: list, show, chat, export, delete.")
Id = Annotated[str, typer.Argument(help="Id of the session.")]


@group.command("list")
def list_sessions(
    search: Annotated[str | None, typer.Option(help="Only with this text in title or messages.")] = None,
    model: Annotated[str | None, typer.Option(help="Only with this model.")] = None,
    limit: Annotated[int, typer.Option(help="Most sessions to show, up to 100.")] = 50,
    page_token: PageToken = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List sessions, the newest change first."""

    async def listed() -> pb.ListSessionsResponse:
        async with _service(address) as sessions:
            request = pb.ListSessionsRequest(
                search=search, model=model, page_size=limit, page_token=page_token
            )
            found: pb.ListSessionsResponse = await sessions.ListSessions(request)
            return found

    found = run(listed())
    if as_json:
        rest = {"total": found.total, "next_page_token": found.next_page_token}
        print_listing("sessions", list(found.sessions), **rest)
        return
    rows = []
    for session in found.sessions:
        numbers = (
            str(session.message_count),
            str(session.total_tokens),
            f"{session.total_cost.cost_usd:.6f}",
        )
        changed = session.update_time.ToDatetime().strftime("%Y-%m-%d %H:%M")
        rows.append((session.id, changed, session.title, session.model, *numbers))
    show_table(COLUMNS, rows)
    if found.total > len(found.sessions):
        typer.echo(f"{len(found.sessions)} of {found.total}", err=True)


@group.command()
def show(id: Id, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Show a session and what was said in it."""

    async def read() -> tuple[pb.Session, list[pb.SessionMessage]]:
        async with _service(address) as sessions:
            session: pb.Session = await sessions.GetSession(pb.GetSessionRequest(session_id=id))
            request = pb.ListMessagesRequest(session_id=id, page_size=PAGE_SIZE)
            listed = pages(sessions.ListMessages, request)
            return session, [message async for page in listed for message in page.messages]

    session, messages = run(read())
    if as_json:
        listed = {"messages": [as_rest(message) for message in messages], "next_page_token": ""}
        print_json(as_rest(session) | listed)
        return
    typer.echo(plain(f"{session.title or session.id}  {_sums(session)}"))
    for message in messages:
        typer.echo(harmless(f"\n{message.role} ({message.model}):\n{message.content}"))
        for file in message.attachments:
            typer.echo(plain(f"[{file.filename}, {file.media_type}, {file.size_bytes} bytes]"))


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
    begun = None if session else pb.CreateSessionRequest(model=model or "", system_prompt=system, title=title)
    spoken = _Spoken(session or "", begun, files, as_json=as_json)
    converse(spoken.opened(address), " ".join(text) if text else None)


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
        write(f"{written}\n")


@group.command("import")
def import_session(
    path: Annotated[Path, typer.Argument(help="File that `export` wrote as JSON.", exists=True)],
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Make a session of an exported one; prints its id."""

    async def imported() -> pb.Session:
        async with _service(address) as sessions:
            request = pb.ImportSessionRequest(session_json=path.read_text("utf-8"))
            session: pb.Session = await sessions.ImportSession(request)
            return session

    session = run(imported())
    print_json(session) if as_json else typer.echo(session.id)


@group.command()
def delete(id: Id, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Delete a session and everything that was said in it."""

    async def deleted() -> None:
        async with _service(address) as sessions:
            await sessions.DeleteSession(pb.DeleteSessionRequest(session_id=id))

    run(deleted())
    print_json({"deleted": id}) if as_json else typer.echo(plain(f"deleted {id}"))


@asynccontextmanager
async def _service(address: str) -> "AsyncIterator[SessionServiceAsyncStub]":
    async with connected(address) as channel:
        yield SessionServiceStub(channel)


class _Spoken:
    """What is said in a session, which a first message begins where there is none yet."""

    def __init__(
        self, id: str, begun: pb.CreateSessionRequest | None, files: list[pb.Attachment], *, as_json: bool
    ) -> None:
        self.id, self.begun, self.files, self.as_json = id, begun, files, as_json

    @asynccontextmanager
    async def opened(self, address: str) -> AsyncIterator[Say]:
        async with _service(address) as sessions:

            async def say(text: str) -> None:
                if not self.id and self.begun:
                    self.id = (await sessions.CreateSession(self.begun)).id
                request = pb.SendMessageRequest(session_id=self.id, content=text, attachments=self.files)
                await self._send(sessions, request)
                self.files = []  # they go with the first message that is answered

            yield say

    async def _send(self, sessions: "SessionServiceAsyncStub", request: pb.SendMessageRequest) -> None:
        result = pb.SendMessageResponse()
        with StreamedAnswer("waiting for the model") as shown:
            async for event in sessions.StreamMessage(request):
                if event.HasField("result"):
                    result = event.result
                elif not self.as_json:
                    shown.write(event.text)
        if self.as_json:
            print_json(result)
            return
        tokens = f"{result.input_tokens} + {counted(result.output_tokens, 'token')}"
        cost = f"${result.message_cost.cost_usd:.6f}"
        typer.echo(f"[{result.model}, {tokens}, {cost}, session {result.session_id}]", err=True)


def _attachment(path: Path) -> pb.Attachment:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(str(error)) from None
    kind = mimetypes.guess_type(path.name)[0] or "text/plain"
    if not kind.startswith("image/") and kind != "application/pdf":
        kind = "text/plain"
    return pb.Attachment(filename=path.name, media_type=kind, data=data)


def _sums(session: pb.Session) -> str:
    count = f"{counted(session.message_count, 'message')}, {counted(session.total_tokens, 'token')}"
    return f"[{session.model}, {count}, ${session.total_cost.cost_usd:.6f}]"
