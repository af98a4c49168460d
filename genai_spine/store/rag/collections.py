"""Collections of tenants."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.call import uuid7
from genai_spine.errors import CollectionNotFound, Conflict, EtagMismatch, VectorStoreUnavailable
from genai_spine.store.access.audit import clean
from genai_spine.store.database import Database
from genai_spine.store.rag.tables import rag_chunks, rag_collections, rag_documents
from genai_spine.store.runs.tables import runs
from genai_spine.v1.rag_service_pb2 import Collection

_columns = rag_collections.c
MAX_SWEPT = 50  # collections in one sweep


@dataclass(frozen=True, slots=True)
class StoredCollection:
    """Collection, and what its vectors are like."""

    collection: Collection
    tenant_id: str
    dimensions: int  # 0: it has no vectors yet
    content_revision: int  # counts changes of its documents

    @property
    def id(self) -> str:
        """UUID."""
        return self.collection.id


class CollectionRows:
    """Table of collections."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._has_vectors = database.dialect == "sqlite"

    async def check_vectors(self) -> None:
        """Errors: VectorStoreUnavailable where the database has no table of vectors."""
        if self._has_vectors:
            return
        if not await self._is_there():
            raise VectorStoreUnavailable
        self._has_vectors = True

    async def get(self, tenant_id: str, key: str) -> StoredCollection | None:
        """Collection of a tenant by its id or name."""
        async with self._database.connect() as connection:
            return await _one(connection, tenant_id, key)

    async def page(self, tenant_id: str, after: str, size: int) -> list[Collection]:
        """Collections of a tenant behind a name, by their names."""
        kept = (_columns.tenant_id == tenant_id, _columns.run_id.is_(None), _columns.name > after)
        query = sa.select(rag_collections).where(*kept)
        async with self._database.connect() as connection:
            found = await connection.execute(query.order_by(_columns.name).limit(size))
            return [_stored(row).collection for row in found.mappings()]

    async def insert(self, tenant_id: str, collection: Collection, run_id: str | None = None) -> None:
        """Adds a collection; sets what the server sets. Errors: Conflict (its name).

        run_id: of the run that it is deleted behind; it is in no list.
        """
        now = datetime.now(UTC)
        collection.id, collection.etag = uuid7(), "1"
        row = {
            **_values(collection),
            "id": collection.id,
            "tenant_id": tenant_id,
            **dict.fromkeys(("dimensions", "document_count", "chunk_count", "content_revision"), 0),
            "revision": 1,
            "run_id": run_id,
            "created_by": collection.created_by,
            "created_at": now,
            "updated_at": now,
        }
        async with self._database.begin() as connection:
            await _written(connection, sa.insert(rag_collections).values(row))
        collection.create_time.FromDatetime(now)
        collection.update_time.FromDatetime(now)

    async def update(self, stored: Collection, etag: str) -> Collection:
        """Settings of a collection as it was read, written where nobody changed them since.

        Errors: CollectionNotFound, EtagMismatch, Conflict (its name).
        """
        values = {**_values(stored), "revision": _columns.revision + 1, "updated_at": datetime.now(UTC)}
        this = sa.update(rag_collections).where(_columns.id == stored.id, _columns.revision == int(etag))
        async with self._database.begin() as connection:
            changed = await _written(connection, this.values(values))
            if not changed:
                await _raise_changed(connection, stored)
            query = sa.select(rag_collections).where(_columns.id == stored.id)
            return _stored((await connection.execute(query)).mappings().one()).collection

    async def delete(self, tenant_id: str, key: str, etag: str | None) -> str:
        """Id of a collection that is deleted with all that is in it.

        Errors: CollectionNotFound, EtagMismatch.
        """
        async with self._database.begin_write() as connection:
            found = await _one(connection, tenant_id, key, lock=True)
            if found is None:
                raise CollectionNotFound(collection=key)
            if etag is not None and etag != found.collection.etag:
                raise _mismatch(found.collection)
            of_it = sa.text("DELETE FROM rag_vectors WHERE collection_id = :id").bindparams(id=found.id)
            await connection.execute(sa.delete(rag_chunks).where(rag_chunks.c.collection_id == found.id))
            await connection.execute(of_it)
            await connection.execute(
                sa.delete(rag_documents).where(rag_documents.c.collection_id == found.id)
            )
            await connection.execute(sa.delete(rag_collections).where(_columns.id == found.id))
        return found.id

    async def sweep(self) -> int:
        """Deletes collections whose run has ended, or is gone; returns how many."""
        if self._database.dialect != "sqlite" and not await self._is_there():
            return 0
        open_runs = sa.select(runs.c.id).where(runs.c.ended_at.is_(None))
        query = sa.select(_columns.tenant_id, _columns.id)
        query = query.where(_columns.run_id.is_not(None), _columns.run_id.not_in(open_runs)).limit(MAX_SWEPT)
        async with self._database.connect() as connection:
            found = (await connection.execute(query)).all()
        for tenant_id, id in found:
            with suppress(CollectionNotFound):  # another process was faster
                await self.delete(tenant_id, id, None)
        return len(found)

    async def _is_there(self) -> bool:
        """Whether PostgreSQL has the table of vectors."""
        async with self._database.connect() as connection:
            found = await connection.scalar(sa.text("SELECT to_regclass('rag_vectors') IS NOT NULL"))
        return bool(found)


async def locked(connection: AsyncConnection, collection_id: str) -> int:
    """Dimensions of a collection that nobody else changes meanwhile. Errors: CollectionNotFound."""
    query = sa.select(_columns.dimensions).where(_columns.id == collection_id).with_for_update()
    found = (await connection.execute(query)).first()
    if found is None:
        raise CollectionNotFound(collection=collection_id)
    return int(found.dimensions)


async def _one(
    connection: AsyncConnection, tenant_id: str, key: str, *, lock: bool = False
) -> StoredCollection | None:
    """Collection by its id before one by its name."""
    key = clean(key)
    named = sa.or_(_columns.id == key, _columns.name == key)
    query = sa.select(rag_collections).where(_columns.tenant_id == tenant_id, named)
    rows = (await connection.execute(query.with_for_update() if lock else query)).mappings().all()
    found = sorted(rows, key=lambda row: row["id"] != key)
    return _stored(found[0]) if found else None


async def _written(connection: AsyncConnection, statement: Any) -> int:
    try:
        return int((await connection.execute(statement)).rowcount)
    except IntegrityError as error:
        raise Conflict(field="name", problem="another collection has it") from error


async def _raise_changed(connection: AsyncConnection, stored: Collection) -> None:
    found = (await connection.execute(sa.select(rag_collections).where(_columns.id == stored.id))).mappings()
    if (row := found.first()) is None:
        raise CollectionNotFound(collection=stored.name)
    raise _mismatch(_stored(row).collection)


def _mismatch(collection: Collection) -> EtagMismatch:
    return EtagMismatch(resource=f"collection '{collection.name}'", etag=collection.etag)


def _values(collection: Collection) -> dict[str, Any]:
    """Columns that the caller's settings are in."""
    settings = Collection()
    settings.CopyFrom(collection)
    for field in ("id", "document_count", "chunk_count", "create_time", "update_time", "created_by", "etag"):
        settings.ClearField(field)
    return {"name": collection.name, "body": settings.SerializeToString(deterministic=True)}


def _stored(row: Any) -> StoredCollection:
    found = Collection.FromString(row["body"])
    found.id, found.created_by, found.etag = row["id"], row["created_by"], str(row["revision"])
    found.document_count, found.chunk_count = row["document_count"], row["chunk_count"]
    found.create_time.FromDatetime(row["created_at"])
    found.update_time.FromDatetime(row["updated_at"])
    if row["dimensions"]:
        found.dimensions = row["dimensions"]
    return StoredCollection(found, row["tenant_id"], row["dimensions"], row["content_revision"])
