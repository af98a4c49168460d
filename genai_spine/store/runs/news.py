"""News of runs: who waits for work, watches a run or waits for its end is woken instead of asking again.

Within a process at once; of other processes by NOTIFY of PostgreSQL. With SQLite other processes are not
told: while there are some, one look each 50 ms says whether any of them has written, and wakes all who wait.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.store.database import Database

CHANNEL = "spine_runs"
TEXT_CHANNEL = "spine_run_text"
# What is told in the place of a run's id.
QUEUE = "queue"  # a run waits for a worker
CANCEL = "cancel"  # a running run is to be stopped
ORPHANS = "orphans"  # a process has left its runs to others
SCHEDULES = "schedules"  # the times of one have changed
WEBHOOKS = "webhooks"  # somebody is to be told of an event
ALL = "all"  # too many to name
END = "end:"  # before a run's id: it has ended
MAX_PAYLOAD_BYTES = 7_900  # PostgreSQL takes 8,000
MAX_PIECES = 1000  # of text that wait for a slow reader; it reads the table then
POLL_S = 0.05  # where other processes tell nothing
QUIET_S = 1.0  # whoever waits looks by itself after that

_of: WeakKeyDictionary[Database, "RunNews"] = WeakKeyDictionary()


RESET = -1  # place of a piece without text, which makes void what was written before


class Output(NamedTuple):
    """Piece of the text that a step writes."""

    step_id: str
    begun: int  # grows each time that the step begins, in whichever process
    place: int  # characters before it; RESET: it begins again
    text: str


class Waiter(Protocol):
    """Waiter that is woken."""

    def set(self) -> None:
        """Wakes it."""
        ...


class Reader:
    """Reader of a run: it is told that there is something new, and given text as it is written."""

    def __init__(self) -> None:
        self.event = asyncio.Event()  # for RunNews.wait()
        self.is_told = False  # that it has to look
        self.pieces: deque[Output] = deque()

    def set(self) -> None:
        """Wakes it, to look."""
        self.is_told = True
        self.event.set()

    def give(self, piece: Output | None) -> None:
        """Gives it a piece of text; None: one that it has to look for."""
        if piece is None or len(self.pieces) >= MAX_PIECES:
            self.pieces.clear()
            self.is_told = True
        elif not self.is_told:
            self.pieces.append(piece)
        self.event.set()


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
        self._waiting: dict[str, set[Waiter]] = {}
        self._readers: dict[str, set[Reader]] = {}
        self._has_connection = False
        self._keeper: asyncio.Task[None] | None = None
        self._version = 0  # of an SQLite file: grows with every commit of another connection
        self._has_version = False
        self.own_pids: set[int] = set()  # PostgreSQL's sessions whose news this process tells itself
        self.is_alone = False  # with SQLite: no other process has the file open, so nobody tells anything

    @property
    def is_listening(self) -> bool:
        """Whether it hears of what other processes write; until then who waits has to look by himself."""
        if self._database.dialect == "sqlite":
            return self.is_alone or self._has_version
        return self._has_connection

    @contextmanager
    def subscribed(self, topic: str) -> Iterator[asyncio.Event]:
        """Event that is set whenever something of a run, or of QUEUE, is new."""
        event = asyncio.Event()
        with self._woken(topic, event):
            yield event

    @contextmanager
    def reading(self, run_id: str) -> Iterator[Reader]:
        """Reader of a run's events and text."""
        reader = Reader()
        readers = self._readers.setdefault(run_id, set())
        readers.add(reader)
        try:
            with self._woken(run_id, reader):
                yield reader
        finally:
            readers.discard(reader)
            if not readers:
                self._readers.pop(run_id, None)

    @contextmanager
    def _woken(self, topic: str, waiter: Waiter) -> Iterator[None]:
        self._waiting.setdefault(topic, set()).add(waiter)
        if self._keeper is None:
            is_sqlite = self._database.dialect == "sqlite"
            work = self._keep_looking() if is_sqlite else self._keep_listening()
            self._keeper = asyncio.create_task(work)
        try:
            yield
        finally:
            self._waiting[topic].discard(waiter)
            if not self._waiting[topic]:
                del self._waiting[topic]

    async def wait(self, event: asyncio.Event, timeout_s: float = QUIET_S) -> bool:
        """Returns when the event is set, which is cleared, or when it is time to look all the same: False."""
        try:
            async with asyncio.timeout(timeout_s if self.is_listening else min(timeout_s, POLL_S)):
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

    def give(self, pieces: Sequence[tuple[str, Output | None]]) -> None:
        """Gives the readers of this process text by the id of its run; None: it is too long to be sent."""
        for run_id, piece in pieces:
            for reader in self._readers.get(run_id, ()):
                reader.give(piece)

    async def close(self) -> None:
        """Ends the connection."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

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
                await self._listen(await self._database.listen(CHANNEL, self._heard))
            except Exception:  # the database is away, or has no connection to spare
                await asyncio.sleep(QUIET_S)

    async def _listen(self, connection: Any) -> None:
        """Returns once the connection is lost; none is left open."""
        try:
            await connection.add_listener(TEXT_CHANNEL, self._heard_text)
            self._has_connection = True
            self.tell(ALL)  # of what was told before
            await self._closed(connection)
        finally:
            self._has_connection = False
            connection.terminate()

    async def _closed(self, connection: Any) -> None:
        """Returns once the connection is lost."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        if not connection.is_closed():
            await lost.wait()

    def _heard(self, connection: object, pid: int, channel: str, payload: str) -> None:
        if pid not in self.own_pids:
            self.tell(payload)

    def _heard_text(self, connection: object, pid: int, channel: str, payload: str) -> None:
        if pid not in self.own_pids and self._readers:
            given = json.loads(payload)
            self.give([(run_id, None if piece is None else Output(*piece)) for run_id, piece in given])


def text_payloads(pieces: Sequence[tuple[str, Output]]) -> list[str]:
    """Payloads that give pieces of text to other processes, each as long as PostgreSQL takes it."""
    payloads: list[list[str]] = [[]]
    size = 0
    for run_id, piece in pieces:
        text = json.dumps([run_id, piece], ensure_ascii=False)
        if len(text.encode()) > MAX_PAYLOAD_BYTES - 2:
            text = json.dumps([run_id, None])
        length = len(text.encode()) + 1
        if size + length > MAX_PAYLOAD_BYTES - 2:
            payloads.append([])
            size = 0
        payloads[-1].append(text)
        size += length
    return [f"[{','.join(texts)}]" for texts in payloads if texts]
