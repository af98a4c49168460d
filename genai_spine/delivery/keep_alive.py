"""Keep-alive of a stream: a marker in the stream's own queue whenever nothing came for a while.

From the first message on one task for each stream fills the queue, and one timer looks after it: neither
costs anything per chunk, nor delays the first.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class End:
    """Last entry of the queue. error: what ended the stream; None: it is complete."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class KeepAlive(Generic[T]):
    """Stream with markers: an async iterator of its messages, and of None after each silence of period_s.

    Silence counts from the first message on: before it, nothing holds the connection open. The queue has one
    place, so a slow reader holds up the producer as it would without a queue. Errors: those of the stream.
    """

    def __init__(self, messages: AsyncGenerator[T], period_s: float) -> None:
        """period_s: seconds."""
        self._messages = messages
        self._period_s = period_s
        self._queue: asyncio.Queue[T | End | None] = asyncio.Queue(1)
        self._loop = asyncio.get_running_loop()
        self._newest = 0.0  # when the newest entry came, on the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "KeepAlive[T]":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the stream, and returns when it is closed."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,))
        await self._messages.aclose()  # where no task had begun

    def __aiter__(self) -> "KeepAlive[T]":
        return self

    async def __anext__(self) -> T | None:
        if self._task is None:
            first = await anext(self._messages)
            self._newest = self._loop.time()
            self._timer = self._loop.call_later(self._period_s, self._check)
            self._task = asyncio.create_task(self._fill())
            return first
        entry = await self._queue.get()
        if not isinstance(entry, End):
            return entry
        if entry.error is not None:
            raise entry.error
        raise StopAsyncIteration

    async def _fill(self) -> None:
        error: BaseException | None = None
        try:
            async with aclosing(self._messages) as messages:
                async for message in messages:
                    await self._queue.put(message)
                    self._newest = self._loop.time()
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is None or task.cancelling():  # the caller left: nobody reads the queue
                raise
            error = cancelled  # something within the stream: its reader would get markers for ever
        except Exception as failure:
            error = failure
        await self._queue.put(End(error))

    def _check(self) -> None:
        silent_s = self._loop.time() - self._newest
        if silent_s >= self._period_s:
            if self._queue.empty():
                self._queue.put_nowait(None)
            self._newest, silent_s = self._loop.time(), 0.0
        self._timer = self._loop.call_later(self._period_s - silent_s, self._check)
