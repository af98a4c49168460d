"""Operation: what a caller asked of the providers, shared by every attempt that is made for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from genai_spine.call import Call
from genai_spine.errors import BudgetExceeded
from genai_spine.providers.base import Route
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2
from genai_spine.v1 import media_service_pb2 as media

Request = (
    pb.CreateCompletionRequest
    | pb.CreateEmbeddingsRequest
    | media.CreateImagesRequest
    | media.CreateTranscriptionRequest
    | media.CreateSpeechRequest
)
R = TypeVar("R", bound=Request)


@dataclass(frozen=True, slots=True)
class SchemaViolation:
    """Answer with a choice that does not fit the caller's JSON Schema, and the call that brought it."""

    request: pb.CreateCompletionRequest  # as the provider got it
    route: Route
    execution: execution_pb2.Execution
    answer: pb.Completion
    choice: pb.Choice


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


Completing = Operation[pb.CreateCompletionRequest]
