"""Entries of the request log: the only SQL of request_logs."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, RowMapping, delete, insert, or_, select

from genai_spine.store.database import Database
from genai_spine.store.newest_first import PageEnd, behind
from genai_spine.store.request_log.tables import request_logs
from genai_spine.store.sweeper import BATCH_SIZE, delete_expired
from genai_spine.v1 import request_log_service_pb2 as pb
from genai_spine.v1.request_log_service_pb2 import RequestLog

COLUMNS = request_logs.c
NAMES = {"created_at": "create_time", "expires_at": "expire_time", "user_id": "end_user"}  # column -> field
SHOWN = [column for column in COLUMNS if column.name != "tenant_id"]
LISTED = [column for column in SHOWN if not column.name.endswith("_json")]


class Page(NamedTuple):
    """Page of entries, without what was asked and answered. end: None on the last one."""

    entries: list[RequestLog]
    end: PageEnd | None


class RequestLogRows:
    """Table of the request log, with its expiry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, entries: Sequence[tuple[str, RequestLog]]) -> None:
        """Writes entries with their tenants, all or none."""
        if not entries:
            return
        rows = [_row(tenant, entry) for tenant, entry in entries]
        async with self._database.begin() as connection:
            await connection.execute(insert(request_logs), rows)

    async def get(self, id: str, tenant: str) -> RequestLog | None:
        """Entry by id. None: the tenant has none of it."""
        query = select(*SHOWN).where(*_filters(tenant, id=id))
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return None if row is None else _entry(row)

    async def page(
        self, request: pb.ListRequestLogsRequest, tenant: str, limit: int, after: PageEnd | None
    ) -> Page:
        """Page of a tenant's entries by a request's filters. after: end of the page before."""
        filters = _filters(
            tenant,
            request_id=request.request_id,
            user_id=request.end_user,
            api_key_id=request.api_key_id,
            model=request.model,
            correlation_id=request.correlation_id,
        )
        if request.failed:
            filters.append(or_(COLUMNS.code != "OK", COLUMNS.error.is_not(None)))
        if request.HasField("start_time"):
            filters.append(COLUMNS.created_at >= request.start_time.ToDatetime(UTC))
        if request.HasField("end_time"):
            filters.append(COLUMNS.created_at < request.end_time.ToDatetime(UTC))
        filters += behind(after, COLUMNS.created_at, COLUMNS.id)
        newest = (COLUMNS.created_at.desc(), COLUMNS.id.desc())
        query = select(*LISTED).where(*filters).order_by(*newest).limit(limit + 1)
        async with self._database.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        end = rows[limit - 1] if len(rows) > limit else None
        return Page(
            [_entry(row) for row in rows[:limit]], PageEnd(end["created_at"], end["id"]) if end else None
        )

    async def delete(self, request: pb.DeleteRequestLogsRequest, tenant: str) -> int:
        """Number of a tenant's entries deleted, by the id, request or user that is said, or all.

        Many are deleted in several transactions, so that nobody is held up.
        """
        filters = _filters(
            tenant, id=request.request_log_id, request_id=request.request_id, user_id=request.end_user
        )
        some = select(COLUMNS.id).where(*filters).limit(BATCH_SIZE)
        deleted, last = 0, BATCH_SIZE
        while last >= BATCH_SIZE:
            async with self._database.begin() as connection:
                last = (await connection.execute(delete(request_logs).where(COLUMNS.id.in_(some)))).rowcount
            deleted += last
        return deleted

    async def sweep(self) -> int:
        """Number of expired rows deleted; call it again while it is sweeper.BATCH_SIZE."""
        return await delete_expired(self._database, request_logs)


def _filters(tenant: str, **equal: str) -> list[ColumnElement[bool]]:
    """Conditions of a tenant's rows. equal: by column; "" is none."""
    columns: Any = COLUMNS
    found = [columns[name] == value.replace("\0", "\ufffd") for name, value in equal.items() if value]
    return [COLUMNS.tenant_id == tenant, *found]


def _row(tenant: str, entry: RequestLog) -> dict[str, Any]:
    found: dict[str, Any] = {"tenant_id": tenant}
    for column in SHOWN:
        field = entry.DESCRIPTOR.fields_by_name[NAMES.get(column.name, column.name)]
        value = getattr(entry, field.name)
        if field.message_type is not None:
            value = value.ToDatetime(UTC)
        elif field.has_presence and not entry.HasField(field.name):
            value = None
        found[column.name] = value
    return found


def _entry(row: RowMapping) -> RequestLog:
    entry = RequestLog()
    for name, value in row.items():
        field = NAMES.get(name, name)
        if name in ("created_at", "expires_at"):
            getattr(entry, field).FromDatetime(value)
        elif value is not None:
            setattr(entry, field, value)
    return entry
