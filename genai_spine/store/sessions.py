"""Chat session rows, and the lease that lets one send at a time run in each.

The lease is two columns of the row, by the database's clock: it holds between processes, and a process
that died holds none for longer than its time to live.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import (
    ColumnElement,
    RowMapping,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.costs import cost_of
from genai_spine.errors import EtagMismatch
from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.newest_first import PageEnd, behind
from genai_spine.store.tables import session_attachments, session_messages, sessions
from genai_spine.v1 import session_service_pb2 as pb

ETAG = re.compile(r"0|[1-9][0-9]{0,17}")  # a revision as it is written, and no other way of writing it
NO_LEASE = {"send_token": None, "send_until": None}
CHANGED = {"revision": sessions.c.revision + 1}
# Of fields whose columns have other names.
COLUMNS = {"title": ("title", "title_folded"), "metadata": ("metadata_json",)}


class Sessions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, id: str, tenant: str) -> pb.Session | None:
        """Session by id; None: the tenant has no such session."""
        query = select(sessions).where(*_is(id, tenant))
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return None if row is None else session_of(row)

    async def page(
        self, request: pb.ListSessionsRequest, tenant: str, size: int, after: PageEnd | None = None
    ) -> tuple[list[pb.Session], int]:
        """The newest change first, those behind a place, and how many the tenant has in all."""
        matching = [sessions.c.tenant_id == tenant, *_filters(request)]
        query = select(sessions).where(*matching, *behind(after, sessions.c.updated_at, sessions.c.id))
        newest = query.order_by(sessions.c.updated_at.desc(), sessions.c.id.desc())
        counted = select(func.count()).select_from(sessions).where(*matching)
        async with self._database.connect() as connection:
            total = (await connection.execute(counted)).scalar_one()
            rows = (await connection.execute(newest.limit(size).offset(request.offset))).mappings().all()
        return [session_of(row) for row in rows], total

    async def add(self, session: pb.Session, tenant: str, entries: Iterable[pb.ExportedMessage] = ()) -> None:
        """A session with its messages, in one transaction; its sums are the caller's to set."""
        row = session_row(session) | {"tenant_id": tenant}
        async with self._database.begin() as connection:
            await connection.execute(insert(sessions).values(row))
            await add_messages(connection, entries)

    async def change(
        self, id: str, tenant: str, session: pb.Session, fields: Collection[str]
    ) -> pb.Session | None:
        """Takes over these fields of `session`; None: the tenant has no such session.

        Raises EtagMismatch where `session` has an etag, and it is that of an earlier state.
        """
        row = session_row(session)
        columns = {column for name in fields for column in COLUMNS.get(name, (name,))}
        values = {name: row[name] for name in columns} | CHANGED | {"updated_at": datetime.now(UTC)}
        etag = session.etag if session.HasField("etag") else None
        changed = update(sessions).where(*_is(id, tenant), *_has_etag(etag)).values(values)
        async with self._database.begin() as connection:
            found = (await connection.execute(changed.returning(sessions))).mappings().one_or_none()
            if found is None:
                await _refuse_etag(connection, id, tenant)
        return None if found is None else session_of(found)

    async def remove(self, id: str, tenant: str, etag: str | None = None) -> bool:
        """Deletion of a session with all its messages; False: no such session. Raises EtagMismatch."""
        async with self._database.begin() as connection:
            removed = await connection.execute(delete(sessions).where(*_is(id, tenant), *_has_etag(etag)))
            if not removed.rowcount:
                await _refuse_etag(connection, id, tenant)
        return removed.rowcount == 1

    async def claim(self, id: str, tenant: str, token: str, ttl_s: float) -> pb.Session | None:
        """The session as it is now, for this send alone; None: it is not there, or another send has it."""
        free = or_(sessions.c.send_token.is_(None), sessions.c.send_until <= Now())
        lease = {"send_token": token, "send_until": Now(ttl_s)}
        claimed = update(sessions).where(*_is(id, tenant), free).values(lease).returning(sessions)
        async with self._database.begin() as connection:
            row = (await connection.execute(claimed)).mappings().one_or_none()
        return None if row is None else session_of(row)

    async def renew(self, id: str, token: str, ttl_s: float) -> bool:
        """Renewal of a lease by its secret token; False: the send has lost it."""
        return await self._held(id, token, {"send_until": Now(ttl_s)})

    async def release(self, id: str, token: str) -> None:
        await self._held(id, token, NO_LEASE)

    async def keep_summary(self, id: str, token: str, summary: pb.HistorySummary) -> bool:
        """Puts a summary in the place of the one before, and adds what it took; false as renew().

        Its tokens and cost are those of this one summary.
        """
        known = literal(summary.cost.price_known)
        values = {
            "summary": clean(summary.text),
            "summary_messages": summary.message_count,
            "summary_tokens": sessions.c.summary_tokens + summary.tokens,
            "summary_cost_ticks": sessions.c.summary_cost_ticks + summary.cost.cost_ticks,
            "summary_price_known": and_(sessions.c.summary_price_known, known),
            "total_tokens": sessions.c.total_tokens + summary.tokens,
            "total_cost_ticks": sessions.c.total_cost_ticks + summary.cost.cost_ticks,
            "total_price_known": and_(sessions.c.total_price_known, known),
            **CHANGED,
        }
        return await self._held(id, token, values)

    async def _held(self, id: str, token: str, values: Mapping[str, Any]) -> bool:
        held = (sessions.c.id == clean(id), sessions.c.send_token == token)
        mine = update(sessions).where(*held).values(values)
        async with self._database.begin() as connection:
            return (await connection.execute(mine)).rowcount == 1


async def add_messages(connection: AsyncConnection, entries: Iterable[pb.ExportedMessage]) -> None:
    rows, files = [], []
    for entry in entries:
        rows.append(_message_row(entry.message))
        for position, file in enumerate(entry.attachments):
            files.append(
                {
                    "message_id": entry.message.id,
                    "position": position,
                    "filename": clean(file.filename),
                    "media_type": clean(file.media_type),
                    "size_bytes": len(file.data),
                    "data": file.data,
                }
            )
    if rows:
        await connection.execute(insert(session_messages), rows)
    if files:
        await connection.execute(insert(session_attachments), files)


def session_row(session: pb.Session) -> dict[str, Any]:
    has, summary = session.HasField, session.summary
    return {
        "id": session.id,
        **_title(session.title if has("title") else ""),
        "model": clean(session.model),
        "provider": clean(session.provider) or None,
        "system_prompt": clean(session.system_prompt),
        "metadata_json": _json(session.metadata),
        "history_policy": _policy(session.history_policy),
        "history_window": session.history_window,
        "revision": 0,  # of a new row; from then on only the database counts
        "parent_session_id": clean(session.parent_session_id) if has("parent_session_id") else None,
        "message_count": session.message_count,
        "total_tokens": session.total_tokens,
        "total_cost_ticks": session.total_cost.cost_ticks,
        "total_price_known": session.total_cost.price_known or not has("total_cost"),
        "summary": clean(summary.text) if has("summary") else None,
        "summary_messages": summary.message_count,
        "summary_tokens": summary.tokens,
        "summary_cost_ticks": summary.cost.cost_ticks,
        "summary_price_known": summary.cost.price_known or not has("summary"),
        "created_at": moment(session.create_time),
        "updated_at": moment(session.update_time),
    }


def session_of(row: RowMapping) -> pb.Session:
    session = pb.Session(
        id=row["id"],
        title=row["title"],
        model=row["model"],
        provider=row["provider"],
        system_prompt=row["system_prompt"],
        history_policy=f"HISTORY_POLICY_{row['history_policy']}",
        history_window=row["history_window"],
        parent_session_id=row["parent_session_id"],
        message_count=row["message_count"],
        total_tokens=row["total_tokens"],
        total_cost=cost_of(row["total_cost_ticks"], price_known=row["total_price_known"]),
        etag=str(row["revision"]),
    )
    read_json(row["metadata_json"], session.metadata)
    if row["summary"] is not None:
        session.summary.text = row["summary"]
        session.summary.message_count = row["summary_messages"]
        session.summary.tokens = row["summary_tokens"]
        cost = cost_of(row["summary_cost_ticks"], price_known=row["summary_price_known"])
        session.summary.cost.CopyFrom(cost)
    session.create_time.FromDatetime(row["created_at"])
    session.update_time.FromDatetime(row["updated_at"])
    return session


def _message_row(message: pb.SessionMessage) -> dict[str, Any]:
    has, content, cost = message.HasField, clean(message.content), message.message_cost
    return {
        "id": message.id,
        "session_id": message.session_id,
        "sequence": message.sequence,
        "role": message.role,
        "content": content,
        "content_folded": content.casefold(),
        "model": clean(message.model),
        "provider": clean(message.provider) if has("provider") else None,
        "execution_id": clean(message.execution_id) if has("execution_id") else None,
        "input_tokens": message.input_tokens,
        "output_tokens": message.output_tokens,
        "cost_ticks": cost.cost_ticks,
        "price_known": cost.price_known or not has("message_cost"),
        "is_free": cost.is_free,
        "price_book": clean(cost.price_book) or None,
        "latency_ms": message.latency_ms,
        "metadata_json": _json(message.metadata),
        "reasoning_state": clean(message.reasoning_state_json) or None,
        "created_at": moment(message.create_time),
    }


def clean(text: str) -> str:
    """Text without NUL, which PostgreSQL does not keep."""
    return text.replace("\0", "\ufffd")


def moment(time: Timestamp) -> datetime:
    return time.ToDatetime(UTC)


def read_json(text: str, struct: Struct) -> None:
    json_format.Parse(text, struct)
    struct.SetInParent()  # an empty object is an object


def _json(struct: Struct) -> str:
    return json.dumps(json_format.MessageToDict(struct), ensure_ascii=False).replace("\0", "\\u0000")


def _policy(policy: int) -> str:
    return str(pb.HistoryPolicy.Name(policy)).removeprefix("HISTORY_POLICY_")


def _is(id: str, tenant: str) -> list[ColumnElement[bool]]:
    return [sessions.c.id == clean(id), sessions.c.tenant_id == tenant]


def _title(title: str) -> dict[str, str | None]:
    title = clean(title)
    return {"title": title or None, "title_folded": title.casefold() or None}


def _filters(request: pb.ListSessionsRequest) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if request.HasField("model"):
        found.append(sessions.c.model == clean(request.model))
    if request.search:
        text = clean(request.search).casefold()
        entries = session_messages.c.content_folded.contains(text, autoescape=True)
        in_message = exists().where(session_messages.c.session_id == sessions.c.id, entries)
        found.append(or_(sessions.c.title_folded.contains(text, autoescape=True), in_message))
    return found


def _has_etag(etag: str | None) -> list[ColumnElement[bool]]:
    """Condition that a row has this etag; none where the caller sent no etag. An empty one is nobody's."""
    if etag is None:
        return []
    return [sessions.c.revision == (int(etag) if ETAG.fullmatch(etag) else -1)]


async def _refuse_etag(connection: AsyncConnection, id: str, tenant: str) -> None:
    """Raises EtagMismatch when the session is there, so that nothing but its etag was in the way."""
    query = select(sessions.c.revision).where(*_is(id, tenant))
    revision = (await connection.execute(query)).scalar_one_or_none()
    if revision is not None:
        raise EtagMismatch(resource=f"session '{id}'", etag=revision)
