"""Response cache rows: the only SQL of response_cache."""

from dataclasses import dataclass

from sqlalchemy import select

from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.sweeper import delete_expired
from genai_spine.store.tables import response_cache


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """Stored answer: body is the serialised message."""

    tenant: str
    operation: str
    provider: str
    model: str
    body: bytes


class Responses:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, key: str, response: CachedResponse, ttl_s: float) -> None:
        """Upsert of an answer; ttl_s: seconds until it expires."""
        row = {
            "key": key,
            "tenant_id": response.tenant,
            "operation": response.operation,
            "provider": response.provider,
            "model": response.model,
            "body": response.body,
            "body_bytes": len(response.body),
            "created_at": Now(),
            "expires_at": Now(ttl_s),
        }
        async with self._database.begin() as connection:
            await connection.execute(self._database.upsert(response_cache, row))

    async def find(self, key: str, max_age_s: float) -> tuple[bytes, float] | None:
        """Body and age (seconds) of an answer that is young enough and has not expired."""
        columns = response_cache.c
        query = select(columns.body, columns.created_at, Now().label("now")).where(
            columns.key == key, columns.expires_at > Now(), columns.created_at > Now(-max_age_s)
        )
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else (row.body, max(0.0, (row.now - row.created_at).total_seconds()))

    async def sweep(self) -> int:
        """Number of expired rows deleted; call it again while it is sweeper.BATCH_SIZE."""
        return await delete_expired(self._database, response_cache)
