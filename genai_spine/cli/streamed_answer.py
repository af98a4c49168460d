"""Answers on standard output as they come, and a sign on a terminal that somebody is at work."""

import sys
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.status import Status

from genai_spine.cli.output import write


class Waiting:
    """Spinner on standard error, while a call has said nothing; nothing is shown in a pipe or a file."""

    def __init__(self, doing: str) -> None:
        self._status = Status(doing, console=Console(stderr=True)) if sys.stderr.isatty() else None

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
