"""Watching of runs: events from a sequence number on, first what is there, then what comes, until the end."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from genai_spine.store.database import Database
from genai_spine.store.runs.events import EventRows
from genai_spine.store.runs.news import Output, Reader, RunNews
from genai_spine.store.runs.runs import RunRows
from genai_spine.telemetry import calls
from genai_spine.v1 import run_pb2 as pb

PAGE = 200  # events that are read at once

Events = AsyncGenerator[pb.RunEvent | None]


@dataclass(slots=True)
class Place:
    """How far a watcher is."""

    sequence: int = 0
    with_output: bool = True
    offsets: dict[str, int] = field(default_factory=dict)  # characters of text, by step
    begun: dict[str, int] = field(default_factory=dict)  # attempt of each step that they are of


class RunWatcher:
    """Watches of runs. A watcher reads at its own pace, and nothing is kept for it in memory."""

    def __init__(self, database: Database) -> None:
        self._events = EventRows(database)
        self._runs = RunRows(database)
        self._news = RunNews.of(database)

    async def watch(self, run_id: str, place: Place, silence_s: float) -> Events:
        """Events behind a place; the last one is that of the run's end, after which no retry follows.

        None at its begin, and after each silence of silence_s: seconds, to the second.
        """
        yield None
        newest = monotonic()
        with self._news.reading(run_id) as reader, _counted():
            while True:
                reader.is_told = False
                has_ended = await self._runs.has_ended(run_id)
                async for event in self._new(run_id, place):
                    yield event
                    newest = monotonic()
                if has_ended:
                    return
                while await self._news.wait(reader.event) and not reader.is_told:
                    for piece in _taken(reader, place):
                        yield _event(run_id, place, piece)
                        newest = monotonic()
                if monotonic() - newest >= silence_s:
                    yield None
                    newest = monotonic()

    async def _new(self, run_id: str, place: Place) -> AsyncGenerator[pb.RunEvent]:
        """What there is now behind a place."""
        while True:
            events = await self._events.after(run_id, place.sequence, PAGE)
            for event in events:
                place.sequence = event.sequence
                yield event
            if len(events) < PAGE:
                break
            await asyncio.sleep(0)
        if place.with_output:
            for output in _newest(await self._events.output(run_id), place):
                if (piece := _unseen(output, place)) is not None:
                    yield _event(run_id, place, piece)


@contextmanager
def _counted() -> Iterator[None]:
    """Counts a watcher for the metrics."""
    watchers = calls.SUBSCRIBERS.of()
    watchers.add()
    try:
        yield
    finally:
        watchers.add(-1)


def _newest(outputs: Sequence[Output], place: Place) -> list[Output]:
    """Text of the newest beginning of each step: that of a process that was lost, or of an attempt that
    failed, is void.

    A watcher that says how much it has, and not of which beginning, has that of an older one.
    """
    begun: dict[str, list[int]] = {}
    for output in outputs:
        if output.begun not in (numbers := begun.setdefault(output.step_id, [])):
            numbers.append(output.begun)
    for step_id, numbers in begun.items():
        if len(numbers) > 1 and place.offsets.get(step_id):
            place.begun.setdefault(step_id, min(numbers))
    return [output for output in outputs if output.begun == max(begun[output.step_id])]


def _taken(reader: Reader, place: Place) -> list[pb.RunOutput]:
    """Text that a reader was given and has not seen; what is missing before it is looked for."""
    found = []
    while reader.pieces and place.with_output:
        output = reader.pieces.popleft()
        known = place.begun.get(output.step_id, 0)
        seen = place.offsets.get(output.step_id, 0) if known == output.begun else 0
        if output.begun >= known and output.place > seen:
            reader.pieces.clear()
            reader.set()
        elif (piece := _unseen(output, place)) is not None:
            found.append(piece)
    reader.pieces.clear()
    return found


def _event(run_id: str, place: Place, piece: pb.RunOutput) -> pb.RunEvent:
    return pb.RunEvent(
        run_id=run_id, sequence=place.sequence, event_type="output", source="worker", output=piece
    )


def _unseen(output: Output, place: Place) -> pb.RunOutput | None:
    """Part of a piece of text that the watcher does not have; None: it has all of it."""
    known = place.begun.get(output.step_id)
    if known is not None and output.begun < known:
        return None
    is_reset = known is not None and output.begun > known
    if is_reset:
        place.offsets[output.step_id] = 0
    place.begun[output.step_id] = output.begun
    seen = place.offsets.get(output.step_id, 0)
    text = output.text[max(0, seen - output.place) :]
    if output.place > seen or not (text or is_reset):
        return None
    place.offsets[output.step_id] = seen + len(text)
    return pb.RunOutput(step_id=output.step_id, text=text, offset=seen, is_reset=is_reset)
