"""Collections, ingestion, retrieval and answers, through the channel, on both databases."""

from typing import Any

import pytest

from genai_spine.store import schema
from genai_spine.store.rag.collections import CollectionRows
from genai_spine.v1 import rag_pb2 as rag
from genai_spine.v1 import rag_service_pb2 as pb
from genai_spine.v1 import rag_service_pb2_grpc, run_service_pb2
from genai_spine.v1.run_service_pb2_grpc import RunServiceStub
from tests.service.running import Running, Upstreams, failure, running

WAIT = {"seconds": 60}
TABLES = ("rag_collections", "rag_documents", "rag_chunks", "rag_vectors", "rag_words")
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


async def row_counts(client: Client) -> dict[str, int]:
    async with client.service.database.engine.connect() as connection:
        counts = {}
        for table in TABLES:
            counts[table] = (await connection.exec_driver_sql(f"SELECT count(*) FROM {table}")).scalar()
        return counts


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
    assert await row_counts(client) == dict.fromkeys(TABLES, 0)


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


async def test_rag_pipeline_answers_from_documents_that_no_collection_keeps(client: Client):
    runs: Any = RunServiceStub(client.service.channel)
    request = run_service_pb2.CreateRunRequest(kind="pipeline", name="genai.rag_pipeline", wait=WAIT)
    documents = [{"name": name, "content": text} for name, text in TEXTS.items()]
    request.params.update(
        {
            "query": "When does the lease of the Hamburg office end?",
            "documents": documents,
            "steps": ["embed", "retrieve", "generate"],
            "embedding_model": "builtin:hashing",
            "model": "builtin:extractive",
        }
    )
    run = await runs.CreateRun(request)
    assert run.status == "completed", run.error
    assert "31 March 2027" in run.result["answer"]
    assert run.result["sources"][0]["document_name"] == "lease.txt"
    assert (run.kind, run.name) == ("pipeline", "genai.rag_pipeline")
    assert not (await client.rag.ListCollections(pb.ListCollectionsRequest())).collections
    rows = CollectionRows(client.service.database)
    assert await rows.sweep() == 1
    assert await rows.sweep() == 0
    assert await row_counts(client) == dict.fromkeys(TABLES, 0)


@pytest.mark.parametrize("document", ["report.pdf", 7, "http://plain.example/a", {"name": "x"}])
async def test_document_of_no_known_form_is_named(client: Client, document: Any):
    runs: Any = RunServiceStub(client.service.channel)
    request = run_service_pb2.CreateRunRequest(kind="pipeline", name="rag_pipeline")
    request.params.update({"query": "What?", "documents": [{"name": "a", "content": "b"}, document]})
    found = await failure(runs.CreateRun(request))
    assert found.reason == "INVALID_FIELDS"
    assert found.fields in (["params.documents[1]"], ["documents[1].text"])


async def test_what_cannot_be_read_keeps_nothing_else_from_it(client: Client):
    await client.create()
    sources = [
        rag.RagDocumentSource(name="good.txt", text=TEXTS["lease.txt"]),
        rag.RagDocumentSource(name="bad.pdf", data=b"%PDF-1.7 cut"),
        rag.RagDocumentSource(name="private", url="https://127.0.0.1/a.txt"),
        rag.RagDocumentSource(name="lost", file_id="file-of-nobody"),
    ]
    run = await client.ingest(*sources)
    assert run.status == "completed"
    result = run.response.ingestion
    assert [one.status for one in result.documents] == ["ingested", "failed", "failed", "failed"]
    assert {one.error_type for one in result.documents[1:]} == {"DOCUMENT_UNREADABLE"}
    assert (result.ingested, result.failed) == (1, 3)
    only_bad = await client.ingest(sources[1])
    assert (only_bad.status, only_bad.error.type) == ("failed", "DOCUMENT_UNREADABLE")
    assert only_bad.error.metadata["kind"] == "damaged"


@pytest.mark.parametrize(
    ("sources", "field"),
    [
        ([rag.RagDocumentSource(name="a")], "documents[0].text"),
        ([rag.RagDocumentSource(name="a", text="b", file_id="c")], "documents[0].text"),
        ([rag.RagDocumentSource(text="b")], "documents[0].name"),
        ([rag.RagDocumentSource(name="a", text="b")] * 2, "documents[1].name"),
        ([rag.RagDocumentSource(name=str(n), data=b"x" * 6_000_000) for n in range(3)], "documents"),
        ([], "documents"),
    ],
)
async def test_sources_that_are_wrong_are_named(
    client: Client, sources: list[rag.RagDocumentSource], field: str
):
    await client.create()
    asked = pb.IngestDocumentsRequest(collection="papers", documents=sources)
    assert field in (await failure(client.rag.IngestDocuments(asked))).fields


async def test_settings_change_with_their_etag_and_the_model_stays(client: Client):
    made = await client.create(description="first")
    change = pb.Collection(description="second", etag=made.etag, embedding_model="other")
    request = pb.UpdateCollectionRequest(collection="papers", settings=change)
    changed = await client.rag.UpdateCollection(request)
    assert (changed.description, changed.embedding_model) == ("second", made.embedding_model)
    assert changed.etag != made.etag
    assert (await failure(client.rag.UpdateCollection(request))).reason == "ETAG_MISMATCH"
    request = pb.UpdateCollectionRequest(collection="papers", settings=pb.Collection(name="renamed"))
    await client.rag.UpdateCollection(request)
    assert (await failure(client.rag.UpdateCollection(request))).reason == "COLLECTION_NOT_FOUND"
    await client.create()
    request.collection = "papers"
    assert (await failure(client.rag.UpdateCollection(request))).reason == "CONFLICT"
    overlap = rag.RagChunking(max_tokens=100, overlap_tokens=100)
    request = pb.UpdateCollectionRequest(collection="papers", settings=pb.Collection(chunking=overlap))
    wrong = await failure(client.rag.UpdateCollection(request))
    assert wrong.fields == ["settings.chunking.overlap_tokens"]


async def test_lists_have_pages(client: Client):
    names = [f"c{number}" for number in range(5)]
    for name in names:
        await client.create(name)
    await client.create()
    await client.ingested({f"{name}.txt": f"Text {name}.\n\nMore." for name in names})
    found, request = [], pb.ListCollectionsRequest(page_size=2)
    while True:
        page = await client.rag.ListCollections(request)
        found += [one.name for one in page.collections]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert found == [*names, "papers"]
    documents = pb.ListDocumentsRequest(collection="papers", page_size=3)
    first = await client.rag.ListDocuments(documents)
    documents.page_token = first.next_page_token
    second = await client.rag.ListDocuments(documents)
    assert [one.name for one in (*first.documents, *second.documents)] == [f"{name}.txt" for name in names]
    asked = pb.ListChunksRequest(collection="papers", document_id=first.documents[0].id)
    assert [one.content for one in (await client.rag.ListChunks(asked)).chunks] == ["Text c0.\n\nMore."]


async def test_filter_narrows_to_documents_with_that_metadata(client: Client):
    await client.create()
    sources = [
        rag.RagDocumentSource(name=name, text=text, metadata={"kind": name[:-4], "team": "a"})
        for name, text in TEXTS.items()
    ]
    assert (await client.ingest(*sources)).status == "completed"
    for query in ("lease", "anything else"):
        found = await client.retrieve(query, filter={"kind": "cat", "team": "a"})
        assert [one.document_name for one in found] == ["cat.txt"]
    assert not await client.retrieve("lease", filter={"kind": "dog"})
    assert dict(found[0].metadata) == {"kind": "cat", "team": "a"}
    narrowed = await client.retrieve("lease", document_ids=[found[0].document_id])
    assert [one.document_name for one in narrowed] == ["cat.txt"]


async def test_equal_texts_of_two_documents_have_one_vector_that_stays_with_the_last(client: Client):
    await client.create()
    result = await client.ingested({"a.txt": TEXTS["cat.txt"], "b.txt": TEXTS["cat.txt"]})
    assert result.embedded_chunks == 1
    assert sorted(one.document_name for one in await client.retrieve("cat")) == ["a.txt", "b.txt"]
    gone = pb.DeleteDocumentRequest(collection="papers", document_id=result.documents[0].document_id)
    await client.rag.DeleteDocument(gone)
    assert [one.document_name for one in await client.retrieve("cat")] == ["b.txt"]


async def test_speakers_and_headings_are_kept_with_their_chunks(client: Client):
    await client.create("calls", chunking=rag.RagChunking(strategy="speaker"))
    call = "Agent: Good morning, how can I help?\nCustomer: My invoice is wrong.\nAgent: I will look."
    await client.ingested({"call.txt": call}, collection="calls")
    request = rag.RetrieveRequest(collection="calls", query="invoice wrong", top_k=1)
    [found] = (await client.rag.Retrieve(request)).sources
    assert (found.speaker, found.content) == ("Customer", "Customer: My invoice is wrong.")
    await client.create("book", chunking=rag.RagChunking(strategy="structure", max_tokens=24))
    text = "# Terms\n\n## Delivery\n\nGoods are shipped in May.\n\n## Payment\n\nInvoices are due in 30 days."
    await client.ingested({"book.md": text}, collection="book")
    request = rag.RetrieveRequest(collection="book", query="invoices due", top_k=1)
    [found] = (await client.rag.Retrieve(request)).sources
    assert list(found.headings) == ["Terms", "Payment"]


async def test_query_without_words_is_refused(client: Client):
    await client.create()
    asked = rag.RetrieveRequest(collection="papers", query="  ")
    assert (await failure(client.rag.Retrieve(asked))).fields == ["query"]


async def test_postgresql_without_vectors_says_so_and_gets_them_by_migrate(
    upstreams: Upstreams, postgres_url: str
):
    async with running(upstreams, postgres_url) as service:
        async with service.database.begin() as connection:
            await connection.exec_driver_sql("DROP TABLE rag_vectors, rag_words")
        client = Client(service)
        calls = [
            client.rag.CreateCollection(pb.CreateCollectionRequest(collection=pb.Collection(name="a"))),
            client.rag.ListCollections(pb.ListCollectionsRequest()),
            client.rag.GetCollection(pb.GetCollectionRequest(collection="a")),
            client.rag.DeleteCollection(pb.DeleteCollectionRequest(collection="a")),
            client.rag.Retrieve(rag.RetrieveRequest(collection="a", query="b")),
            client.ingest(rag.RagDocumentSource(name="a", text="b"), collection="a"),
        ]
        assert {(await failure(call)).reason for call in calls} == {"VECTOR_STORE_UNAVAILABLE"}
        assert await CollectionRows(service.database).sweep() == 0
        posted = await service.post("/v1/embeddings", {"model": "builtin:hashing", "input": "else it works"})
        assert posted.json["data"]
        assert await schema.upgrade(service.database) == []
        await client.create()
        await client.ingested()
        assert (await client.retrieve("lease"))[0].document_name == "lease.txt"
