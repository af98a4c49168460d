"""Ingestion: documents are read, cut, embedded and stored, and what is there already costs nothing.

A batch of embeddings is a step of the run: a process that dies loses none that was paid. A document becomes
visible in one transaction, once all of its vectors are there.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple, Protocol, TypeVar

from google.protobuf.message import Message

from genai_spine.call import Call
from genai_spine.concurrency import gather_or_cancel
from genai_spine.costs import sum_usages
from genai_spine.errors import CollectionNotFound, Conflict, DocumentUnreadable, InvalidRequest, SpineError
from genai_spine.retrieval import embedding, sources
from genai_spine.retrieval.embedding import Embed
from genai_spine.retrieval.reader_process import Answer, Reader, Source
from genai_spine.security.fetch import Fetcher, FetchFailed
from genai_spine.store.rag.collections import CollectionRows, StoredCollection
from genai_spine.store.rag.documents import ChunkRow, DocumentRows, Pages, VectorsMissing
from genai_spine.store.rag.vectors import VectorRows
from genai_spine.text.document_chunks import ChunkRules
from genai_spine.v1.completion_service_pb2 import CreateEmbeddingsRequest
from genai_spine.v1.rag_pb2 import (
    IngestedDocument,
    Ingestion,
    IngestionBatch,
    IngestionResult,
    RagDocumentSource,
)
from genai_spine.v1.rag_service_pb2 import RagChunk, RagDocument
from genai_spine.v1.usage_pb2 import Usage

MAX_FILE_BYTES = 64 << 20  # of a document
CONCURRENT_BATCHES = 4
MAX_ROUNDS = 3
EMBED = "embed"  # name of the steps
READING_SHARE = 0.2  # of a document's progress; embeddings are the rest

M = TypeVar("M", bound=Message)


class Journal(Protocol):
    """Run that an ingestion is: its call, steps and progress."""

    @property
    def tenant_id(self) -> str:
        """Tenant that the run belongs to."""
        ...

    @property
    def cost_labels(self) -> Mapping[str, str]:
        """Labels of the run's costs."""
        ...

    def check(self) -> None:
        """Ends the work here where somebody asked for that, or another process is to go on with it."""
        ...

    def progress(self, share: float, message: str) -> None:
        """Reports how much of the work is done, 0 to 1."""
        ...

    async def step(
        self, name: str, request: Message, answer: type[M], make: Callable[[Call], Awaitable[M]]
    ) -> M:
        """Answer of a step, which is made once."""
        ...


class Files(Protocol):
    """Files that callers uploaded."""

    def read(self, id: str, tenant_id: str) -> AsyncGenerator[bytes]:
        """Content of a file, piece by piece; nothing where the tenant has none."""
        ...


class Place(NamedTuple):
    """Place of a document among those of a run: its number, and how many there are."""

    number: int
    total: int
    name: str

    def share(self, done: float) -> float:
        """Share of the whole run, where so much of the document is done."""
        return (self.number + done) / self.total


@dataclass(slots=True)
class DocumentIngestion:
    """Ingestion of documents into collections of one database. embed: of the configuration in force."""

    collections: CollectionRows
    documents: DocumentRows
    vectors: VectorRows
    files: Files
    fetcher: Fetcher
    embed: Embed | None = None

    async def run(self, work: Ingestion, journal: Journal) -> IngestionResult:
        """Result of all documents; one that cannot be read does not keep the others from it.

        Errors: CollectionNotFound, VectorStoreUnavailable, DocumentUnreadable where no document can be read,
        those of CreateEmbeddings.
        """
        sources.check(work.documents)
        await self.collections.check_vectors()
        stored = await self._collection(work.collection, journal)
        chunking = stored.collection.chunking
        rules = ChunkRules(chunking.strategy, chunking.max_tokens, chunking.overlap_tokens)
        result, usages = IngestionResult(collection_id=stored.id), []
        reader, last = Reader(stored.collection.embedding_model, rules), None
        try:
            for number, source in enumerate(work.documents):
                journal.check()
                place = Place(number, len(work.documents), source.name)
                try:
                    found, used = await self._document(stored, source, reader, journal, place)
                    usages += used
                except DocumentUnreadable as error:
                    last, found = error, _failed(source, error)
                result.documents.append(found)
                journal.progress(place.share(1), f"{number + 1} of {place.total} documents")
        finally:
            await reader.close()
        if last is not None and all(one.status == "failed" for one in result.documents):
            raise last
        result.usage.CopyFrom(sum_usages(usages))
        return _counted(result)

    async def _collection(self, key: str, journal: Journal) -> StoredCollection:
        found = await self.collections.get(journal.tenant_id, key)
        if found is None:
            raise CollectionNotFound(collection=key)
        return found

    async def _document(
        self,
        stored: StoredCollection,
        source: RagDocumentSource,
        reader: Reader,
        journal: Journal,
        place: Place,
    ) -> tuple[IngestedDocument, list[Usage]]:
        """Outcome of a document, and what its embeddings used. Errors: DocumentUnreadable, those of run()."""
        data = await self._content(source, journal.tenant_id)
        digest = sha256(data).hexdigest()
        before = await self.documents.named(stored.id, source.name)
        if before is not None and _is_as_before(before, source, digest, stored):
            same = IngestedDocument(name=source.name, document_id=before.id, status="unchanged")
            same.chunk_count = before.chunk_count
            return same, []
        journal.progress(place.share(0), f"reading {source.name}")
        answer = await reader.read(Source(source.name, source.media_type, data))
        chunks = _new_chunks(answer)
        usages, embedded = await self._embed(stored, chunks, journal, place)
        document = _document_of(source, answer, stored, digest=digest, size=len(data))
        try:
            pages = Pages(answer.page_starts, answer.empty_pages)
            document = await self.documents.replace(stored.id, document, pages, chunks)
        except VectorsMissing:
            problem = "its chunks were deleted while it was ingested; ingest it again"
            raise Conflict(field=source.name, problem=problem) from None
        done = IngestedDocument(name=source.name, document_id=document.id, status="ingested")
        done.chunk_count, done.embedded_chunks = len(chunks), embedded
        if answer.page_starts:
            done.page_count, done.empty_pages = len(answer.page_starts), answer.empty_pages
        return done, usages

    async def _content(self, source: RagDocumentSource, tenant_id: str) -> bytes:
        """Bytes of a document. Errors: DocumentUnreadable."""
        if source.HasField("text"):
            return source.text.encode()
        if source.HasField("data"):
            return source.data
        if source.HasField("url"):
            return await self._fetched(source)
        data = bytearray()
        async with aclosing(self.files.read(source.file_id, tenant_id)) as pieces:
            async for piece in pieces:
                data += piece
                if len(data) > MAX_FILE_BYTES:
                    problem = f"it has more than {MAX_FILE_BYTES >> 20} MiB"
                    raise DocumentUnreadable(document=source.name, kind="too_large", problem=problem)
        if not data:
            problem = f"there is no file {source.file_id}, or it is empty"
            raise DocumentUnreadable(document=source.name, kind="no_file", problem=problem)
        return bytes(data)

    async def _fetched(self, source: RagDocumentSource) -> bytes:
        """Bytes of an address. Errors: DocumentUnreadable."""
        try:
            found = await self.fetcher.get(source.url)
        except (FetchFailed, InvalidRequest) as error:
            problem = f"it cannot be fetched: {error}"
            raise DocumentUnreadable(document=source.name, kind="not_fetched", problem=problem) from None
        if found.status != 200:
            problem = f"its address answers with HTTP status {found.status}"
            raise DocumentUnreadable(document=source.name, kind="not_fetched", problem=problem)
        return found.body

    async def _embed(
        self, stored: StoredCollection, chunks: Sequence[ChunkRow], journal: Journal, place: Place
    ) -> tuple[list[Usage], int]:
        """Embeds what the collection has no vector of. Errors: those of run()."""
        texts = {
            one.content_hash: embedding.embedded_text(one.chunk.headings, one.chunk.content) for one in chunks
        }
        usages: list[Usage] = []
        embedded = 0
        # A step that was made once is not made again: where its vectors were deleted since, that of the next
        # round is.
        for _ in range(MAX_ROUNDS):
            known = await self.vectors.known(stored.id, list(texts))
            missing = {one: text for one, text in texts.items() if one not in known}
            if not missing:
                break
            embedded = embedded or len(missing)
            usages += await self._embed_missing(stored, missing, journal, place)
        return usages, embedded

    async def _embed_missing(
        self, stored: StoredCollection, texts: Mapping[bytes, str], journal: Journal, place: Place
    ) -> list[Usage]:
        """Usage of embedding some texts, by their hashes."""
        missing = list(texts)
        size = embedding.batch_size(stored)
        batches = [missing[start : start + size] for start in range(0, len(missing), size)]
        usages: list[Usage] = []

        async def embed(batch: Sequence[bytes]) -> None:
            journal.check()
            request = embedding.request_of(stored, [texts[one] for one in batch], journal.cost_labels)
            answer = await journal.step(EMBED, request, IngestionBatch, self._making(stored, batch, request))
            usages.append(answer.usage)
            done = READING_SHARE + (1 - READING_SHARE) * len(usages) / len(batches)
            journal.progress(
                place.share(done * 0.99), f"{place.name}: {len(usages)} of {len(batches)} batches"
            )

        for start in range(0, len(batches), CONCURRENT_BATCHES):
            await gather_or_cancel(embed(batch) for batch in batches[start : start + CONCURRENT_BATCHES])
        return usages

    def _making(
        self, stored: StoredCollection, batch: Sequence[bytes], request: CreateEmbeddingsRequest
    ) -> Callable[[Call], Awaitable[IngestionBatch]]:
        """Embedding of a batch, whose vectors are stored before its step ends."""

        async def make(call: Call) -> IngestionBatch:
            assert self.embed is not None
            response = await self.embed(request, call)
            vectors = embedding.vectors_of(response, len(batch), stored)
            await self.vectors.add(stored, batch, vectors)
            return IngestionBatch(chunk_count=len(batch), usage=response.usage)

        return make


def _is_as_before(
    before: RagDocument, source: RagDocumentSource, digest: str, stored: StoredCollection
) -> bool:
    """Whether a document would come out as it is."""
    return (
        before.sha256 == digest
        and before.chunking == stored.collection.chunking
        and dict(before.metadata) == dict(source.metadata)
        and source.title in ("", before.title)
        and source.media_type.partition(";")[0].strip().lower() in ("", before.media_type)
    )


def _new_chunks(answer: Answer) -> list[ChunkRow]:
    found = []
    for number, one in enumerate(answer.chunks):
        chunk = RagChunk(
            number=number,
            content=one.text,
            token_count=one.tokens,
            start_offset=one.start,
            end_offset=one.end,
            headings=one.headings,
            speaker=one.speaker,
        )
        if one.first_page:
            chunk.first_page, chunk.last_page = one.first_page, one.last_page
        text = embedding.embedded_text(one.headings, one.text)
        found.append(ChunkRow(chunk, embedding.content_hash(text)))
    return found


def _document_of(
    source: RagDocumentSource, answer: Answer, stored: StoredCollection, *, digest: str, size: int
) -> RagDocument:
    document = RagDocument(
        collection_id=stored.id,
        name=source.name,
        title=source.title or answer.title,
        media_type=answer.media_type,
        metadata=source.metadata,
        size_bytes=size,
        sha256=digest,
        character_count=answer.characters,
        chunk_count=len(answer.chunks),
        chunking=stored.collection.chunking,
    )
    if answer.page_starts:
        document.page_count = len(answer.page_starts)
    return document


def _failed(source: RagDocumentSource, error: SpineError) -> IngestedDocument:
    return IngestedDocument(
        name=source.name, status="failed", error_type=error.reason_name, error=str(error)[:1000]
    )


def _counted(result: IngestionResult) -> IngestionResult:
    """Result with its sums."""
    for one in result.documents:
        setattr(result, one.status, getattr(result, one.status) + 1)
        if one.status == "ingested":
            result.chunk_count += one.chunk_count
            result.embedded_chunks += one.embedded_chunks
    return result
