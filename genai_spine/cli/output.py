"""Output of all commands: shared options, errors, JSON, and text that cannot steer the terminal."""

import json
import os
import re
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Self

import typer

# Every command imports this module: what only some of its functions need, those import.
if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.status import Status

INTERRUPTED = 130  # exit status
# C0, C1, and what turns the direction of a line: they move the cursor, set titles, or hide what follows.
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "[::]": "[::1]"}  # listened on -> where it is asked


def counted(count: int, noun: str) -> str:
    """Number with its noun, whose plural is regular: `1 question`, `2 questions`, `2 processes`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}{'es' if noun.endswith('s') else 's'}"


def server_address() -> str:
    """Public address of the server that these settings start, unless GENAI_ADDRESS names another one."""
    if address := _variables().get("GENAI_ADDRESS"):
        return address
    from genai_spine.configuration.public_address import speaks_tls

    host, port = listens_at()
    if not port:
        fail("GENAI_API_PORT=0 names no port to call; say --address host:port")
    host = ANY_ADDRESS.get(host, host)
    scheme = "https://" if speaks_tls(_variables()) else ""
    return scheme + (f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}")


def listens_at() -> tuple[str, int]:
    """Host and port of the server that these settings start; port 0: any. What is wrong ends the command.

    They are not read by `settings`, whose imports would cost every command a second.
    """
    from genai_spine.configuration.public_address import public_address

    try:
        return public_address(_variables())
    except ValueError as error:
        fail(error)


def own_key() -> str | None:
    """Key that the commands show to a server, of GENAI_API_KEY; None: they show none."""
    return _variables().get("GENAI_API_KEY")


def own_tenant() -> str | None:
    """Tenant that the commands act for, of GENAI_TENANT; None: the key's own."""
    return _variables().get("GENAI_TENANT")


def _variables() -> dict[str, str]:
    """Variables of .env and of the environment, which wins; one that is empty says nothing."""
    from dotenv import dotenv_values

    given = {**dotenv_values(".env"), **{name: value for name, value in os.environ.items() if value}}
    return {name: value for name, value in given.items() if value}


PageToken = Annotated[str | None, typer.Option(help="next_page_token of the listing before it.")]
Time = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Address = Annotated[
    str,
    typer.Option(
        help="host:port of the server, or of Envoy; https://host:port by TLS. "
        "Default: GENAI_ADDRESS, or where `up` listens.",
        callback=lambda given: given or server_address(),
        show_default=False,
    ),
]
Tenant = Annotated[
    str | None, typer.Option(help="Tenant to act for. Default: GENAI_TENANT, or the key's own.")
]
DEFAULT_ADDRESS = ""  # what the option Address makes server_address() of


def fail(reason: object) -> NoReturn:
    """Exit with status 1 and the reason on standard error."""
    complain(reason)
    raise typer.Exit(1)


def standard_input() -> str:
    """All of standard input; exit with status 1 where it is not UTF-8."""
    try:
        return sys.stdin.read().encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeDecodeError:  # in a locale without UTF-8, other bytes are surrogates until then
        fail("standard input is not UTF-8")


def complain(reason: object) -> None:
    """Reason of a failure on standard error, in one line where it is one."""
    if isinstance(reason, Exception):
        reason = _said_by(reason)
    typer.echo(f"genai-spine: {harmless(str(reason))}", err=True)


def _said_by(error: Exception) -> object:
    import grpc

    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details() or error.code().name}"
    return error


def set_times(request: Any, since: datetime | None, until: datetime | None) -> None:
    """Writes start_time and end_time of a listing; both are UTC."""
    if since is not None:
        request.start_time.FromDatetime(since.replace(tzinfo=UTC))
    if until is not None:
        request.end_time.FromDatetime(until.replace(tzinfo=UTC))


def failures() -> tuple[type[Exception], ...]:
    """Exceptions that say by themselves why a command failed."""
    import grpc

    from genai_spine.errors import SpineError

    return grpc.aio.AioRpcError, SpineError, OSError, ValueError


def run(job: Coroutine[Any, Any, Any]) -> Any:
    """Result of a coroutine; errors of calls and connections end the command, and so does Ctrl-C."""
    import uvloop

    try:
        return uvloop.run(job)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # who reads our output has left
        raise
    except failures() as error:
        fail(error)


def plain(text: str) -> str:
    """Text on one line, its control characters written out: \\x1b, \\n."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def harmless(text: str) -> str:
    """Text with its lines and tabs; other control characters are written out."""
    lines = text.replace("\r", "").split("\n")
    return "\n".join("\t".join(map(plain, line.split("\t"))) for line in lines)


def write(text: str) -> None:
    """Content on standard output: harmless on a terminal, as it is in a pipe or a file."""
    sys.stdout.write(harmless(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def as_rest(message: "Message") -> dict[str, Any]:
    """JSON of an answer as REST callers get it, with the older names."""
    from google.protobuf.json_format import MessageToDict

    from genai_spine.services import rest_aliases

    rest_aliases.fill(message)
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def print_json(value: "Message | dict[str, Any]") -> None:
    """One line of JSON, in ASCII so that it cannot steer a terminal; a message as REST callers get it."""
    typer.echo(json.dumps(value if isinstance(value, dict) else as_rest(value)))


def print_listing(name: str, entries: list[Any], **further: Any) -> None:
    """JSON of a list: under its name, with a next_page_token, which is empty where nothing follows."""
    listed = [entry if isinstance(entry, dict) else as_rest(entry) for entry in entries]
    print_json({name: listed, "next_page_token": "", **further})


class Waiting:
    """Spinner on standard error, while a call has said nothing; nothing is shown in a pipe or a file."""

    def __init__(self, doing: str) -> None:
        self._status = _spinner(doing) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.stop()

    def update(self, doing: str) -> None:
        """Other words beside the spinner."""
        if self._status:
            self._status.update(doing)

    def say(self, doing: str) -> None:
        """Other words beside the spinner; without one, a line on standard error."""
        if self._status:
            self._status.update(doing)
        else:
            typer.echo(doing, err=True)

    def stop(self) -> None:
        if self._status:
            self._status.stop()
            self._status = None


def _spinner(doing: str) -> "Status":
    from rich.console import Console
    from rich.status import Status

    return Status(doing, console=Console(stderr=True))


class StreamedAnswer(Waiting):
    """Text of an answer on standard output, and a line feed; what comes after begins on a line of its own.

    A terminal gets it without control characters; a pipe or a file gets it as it is.
    """

    def __init__(self, doing: str) -> None:
        super().__init__(doing)
        self._is_begun = False
        self._is_line_open = False

    def write(self, text: str) -> None:
        if not text:
            return
        self.stop()
        self._is_begun = True
        self._is_line_open = not text.endswith("\n")
        write(text)

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.stop()
        if self._is_line_open or (self._is_begun and kind is None):
            typer.echo()
