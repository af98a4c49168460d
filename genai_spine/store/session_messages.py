"""Session messages and their files, changed together with the sums of their session.

Whoever asks for the messages of a session has it from Sessions, which knows whose it is.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import RowMapping, and_, delete, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.costs import cost_of
from genai_spine.store.database import Database
from genai_spine.store.sessions import (
    CHANGED,
    NO_LEASE,
    add_messages,
    clean,
    moment,
    read_json,
    session_row,
)
from genai_spine.store.tables import session_attachments, session_messages, sessions
from genai_spine.v1 import session_service_pb2 as pb

FILE = (session_attachments.c.filename, session_attachments.c.media_type, session_attachments.c.size_bytes)


class SessionMessages:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, session_id: str, size: int, first: int) -> list[pb.SessionMessage]:
        """Page of messages, oldest first, from number `first` on."""
        query = _of(session_id).where(session_messages.c.sequence >= first).limit(size)
        async with self._database.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
            found = {row["id"]: _message(row) for row in rows}
            files = select(session_attachments.c.message_id, *FILE)
            files = files.where(session_attachments.c.message_id.in_(list(found)))
            for file in await connection.execute(files.order_by(session_attachments.c.position)):
                found[file.message_id].attachments.add(
                    filename=file.filename, media_type=file.media_type, size_bytes=file.size_bytes
                )
        return list(found.values())

    async def between(
        self, session_id: str, first: int, end: int, *, with_files: bool = True
    ) -> list[pb.ExportedMessage]:
        """Messages from number `first` on and before number `end`, with their files."""
        numbers = (session_messages.c.sequence >= first, session_messages.c.sequence < end)
        async with self._database.connect() as connection:
            rows = (await connection.execute(_of(session_id).where(*numbers))).mappings().all()
            found = {row["id"]: pb.ExportedMessage(message=_message(row)) for row in rows}
            files = select(session_attachments.c.message_id, *FILE)
            if with_files:
                files = files.add_columns(session_attachments.c.data)
            files = files.join(session_messages).where(session_messages.c.session_id == session_id, *numbers)
            for file in await connection.execute(files.order_by(session_attachments.c.position)):
                if file.message_id not in found:
                    continue  # of an answer that took the place of one that was read before
                entry, named = found[file.message_id], (file.filename, file.media_type)
                info = entry.message.attachments.add(size_bytes=file.size_bytes)
                info.filename, info.media_type = named
                if with_files:
                    entry.attachments.add(filename=named[0], media_type=named[1], data=file.data)
        return list(found.values())

    async def number_of(self, session_id: str, message_id: str) -> int | None:
        """Sequence number of a message. None: the session has no such message."""
        messages = session_messages.c
        query = select(messages.sequence).where(
            messages.id == clean(message_id), messages.session_id == session_id
        )
        async with self._database.connect() as connection:
            return (await connection.execute(query)).scalar_one_or_none()

    async def file_bytes(self, session_id: str) -> int:
        """Size of all files of a session."""
        query = select(func.coalesce(func.sum(session_attachments.c.size_bytes), 0))
        query = query.join(session_messages).where(session_messages.c.session_id == session_id)
        async with self._database.connect() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def end_send(
        self, token: str, entries: Sequence[pb.ExportedMessage], replaced: pb.SessionMessage | None = None
    ) -> bool:
        """Stores what a send said, takes `replaced` away, and ends the lease of the send, all or nothing.

        False: the send has lost its lease, or the session is gone; nothing is stored then.
        """
        answer = entries[-1].message
        messages = [entry.message for entry in entries]
        tokens = sum(message.tokens for message in messages) - (replaced.tokens if replaced else 0)
        ticks = sum(message.message_cost.cost_ticks for message in messages)
        ticks -= replaced.message_cost.cost_ticks if replaced else 0
        values = {
            "message_count": sessions.c.message_count + len(messages) - (1 if replaced else 0),
            "total_tokens": sessions.c.total_tokens + tokens,
            "total_cost_ticks": sessions.c.total_cost_ticks + ticks,
            "total_price_known": and_(sessions.c.total_price_known, literal(answer.message_cost.price_known)),
            "updated_at": moment(answer.create_time),
            **CHANGED,
        }
        mine = (sessions.c.id == answer.session_id, sessions.c.send_token == token)
        async with self._database.begin() as connection:
            if (
                await connection.execute(update(sessions).where(*mine).values(values | NO_LEASE))
            ).rowcount != 1:
                return False
            if replaced:
                await connection.execute(delete(session_messages).where(session_messages.c.id == replaced.id))
            await add_messages(connection, entries)
        return True

    async def branch(self, session: pb.Session, tenant: str, count: int) -> None:
        """Adds a session with copies of the first `count` messages of its parent; the sums are theirs."""
        row = session_row(session) | {"tenant_id": tenant}
        async with self._database.begin() as connection:
            await connection.execute(insert(sessions).values(row))
            query = _of(session.parent_session_id).where(session_messages.c.sequence < count)
            rows = [dict(row) for row in (await connection.execute(query)).mappings()]
            ids = {row["id"]: str(uuid4()) for row in rows}
            for row in rows:
                row.update(id=ids[row["id"]], session_id=session.id)
            if rows:
                await connection.execute(insert(session_messages), rows)
            await _copy_files(connection, session.parent_session_id, ids)
            sums = {
                "message_count": len(rows),
                "total_tokens": sum(row["input_tokens"] + row["output_tokens"] for row in rows)
                + session.summary.tokens,
                "total_cost_ticks": sum(row["cost_ticks"] for row in rows) + session.summary.cost.cost_ticks,
                "total_price_known": all(row["price_known"] for row in rows)
                and (session.summary.cost.price_known or not session.HasField("summary")),
            }
            await connection.execute(update(sessions).where(sessions.c.id == session.id).values(sums))


async def _copy_files(connection: AsyncConnection, source_id: str, ids: Mapping[str, str]) -> None:
    """Files of a branch. ids: of the message with the files -> of its copy."""
    files = session_attachments.c
    having = select(files.message_id).distinct().join(session_messages)
    having = having.where(session_messages.c.session_id == source_id)
    for old in (await connection.execute(having)).scalars().all():
        if old in ids:
            copied = select(literal(ids[old]), files.position, *FILE, files.data)
            names = ["message_id", "position", "filename", "media_type", "size_bytes", "data"]
            rows = copied.where(files.message_id == old)
            await connection.execute(insert(session_attachments).from_select(names, rows))


def _of(session_id: str) -> Any:
    query = select(session_messages).where(session_messages.c.session_id == clean(session_id))
    return query.order_by(session_messages.c.sequence)


def _message(row: RowMapping) -> pb.SessionMessage:
    message = pb.SessionMessage(
        id=row["id"],
        session_id=row["session_id"],
        sequence=row["sequence"],
        role=row["role"],
        content=row["content"],
        model=row["model"],
        provider=row["provider"],
        execution_id=row["execution_id"],
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        tokens=row["input_tokens"] + row["output_tokens"],
        message_cost=cost_of(
            row["cost_ticks"],
            price_known=row["price_known"],
            is_free=row["is_free"],
            price_book=row["price_book"],
        ),
        latency_ms=row["latency_ms"],
        reasoning_state_json=row["reasoning_state"],
    )
    read_json(row["metadata_json"], message.metadata)
    message.create_time.FromDatetime(row["created_at"])
    return message
