"""Delivery of messages from an outbox: claimed by one process for a time, tried again with growing pauses.

A message is told twice, with the same id, where a process dies in between. Several are on their way at once,
so that a receiver that hangs holds up itself alone.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

import structlog

from genai_spine.webhooks.posting import WebhookFailed

LEASE_S = 60.0  # for which an attempt is its process's own; longer than one takes
POLL_S = 10.0  # between looks for what is due
WAITS_S = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800)  # after each failed attempt: 16 hours
MAX_AT_ONCE = 20

log = structlog.get_logger()
T = TypeVar("T", bound="Message")


class Message(Protocol):
    """Message of an outbox."""

    @property
    def id(self) -> str:
        """Id, which is equal for every attempt."""
        ...

    @property
    def attempts(self) -> int:
        """Attempts that were begun, this one included."""
        ...


class Outbox(Protocol[T]):
    """Table of messages that are to be told."""

    async def claim(self, lease_s: float, limit: int) -> Sequence[T]:
        """Messages that are due, by this process alone for lease_s."""
        ...

    async def delivered(self, message: T) -> None:
        """The message was told."""
        ...

    async def failed(self, message: T, wait_s: float | None, problem: str) -> None:
        """The message was not told. wait_s: until it is tried again; None: it is given up."""
        ...


class Delivery(Generic[T]):
    """Delivery of one outbox; start() and stop(). tell: posts a message, or raises WebhookFailed.

    name: what log lines begin with, such as budget_webhook. is_on: whether there is somebody to tell now.
    """

    def __init__(
        self,
        outbox: Outbox[T],
        tell: Callable[[T], Awaitable[None]],
        name: str,
        is_on: Callable[[], bool] = lambda: True,
    ) -> None:
        self._outbox, self._tell, self._name, self._is_on = outbox, tell, name, is_on
        self.due = asyncio.Event()  # to set where something may be due
        self._loop: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begins to tell what is due."""
        self._loop = asyncio.create_task(self._deliver_all())

    async def stop(self) -> None:
        """Ends; what was claimed is told by somebody else, once its time is over."""
        tasks = [*self._telling] if self._loop is None else [self._loop, *self._telling]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _deliver_all(self) -> None:
        while True:
            self.due.clear()
            try:
                await self._begin()
            except Exception as error:
                log.warning(f"{self._name}s_not_read", cause=f"{type(error).__name__}: {error}"[:500])
            try:
                async with asyncio.timeout(POLL_S):
                    await self.due.wait()
            except TimeoutError:
                continue

    async def _begin(self) -> None:
        """Begins to tell what is due, as far as there is room; an end makes room, and has it looked again."""
        free = MAX_AT_ONCE - len(self._telling)
        if free < 1 or not self._is_on():
            return
        for message in await self._outbox.claim(LEASE_S, free):
            task = asyncio.create_task(self._deliver(message))
            self._telling.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._telling.discard(task)
        self.due.set()

    async def _deliver(self, message: T) -> None:
        try:
            await self._tell(message)
        except WebhookFailed as error:
            await self._failed(message, str(error))
        else:
            await self._write_end(self._outbox.delivered(message))

    async def _failed(self, message: T, problem: str) -> None:
        wait_s = wait_after(message.attempts)
        await self._write_end(self._outbox.failed(message, wait_s, problem))
        event = f"{self._name}_failed" if wait_s is None else f"{self._name}_retried"
        log.warning(event, id=message.id, attempts=message.attempts, in_s=wait_s, cause=problem)

    async def _write_end(self, writing: Awaitable[None]) -> None:
        """Writes how an attempt ended; where that fails, the message is told again when its time is over."""
        try:
            await writing
        except Exception as error:
            log.warning(f"{self._name}_not_written", cause=f"{type(error).__name__}: {error}"[:500])


def wait_after(attempts: int) -> float | None:
    """Seconds until the next attempt, after so many that failed; None: that was the last one."""
    if attempts > len(WAITS_S):
        return None
    return WAITS_S[attempts - 1] * random.uniform(0.9, 1.1)
