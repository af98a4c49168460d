"""News of runs: who waits for work, watches a run or waits for its end is woken instead of asking again.

Within a process at once; of other processes by NOTIFY of PostgreSQL. With SQLite other processes are not
told: while there are some, one look each 50 ms says whether any of them has written, and wakes all who wait.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.store.database import Database

CHANNEL = "spine_runs"
# What is told in the place of a run's id.
QUEUE = "queue"  # a run waits for a worker
CANCEL = "cancel"  # a running run is to be stopped
ORPHANS = "orphans"  # a process has left its runs to others
SCHEDULES = "schedules"  # the times of one have changed
WEBHOOKS = "webhooks"  # somebody is to be told of an event
ALL = "all"  # too many to name
END = "end:"  # before a run's id: it has ended
MAX_PAYLOAD_BYTES = 7_900  # PostgreSQL takes 8,000
POLL_S = 0.05  # where other processes tell nothing
QUIET_S = 1.0  # whoever waits looks by itself after that

_of: WeakKeyDictionary[Database, "RunNews"] = WeakKeyDictionary()


class Change:
    """Transaction that changes runs, and whom its commit wakes."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.topics: set[str] = set()

    async def execute(self, *arguments: Any) -> Any:
        """Result of a statement."""
        return await self.connection.execute(*arguments)


@asynccontextmanager
async def changing(database: Database) -> AsyncGenerator[Change]:
    """A change of runs: what it adds to its topics is told with its commit."""
    async with database.begin_write() as connection:
        change = Change(connection)
        yield change
        payload = payload_of(change.topics)
        if payload and database.dialect == "postgresql":
            await connection.execute(select(func.pg_notify(CHANNEL, payload)))
    if payload:
        RunNews.of(database).tell(payload)


def payload_of(topics: set[str]) -> str:
    """Payload that tells topics: they have commas between them."""
    payload = ",".join(sorted(topics))
    if len(payload) > MAX_PAYLOAD_BYTES:
        return ALL
    return payload


class RunNews:
    """Wake-ups of one process. Waiting is by asyncio.Event: take it, look, then wait."""

    @classmethod
    def of(cls, database: Database) -> "RunNews":
        """The one of a database in this process."""
        if database not in _of:
            _of[database] = cls(database)
        return _of[database]

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._connection: Any = None
        self._keeper: asyncio.Task[None] | None = None
        self._version = 0  # of an SQLite file: grows with every commit of another connection
        self._has_version = False
        self.own_pids: set[int] = set()  # PostgreSQL's sessions whose news this process tells itself
        self.is_alone = False  # with SQLite: no other process has the file open, so nobody tells anything

    @property
    def _is_listening(self) -> bool:
        if self._database.dialect == "sqlite":
            return self.is_alone or self._has_version
        return self._connection is not None

    @contextmanager
    def subscribed(self, topic: str) -> Iterator[asyncio.Event]:
        """Event that is set whenever something of a run, or of QUEUE, is new."""
        event = asyncio.Event()
        self._waiting.setdefault(topic, set()).add(event)
        if self._keeper is None:
            is_sqlite = self._database.dialect == "sqlite"
            work = self._keep_looking() if is_sqlite else self._keep_listening()
            self._keeper = asyncio.create_task(work)
        try:
            yield event
        finally:
            self._waiting[topic].discard(event)
            if not self._waiting[topic]:
                del self._waiting[topic]

    async def wait(self, event: asyncio.Event, timeout_s: float = QUIET_S) -> bool:
        """Returns when the event is set, which is cleared, or when it is time to look all the same: False."""
        try:
            async with asyncio.timeout(timeout_s if self._is_listening else min(timeout_s, POLL_S)):
                await event.wait()
        except TimeoutError:
            return False
        event.clear()
        return True

    def tell(self, payload: str) -> None:
        """Wakes the waiters of this process: topics with commas between them."""
        topics = payload.split(",")
        if ALL in topics:
            topics = [*self._waiting]
        for topic in topics:
            for event in self._waiting.get(topic, ()):
                event.set()

    async def close(self) -> None:
        """Ends the connection."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _keep_looking(self) -> None:
        """Looks whether another process has written to the SQLite file: microseconds, and no lock."""
        with self._database.versions() as version:
            while True:
                await asyncio.sleep(POLL_S if not self.is_alone and self._waiting else QUIET_S / 4)
                found = None if self.is_alone else version()
                self._has_version = found is not None
                if found is not None and found != self._version:
                    self._version = found
                    self.tell(ALL)

    async def _keep_listening(self) -> None:
        """Holds a connection that listens; while there is none, waiters look by themselves."""
        while True:
            try:
                self._connection = await self._database.listen(CHANNEL, self._heard)
                self.tell(ALL)  # of what was told before
                await self._closed(self._connection)
            except Exception:  # the database is away, or has no connection to spare
                await asyncio.sleep(QUIET_S)
            self._connection = None

    async def _closed(self, connection: Any) -> None:
        """Returns once the connection is lost."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        if not connection.is_closed():
            await lost.wait()

    def _heard(self, connection: object, pid: int, channel: str, payload: str) -> None:
        if pid not in self.own_pids:
            self.tell(payload)
