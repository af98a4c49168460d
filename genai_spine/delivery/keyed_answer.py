"""Answer of a call with an idempotency key, made in a task of its own for any number of listeners.

Its messages stay apart, because their numbers are what a stream is resumed by. Those that are in blocks of
the database leave the memory; whoever is behind them reads the blocks.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace

from genai_spine.billing.ledger.ledger import watched
from genai_spine.call import Call
from genai_spine.errors import InvalidRequest
from genai_spine.store.idempotency.blocks import Block, StreamBlocks
from genai_spine.store.idempotency.calls import Claim, Scope

Messages = AsyncGenerator[bytes]
Numbered = AsyncGenerator[tuple[int, bytes]]  # numbers from 0
ONE_MESSAGE = "application/json"  # content type of bytes that are one message, also of a method that streams


class Abandoned(Exception):
    """End of a call that nobody listened to any more, or whose server stopped."""


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request with an idempotency key, as a repeat of it is compared and answered."""

    scope: Scope
    method: str
    request_hash: bytes
    is_stream: bool  # its method streams
    place: int = 0  # messages that the caller has already
    fails_when_lost: bool = False  # no second call where the first one may have been paid
    keeps_completion: bool = False  # a background completion has the answer as well


@dataclass(slots=True)
class Origin:
    """Call that an answer comes from; known with its first message, or with its error."""

    request_id: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    is_replay: bool = False  # another request made the call


def behind(messages: int) -> InvalidRequest:
    """Error for a place that a stream of so many messages does not have."""
    return InvalidRequest(field="resume_after", problem=f"the stream has only {messages} messages")


class KeyedAnswer:
    """Begins at once. Made by Idempotency."""

    def __init__(self, asked: KeyedRequest, claim: Claim, call: Call, grace_s: float) -> None:
        """grace_s: seconds without a listener after which the call is cancelled."""
        self.asked = asked
        self.claim = claim
        self.asker = call  # the request that makes the call
        # The call may outlive its first caller, and has headers of its own, which every listener is told.
        self.call = replace(call, deadline=None, read_timeout_s=None, headers={})
        self.headers: dict[str, str] = {}
        self.is_stream = asked.is_stream
        self.messages: list[bytes] = []  # that are in no block
        self.first = 0  # number of the first one of them
        self.was_tried = False  # a provider was called
        self.executions: list[str] = []  # ids of the calls of providers that were settled for it
        self.is_followed = False  # by another process
        self.written_at = 0.0  # the newest block, on the loop's clock
        self.writing = asyncio.Lock()  # around what writes its messages
        self.error: Exception | None = None
        self.ended = False
        self._grace_s = grace_s
        self._listeners = 0
        self._changed = asyncio.Event()  # set for a moment, each time that something came
        self._timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def end(self) -> int:
        """Number of messages so far."""
        return self.first + len(self.messages)

    def start(
        self, make: Callable[[Call], Messages], then: Callable[["KeyedAnswer"], Awaitable[None]]
    ) -> None:
        """Makes the call. then: writes its outcome, before a listener sees the end."""
        self.task = asyncio.create_task(self._run(make, then))
        self._await_listeners()

    def block(self) -> Block:
        """Messages that are in no block yet."""
        return Block(self.first + 1, tuple(self.messages), None if self.first else self.headers)

    def written(self, block: Block) -> None:
        """Drops the messages of a block that is written now."""
        del self.messages[: len(block.messages)]
        self.first = block.last_seq

    async def listen(self, place: int, blocks: StreamBlocks) -> Numbered:
        """Messages after a place, as they come. Errors: that of the call."""
        self._join()
        try:
            while True:
                while place < self.first:
                    for block in await blocks.read(self.claim.call_id, place):
                        for message in block.messages[place + 1 - block.first_seq :]:
                            place += 1
                            yield place - 1, message
                while self.first <= place < self.end and (self.is_stream or self.ended):
                    place += 1
                    yield place - 1, self.messages[place - 1 - self.first]
                if self.ended and place >= self.end:
                    break
                if not self.ended and (place >= self.end or not self.is_stream):
                    await self._changed.wait()
        finally:
            self._leave()
        if self.error is not None:
            # The same exception for all; without this each of them would add its own frames.
            raise self.error.with_traceback(None)

    async def _run(
        self, make: Callable[[Call], Messages], then: Callable[["KeyedAnswer"], Awaitable[None]]
    ) -> None:
        with watched() as settled:
            try:
                async with aclosing(make(self.call)) as messages:
                    async for message in messages:
                        self._add(message)
            except asyncio.CancelledError:
                self.error = Abandoned()
            except Exception as error:
                self.error = error
        if not self.end:
            self.headers = dict(self.call.headers)
        self.executions = list(settled)
        self.was_tried = bool(settled or self.call.billed)
        with suppress(asyncio.CancelledError):  # the outcome is written all the same
            await then(self)
        self.ended = True
        self._wake()
        if self._timer is not None:
            self._timer.cancel()

    def _add(self, message: bytes) -> None:
        if not self.end:
            self.headers = dict(self.call.headers)
            self.is_stream = self.is_stream and self.headers.get("content-type") != ONE_MESSAGE
        self.messages.append(message)
        self._wake()

    def _join(self) -> None:
        self._listeners += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _leave(self) -> None:
        self._listeners -= 1
        self._await_listeners()

    def _await_listeners(self) -> None:
        if not self._listeners and not self.ended and self.task is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._grace_s, self.task.cancel)

    def _wake(self) -> None:
        self._changed.set()
        self._changed.clear()
