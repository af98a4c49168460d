"""A provider's answer, made in a task of its own and told to any number of callers.

No caller holds another back, nor the provider: what one has not taken yet waits merged, and a caller that
comes late is told first what came before, as one chunk. When the last one has left, a policy decides.
"""

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, Generic, TypeVar, cast

import structlog
from google.protobuf.message import Message

from genai_spine import chunks
from genai_spine.errors import InternalError, ServiceUnavailable
from genai_spine.v1 import completion_service_pb2 as pb

MAX_CHUNKS = 256  # chunks that are kept apart before they are merged

T = TypeVar("T", bound=Message)  # CompletionChunk, or the one message of an answer that is not streamed
Whole = pb.Completion | pb.CreateEmbeddingsResponse
Outcome = Whole | Exception
log = structlog.get_logger()


class Backlog(Generic[T]):
    """Backlog of messages, merged where no reader stands between; a reader's place is a count of chunks."""

    def __init__(self) -> None:
        self.end = 0
        self._chunks: list[T] = []
        self._ends: list[int] = []  # of each piece
        self._readers: Counter[int] = Counter()  # by their place
        self._merge_at = MAX_CHUNKS

    def __len__(self) -> int:
        """Pieces that are kept."""
        return len(self._chunks)

    def add(self, chunk: T) -> None:
        """Appends a message."""
        self.end += 1
        self._chunks.append(chunk)
        self._ends.append(self.end)
        if len(self._chunks) >= self._merge_at:
            self._merge()
            self._merge_at = len(self._chunks) + MAX_CHUNKS

    def enter(self, place: int) -> None:
        """Registers a reader at a place."""
        self._readers[place] += 1

    def leave(self, place: int) -> None:
        """Takes a reader away from a place."""
        self._readers[place] -= 1
        if not self._readers[place]:
            del self._readers[place]

    def since(self, place: int) -> T:
        """One chunk of the reader's own, with all that came after the place; something did."""
        return _joined(self._chunks[bisect_right(self._ends, place) :])

    def _merge(self) -> None:
        pieces, ends, run = self._chunks, self._ends, list[T]()
        self._chunks, self._ends = [], []
        for piece, end in zip(pieces, ends, strict=True):
            run.append(piece)
            if end in self._readers or end == self.end:
                self._chunks.append(_joined(run))
                self._ends.append(end)
                run = []


class SharedCall(Generic[T]):
    """Begins at once. Made by Relays."""

    def __init__(self, answer: Callable[[], AsyncGenerator[T]]) -> None:
        self.policy: int = pb.DISCONNECT_POLICY_CANCEL_UPSTREAM  # of the callers, the one that keeps most
        self.subscribers = 0
        self.error: Exception | None = None
        self.ended = False
        self.log = Backlog[T]()
        self.headers: Mapping[str, str] = {}  # of the first caller's answer
        self.changed = asyncio.Event()  # set for a moment, each time that something was said
        self._answer = answer
        self._complete = False  # nothing is asked of the provider any more
        self._on_complete: list[Callable[[Outcome], Awaitable[None]]] = []
        self.task = asyncio.create_task(self._run())
        self.task.add_done_callback(self._end)

    def subscribe(self, policy: int = pb.DISCONNECT_POLICY_UNSPECIFIED) -> "Subscriber[T]":
        """From the start on; close it. policy: a DisconnectPolicy, for the time when all have left."""
        self.policy = max(self.policy, policy)
        return Subscriber(self)

    def on_complete(self, then: Callable[[Outcome], Awaitable[None]]) -> None:
        """Calls it once with the whole answer, or with what went wrong, before a subscriber sees the end.

        Not when the relay was cancelled. What it raises is logged.
        """
        self._on_complete.append(then)

    def unsubscribed(self) -> None:
        """One subscriber has left; the last one ends the call where the policy says so."""
        self.subscribers -= 1
        cancels = self.policy == pb.DISCONNECT_POLICY_CANCEL_UPSTREAM and not self._complete
        if cancels and not self.subscribers:
            self.task.cancel()

    @property
    def running(self) -> bool:
        """The provider is still asked, so others may join."""
        return not (self._complete or self.task.done() or self.task.cancelling())

    async def _run(self) -> None:
        try:
            async with aclosing(self._answer()) as messages:
                async for chunk in messages:
                    self.log.add(chunk)
                    self._wake()
                    await asyncio.sleep(0)  # what is there already must not keep the subscribers waiting
            if not self.log.end:
                raise InternalError()
        except Exception as error:
            await self._tell(error)
            raise
        await self._tell(self._whole())

    def _whole(self) -> Whole:
        unary: Message = self.log.since(0)
        return chunks.completion(unary) if isinstance(unary, pb.CompletionChunk) else cast(Whole, unary)

    async def _tell(self, outcome: Outcome) -> None:
        self._complete = True
        for error in await asyncio.gather(
            *(then(outcome) for then in self._on_complete), return_exceptions=True
        ):
            if error is not None:
                log.error("relay_not_kept", exc_info=error)

    def _end(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            self.error = ServiceUnavailable(cause="it is stopping")
        elif (error := task.exception()) is not None:
            self.error = error if isinstance(error, Exception) else InternalError()
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        self.changed.set()
        self.changed.clear()


class Subscriber(Generic[T]):
    """One caller's view of a relay: an async iterator that is closed with aclose()."""

    def __init__(self, shared_call: SharedCall[T]) -> None:
        self._shared_call = shared_call
        self._place = 0
        self._open = True
        shared_call.subscribers += 1
        shared_call.log.enter(0)

    def __aiter__(self) -> "Subscriber[T]":
        return self

    async def __anext__(self) -> T:
        shared_call = self._shared_call
        while self._open and self._place == shared_call.log.end:
            if shared_call.ended:
                self.close()
                if shared_call.error is not None:
                    # The same exception for all; without this each of them would add its own frames.
                    raise shared_call.error.with_traceback(None)
                break
            await shared_call.changed.wait()
        if not self._open:
            raise StopAsyncIteration
        chunk = shared_call.log.since(self._place)
        shared_call.log.leave(self._place)
        self._place = shared_call.log.end
        shared_call.log.enter(self._place)
        return chunk

    async def unary(self) -> T:
        """Whole answer as one message; the subscriber is closed then. Errors: those of the answer."""
        async with aclosing(self):
            messages = [chunk async for chunk in self]
        if not messages:
            raise InternalError()
        return _joined(messages)

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the call; closing twice changes nothing."""
        if self._open:
            self._open = False
            self._shared_call.log.leave(self._place)
            self._shared_call.unsubscribed()


class SharedCalls:
    """All relays of a server."""

    def __init__(self) -> None:
        self._running: set[SharedCall[Any]] = set()
        self._shared: dict[str, SharedCall[Any]] = {}  # by fingerprint

    def __len__(self) -> int:
        """Running ones."""
        return len(self._running)

    def start(self, answer: Callable[[], AsyncGenerator[T]]) -> SharedCall[T]:
        """answer: makes the provider's call, and yields what it says; or its one message: see once()."""
        shared_call = SharedCall(answer)
        self._running.add(shared_call)
        shared_call.task.add_done_callback(lambda _: self._running.discard(shared_call))
        return shared_call

    def share(self, key: str, answer: Callable[[], AsyncGenerator[T]]) -> tuple[SharedCall[T], bool]:
        """The relay that runs under the key, and True; or a relay that begins now, and False.

        A key stands for one type of messages: a stream and a whole answer need different ones.
        """
        found = self._shared.get(key)
        if found is not None and found.running:
            return found, True
        shared_call = self._shared[key] = self.start(answer)
        shared_call.task.add_done_callback(lambda _: self._forget(key, shared_call))
        return shared_call, False

    def _forget(self, key: str, shared_call: SharedCall[Any]) -> None:
        if self._shared.get(key) is shared_call:
            del self._shared[key]

    async def drain(self, timeout_s: float) -> None:
        """Waits for what runs, for so long; then cancels it, and returns when it has ended."""
        tasks = {shared_call.task for shared_call in self._running}
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        if late:
            log.warning("relays_cancelled", count=len(late))
            for task in late:
                task.cancel()
            await asyncio.wait(late)


async def once(answer: Awaitable[T]) -> AsyncGenerator[T]:
    """A call that answers in one message, as a relay takes it."""
    yield await answer


def _joined(messages: list[T]) -> T:
    """A message of its own. Only a streamed answer comes in more than one piece."""
    if isinstance(messages[0], pb.CompletionChunk):
        return cast(T, chunks.joined(cast(list[pb.CompletionChunk], messages)))
    unary = type(messages[0])()
    unary.CopyFrom(messages[0])
    return unary
