"""Lookups of keys by the digests of their secrets: those that come while one is made are made together.

So a flood of wrong secrets costs one connection of the database, and one statement at a time. Secrets that
were good before go first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import TypeAlias

from genai_spine.store.access.keys import TakenKey

MAX_TOGETHER = 256  # digests of one statement
Keys = Mapping[str, TakenKey]
Lookups: TypeAlias = "dict[str, asyncio.Future[TakenKey | None]]"  # by digest


class KeyLookups:
    """Queue of lookups."""

    def __init__(self, by_digests: Callable[[Sequence[str]], Awaitable[Keys]]) -> None:
        """by_digests: reads keys from the database."""
        self._by_digests = by_digests
        self._waiting: Lookups = {}  # that no statement has taken yet
        self._first: Lookups = {}  # the same, of secrets that were good before
        self._task: asyncio.Task[None] | None = None

    async def key(self, digest: str, *, was_good: bool = False) -> TakenKey | None:
        """Key that a secret is taken for now, as the database has it after this was asked; None: no key.

        Errors: ServiceUnavailable while the database is away.
        """
        waiting = self._first if was_good else self._waiting
        found = waiting.get(digest)
        if found is None:
            found = waiting[digest] = asyncio.get_running_loop().create_future()
            found.add_done_callback(_taken_notice_of)
        if self._task is None:
            self._task = asyncio.create_task(self._read())
        return await asyncio.shield(found)

    async def stop(self) -> None:
        """Ends the statement that runs; nobody waits for it any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _read(self) -> None:
        try:
            while self._first or self._waiting:
                waiting = self._first or self._waiting
                digests = list(islice(waiting, MAX_TOGETHER))
                await self._read_some({digest: waiting.pop(digest) for digest in digests})
        finally:
            self._task = None

    async def _read_some(self, lookups: Lookups) -> None:
        try:
            keys = await self._by_digests(list(lookups))
        except Exception as error:
            for lookup in lookups.values():
                lookup.set_exception(error)
        else:
            for digest, lookup in lookups.items():
                lookup.set_result(keys.get(digest))


def _taken_notice_of(lookup: "asyncio.Future[TakenKey | None]") -> None:
    """Takes notice of a failure whose caller has left."""
    if not lookup.cancelled():
        lookup.exception()
