"""Batch API of a provider, as far as completions are sent through it: many requests at a lower price, which
are answered within a day.

A line's id is the caller's, and comes back with its answer. A batch that is sent is never sent again without
being sought first, because a provider may have it although nobody heard of it.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Collection, Sequence
from typing import ClassVar, NamedTuple

from genai_spine.call import Call
from genai_spine.providers.base import Route
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import provider_batch_service_pb2 as batches


class Line(NamedTuple):
    """One request of a batch."""

    id: str
    data: bytes  # JSON, on one line


class BatchedAnswer(NamedTuple):
    """Answer to one line."""

    id: str  # the line's
    status: int  # of HTTP, as if it had been a call of its own
    body: bytes
    unanswered: str = ""  # why the provider did not work on it, and bills nothing; empty: it did


class Sought(NamedTuple):
    """Batch that may have come to be at a provider."""

    key: str  # that it was sent with
    ids: Collection[str]  # of its lines
    age_s: float  # since it was sent


class Finding(NamedTuple):
    """Outcome of a search."""

    batch: batches.ProviderBatch | None = None  # surely the one
    may_be: Sequence[str] = ()  # ids of batches of which it cannot be told before they end


class BatchApi(ABC):
    """Batch API of one endpoint. Errors of what asks the upstream: as of every call."""

    MAX_LINES: ClassVar[int] = 5_000  # the APIs take more; but all of a batch waits for its slowest line
    MAX_BYTES: ClassVar[int] = 32 << 20

    @abstractmethod
    def path(self, request: pb.CreateCompletionRequest, route: Route) -> str:
        """Path that answers the request: all lines of a batch have the same. Errors: those of writing it."""

    @abstractmethod
    def line(self, request: pb.CreateCompletionRequest, route: Route, id: str) -> Line:
        """Request as a line. Errors: those of writing it."""

    @abstractmethod
    async def send(self, key: str, path: str, lines: Sequence[Line], call: Call) -> batches.ProviderBatch:
        """New batch, which find() knows again."""

    @abstractmethod
    async def find(self, sought: Sought, call: Call) -> Finding:
        """Batch that was sent, as far as the provider shows it by now."""

    @abstractmethod
    async def get(self, id: str, call: Call) -> batches.ProviderBatch:
        """State of a batch. Errors: also ProviderObjectNotFound."""

    @abstractmethod
    async def cancel(self, id: str, call: Call) -> None:
        """Asks for the end of a batch; one that has ended stays as it is."""

    @abstractmethod
    def answers(self, batch: batches.ProviderBatch, call: Call) -> AsyncGenerator[BatchedAnswer]:
        """Answers of a batch that has ended, in any order; lines may be missing, and some may come twice."""

    @abstractmethod
    def read(self, answer: BatchedAnswer, request: pb.CreateCompletionRequest, route: Route) -> pb.Completion:
        """Completion of an answer. Errors: those of a call of its own."""

    @abstractmethod
    async def clear(self, key: str, batch: batches.ProviderBatch | None, call: Call) -> None:
        """Deletes what the provider keeps of a batch that is done with. None: it never came to be."""
