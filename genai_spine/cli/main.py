"""The command line: `genai-spine up | serve | migrate | chat | summarize | models | prompts | ...`.

Every command has --help, and --json where it prints something a program may read. Exit codes: 0 done,
1 it failed (the reason is on standard error), 2 the command line is wrong, 130 Ctrl-C. Commands that wait
for a run: 3 the run failed, 4 it was cancelled, 5 it has not ended.
"""

import os
import sys
from typing import Annotated

import typer

from genai_spine.cli.commands import OnDemand

COMPLETION = "_GENAI_SPINE_COMPLETE"  # Typer's variable; in it a shell asks what could stand next

app = typer.Typer(
    cls=OnDemand,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="GenAI Spine: one typed AI service for all your services.",
)


def main() -> None:
    """Run of the command line. Output that cannot be written ends it with a line, not with a traceback."""
    if COMPLETION in os.environ:
        from genai_spine.cli import completion

        completion.prepare()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except OSError as error:
        # Python flushes once more at the end, and says so if that fails.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # who reads our output has left, and knows
            from genai_spine.cli.output import complain

            complain(f"the output cannot be written: {error.strerror or error}")
        sys.exit(1)


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if show:
        from genai_spine.version import VERSION

        typer.echo(VERSION)
        raise typer.Exit()
