"""Late calls: what a provider billed for a batch that was given up, and came to be all the same.

Its calls are on the books as not sent, and their items were made in another way by then. So each answer gets
a row of its own, whose id is made from that of the call: whoever books it, and however often, it is there
once. Such an answer was paid for and not used, so its row is discarded.
"""

import asyncio
from hashlib import sha256
from uuid import UUID

from genai_spine.inference.batches.pooled_calls import PooledAttempt, PooledCalls
from genai_spine.v1 import execution_pb2
from genai_spine.v1.execution_pb2 import Execution

# Fields of a call's row that its answer sets.
ANSWERED = (
    *("error_reason", "error", "usage", "cost", "units", "usage_json", "latency_ms", "first_token_ms"),
    *("settle_time", "provider_response_id", "answered_model", "service_tier", "speed", "inference_geo"),
    *("resolution", "warnings"),
)
SUFFIX = "-late"  # of the request's id, within which calls are numbered


class LateAttempt(PooledAttempt):
    """Attempt whose row is written with its end, since the one of its intent has another end already."""

    def _close(self) -> "asyncio.Future[None]":
        self._clock()
        return self._booked()

    async def _book(self, answer: object) -> None:
        self._clock()
        await self._booked()

    def _booked(self) -> "asyncio.Future[None]":
        """Books what was billed; of what was not, the row of its intent says enough."""
        execution = self.execution
        execution.discarded = True
        if execution.cost.price_known and not (execution.cost.cost_ticks or execution.usage.total_tokens):
            nothing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            nothing.set_result(None)
            return nothing
        return self.accounting.ledger.book(execution)


class LateCalls(PooledCalls):
    """Calls of batches that were given up."""

    attempt = LateAttempt
    repairs = False

    def row(self, execution: Execution) -> Execution:
        late = Execution()
        late.CopyFrom(execution)
        for name in ANSWERED:
            late.ClearField(name)
        late.id, late.request_id = late_id(execution), execution.request_id + SUFFIX
        late.state = execution_pb2.EXECUTION_STATE_PENDING
        late.reserved_ticks = 0  # what was reserved was given back when the batch was given up
        return late


def late_id(execution: Execution) -> str:
    """A UUID of version 8 (RFC 9562): the time of the call first, as in the ledger's own ids, then a hash."""
    digest = sha256(f"late\0{execution.id}".encode()).digest()
    number = execution.create_time.ToMilliseconds() << 80 | int.from_bytes(digest[:10])
    number = number & ~(0xF << 76) | 0x8 << 76
    return str(UUID(int=number & ~(0b11 << 62) | 0b10 << 62))
