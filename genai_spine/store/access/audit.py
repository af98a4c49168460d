"""Audit log: the only SQL of audit_log, and the mapping of a row to a message."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from google.protobuf.json_format import MessageToDict, ParseDict
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.store.access.tables import audit_log
from genai_spine.store.database import Database
from genai_spine.store.newest_first import PageEnd, behind
from genai_spine.store.sweeper import delete_expired
from genai_spine.v1.audit_service_pb2 import AuditEntry, ListAuditEntriesRequest

RETENTION = timedelta(days=400)
COLUMNS = audit_log.c
TEXTS = ("id", "tenant_id", "actor", "action", "target", "request_id")


class SealedEntry(NamedTuple):
    """Entry with the seal that shows whether it is as it was written."""

    entry: AuditEntry
    seal: str | None  # HMAC-SHA256, hexadecimal


class AuditRows:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, sealed: SealedEntry) -> None:
        """Entry in a transaction of its own."""
        async with self._database.begin() as connection:
            await add(connection, sealed)

    async def page(
        self, tenant_id: str, request: ListAuditEntriesRequest, size: int, after: PageEnd | None
    ) -> list[SealedEntry]:
        """Entries of a tenant that the request's filters let through, the newest first, behind a place."""
        query = sa.select(audit_log).where(
            COLUMNS.tenant_id == tenant_id,
            *_filters(request),
            *behind(after, COLUMNS.created_at, COLUMNS.id),
        )
        query = query.order_by(COLUMNS.created_at.desc(), COLUMNS.id.desc()).limit(size)
        async with self._database.connect() as connection:
            return [_sealed(row) for row in (await connection.execute(query)).mappings()]

    async def sweep(self) -> int:
        """Number of entries deleted because they are older than RETENTION; at most sweeper.BATCH_SIZE."""
        return await delete_expired(self._database, audit_log)


async def add(connection: AsyncConnection, sealed: SealedEntry) -> None:
    """Entry in the transaction of the change that it is about."""
    entry = sealed.entry
    time = entry.create_time.ToDatetime(UTC)
    row: dict[str, Any] = {name: getattr(entry, name) for name in TEXTS}
    row |= {"created_at": time, "expires_at": time + RETENTION}
    row |= {"details": MessageToDict(entry.details), "seal": sealed.seal}
    await connection.execute(sa.insert(audit_log).values(row))


def _filters(request: ListAuditEntriesRequest) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if request.actor:
        found.append(COLUMNS.actor == clean(request.actor))
    if request.action:
        action = clean(request.action)
        found.append(
            COLUMNS.action.startswith(action, autoescape=True)
            if action.endswith(".")
            else COLUMNS.action == action
        )
    if request.target:
        found.append(COLUMNS.target == clean(request.target))
    if request.HasField("start_time"):
        found.append(COLUMNS.created_at >= _time(request.start_time))
    if request.HasField("end_time"):
        found.append(COLUMNS.created_at < _time(request.end_time))
    return found


def clean(text: str) -> str:
    """Text without NUL, which PostgreSQL does not take."""
    return text.replace("\0", "\ufffd")


def _time(value: Any) -> datetime:
    found: datetime = value.ToDatetime(UTC)
    return found


def _sealed(row: Any) -> SealedEntry:
    entry = AuditEntry(**{name: row[name] for name in TEXTS})
    entry.create_time.FromDatetime(row["created_at"])
    entry.details.SetInParent()
    ParseDict(row["details"], entry.details)
    return SealedEntry(entry, row["seal"])
