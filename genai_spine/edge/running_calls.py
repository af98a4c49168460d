"""Running calls, counted by the configuration that they began with, so that it can be put away after them;
and running streams, which a stopping server ends itself.
"""

import asyncio
from types import TracebackType
from typing import Any

from genai_spine.errors import ServiceUnavailable


class RunningCalls:
    """Count of running calls, by the configuration that they began with.

    A generation is a configuration's number: each reload of it begins the next one.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._counts = {0: 0}
        self._older: asyncio.Future[None] | None = None  # done when no call of an older generation runs

    @property
    def count(self) -> int:
        """Calls of all generations."""
        return sum(self._counts.values())

    def begin(self) -> int:
        """Begins a call; returns its generation."""
        self._counts[self.generation] += 1
        return self.generation

    def end(self, generation: int) -> None:
        """Ends a call of a generation."""
        self._counts[generation] -= 1
        if generation != self.generation:
            self._clean()

    def next_generation(self) -> "asyncio.Future[None]":
        """Begins a generation; the future is done when the calls of those before it have ended."""
        self.generation += 1
        self._counts[self.generation] = 0
        if self._older is None or self._older.done():
            self._older = asyncio.get_running_loop().create_future()
        older = self._older
        self._clean()
        return older

    def _clean(self) -> None:
        self._counts = {
            generation: count
            for generation, count in self._counts.items()
            if count or generation == self.generation
        }
        if len(self._counts) == 1 and self._older is not None and not self._older.done():
            self._older.set_result(None)


class RunningStreams:
    """Registry of running streams that a stopping server ends itself, with the reason.

    grpc would end them with a status only, which Envoy passes on to REST callers as a proper end of the body.
    """

    def __init__(self) -> None:
        self.running: set[RunningStream] = set()
        self.are_cut = False

    def begin(self) -> "RunningStream":
        """A stream of the current task, for a `with` around it."""
        return RunningStream(self)

    def cut(self) -> None:
        self.are_cut = True
        for stream in self.running:
            stream.cut()


class RunningStream:
    """Stream that can be cut, but for the time that a message of it is written.

    A write that is cancelled goes on below in grpc, which takes no further one beside it: neither a last
    message nor a status.
    """

    __slots__ = ("_streams", "_task", "is_cut", "is_writing")

    def __init__(self, streams: RunningStreams) -> None:
        self._streams = streams
        self._task: asyncio.Task[Any] = _current_task()
        self.is_writing = False  # set around each write by who writes, who then looks at is_cut
        self.is_cut = False

    def __enter__(self) -> "RunningStream":
        self._streams.running.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Errors: ServiceUnavailable in the place of the cancellation by which it was cut."""
        self._streams.running.discard(self)
        if self.is_cut and not self.is_writing and isinstance(error, asyncio.CancelledError):
            self._task.uncancel()
            raise _stopping() from None

    def cut(self) -> None:
        """Ends it now, or behind the message that is being written."""
        self.is_cut = True
        if not self.is_writing:
            self._task.cancel()

    def written(self) -> None:
        """The message has been written. Errors: ServiceUnavailable once the stream is cut."""
        self.is_writing = False
        if self.is_cut:
            raise _stopping()


def _stopping() -> ServiceUnavailable:
    return ServiceUnavailable(cause="it is stopping")


def _current_task() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    assert task is not None
    return task
