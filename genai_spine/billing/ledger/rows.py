"""Rows of the ledger that are not durable yet, and who waits for them."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from google.protobuf.json_format import MessageToDict

from genai_spine.call import PaidAnswer
from genai_spine.errors import ServiceUnavailable
from genai_spine.store.booking.entries import Refusal
from genai_spine.store.booking.rates import RateRefusal, RateReservation
from genai_spine.store.executions import Booking
from genai_spine.v1.execution_pb2 import Execution

T = TypeVar("T")
Recorded = bool | Refusal | RateRefusal  # True: the intent is durable
log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Row:
    """An execution whose newest version is not durable yet."""

    execution: Execution  # a copy: the caller goes on changing its own
    settled: bool = False  # the newest version is the settlement
    is_begun: bool = False  # its intent came through the queue as well
    is_recorded: bool = False  # its intent was written, and left the queue
    is_guarded: bool = False  # an intent that a budget may refuse
    is_repeated: bool = False  # some version may be written already, for a write failed
    is_lazy: bool = False  # an intent that nobody waits for
    is_writing: bool = False
    is_withdrawn: bool = False  # nobody sends it any more
    rates: RateReservation | None = None  # of an intent: what it takes of rate limits
    ends_rates: bool = False  # a settlement whose intent had one
    draws: bool = False  # on what its run has reserved
    is_soft: bool = False  # no budget refuses it while there is anything left of that
    answer: PaidAnswer | None = None  # of a settlement: written with it
    since: float = field(default_factory=time.monotonic)  # when the newest version came
    committed: float = 0.0  # when the intent was written
    recorded: list["asyncio.Future[Recorded]"] = field(default_factory=list)
    booked: list["asyncio.Future[None]"] = field(default_factory=list)  # who waits for the settlement
    shown: bool = False  # the log has the settlement in full, because the database did not take it

    @property
    def is_counted(self) -> bool:
        """Whether more is written for it than the row."""
        more = self.rates or self.ends_rates or self.draws or self.answer
        return bool(more or self.execution.budget_counters)

    def booking(self) -> Booking:
        """The newest version, as the store takes it."""
        return Booking(
            self.execution,
            is_guarded=self.is_guarded and not self.settled,
            is_repeated=self.is_repeated,
            is_recorded=self.settled and (self.is_recorded or self.committed > 0),
            is_fresh=self.is_begun and not self.committed and not self.is_repeated,
            rates=self.rates,
            ends_rates=self.ends_rates,
            draws=self.draws,
            is_soft=self.is_soft,
            answer=self.answer if self.settled else None,
        )

    def resolve(self, recorded: Recorded) -> None:
        """Lets go who waits for the intent."""
        resolve(self.recorded, recorded)
        self.recorded.clear()


def resolve(futures: "Iterable[asyncio.Future[T]]", result: T) -> None:
    for future in futures:
        if not future.done():  # a caller that was cancelled took its future along
            future.set_result(result)


def show(row: Row, event: str, cause: str) -> None:
    """The row in full, in the log."""
    execution = MessageToDict(row.execution, preserving_proto_field_name=True)
    log.error(event, cause=cause, execution=execution)


def copied(execution: Execution) -> Execution:
    copy = Execution()
    copy.CopyFrom(execution)
    return copy


def cause_of(error: BaseException) -> str:
    """Text for the log."""
    error = error.__cause__ or error if isinstance(error, ServiceUnavailable) else error
    return f"{type(error).__name__}: {error}"[:500]
