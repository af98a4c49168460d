"""Conversations at a terminal: lines with editing and history; one lives on after errors and Ctrl-C."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import typer
import uvloop

from genai_spine.cli.output import complain, fail, failures, run, standard_input

PROMPT = "> "
HISTORY_LINES = 1000

Say = Callable[[str], Awaitable[None]]  # says something, and prints the answer


def converse(opened: AbstractAsyncContextManager[Say], text: str | None) -> None:
    """One turn with this text, or with all of standard input where that is no terminal; else a conversation.

    text: as on the command line; - reads standard input. The conversation ends with Ctrl-D.
    """
    if text is None and sys.stdin.isatty():
        _talk(opened)
        return
    said = standard_input() if text in (None, "-") else text
    if not said or not said.strip():
        fail("there is nothing to say: neither words nor input")
    run(_once(opened, said))


async def _once(opened: AbstractAsyncContextManager[Say], text: str) -> None:
    async with opened as say:
        await say(text)


def _talk(opened: AbstractAsyncContextManager[Say]) -> None:
    """Turn after turn on one event loop, so that the connection stays; Ctrl-C cancels only the turn."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, _LineEditor() as editor:
        try:
            say = runner.run(opened.__aenter__())
        except failures() as error:
            fail(error)
        try:
            while (line := editor.read()) is not None:
                if line.strip():
                    _exchange(runner, say, line)
        finally:
            runner.run(opened.__aexit__(None, None, None))


def _exchange(runner: asyncio.Runner, say: Say, line: str) -> None:
    async def exchange() -> None:
        await say(line)

    try:
        runner.run(exchange())
    except KeyboardInterrupt:
        typer.echo("[stopped]", err=True)
    except BrokenPipeError:  # who reads our output has left
        raise
    except failures() as error:
        complain(error)


class _LineEditor:
    """Lines with arrow keys and Ctrl-R; those of earlier conversations are in a file of this user."""

    def __init__(self) -> None:
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        self._history = Path(state) / "genai-spine" / "history"

    def __enter__(self) -> "_LineEditor":
        import readline  # slow, and only a conversation needs it; input() uses it from now on

        with suppress(OSError):  # none yet, or none that we may read
            readline.read_history_file(self._history)
        readline.set_history_length(HISTORY_LINES)
        return self

    def __exit__(self, *_: object) -> None:
        import readline

        with suppress(OSError):  # a conversation needs no history
            self._history.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._history.touch(mode=0o600)
            readline.write_history_file(self._history)

    def read(self) -> str | None:
        """Next line; None after Ctrl-D. Ctrl-C gives the line up, as in a shell."""
        while True:
            try:
                if sys.stdout.isatty():
                    return input(PROMPT)
                print(PROMPT, end="", file=sys.stderr, flush=True)  # standard output is for the answers
                return input()
            except EOFError:
                typer.echo(err=True)
                return None
            except KeyboardInterrupt:
                typer.echo(err=True)
