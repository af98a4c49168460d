"""Operation: what a caller asked of the providers, shared by every attempt that is made for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar, cast

from genai_spine.call import Call, PaidAnswer
from genai_spine.chunks import ChunkBuilder
from genai_spine.errors import BudgetExceeded
from genai_spine.providers.base import Route
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, operation_pb2
from genai_spine.v1 import media_service_pb2 as media

Request = (
    pb.CreateCompletionRequest
    | pb.CreateEmbeddingsRequest
    | media.CreateImagesRequest
    | media.CreateTranscriptionRequest
    | media.CreateSpeechRequest
)
R = TypeVar("R", bound=Request)
Answer = (
    pb.Completion
    | pb.CreateEmbeddingsResponse
    | media.CreateImagesResponse
    | media.Transcription
    | media.SpeechChunk  # the whole sound
)
A = TypeVar("A", bound=Answer)

OPERATIONS: dict[str, Any] = {  # of the ledger, by the kind of an Operation
    name.removeprefix("OPERATION_").lower(): value for name, value in operation_pb2.Operation.items()
}


@dataclass(frozen=True, slots=True)
class SchemaViolation:
    """Answer with a choice that does not fit the caller's JSON Schema, and the call that brought it."""

    request: pb.CreateCompletionRequest  # as the provider got it
    route: Route
    execution: execution_pb2.Execution
    answer: pb.Completion
    choice: pb.Choice


class Repaired(NamedTuple):
    """Repair of an answer: of which request, and the whole answer that the correction makes."""

    request: pb.CreateCompletionRequest
    whole: Callable[[pb.Completion], pb.Completion]


@dataclass(slots=True)
class Operation(Generic[R]):
    """Request on its way to the candidates; dataclasses.replace() gives each parallel call one of its own."""

    kind: str  # completion, embeddings, image, transcription or speech: the ledger's operation
    request: R  # as the caller sent it: nothing is written into it
    call: Call
    routes: Sequence[Route]  # candidates in the order in which they are tried
    streamed: bool = False
    # Routes of the calls that succeeded; copies made with replace() share the list.
    successful_routes: list[Route] = field(default_factory=list)
    superseded: bool = False  # another call was faster: what this one costs was discarded
    schema_violation: SchemaViolation | None = None  # the newest answer that did not fit its schema
    budget_refusal: BudgetExceeded | None = None  # of a candidate in whose place a cheaper one is called
    repaired: Repaired | None = None  # None: it is not the repair of another answer
    # Gets the chunks of a stream before its settlement, for a caller who wants the whole of it too.
    whole: ChunkBuilder | None = None

    def paid(self, answer: Answer) -> PaidAnswer | None:
        """Answer as it is written with its settlement; None: it is not of a run's call."""
        if (answers := self.call.paid_answers) is None:
            return None
        if self.repaired is None:
            return answers.written(self.call, self.request, answer)
        assert isinstance(answer, pb.Completion)
        return answers.written(self.call, self.repaired.request, self.repaired.whole(answer))

    def paid_before(self, kind: type[A]) -> A | None:
        """Answer that its run has paid for already, in this process or in one before; None: there is none."""
        answers = self.call.paid_answers
        found = None if answers is None else answers.find(self.call, self.request)
        return None if found is None else cast(A, kind.FromString(found))


Completing = Operation[pb.CreateCompletionRequest]
