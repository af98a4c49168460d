"""Output of all commands: shared options, errors, tables."""

from collections.abc import Coroutine
from typing import Annotated, Any, NoReturn

import grpc
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from genai_spine.errors import SpineError
from genai_spine.supervisor.watchdog import StartFailed

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Address = Annotated[str, typer.Option(help="host:port of the server, or of Envoy.")]
DEFAULT_ADDRESS = "127.0.0.1:8100"
PIPE_WIDTH = 250  # characters


def fail(reason: object) -> NoReturn:
    """Exit with status 1 and the reason on standard error."""
    typer.echo(f"genai-spine: {reason}", err=True)
    raise typer.Exit(1)


def run(job: Coroutine[Any, Any, Any]) -> Any:
    """Result of a coroutine; errors of calls and connections end the command."""
    try:
        return uvloop.run(job)
    except grpc.aio.AioRpcError as error:
        reason = error.details() or error.code().name
        fail(f"{error.code().name}: {reason}")
    except (SpineError, OSError, StartFailed, ValueError) as error:
        fail(error)


def show_table(table: Table) -> None:
    """Table as wide as the terminal; in a pipe or a file nothing is cut off."""
    console = Console()
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(table)
