"""Files that are kept here: written once, read in pieces, deleted with the last file of their content.

Four functions hold the content, by tenant and SHA-256: write(), read(), delete() and the size in the file's
row. Whatever keeps objects elsewhere would take their place.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import delete, exists, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.files.tables import blobs, stored_files
from genai_spine.v1.provider_file_service_pb2 import ProviderFile

PIECE_BYTES = 1 << 20
MAX_EXPIRED = 200  # files that are deleted in one transaction


@dataclass(frozen=True, slots=True)
class FileUpload:
    """File that is to be kept, without its content."""

    id: str
    tenant_id: str
    filename: str
    purpose: str
    expires_after_s: float | None = None  # None: it is kept


class FileRows:
    """Files of all tenants; each method is about those of one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, file: FileUpload, pieces: AsyncIterator[bytes]) -> None:
        """Keeps a file, all or nothing; one with its id that is there stays."""
        digest, size, number = sha256(), 0, 0
        waiting = bytearray()
        mark = sha256(file.id.encode()).digest()  # until the content's own is known
        async with self._database.begin_write() as connection:
            async for piece in pieces:
                digest.update(piece)
                size += len(piece)
                waiting += piece
                while len(waiting) >= PIECE_BYTES:
                    await self._write_piece(connection, file, mark, number, bytes(waiting[:PIECE_BYTES]))
                    del waiting[:PIECE_BYTES]
                    number += 1
            if waiting:
                await self._write_piece(connection, file, mark, number, bytes(waiting))
            await self._settle(connection, file, mark, digest.digest())
            expires = None if file.expires_after_s is None else Now(file.expires_after_s)
            row = {
                "id": file.id,
                "tenant_id": file.tenant_id,
                "filename": file.filename,
                "purpose": file.purpose,
                "size_bytes": size,
                "sha256": digest.digest(),
                "created_at": Now(),
                "expires_at": expires,
            }
            await connection.execute(self._database.insert_once(stored_files, row))

    async def get(self, id: str, tenant_id: str) -> ProviderFile | None:
        """File by id; None: the tenant has none, or it has expired."""
        async with self._database.connect() as connection:
            row = (await connection.execute(self._unexpired(tenant_id, id=id))).mappings().first()
        return None if row is None else _file(row)

    async def page(self, tenant_id: str, after: str, size: int, *, oldest_first: bool) -> list[ProviderFile]:
        """Files behind one of them, one more than a page holds where there are more."""
        columns = stored_files.c
        query = self._unexpired(tenant_id)
        if after:
            place = select(columns.created_at).where(columns.id == after).scalar_subquery()
            beyond = columns.created_at > place if oldest_first else columns.created_at < place
            query = query.where(
                beyond
                | (
                    (columns.created_at == place)
                    & (columns.id > after if oldest_first else columns.id < after)
                )
            )
        order = (columns.created_at, columns.id)
        ordered = query.order_by(*(order if oldest_first else (column.desc() for column in order)))
        async with self._database.connect() as connection:
            rows = (await connection.execute(ordered.limit(size + 1))).mappings().all()
        return [_file(row) for row in rows]

    async def read(self, id: str, tenant_id: str) -> AsyncGenerator[bytes]:
        """Content of a file, piece by piece; nothing where the tenant has none."""
        async with self._database.connect() as connection:
            row = (await connection.execute(self._unexpired(tenant_id, id=id))).mappings().first()
        number = 0
        while row is not None:
            of_it = (blobs.c.tenant_id == tenant_id, blobs.c.sha256 == row["sha256"])
            query = select(blobs.c.data).where(*of_it, blobs.c.piece == number)
            async with self._database.connect() as connection:
                data = (await connection.execute(query)).scalar()
            if data is None:
                return
            yield data
            number += 1

    async def delete(self, id: str, tenant_id: str) -> bool:
        """Deletes a file, and its content where no other file has the same; False: the tenant has none."""
        async with self._database.begin_write() as connection:
            of_it = (stored_files.c.id == id, stored_files.c.tenant_id == tenant_id)
            gone = await connection.execute(
                delete(stored_files).where(*of_it).returning(stored_files.c.sha256)
            )
            found = gone.scalar_one_or_none()
            if found is not None:
                await self._drop_content(connection, tenant_id, found)
        return found is not None

    async def sweep(self) -> int:
        """Deletes files that have expired; returns how many."""
        columns = stored_files.c
        expired = select(columns.id, columns.tenant_id).where(columns.expires_at <= Now()).limit(MAX_EXPIRED)
        async with self._database.connect() as connection:
            found = (await connection.execute(expired)).all()
        for id, tenant_id in found:
            await self.delete(id, tenant_id)
        return len(found)

    async def _write_piece(
        self, connection: AsyncConnection, file: FileUpload, mark: bytes, number: int, data: bytes
    ) -> None:
        row = {"tenant_id": file.tenant_id, "sha256": mark, "piece": number, "data": data}
        await connection.execute(insert(blobs).values(row))

    async def _settle(
        self, connection: AsyncConnection, file: FileUpload, mark: bytes, digest: bytes
    ) -> None:
        """Gives pieces the hash of their content, or drops them where that is there."""
        of_it = (blobs.c.tenant_id == file.tenant_id, blobs.c.sha256 == digest)
        there = (await connection.execute(select(blobs.c.piece).where(*of_it).limit(1))).first()
        marked = (blobs.c.tenant_id == file.tenant_id, blobs.c.sha256 == mark)
        if there:
            await connection.execute(delete(blobs).where(*marked))
        else:
            await connection.execute(blobs.update().where(*marked).values(sha256=digest))

    async def _drop_content(self, connection: AsyncConnection, tenant_id: str, digest: bytes) -> None:
        shared = exists().where(stored_files.c.tenant_id == tenant_id, stored_files.c.sha256 == digest)
        if not (await connection.execute(select(shared))).scalar():
            of_it = (blobs.c.tenant_id == tenant_id, blobs.c.sha256 == digest)
            await connection.execute(delete(blobs).where(*of_it))

    def _unexpired(self, tenant_id: str, *, id: str | None = None) -> Any:
        columns = stored_files.c
        query = select(stored_files).where(
            columns.tenant_id == tenant_id, columns.expires_at.is_(None) | (columns.expires_at > Now())
        )
        return query if id is None else query.where(columns.id == id)


def _file(row: Any) -> ProviderFile:
    file = ProviderFile(
        id=row["id"],
        provider="spine",
        filename=row["filename"],
        purpose=row["purpose"],
        size_bytes=row["size_bytes"],
        status="processed",
    )
    file.create_time.FromDatetime(row["created_at"])
    if row["expires_at"] is not None:
        file.expire_time.FromDatetime(row["expires_at"])
    return file
