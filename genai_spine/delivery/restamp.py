"""An answer that another call paid for, told again: with ids of its own, and at no cost."""

from random import getrandbits
from typing import TypeVar

from genai_spine.call import Call
from genai_spine.v1 import completion_service_pb2 as pb

T = TypeVar("T", pb.Completion, pb.CompletionChunk, pb.CreateEmbeddingsResponse)


def answer_id() -> str:
    """Of an answer that has no ledger row of its own."""
    return f"comp_{getrandbits(96):024x}"


class Restamp:
    """Stamps what one call is told. execution_id stays: it is the row of the call that was paid for."""

    def __init__(self, call: Call, status: pb.CacheStatus) -> None:
        self.call = call
        self.status = status
        self.id = answer_id()

    def restamped(self, answer: T) -> T:
        """The same message, changed. A chunk says what was spent only where the original says it."""
        answer.request_id = self.call.request_id
        if not isinstance(answer, pb.CreateEmbeddingsResponse):
            answer.id = self.id
        if isinstance(answer, pb.CompletionChunk) and not answer.HasField("cost"):
            return answer
        answer.latency_ms = self.call.latency_ms
        if not isinstance(answer, pb.CreateEmbeddingsResponse):
            answer.cache_status = self.status
        cost = answer.cost
        cost.cost_usd, cost.cost_ticks, cost.price_known = 0.0, 0, True
        return answer
