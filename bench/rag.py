"""`python -m bench.rag 100000`: retrieval over so many chunks, and how fast documents are ingested.

Vectors are made up, 768 dimensions in clusters; providers are not asked, so that their time is not counted.
"""

import asyncio
import resource
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, NamedTuple

import numpy as np

from bench.rows import Row, printed, row
from genai_spine.call import Call
from genai_spine.retrieval.ingestion import DocumentIngestion
from genai_spine.retrieval.ranking import fused, words_of
from genai_spine.security.fetch import Fetcher
from genai_spine.store import schema
from genai_spine.store.database import Database
from genai_spine.store.files.files import FileRows
from genai_spine.store.rag.collections import CollectionRows, StoredCollection
from genai_spine.store.rag.documents import ChunkRow, DocumentRows, Pages
from genai_spine.store.rag.postgresql_search import PostgresqlSearch
from genai_spine.store.rag.sqlite_search import SqliteSearch
from genai_spine.store.rag.vectors import ChunkSearch, Scope, VectorRows
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1.rag_pb2 import Ingestion, RagChunking, RagDocumentSource
from genai_spine.v1.rag_service_pb2 import Collection, RagChunk, RagDocument
from tests.databases import PostgresServer

DIMENSIONS, CLUSTERS = 768, 200
PER_DOCUMENT = 1000  # chunks
QUERIES = 60
POOL = 50  # chunks that each way brings
VOCABULARY = 30_000  # words, of which those with low numbers are common
MOST_MS, LEAST_PER_S = 30.0, 200.0
TENANT = "default-tenant"
INDEX = "ix_rag_vectors_768"


class Timing(NamedTuple):
    """Medians of queries with rare words, and with common ones, in milliseconds."""

    rare_ms: float
    common_ms: float
    cpu_ms: float  # of this process, of one with rare words


async def measured(chunks: int = 100_000) -> list[Row]:
    """Rows of SQLite and PostgreSQL."""
    rows = []
    for name, opened in (("SQLite", _sqlite), ("PostgreSQL", _postgresql)):
        async with opened() as database:
            await schema.upgrade(database)
            rate = await _ingested(database)
            search = _search(database)
            timing = await _retrieved(database, search, chunks)
        rows += [
            row(f"{name}: chunks ingested a second, a core", rate, LEAST_PER_S, least=True),
            row(f"{name}: retrieval of {chunks:,} chunks, p50 ms", timing.rare_ms, MOST_MS),
            {"name": f"{name}: CPU of it in the server, ms", "value": round(timing.cpu_ms, 1)},
            {"name": f"{name}: the same with common words", "value": round(timing.common_ms, 1)},
        ]
    return rows


@asynccontextmanager
async def _sqlite() -> AsyncIterator[Database]:
    with tempfile.TemporaryDirectory(prefix="spine-bench-") as folder:
        database = Database(f"sqlite:///{folder}/bench.db")
        yield database
        await database.close()


@asynccontextmanager
async def _postgresql() -> AsyncIterator[Database]:
    folder = _folder()
    server = PostgresServer(folder)
    database = Database(server.url(server.create()))
    try:
        yield database
    finally:
        await database.close()
        server.close()
        shutil.rmtree(folder)


def _folder() -> Path:
    """Folder that the server's own user can read."""
    folder = Path(tempfile.mkdtemp(prefix="spine-bench-"))
    folder.chmod(0o755)
    return folder


def _search(database: Database) -> ChunkSearch:
    if database.dialect == "sqlite":
        return SqliteSearch(database, lambda: 2 << 30)
    return PostgresqlSearch(database)


class _Journal:
    """Journal of an ingestion that no run keeps."""

    tenant_id = TENANT
    cost_labels: Mapping[str, str] = {}

    def check(self) -> None:
        return None

    def progress(self, share: float, message: str) -> None:
        return None

    async def step(
        self, name: str, request: Any, answer: type[Any], make: Callable[[Call], Awaitable[Any]]
    ) -> Any:
        return await make(Call())


async def _ingested(database: Database) -> float:
    """Chunks a second of CPU time, of this process and its readers; vectors come ready."""
    ready = _vectors(64, np.random.default_rng(1)).tolist()

    async def embed(request: completions.CreateEmbeddingsRequest, call: Call) -> Any:
        response = completions.CreateEmbeddingsResponse()
        for index, values in zip(range(len(request.inputs)), ready, strict=False):
            response.embeddings.add(index=index, values=values)
        return response

    ingestion = DocumentIngestion(
        CollectionRows(database),
        DocumentRows(database),
        VectorRows(database),
        FileRows(database),
        Fetcher(),
        embed,
    )
    await _collection(database, "ingested")
    words = _texts(np.random.default_rng(2), 400)
    given = [
        RagDocumentSource(name=f"{number}.md", text="\n\n".join(next(words) for _ in range(500)))
        for number in range(6)
    ]
    began = _cpu_s()
    result = await ingestion.run(Ingestion(collection="ingested", documents=given), _Journal())
    return result.chunk_count / (_cpu_s() - began)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


async def _collection(database: Database, name: str) -> StoredCollection:
    collections = CollectionRows(database)
    chunking = RagChunking(strategy="semantic", max_tokens=400, overlap_tokens=0)
    made = Collection(name=name, embedding_provider="bench", embedding_model="bench", chunking=chunking)
    await collections.insert(TENANT, made)
    found = await collections.get(TENANT, name)
    assert found is not None
    return found


async def _retrieved(database: Database, search: ChunkSearch, count: int) -> Timing:
    stored = await _filled(database, count)
    random = np.random.default_rng(3)
    for word in ("warm", "up"):
        await _hybrid(search, stored, _vectors(1, random)[0], word)
    times: dict[str, list[float]] = {"rare": [], "common": [], "cpu": []}
    for _ in range(QUERIES):
        vector = _vectors(1, random)[0]
        rare = " ".join(f"term{number}" for number in random.integers(1000, VOCABULARY, 5))
        common = " ".join(f"term{number}" for number in random.integers(0, 5, 3))
        for name, query in (("rare", rare), ("common", common)):
            began, used = perf_counter(), process_time()
            await _hybrid(search, stored, vector, query)
            times[name].append((perf_counter() - began) * 1000)
            if name == "rare":
                times["cpu"].append((process_time() - used) * 1000)
    return Timing(*(median(times[name]) for name in ("rare", "common", "cpu")))


async def _hybrid(search: ChunkSearch, stored: StoredCollection, vector: Any, query: str) -> None:
    """Retrieval as retrieval/search.py does it, without the provider and without texts."""
    scope = Scope(stored)
    nearest, words = await asyncio.gather(
        search.nearest(scope, vector, POOL), search.with_words(scope, words_of(query), POOL)
    )
    cosines = {hit.chunk_id: hit.score for hit in nearest}
    if missing := [hit.chunk_id for hit in words if hit.chunk_id not in cosines]:
        cosines |= await search.cosines(scope, vector, missing)
    assert fused(cosines, words, 0.3)


async def _filled(database: Database, count: int) -> StoredCollection:
    """Collection of so many chunks. PostgreSQL's index is built once they are there, which is faster."""
    stored = await _collection(database, "large")
    vectors, documents = VectorRows(database), DocumentRows(database)
    random, began = np.random.default_rng(4), perf_counter()
    texts = _texts(random, 120)
    is_postgresql = database.dialect == "postgresql"
    if is_postgresql:
        await _execute(database, f"DROP INDEX {INDEX}")
    for start in range(0, count, PER_DOCUMENT):
        hashes = [number.to_bytes(32, "big") for number in range(start, start + PER_DOCUMENT)]
        await vectors.add(stored, hashes, _vectors(PER_DOCUMENT, random))
        rows = [
            ChunkRow(RagChunk(number=number, content=next(texts)), hash) for number, hash in enumerate(hashes)
        ]
        document = RagDocument(name=str(start), title="", media_type="text/plain", chunk_count=len(rows))
        await documents.replace(stored.id, document, Pages(), rows)
    if is_postgresql:
        await _execute(
            database,
            f"CREATE INDEX {INDEX} ON rag_vectors USING hnsw ((vector::halfvec({DIMENSIONS})) "
            f"halfvec_cosine_ops) WHERE dimensions = {DIMENSIONS}",
        )
        for table in ("rag_vectors", "rag_words", "rag_chunks"):
            await _execute(database, f"ANALYZE {table}")
    print(f"{database.dialect}: {count:,} chunks written in {perf_counter() - began:.0f} s", flush=True)
    found = await CollectionRows(database).get(TENANT, "large")
    assert found is not None
    return found


async def _execute(database: Database, statement: str) -> None:
    async with database.engine.connect() as connection:
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        await raw.execute(statement, timeout=600)


def _vectors(count: int, random: np.random.Generator) -> Any:
    centres = np.random.default_rng(5).normal(size=(CLUSTERS, DIMENSIONS))
    found = centres[random.integers(0, CLUSTERS, count)] + random.normal(size=(count, DIMENSIONS)) * 0.7
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def _texts(random: np.random.Generator, words: int) -> Iterator[str]:
    """Texts whose words are as unequal as those of a language."""
    while True:
        numbers = np.minimum(random.zipf(1.2, words * 64), VOCABULARY) - 1
        for start in range(0, len(numbers), words):
            yield " ".join(f"term{number}" for number in numbers[start : start + words]) + "."


if __name__ == "__main__":
    print(printed(asyncio.run(measured(int(sys.argv[1]) if sys.argv[1:] else 100_000))))
