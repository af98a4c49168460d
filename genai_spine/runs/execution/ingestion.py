"""Work of an ingestion run: its batches of embeddings in the steps of the run."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from genai_spine.call import Call
from genai_spine.retrieval.document_query import DocumentQueries
from genai_spine.retrieval.ingestion import DocumentIngestion
from genai_spine.runs.execution.context import Left, RunContext, Stopped, Write, call_of_part
from genai_spine.v1.work_pb2 import WorkResponse

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class RunIngestionJournal:
    """Journal of an ingestion in the rows of its run."""

    context: RunContext

    @property
    def run_id(self) -> str:
        """UUID of the run."""
        return self.context.run.run_id

    @property
    def tenant_id(self) -> str:
        """Tenant that the run belongs to."""
        return self.context.run.tenant_id

    @property
    def cost_labels(self) -> Mapping[str, str]:
        """Labels of the run's costs."""
        return self.context.call.cost_labels

    def check(self) -> None:
        """Raises Stopped where somebody asked to cancel the run, and Left where another process goes on."""
        if self.context.is_stopping():
            raise Stopped
        if self.context.is_leaving():
            raise Left

    def progress(self, share: float, message: str) -> None:
        """Reports how much of the work is done, 0 to 1."""
        self.context.progress(share, message)

    async def step(
        self, name: str, request: Message, answer: type[M], make: Callable[[Call], Awaitable[M]]
    ) -> M:
        """Answer of a step, which is made once. Errors: those of make, and OwnerLost."""

        async def made(call: Call, write: Write) -> M:
            return await make(call_of_part(call, call.step_id or "", request))

        return await self.context.step(name, request, answer, made)


def ingesting(ingestion: DocumentIngestion) -> Callable[[RunContext], Awaitable[WorkResponse]]:
    """Work of ingestion runs."""

    async def run(context: RunContext) -> WorkResponse:
        """Answer of a run. Raises Stopped, Left and OwnerLost."""
        result = await ingestion.run(context.run.work.ingestion, RunIngestionJournal(context))
        return WorkResponse(ingestion=result)

    return run


def querying(queries: DocumentQueries) -> Callable[[RunContext], Awaitable[WorkResponse]]:
    """Work of runs that answer a question from documents which no collection keeps."""

    async def run(context: RunContext) -> WorkResponse:
        """Answer of a run. Raises Stopped, Left and OwnerLost."""
        answer = await queries.run(context.run.work.document_query, RunIngestionJournal(context))
        return WorkResponse(document_query=answer)

    return run
