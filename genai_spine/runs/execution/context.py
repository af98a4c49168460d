"""Context of a running run: its call, its steps, its progress and the text that it writes.

A step is keyed by what it does, so that a takeover or a retry gets the answer of one that is done, and only
repeats what was in flight.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import count
from time import monotonic
from typing import Any, TypeVar

from google.protobuf.message import Message

from genai_spine.billing.ledger.ledger import watched
from genai_spine.call import Call, uuid7
from genai_spine.errors import ServiceUnavailable, SpineError
from genai_spine.runs.events import EventWriter
from genai_spine.runs.execution.failures import error_of
from genai_spine.store.runs.events import Owner, PendingEvent
from genai_spine.store.runs.news import RESET, Output
from genai_spine.store.runs.steps import StepKey, StepRows
from genai_spine.store.runs.transitions import Failure
from genai_spine.v1 import run_pb2 as pb
from genai_spine.v1.work_pb2 import WorkResponse

RETRY_S = 0.5  # before a database that was away is asked again

M = TypeVar("M", bound=Message)
T = TypeVar("T")
Write = Callable[[str], None]  # takes text as it is written
Handler = Callable[[Any, Call, Write], Awaitable[Message]]


class OwnerLost(Exception):
    """Ownership of the run is lost: another process makes it now."""


class Stopped(Exception):
    """Work that ended at a boundary between two steps, because somebody asked to cancel it."""

    def __init__(self, response: WorkResponse | None = None) -> None:
        """response: what there is of an answer."""
        super().__init__()
        self.response = response


class Left(Exception):
    """Work that ended at a boundary between two steps, so that another process goes on with it."""


class RunFailed(Exception):
    """The work came to its end, and that is a failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error.message)
        self.failure = failure


@dataclass(slots=True)
class RunContext:
    """Context that the work of a run gets."""

    run: pb.Run
    owner: Owner
    call: Call
    steps: StepRows
    writer: EventWriter
    is_stopping: Callable[[], bool] = lambda: False  # no further step is to begin
    is_leaving: Callable[[], bool] = lambda: False  # nor here: another process is to make it
    stop_reason: Callable[[], str] = lambda: ""  # of whoever asked for that
    waits: Callable[[bool], None] = lambda _: None  # whether it does nothing but wait, and takes no place
    _ordinals: Counter[str] = field(default_factory=Counter)
    _written: Counter[str] = field(default_factory=Counter)

    def progress(self, share: float, message: str = "") -> None:
        """Reports how much of the work is done, 0 to 1; it never falls."""
        self.writer.progress(self.owner, share, message)

    def event(self, event_type: str, **data: Any) -> None:
        """Reports an event."""
        self.writer.event(self.owner, PendingEvent(event_type, data))

    def write(self, step_id: str, begun: int, *, is_again: bool = False) -> Write:
        """Writer of the text of a step. is_again: watchers may have text of an earlier beginning."""
        if is_again:
            self.writer.output(self.owner, Output(step_id, begun, RESET, ""))

        def write(text: str) -> None:
            place = self._written[step_id]
            self._written[step_id] += len(text)
            self.writer.output(self.owner, Output(step_id, begun, place, text))

        return write

    async def step(
        self, name: str, request: Message, answer: type[M], make: Callable[[Call, Write], Awaitable[M]]
    ) -> M:
        """Answer of a step, which is made once. answer: its type, of which a finished one is read.

        Errors: those of make, and OwnerLost.
        """
        key = self._key(name, request)
        begun = await self.steps.begin(self.owner, key)
        if begun is None:
            raise OwnerLost
        attempt, stored = begun
        if stored is not None:
            return answer.FromString(stored)
        self._written[key.step_id] = 0
        call = replace(self.call, step_id=key.step_id)
        with watched() as rows:
            try:
                made = await make(call, self.write(key.step_id, attempt))
            except SpineError as error:
                values = {"status": "failed", "error": error_of(error).SerializeToString()}
                await self._end(key, values | {"execution_ids": list(rows)}, "step_failed")
                raise
        values = {"status": "completed", "response": made.SerializeToString()}
        await self._end(key, values | {"execution_ids": list(rows)}, "step_completed")
        return made

    async def _end(self, key: StepKey, values: dict[str, Any], event_type: str) -> None:
        await self.writer.flush(self.owner)
        event = PendingEvent(event_type, {"step": key.name, "step_id": key.step_id})
        if not await self.steps.end(self.owner, key, values, event):
            raise OwnerLost

    def _key(self, name: str, request: Message) -> StepKey:
        """Key of a step by its content, and its ordinal among equal ones."""
        digest = content_hash(request).hex()[:32]
        ordinal = self._ordinals[digest]
        self._ordinals[digest] += 1
        return StepKey(f"{digest}.{ordinal}", name, request.DESCRIPTOR.name)


def labels_of(call: Call, request: Any) -> dict[str, str]:
    """Cost labels of a request within a run: the run's, and the request's own."""
    return {**call.cost_labels, **getattr(request, "cost_labels", {})}


def call_of_part(given: Call, step_id: str, request: Message) -> Call:
    """Call of an item or a step: a request of its own, whose calls the ledger knows by run and step."""
    return replace(
        given,
        request_id=uuid7(),
        step_id=step_id,
        cost_labels=labels_of(given, request),
        started=monotonic(),
        attempts=count(1),
        billed=set(),
        headers={},
    )


def no_text(text: str) -> None:
    """Text of items and steps is not shown while it is written."""


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Result of a database's work, which is repeated while the database is away."""
    while True:
        try:
            return await work()
        except ServiceUnavailable:
            await asyncio.sleep(RETRY_S)


def content_hash(request: Message) -> bytes:
    """SHA-256 of a message and its type: equal work has an equal one."""
    body = request.SerializeToString(deterministic=True)
    return sha256(request.DESCRIPTOR.full_name.encode() + b"\0" + body).digest()
