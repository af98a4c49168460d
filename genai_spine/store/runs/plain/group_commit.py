"""Group commit: what comes while a transaction is written is written together by the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from genai_spine.store.booking.writers import RowsRefused

MAX_GROUP = 200  # in one transaction, which is short

T = TypeVar("T")
R = TypeVar("R")


class GroupCommit(Generic[T, R]):
    """Writes of one kind. One alone waits for nobody."""

    def __init__(self, write: Callable[[Sequence[T]], Awaitable[Sequence[R]]]) -> None:
        """write: of several in one transaction, with an answer for each."""
        self._write = write
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._flusher: asyncio.Task[None] | None = None

    async def add(self, one: T) -> R:
        """Returns with the commit. Errors: those of the write."""
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, done))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        return await done

    async def _flush(self) -> None:
        while self._waiting:
            some = self._waiting[:MAX_GROUP]
            del self._waiting[: len(some)]
            try:
                await self._written(some)
            except RowsRefused:  # of one of them, which alone is to hear of it
                for one in some:
                    await self._alone(one)
            except BaseException as error:
                _fail(some, error)
                if not isinstance(error, Exception):
                    raise

    async def _alone(self, one: tuple[T, asyncio.Future[R]]) -> None:
        try:
            await self._written([one])
        except Exception as error:
            _fail([one], error)

    async def _written(self, some: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        answers = await self._write([one for one, _ in some])
        for (_, done), answer in zip(some, answers, strict=True):
            if not done.done():
                done.set_result(answer)


def _fail(some: Sequence[tuple[T, asyncio.Future[R]]], error: BaseException) -> None:
    for _, done in some:
        if not done.done():
            done.set_exception(error)
