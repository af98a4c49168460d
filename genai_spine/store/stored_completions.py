"""Completions that are stored because their requests said so: the only SQL of stored_completions."""

from collections.abc import Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, RowMapping, Update, and_, exists, or_, select, update

from genai_spine.store.connections.expressions import JsonTexts, Now
from genai_spine.store.database import Database
from genai_spine.store.sweeper import delete_expired
from genai_spine.store.tables import stored_completions
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import stored_completion_service_pb2 as pb

MAX_PAGE_BYTES = 32 << 20  # bytes of the answers of one page; a page has at least one answer
COLUMNS = stored_completions.c
SHOWN = (COLUMNS.body, COLUMNS.metadata, COLUMNS.created_at, COLUMNS.expires_at)
LIVES = and_(COLUMNS.deleted_at.is_(None), COLUMNS.expires_at > Now())


class Page(NamedTuple):
    """Page of stored completions."""

    completions: list[pb.StoredCompletion]
    end: str | None  # id of its last one where others follow


class StoredCompletionRows:
    """Table of stored completions, with their expiry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self,
        request: completions.CreateCompletionRequest,
        completion: completions.Completion,
        tenant: str,
        ttl_s: float,
    ) -> None:
        """Stores an answer with its request's messages and metadata, unless one with its id is stored.

        ttl_s: seconds until it expires.
        """
        messages = pb.ListStoredMessagesResponse()
        for sequence, message in enumerate(request.messages):
            messages.messages.add(sequence=sequence, message=message)
        body = completion.SerializeToString()
        row = {
            "id": completion.id,
            "tenant_id": tenant,
            "model": clean(completion.model),
            "requested_model": clean(request.model),
            "request_id": completion.request_id,
            "execution_id": completion.execution_id or None,
            "metadata": dict(request.metadata),
            "messages": messages.SerializeToString(),
            "body": body,
            "body_bytes": len(body),
            "created_at": Now(),
            "expires_at": Now(ttl_s),
        }
        async with self._database.begin() as connection:
            await connection.execute(self._database.insert_once(stored_completions, row))

    async def get(self, id: str, tenant: str) -> pb.StoredCompletion | None:
        """Stored completion by id. None, here and below: the tenant has none of it."""
        query = select(*SHOWN).where(*_is(id, tenant), LIVES)
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return None if row is None else _stored(row)

    async def messages(self, id: str, tenant: str) -> list[pb.StoredMessage] | None:
        """Messages that a stored completion answers, the oldest first."""
        query = select(COLUMNS.messages).where(*_is(id, tenant), LIVES)
        async with self._database.connect() as connection:
            data = (await connection.execute(query)).scalar_one_or_none()
        return None if data is None else list(pb.ListStoredMessagesResponse.FromString(data).messages)

    async def page(
        self,
        request: pb.ListStoredCompletionsRequest,
        tenant: str,
        labels: Mapping[str, str],
        limit: int,
        after: str | None,
    ) -> Page | None:
        """Page of a tenant's stored completions that have the labels, and the request's model.

        after: id that it begins behind, also of a deleted row. None: no row has that id.
        """
        newest, filters = request.newest_first, _filters(request.model, labels)
        filters.insert(0, COLUMNS.tenant_id == tenant)
        keys = (COLUMNS.created_at, COLUMNS.id)
        order = [key.desc() for key in keys] if newest else list(keys)
        async with self._database.connect() as connection:
            if after is not None:
                place = select(COLUMNS.created_at).where(*_is(after, tenant))
                time = (await connection.execute(place)).scalar_one_or_none()
                if time is None:
                    return None
                filters += _behind(time, after, newest_first=newest)
            query = select(COLUMNS.id, COLUMNS.body_bytes).where(*filters).order_by(*order).limit(limit + 1)
            found = (await connection.execute(query)).all()
            sums = accumulate(row.body_bytes for row in found)
            fitting = sum(1 for size in sums if size <= MAX_PAGE_BYTES)
            ids = [row.id for row in found[: min(limit, max(1, fitting))]]
            shown = select(*SHOWN).where(COLUMNS.id.in_(ids), LIVES).order_by(*order)
            rows = (await connection.execute(shown)).mappings().all()
        return Page([_stored(row) for row in rows], ids[-1] if len(found) > len(ids) else None)

    async def set_metadata(self, id: str, tenant: str, metadata: Mapping[str, str]) -> bool:
        """Whether there was a row whose metadata is this now."""
        return await self._change(_of(id, tenant).values(metadata=dict(metadata)))

    async def delete(self, id: str, tenant: str) -> bool:
        """Whether there was a row, whose content is deleted now."""
        gone = {"metadata": {}, "messages": b"", "body": b"", "body_bytes": 0, "deleted_at": Now()}
        return await self._change(_of(id, tenant).values(gone))

    async def sweep(self) -> int:
        """Number of expired rows deleted; call it again while it is sweeper.BATCH_SIZE."""
        return await delete_expired(self._database, stored_completions)

    async def _change(self, statement: Update) -> bool:
        async with self._database.begin() as connection:
            return (await connection.execute(statement)).rowcount == 1


def clean(text: str) -> str:
    """Text without NUL, which PostgreSQL does not take; no id has one."""
    return text.replace("\0", "\ufffd")


def _is(id: str, tenant: str) -> list[ColumnElement[bool]]:
    return [COLUMNS.id == clean(id), COLUMNS.tenant_id == tenant]


def _of(id: str, tenant: str) -> Update:
    return update(stored_completions).where(*_is(id, tenant), LIVES)


def _filters(model: str, labels: Mapping[str, str]) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [LIVES]
    if model:
        named = clean(model)
        found.append(or_(COLUMNS.model == named, COLUMNS.requested_model == named))
    for key, value in labels.items():
        entry = JsonTexts(COLUMNS.metadata).table_valued("key", "value")
        found.append(exists(select(entry.c.key).where(entry.c.key == key, entry.c.value == value)))
    return found


def _behind(time: Any, id: str, *, newest_first: bool) -> list[ColumnElement[bool]]:
    """Conditions of the rows behind a place."""
    created_at, ids = COLUMNS.created_at, COLUMNS.id
    if newest_first:
        return [created_at <= time, or_(created_at < time, ids < id)]
    return [created_at >= time, or_(created_at > time, ids > id)]


def _stored(row: RowMapping) -> pb.StoredCompletion:
    stored = pb.StoredCompletion(metadata=row["metadata"])
    stored.completion.ParseFromString(row["body"])
    stored.store_time.FromDatetime(row["created_at"])
    stored.expire_time.FromDatetime(row["expires_at"])
    return stored
