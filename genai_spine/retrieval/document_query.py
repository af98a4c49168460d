"""Questions to documents that no collection keeps: ingested for a run, and deleted behind it."""

from dataclasses import dataclass
from typing import Protocol

from genai_spine.errors import Conflict
from genai_spine.retrieval.answers import Answers
from genai_spine.retrieval.collections import DEFAULT_CHUNKING, EmbeddingModel
from genai_spine.retrieval.ingestion import DocumentIngestion, Journal
from genai_spine.v1.rag_pb2 import AnswerQueryRequest, AnswerQueryResponse, DocumentQuery, Ingestion
from genai_spine.v1.rag_service_pb2 import Collection

GENERATE = "generate"  # name of the step, and among those that a caller asks for


class QueryJournal(Journal, Protocol):
    """Run that such a question is."""

    @property
    def run_id(self) -> str:
        """UUID of the run."""
        ...


@dataclass(slots=True)
class DocumentQueries:
    """Questions to documents. answers and embedding_model: of the configuration in force."""

    ingestion: DocumentIngestion
    answers: Answers | None = None
    embedding_model: EmbeddingModel | None = None

    async def run(self, work: DocumentQuery, journal: QueryJournal) -> AnswerQueryResponse:
        """Answer to a question. Errors: those of DocumentIngestion.run() and of Answers.answer()."""
        name = f".run-{journal.run_id}"  # no caller's collection begins with a dot
        await self._create(name, work, journal)
        await self.ingestion.run(Ingestion(collection=name, documents=work.documents), journal)
        request = AnswerQueryRequest(collection=name, query=work.query, cost_labels=journal.cost_labels)
        request.generate_answer = not work.steps or GENERATE in work.steps
        for field in ("top_k", "provider", "model"):
            if work.HasField(field):
                setattr(request, field, getattr(work, field))
        assert self.answers is not None
        answers = self.answers
        return await journal.step(
            GENERATE, request, AnswerQueryResponse, lambda call: answers.answer(request, call)
        )

    async def _create(self, name: str, work: DocumentQuery, journal: QueryJournal) -> None:
        """Makes the collection of a run, unless a process before this one has."""
        assert self.embedding_model is not None
        await self.ingestion.collections.check_vectors()
        collection = Collection(name=name, created_by=f"run:{journal.run_id}")
        named = self.embedding_model(work.embedding_provider, work.embedding_model)
        collection.embedding_provider, collection.embedding_model = named
        collection.chunking.CopyFrom(DEFAULT_CHUNKING)
        collection.chunking.MergeFrom(work.chunking)
        if await self.ingestion.collections.get(journal.tenant_id, name) is not None:
            return
        try:
            await self.ingestion.collections.insert(journal.tenant_id, collection, journal.run_id)
        except Conflict:  # by a process that lost the run just now
            return
