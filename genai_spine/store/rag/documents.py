"""Documents of collections, and their chunks; a document is replaced in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.call import uuid7
from genai_spine.store.access.audit import clean
from genai_spine.store.database import Database
from genai_spine.store.rag.collections import locked
from genai_spine.store.rag.search_tables import LANGUAGE, scope_of
from genai_spine.store.rag.tables import rag_chunks, rag_collections, rag_documents
from genai_spine.v1.rag_pb2 import RagChunking, RagSource
from genai_spine.v1.rag_service_pb2 import RagChunk, RagDocument

_document, _chunk = rag_documents.c, rag_chunks.c
# Letters and digits alone, as FTS5 cuts texts: PostgreSQL's own parser takes -7000 of EN-7000 for a number,
# and a/b.txt for a file. A tsvector holds at most 1 MiB.
PLAIN_TEXT = "regexp_replace(left(headings || ' ' || text, 500000), '[^[:alnum:]]+', ' ', 'g')"
HASHES_AT_ONCE = 500  # in one statement; SQLite takes 32,766 parameters


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """Chunk that is to be stored. content_hash: SHA-256 of what is embedded."""

    chunk: RagChunk
    content_hash: bytes


class Pages(NamedTuple):
    """Pages of a document: the characters before each, and how many of them have no text."""

    page_starts: Sequence[int] = ()
    empty_pages: int = 0


class VectorsMissing(Exception):
    """Vectors of a document's chunks are not there: somebody deleted them since."""


class DocumentRows:
    """Tables of documents and chunks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, collection_id: str, document_id: str) -> RagDocument | None:
        """Document by its id."""
        return await self._first(_document.collection_id == collection_id, _document.id == clean(document_id))

    async def named(self, collection_id: str, name: str) -> RagDocument | None:
        """Document by its name."""
        return await self._first(_document.collection_id == collection_id, _document.name == name)

    async def page(self, collection_id: str, after: str, size: int) -> list[RagDocument]:
        """Documents behind a name, by their names."""
        of_it = (_document.collection_id == collection_id, _document.name > after)
        query = sa.select(rag_documents).where(*of_it).order_by(_document.name).limit(size)
        async with self._database.connect() as connection:
            return [_document_of(row) for row in (await connection.execute(query)).mappings()]

    async def chunks(self, document_id: str, after: int, size: int) -> list[RagChunk]:
        """Chunks of a document behind a number, in their order."""
        of_it = (_chunk.document_id == document_id, _chunk.number > after)
        query = sa.select(rag_chunks).where(*of_it).order_by(_chunk.number).limit(size)
        async with self._database.connect() as connection:
            return [_chunk_of(row) for row in (await connection.execute(query)).mappings()]

    async def sources(self, ids: Sequence[int]) -> dict[int, RagSource]:
        """Chunks by their ids, with their documents."""
        joined = rag_chunks.join(rag_documents, _document.id == _chunk.document_id)
        columns = (rag_chunks, _document.name.label("document_name"), _document.title, _document.metadata)
        query = sa.select(*columns).select_from(joined).where(_chunk.id.in_(ids))
        async with self._database.connect() as connection:
            found = (await connection.execute(query)).mappings()
            return {row["id"]: _source_of(row) for row in found}

    async def matching(
        self, collection_id: str, metadata: Mapping[str, str], ids: Sequence[str]
    ) -> list[str]:
        """Ids of the documents that have all of some metadata, and one of some ids where there are any."""
        conditions: list[sa.ColumnElement[bool]] = [_document.collection_id == collection_id]
        conditions += [_document.metadata[key].as_string() == value for key, value in metadata.items()]
        if ids:
            conditions.append(_document.id.in_([clean(id) for id in ids]))
        async with self._database.connect() as connection:
            return list((await connection.execute(sa.select(_document.id).where(*conditions))).scalars())

    async def page_starts(self, ids: Sequence[str]) -> dict[str, list[int]]:
        """Characters before each page, of documents that have pages."""
        query = sa.select(_document.id, _document.page_starts).where(_document.id.in_(ids))
        async with self._database.connect() as connection:
            return {row[0]: row[1] for row in await connection.execute(query) if row[1]}

    async def replace(
        self, collection_id: str, document: RagDocument, pages: Pages, chunks: Sequence[ChunkRow]
    ) -> RagDocument:
        """Puts a document with its chunks in the place of the one of its name, or adds it.

        Errors: CollectionNotFound. Raises VectorsMissing.
        """
        now = datetime.now(UTC)
        document.update_time.FromDatetime(now)
        async with self._database.begin_write() as connection:
            await locked(connection, collection_id)
            hashes = {chunk.content_hash for chunk in chunks}
            if await known_hashes(connection, collection_id, list(hashes)) != hashes:
                raise VectorsMissing
            named = (_document.collection_id == collection_id, _document.name == document.name)
            before = (await connection.execute(sa.select(rag_documents).where(*named))).first()
            document.id = uuid7() if before is None else before.id
            document.create_time.FromDatetime(now if before is None else before.created_at)
            row = _values(document) | {**pages._asdict(), "updated_at": now}
            gone: set[bytes] = set()
            if before is None:
                row |= {"id": document.id, "collection_id": collection_id, "created_at": now}
                await connection.execute(sa.insert(rag_documents).values(row))
            else:
                gone = await _drop_chunks(connection, document.id)
                await connection.execute(sa.update(rag_documents).where(*named).values(row))
            await _add_chunks(connection, collection_id, document.id, chunks)
            await _drop_vectors(connection, collection_id, list(gone - hashes))
            more = len(chunks) - (0 if before is None else before.chunk_count)
            await _count(connection, collection_id, int(before is None), more)
        return document

    async def delete(self, collection_id: str, document_id: str) -> bool:
        """Deletes a document with its chunks; False: there is none."""
        of_it = (_document.collection_id == collection_id, _document.id == clean(document_id))
        async with self._database.begin_write() as connection:
            await locked(connection, collection_id)
            found = (await connection.execute(sa.select(_document.chunk_count).where(*of_it))).first()
            if found is None:
                return False
            gone = await _drop_chunks(connection, document_id)
            await connection.execute(sa.delete(rag_documents).where(*of_it))
            await _drop_vectors(connection, collection_id, list(gone))
            await _count(connection, collection_id, -1, -found.chunk_count)
        return True

    async def _first(self, *conditions: sa.ColumnElement[bool]) -> RagDocument | None:
        query = sa.select(rag_documents).where(*conditions)
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else _document_of(row)


async def known_hashes(
    connection: AsyncConnection, collection_id: str, hashes: Sequence[bytes]
) -> set[bytes]:
    """Contents of which a collection has vectors, among some."""
    found: set[bytes] = set()
    query = sa.text(
        "SELECT content_hash FROM rag_vectors WHERE collection_id = :id AND content_hash IN :hashes"
    ).bindparams(sa.bindparam("hashes", expanding=True, type_=sa.LargeBinary), id=collection_id)
    for start in range(0, len(hashes), HASHES_AT_ONCE):
        some = {"hashes": list(hashes[start : start + HASHES_AT_ONCE])}
        found.update(bytes(row[0]) for row in await connection.execute(query, some))
    return found


async def _add_chunks(
    connection: AsyncConnection, collection_id: str, document_id: str, chunks: Sequence[ChunkRow]
) -> None:
    if not chunks:
        return
    scope = scope_of(collection_id)
    rows = [_row(one, document_id, collection_id=collection_id, scope=scope) for one in chunks]
    await connection.execute(sa.insert(rag_chunks), rows)
    if connection.dialect.name == "postgresql":
        await connection.execute(
            sa.text(
                "INSERT INTO rag_words (chunk_id, words) SELECT id, array_to_tsvector(ARRAY[scope]) || "
                f"to_tsvector('{LANGUAGE}', {PLAIN_TEXT}) FROM rag_chunks "
                "WHERE document_id = :id"
            ).bindparams(id=document_id)
        )


async def _drop_chunks(connection: AsyncConnection, document_id: str) -> set[bytes]:
    """Deletes the chunks of a document; returns what was embedded of them."""
    gone = sa.delete(rag_chunks).where(_chunk.document_id == document_id)
    return set((await connection.execute(gone.returning(_chunk.content_hash))).scalars())


async def _drop_vectors(connection: AsyncConnection, collection_id: str, hashes: Sequence[bytes]) -> None:
    """Deletes those of some vectors that no chunk has any more."""
    statement = sa.text(
        "DELETE FROM rag_vectors AS v WHERE collection_id = :id AND content_hash IN :hashes AND NOT EXISTS ("
        "SELECT 1 FROM rag_chunks c WHERE c.collection_id = :id AND c.content_hash = v.content_hash)"
    ).bindparams(sa.bindparam("hashes", expanding=True, type_=sa.LargeBinary), id=collection_id)
    for start in range(0, len(hashes), HASHES_AT_ONCE):
        await connection.execute(statement, {"hashes": hashes[start : start + HASHES_AT_ONCE]})


async def _count(connection: AsyncConnection, collection_id: str, documents: int, chunks: int) -> None:
    """Counts so many documents and chunks more."""
    columns = rag_collections.c
    values = {
        "document_count": columns.document_count + documents,
        "chunk_count": columns.chunk_count + chunks,
        "content_revision": columns.content_revision + 1,
        "updated_at": datetime.now(UTC),
    }
    await connection.execute(sa.update(rag_collections).where(columns.id == collection_id).values(values))


def _row(one: ChunkRow, document_id: str, **more: str) -> dict[str, Any]:
    chunk = one.chunk
    return {
        **more,
        "document_id": document_id,
        "number": chunk.number,
        "headings": "\n".join(chunk.headings),
        "text": chunk.content,
        "speaker": chunk.speaker,
        "token_count": chunk.token_count,
        "first_page": chunk.first_page if chunk.HasField("first_page") else None,
        "last_page": chunk.last_page if chunk.HasField("last_page") else None,
        "start_offset": chunk.start_offset,
        "end_offset": chunk.end_offset,
        "content_hash": one.content_hash,
    }


def _values(document: RagDocument) -> dict[str, Any]:
    fields = ("name", "title", "media_type", "size_bytes", "sha256", "character_count", "chunk_count")
    return {field: getattr(document, field) for field in fields} | {
        "metadata": dict(document.metadata),
        "page_count": document.page_count if document.HasField("page_count") else None,
        "chunking": document.chunking.SerializeToString(deterministic=True),
    }


def _document_of(row: Any) -> RagDocument:
    fields = ("id", "collection_id", "name", "title", "media_type", "metadata", "size_bytes", "sha256")
    found = RagDocument(**{field: row[field] for field in (*fields, "character_count", "chunk_count")})
    if row["page_count"] is not None:
        found.page_count = row["page_count"]
    found.chunking.CopyFrom(RagChunking.FromString(row["chunking"]))
    found.create_time.FromDatetime(row["created_at"])
    found.update_time.FromDatetime(row["updated_at"])
    return found


def _chunk_of(row: Any) -> RagChunk:
    found = RagChunk(id=str(row["id"]), number=row["number"], content=row["text"], speaker=row["speaker"])
    found.token_count = row["token_count"]
    _place(found, row)
    return found


def _source_of(row: Any) -> RagSource:
    found = RagSource(
        chunk_id=str(row["id"]),
        content=row["text"],
        speaker=row["speaker"],
        metadata=row["metadata"],
        document_id=row["document_id"],
        document_name=row["document_name"],
        document_title=row["title"],
    )
    _place(found, row)
    return found


def _place(found: Any, row: Any) -> None:
    """Writes where a chunk stands in its document."""
    found.start_offset, found.end_offset = row["start_offset"], row["end_offset"]
    found.headings[:] = row["headings"].split("\n") if row["headings"] else []
    for name in ("first_page", "last_page"):
        if row[name] is not None:
            setattr(found, name, row[name])
