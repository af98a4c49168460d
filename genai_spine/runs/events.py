"""Writer of progress and output: what many runs report at once goes to the database in one transaction."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence

import structlog

from genai_spine.store.runs.events import EventRows, PendingEvent
from genai_spine.store.runs.news import Output

FLUSH_S = 0.04  # what is reported within so long is written together
PROGRESS_S = 0.2  # at most one event of progress a run in so long
MAX_WAITING = 10_000  # pieces that no database took; later ones of the text are left out

log = structlog.get_logger()


class EventWriter:
    """Events and output of the runs that one process makes, in their order."""

    def __init__(self, rows: EventRows) -> None:
        self._rows = rows
        self._events: dict[str, list[PendingEvent]] = defaultdict(list)
        self._output: dict[str, list[Output]] = defaultdict(list)
        self._progress: dict[str, tuple[float, str]] = {}  # that waits to become an event
        self._shown: dict[str, float] = {}  # when a run's last event of progress was written
        self._writing = asyncio.Lock()
        self._flusher: asyncio.Task[None] | None = None

    def event(self, run_id: str, event: PendingEvent) -> None:
        """Queues an event; flush() has it written."""
        self._events[run_id].append(event)
        self._soon()

    def progress(self, run_id: str, share: float, message: str) -> None:
        """Queues how far a run is, 0 to 1; of several in a short time the last one is written."""
        before = self._progress.get(run_id, (0.0, ""))[0]
        self._progress[run_id] = (max(before, min(1.0, share)), message)
        self._soon()

    def output(self, run_id: str, output: Output) -> None:
        """Queues a piece of text; pieces of one step are joined."""
        waiting = self._output[run_id]
        if waiting and (last := waiting[-1]).step_id == output.step_id and last.begun == output.begun:
            waiting[-1] = Output(last.step_id, last.begun, last.place, last.text + output.text)
        elif len(waiting) < MAX_WAITING:
            waiting.append(output)
        self._soon()

    async def flush(self, run_id: str) -> None:
        """Returns when all events of a run are written; its output is dropped, since its end replaces it."""
        self._output.pop(run_id, None)
        if progress := self._progress.pop(run_id, None):
            self._events[run_id].append(_event_of(progress))
        self._shown.pop(run_id, None)
        async with self._writing:
            if events := self._events.pop(run_id, None):
                await self._rows.add({run_id: events}, {})

    async def stop(self) -> None:
        """Ends the writer; what waits is written by whoever makes the run next."""
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.gather(self._flusher, return_exceptions=True)

    def _soon(self) -> None:
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush_all())

    async def _flush_all(self) -> None:
        while self._events or self._output or self._progress:
            await asyncio.sleep(FLUSH_S)
            async with self._writing:
                self._take_progress()
                events, output = dict(self._events), dict(self._output)
                self._events.clear()
                self._output.clear()
                if events or output:
                    await self._written(events, output)

    async def _written(self, events: dict[str, list[PendingEvent]], output: dict[str, list[Output]]) -> None:
        try:
            await self._rows.add(events, output)
        except Exception as error:  # progress is worth less than the run: its text and state come again
            log.warning("run_events_not_written", runs=len(events), cause=str(error)[:300])
            for run_id, several in events.items():
                self._events[run_id][:0] = _without_progress(several)
            await asyncio.sleep(1.0)

    def _take_progress(self) -> None:
        """Makes events of the progress that is due."""
        now = time.monotonic()
        for run_id, progress in list(self._progress.items()):
            if now - self._shown.get(run_id, 0.0) >= PROGRESS_S:
                del self._progress[run_id]
                self._shown[run_id] = now
                self._events[run_id].append(_event_of(progress))


def _event_of(progress: tuple[float, str]) -> PendingEvent:
    return PendingEvent("progress", {"progress": progress[0], "message": progress[1]})


def _without_progress(events: Sequence[PendingEvent]) -> list[PendingEvent]:
    """Events that are written later; progress is told anew by then."""
    return [event for event in events if event.event_type != "progress"]
