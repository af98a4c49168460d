"""Collections, ingestion, retrieval and answers, through the channel, on both databases."""

from typing import Any

import pytest

from genai_spine.v1 import rag_pb2 as rag
from genai_spine.v1 import rag_service_pb2 as pb
from genai_spine.v1 import rag_service_pb2_grpc
from tests.service.running import Running, Upstreams, failure, running

WAIT = {"seconds": 60}
TEXTS = {
    "lease.txt": "The lease of the Hamburg office ends on 31 March 2027.\n\nThe rent is 4,200 euros a month.",
    "cat.txt": "The cat Mimi sleeps on the red sofa all day.\n\nShe wakes up for a tin of tuna.",
    "engine.txt": "The diesel engine was overhauled in May.\n\nIts oil must be changed every 500 hours.",
}


class Client:
    """Calls of one test's collection."""

    def __init__(self, service: Running) -> None:
        self.service = service
        self.rag: Any = rag_service_pb2_grpc.RagServiceStub(service.channel)

    async def create(self, name: str = "papers", **fields: Any) -> pb.Collection:
        fields = {"embedding_model": "builtin:hashing", **fields}
        request = pb.CreateCollectionRequest(collection=pb.Collection(name=name, **fields))
        made: pb.Collection = await self.rag.CreateCollection(request)
        return made

    async def ingest(self, *sources: rag.RagDocumentSource, collection: str = "papers", **fields: Any) -> Any:
        """Run of an ingestion, once it has ended."""
        request = pb.IngestDocumentsRequest(collection=collection, documents=sources, wait=WAIT, **fields)
        return await self.rag.IngestDocuments(request)

    async def ingested(self, texts: dict[str, str] = TEXTS, **fields: Any) -> rag.IngestionResult:
        sources = [rag.RagDocumentSource(name=name, text=text) for name, text in texts.items()]
        run = await self.ingest(*sources, **fields)
        assert run.status == "completed", run.error
        result: rag.IngestionResult = run.response.ingestion
        return result

    async def retrieve(self, query: str, **fields: Any) -> list[rag.RagSource]:
        request = rag.RetrieveRequest(collection="papers", query=query, **fields)
        return list((await self.rag.Retrieve(request)).sources)


@pytest.fixture
async def client(upstreams: Upstreams, database_url: str) -> Any:
    async with running(upstreams, database_url) as service:
        yield Client(service)


async def test_what_was_ingested_is_found_with_its_place(client: Client):
    await client.create()
    result = await client.ingested()
    assert (result.ingested, result.failed, result.chunk_count) == (3, 0, 3)
    first = (await client.retrieve("When does the lease of the office end?"))[0]
    assert first.document_name == "lease.txt"
    assert TEXTS["lease.txt"][first.start_offset : first.end_offset] == first.content
    assert first.number == 1
    assert 0 < first.relevance_score <= 1


async def test_second_ingestion_of_the_same_costs_nothing(client: Client):
    await client.create()
    assert (await client.ingested()).embedded_chunks == 3
    again = await client.ingested()
    assert (again.unchanged, again.embedded_chunks) == (3, 0)
    changed = TEXTS | {"cat.txt": TEXTS["cat.txt"] + "\n\nMimi is nine years old."}
    third = await client.ingested(changed)
    assert (third.unchanged, third.ingested, third.embedded_chunks) == (2, 1, 1)


async def test_only_new_chunks_of_a_changed_document_are_paid(client: Client):
    await client.create(chunking=rag.RagChunking(max_tokens=16))
    text = "\n\n".join(f"Paragraph number {number} is about subject {number * 7}." for number in range(200))
    first = await client.ingested({"long.txt": text})
    assert first.embedded_chunks > 100
    more = await client.ingested({"long.txt": text.replace("Paragraph number 77 ", "Paragraph number 7700 ")})
    assert more.chunk_count == first.chunk_count
    assert 1 <= more.embedded_chunks <= 3


async def test_deleted_document_is_found_by_nobody(client: Client):
    await client.create()
    result = await client.ingested()
    for document in result.documents:
        if document.name == "lease.txt":
            request = pb.DeleteDocumentRequest(collection="papers", document_id=document.document_id)
            await client.rag.DeleteDocument(request)
    names = [source.document_name for source in await client.retrieve("lease of the office")]
    assert sorted(names) == ["cat.txt", "engine.txt"]
    collection = await client.rag.GetCollection(pb.GetCollectionRequest(collection="papers"))
    assert (collection.document_count, collection.chunk_count) == (2, 2)


async def test_deletion_of_a_collection_leaves_no_row(client: Client):
    await client.create()
    await client.ingested()
    await client.rag.DeleteCollection(pb.DeleteCollectionRequest(collection="papers"))
    failed = await failure(client.rag.Retrieve(rag.RetrieveRequest(collection="papers", query="lease")))
    assert failed.reason == "COLLECTION_NOT_FOUND"
    async with client.service.database.engine.connect() as connection:
        for table in ("rag_collections", "rag_documents", "rag_chunks", "rag_vectors", "rag_words"):
            found = await connection.exec_driver_sql(f"SELECT count(*) FROM {table}")
            assert (table, found.scalar()) == (table, 0)


async def test_answer_cites_sources_whose_passages_stand_there(client: Client):
    await client.create()
    await client.ingested()
    request = rag.AnswerQueryRequest(
        collection="papers", query="When does the lease end?", model="builtin:extractive"
    )
    answer = await client.rag.AnswerQuery(request)
    assert answer.answer
    assert answer.sources[0].document_name == "lease.txt"
    assert answer.provider == "builtin"
    for citation in answer.citations:
        source = TEXTS[citation.document_name]
        assert source[citation.start_offset : citation.end_offset] == citation.quote


@pytest.mark.parametrize("query", ["hello-world", "a AND", "-x", "col:x", "NEAR(", '"', "*", "(", "'; --"])
async def test_words_of_a_query_are_no_operators(client: Client, query: str):
    await client.create()
    await client.ingested()
    assert len(await client.retrieve(query)) <= 3
    assert len(await client.retrieve(query, keyword_weight=1.0)) <= 3
