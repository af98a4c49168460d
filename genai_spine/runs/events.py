"""Writer of progress and output: what many runs report at once goes to the database in one transaction."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import structlog

from genai_spine.concurrency import next_tick
from genai_spine.store.runs.events import EventRows, Owner, PendingEvent
from genai_spine.store.runs.news import Output

FLUSH_S = 0.05  # what is reported within so long is written together, that of all runs at one tick
LATE_S = 0.005  # after the tick, at which what the streams of all runs have brought is read
PROGRESS_S = 0.2  # at most one event of progress a run in so long
MAX_WAITING = 10_000  # pieces that no database took; later ones of the text are left out

log = structlog.get_logger()


class EventWriter:
    """Events and output of the runs that one process makes, in their order.

    What the database did not take waits for the next try; what a process reports of a run that it lost is
    left out.
    """

    def __init__(self, rows: EventRows) -> None:
        self._rows = rows
        self._events: dict[Owner, list[PendingEvent]] = defaultdict(list)
        self._tried: set[Owner] = set()  # whose events an earlier try may have written
        self._output: dict[Owner, list[Output]] = defaultdict(list)
        self._progress: dict[Owner, tuple[float, str]] = {}  # that waits to become an event
        self._shown: dict[Owner, float] = {}  # when a run's last event of progress was written
        self._writing = asyncio.Lock()
        self._flusher: asyncio.Task[None] | None = None

    def event(self, owner: Owner, event: PendingEvent) -> None:
        """Queues an event; flush() has it written."""
        self._events[owner].append(event)
        self._soon()

    def progress(self, owner: Owner, share: float, message: str) -> None:
        """Queues how far a run is, 0 to 1; of several in a short time the last one is written."""
        before = self._progress.get(owner, (0.0, ""))[0]
        self._progress[owner] = (max(before, min(1.0, share)), message)
        self._soon()

    def output(self, owner: Owner, output: Output) -> None:
        """Queues a piece of text; pieces of one step are joined."""
        waiting = self._output[owner]
        last = waiting[-1] if waiting else None
        if last is not None and last.place >= 0 and last[:2] == output[:2]:
            waiting[-1] = Output(last.step_id, last.begun, last.place, last.text + output.text)
        elif len(waiting) < MAX_WAITING:
            waiting.append(output)
        self._soon()

    async def flush(self, owner: Owner) -> None:
        """Returns when all events of a run are written; its output is dropped, since its end replaces it.

        Errors: those of the database; the events wait for another flush() then.
        """
        self._output.pop(owner, None)
        if progress := self._progress.pop(owner, None):
            self._events[owner].append(_event_of(progress))
        self._shown.pop(owner, None)
        async with self._writing:
            if events := self._events.pop(owner, None):
                await self._write({owner: events}, {})

    async def stop(self) -> None:
        """Ends the writer: what waits is written, once; the text by whoever makes the run next."""
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.gather(self._flusher, return_exceptions=True)
        events = dict(self._events)
        self._events.clear()
        try:
            await self._write(events, {})
        except Exception as error:
            log.warning("run_events_not_written", runs=len(events), cause=str(error)[:300])

    def _soon(self) -> None:
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush_all())

    async def _flush_all(self) -> None:
        while self._events or self._output or self._progress:
            now = asyncio.get_running_loop().time()
            await asyncio.sleep(next_tick(now - LATE_S, FLUSH_S) + LATE_S - now)
            async with self._writing:
                self._take_progress()
                events, output = dict(self._events), dict(self._output)
                self._events.clear()
                self._output.clear()
                if events or output:
                    await self._written(events, output)

    async def _written(
        self, events: dict[Owner, list[PendingEvent]], output: dict[Owner, list[Output]]
    ) -> None:
        try:
            await self._write(events, output)
        except Exception as error:  # text is worth less than the run: it comes again with the end
            log.warning("run_events_not_written", runs=len(events), cause=str(error)[:300])
            for owner in events:
                self._events[owner] = _without_progress(self._events[owner])
            await asyncio.sleep(1.0)

    async def _write(
        self, events: Mapping[Owner, list[PendingEvent]], output: Mapping[Owner, list[Output]]
    ) -> None:
        """Writes events, which wait again, before later ones, where that is cut or fails."""
        try:
            await self._rows.add(events, output, self._tried)
        except BaseException:
            for owner, several in events.items():
                self._events[owner][:0] = several
            self._tried.update(events)
            raise
        self._tried.difference_update(events)

    def _take_progress(self) -> None:
        """Makes events of the progress that is due."""
        now = time.monotonic()
        for owner, progress in list(self._progress.items()):
            if now - self._shown.get(owner, 0.0) >= PROGRESS_S:
                del self._progress[owner]
                self._shown[owner] = now
                self._events[owner].append(_event_of(progress))


def _event_of(progress: tuple[float, str]) -> PendingEvent:
    return PendingEvent("progress", {"progress": progress[0], "message": progress[1]})


def _without_progress(events: Sequence[PendingEvent]) -> list[PendingEvent]:
    """Events that are written later; progress is told anew by then."""
    return [event for event in events if event.event_type != "progress"]
