"""RagService: RPCs of collections, their documents, retrieval and answers."""

from typing import Protocol

from genai_spine import http_answer
from genai_spine.call import Call
from genai_spine.errors import InvalidFields
from genai_spine.retrieval.answers import Answers
from genai_spine.retrieval.collections import CollectionLibrary
from genai_spine.v1 import rag_pb2, run_pb2
from genai_spine.v1 import rag_service_pb2 as pb
from genai_spine.v1.run_service_pb2 import CreateRunRequest
from genai_spine.v1.work_pb2 import Work


class RunCreation(Protocol):
    """Submission of runs."""

    async def create(self, request: CreateRunRequest, call: Call) -> run_pb2.Run:
        """Submits work. Errors: those of RunLibrary.create()."""
        ...


class RagService:
    """RPCs of retrieval."""

    def __init__(self, library: CollectionLibrary, answers: Answers, runs: RunCreation) -> None:
        self._library, self._answers, self._runs = library, answers, runs

    async def CreateCollection(self, request: pb.CreateCollectionRequest, call: Call) -> pb.Collection:
        """New collection; HTTP status 201. Errors: those of CollectionLibrary.create()."""
        http_answer.answered(call, 201)
        return await self._library.create(request.collection, call.principal.tenant_id, call.principal.name)

    async def GetCollection(self, request: pb.GetCollectionRequest, call: Call) -> pb.Collection:
        """Collection by id or name. Errors: CollectionNotFound."""
        return (await self._library.found(request.collection, call.principal.tenant_id)).collection

    async def ListCollections(
        self, request: pb.ListCollectionsRequest, call: Call
    ) -> pb.ListCollectionsResponse:
        """Page of collections, by their names."""
        return await self._library.page(request, call.principal.tenant_id)

    async def UpdateCollection(self, request: pb.UpdateCollectionRequest, call: Call) -> pb.Collection:
        """Other settings. Errors: those of CollectionLibrary.update()."""
        return await self._library.update(request, call.principal.tenant_id)

    async def DeleteCollection(
        self, request: pb.DeleteCollectionRequest, call: Call
    ) -> pb.DeleteCollectionResponse:
        """End of a collection; HTTP status 204. Errors: CollectionNotFound, EtagMismatch."""
        await self._library.delete(request, call.principal.tenant_id)
        http_answer.answered(call, 204)
        return pb.DeleteCollectionResponse()

    async def IngestDocuments(self, request: pb.IngestDocumentsRequest, call: Call) -> run_pb2.Run:
        """Run of an ingestion; HTTP status 202. Errors: CollectionNotFound, those of RunLibrary.create()."""
        await self._library.found(request.collection, call.principal.tenant_id)
        http_answer.answered(call, 202)
        work = rag_pb2.Ingestion(collection=request.collection, documents=request.documents)
        made = CreateRunRequest(work=Work(ingestion=work), options=request.options)
        if request.HasField("wait"):
            made.wait.CopyFrom(request.wait)
        return await self._runs.create(made, call)

    async def ListDocuments(self, request: pb.ListDocumentsRequest, call: Call) -> pb.ListDocumentsResponse:
        """Page of documents, by their names. Errors: CollectionNotFound."""
        return await self._library.documents_page(request, call.principal.tenant_id)

    async def GetDocument(self, request: pb.GetDocumentRequest, call: Call) -> pb.RagDocument:
        """One document. Errors: CollectionNotFound, DocumentNotFound."""
        return await self._library.document(request.collection, request.document_id, call.principal.tenant_id)

    async def DeleteDocument(
        self, request: pb.DeleteDocumentRequest, call: Call
    ) -> pb.DeleteDocumentResponse:
        """End of a document; HTTP status 204. Errors: CollectionNotFound, DocumentNotFound."""
        tenant_id = call.principal.tenant_id
        await self._library.delete_document(request.collection, request.document_id, tenant_id)
        http_answer.answered(call, 204)
        return pb.DeleteDocumentResponse()

    async def ListChunks(self, request: pb.ListChunksRequest, call: Call) -> pb.ListChunksResponse:
        """Page of chunks, in their order. Errors: CollectionNotFound, DocumentNotFound."""
        return await self._library.chunks_page(request, call.principal.tenant_id)

    async def Retrieve(self, request: rag_pb2.RetrieveRequest, call: Call) -> rag_pb2.RetrieveResponse:
        """Chunks that a query is about. Errors: those of Retriever.retrieve()."""
        _check_query(request.query)
        return await self._answers.retriever.retrieve(request, call)

    async def AnswerQuery(
        self, request: rag_pb2.AnswerQueryRequest, call: Call
    ) -> rag_pb2.AnswerQueryResponse:
        """Answer from a collection. Errors: those of Answers.answer()."""
        _check_query(request.query)
        return await self._answers.answer(request, call)


def _check_query(query: str) -> None:
    """Errors: InvalidFields."""
    if not query.strip():
        raise InvalidFields([("query", "is required")])
