"""View of a watched run: a live picture on a terminal, a line for each event in a pipe or a file."""

import json
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

import typer
from google.protobuf import json_format

from genai_spine.cli.output import counted, harmless, plain, print_json
from genai_spine.v1 import run_pb2

# Only the live picture needs these, and most commands draw none.
if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

TEXT_LINES = 8  # of the text that the run writes
BAR_WIDTH = 40
FRAMES_PER_S = 8


class View:
    """View of one watch. as_json: each event as a line of JSON."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.is_live = sys.stdout.isatty() and not as_json
        self._as_json = as_json
        self._run = run_pb2.Run(status="waiting")
        self._texts: dict[str, str] = {}  # by step
        self._note = ""
        self._live = _picture() if self.is_live else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def event(self, event: run_pb2.RunEvent) -> None:
        """Shows an event."""
        self._note = ""
        if event.HasField("output"):
            before = "" if event.output.is_reset else self._texts.get(event.output.step_id, "")
            self._texts[event.output.step_id] = before + event.output.text
        elif event.event_type == "started":
            self._run.status = "running"
        elif event.event_type in ("progress", "progress.update"):
            data = json_format.MessageToDict(event.data)
            share = data["progress"] if "progress" in data else data["percent"] / 100.0
            self._run.progress = max(self._run.progress, share)
            self._run.progress_message = str(data["message"] or "")
        elif event.event_type in ("completed", "failed", "cancelled", "dead_lettered"):
            self._run.status = event.event_type
        if self._as_json:
            print_json(event)
        elif self.is_live:
            self._draw()
        elif not event.HasField("output") and event.event_type != "heartbeat":
            typer.echo(line(event))

    def refresh(self, run: run_pb2.Run) -> None:
        """Takes over cost, items and time left of a run."""
        self._run.CopyFrom(run)
        self._draw()

    def reconnecting(self) -> None:
        """Says that the connection is lost, and is made again."""
        if self.is_live:
            self._note = "the connection is lost; trying again"
            self._draw()
        else:
            typer.echo("the connection is lost; trying again", err=True)

    def end(self, run: run_pb2.Run) -> None:
        """Shows how the run ended."""
        if self._as_json:
            return
        typer.echo(ending(run))

    def _draw(self) -> None:
        if not self._live:
            return
        from rich.console import Group
        from rich.text import Text

        parts: list[object] = [self._head()]
        if text := "\n".join(self._texts.values()):
            shown = harmless(text).splitlines()[-TEXT_LINES:]
            parts.append(Text("\n".join(shown), style="dim"))
        if self._note:
            parts.append(Text(self._note, style="yellow"))
        self._live.update(Group(*parts))  # type: ignore[arg-type]

    def _head(self) -> "Table":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        run = self._run
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=1.0, completed=run.progress, width=BAR_WIDTH)
        grid.add_row(Text(run.status, style="bold"), bar, Text(f"{run.progress:4.0%}"), Text(_facts(run)))
        if run.progress_message:
            grid.add_row("", Text(plain(run.progress_message)))
        return grid


def _picture() -> "Live":
    from rich.console import Console
    from rich.live import Live

    return Live(console=Console(), refresh_per_second=FRAMES_PER_S, transient=True)


def line(event: run_pb2.RunEvent) -> str:
    """Event in one line."""
    time = event.timestamp.ToDatetime().strftime("%H:%M:%S")
    data = json_format.MessageToDict(event.data)
    said = " ".join(f"{name}={_value(value)}" for name, value in sorted(data.items()))
    return plain(f"{time} {event.sequence:>4} {event.event_type} {said}".rstrip())


def ending(run: run_pb2.Run) -> str:
    """Run in one line, at its end or as it is."""
    words = [run.run_id, run.status, _facts(run)]
    if run.HasField("duration_seconds"):
        words.append(f"{run.duration_seconds:.1f} s")
    if run.HasField("error"):
        words.append(f"{run.error.type}: {run.error.message}")
    return plain("  ".join(word for word in words if word))


def _facts(run: run_pb2.Run) -> str:
    """Items, cost and time left."""
    facts = []
    if run.HasField("item_counts"):
        counts = run.item_counts
        failed = f", {counts.failed} failed" if counts.failed else ""
        facts.append(f"{counts.completed}/{counted(counts.total, 'item')}{failed}")
    facts.append(f"${run.cost.cost_usd:.6f}")
    if run.HasField("eta"):
        facts.append(f"{run.eta.seconds} s left")
    return "  ".join(facts)


def _value(value: object) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) else str(value)
