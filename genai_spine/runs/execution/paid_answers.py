"""Paid answers of a run's calls: one that a process before this one has paid for is not paid for again.

They are written with the settlements of their calls, and deleted once a result of the run says what came of
them. A call is known by its step and its request; of equal ones each answer serves one.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from google.protobuf.message import Message

from genai_spine.billing.ledger.ledger import watch
from genai_spine.call import Call, PaidAnswer
from genai_spine.runs.execution.context import content_hash
from genai_spine.runs.execution.failures import MAX_ANSWER_BYTES
from genai_spine.store.idempotency.paid_answers import StoredAnswer
from genai_spine.store.runs.events import Owner


@dataclass(slots=True)
class RunPaidAnswers:
    """Answers of one attempt of a run in this process."""

    owner: Owner
    _stored: dict[tuple[str, bytes], deque[StoredAnswer]] = field(default_factory=lambda: defaultdict(deque))

    def add(self, stored: Sequence[StoredAnswer]) -> None:
        """Takes what was paid before this process made the run."""
        for answer in stored:
            self._stored[answer.step_id, answer.request_hash].append(answer)

    def find(self, call: Call, request: Message) -> bytes | None:
        """Answer of an equal request that is paid already; its row counts among the calls that are made."""
        if not self._stored:
            return None
        waiting = self._stored.get((call.step_id or "", content_hash(request)))
        if not waiting:
            return None
        answer = waiting.popleft()
        watch(answer.execution)
        return answer.response

    def written(self, call: Call, request: Message, answer: Message) -> PaidAnswer | None:
        """Answer as the ledger takes it; None: it is larger than what a run can answer."""
        if answer.ByteSize() > MAX_ANSWER_BYTES:
            return None
        owner, body = self.owner, answer.SerializeToString()
        step_id, digest = call.step_id or "", content_hash(request)
        return PaidAnswer(owner.run_id, owner.attempt, owner.executor_id, step_id, digest, body)
