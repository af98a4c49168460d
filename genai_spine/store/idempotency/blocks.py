"""Blocks: messages of a stream that may be resumed, some in a row; the only SQL of stream_blocks."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Executable, LargeBinary, bindparam, exists, select, text

from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.idempotency.news import CHANNEL
from genai_spine.store.tables import idempotent_calls, stream_blocks

PAGE_BLOCKS = 64  # blocks that are read at once

_of_call = bindparam("of_call", type_=BigInteger)
_values = (
    _of_call,
    bindparam("from_seq", type_=BigInteger),
    bindparam("to_seq", type_=BigInteger),
    bindparam("packed", type_=LargeBinary),
)
_holds = exists().where(idempotent_calls.c.call_id == _of_call, idempotent_calls.c.state == "RUNNING")
_INSERTION = stream_blocks.insert().from_select(
    ["call_id", "first_seq", "last_seq", "body"], select(*_values).where(_holds)
)
_contents = msgspec.msgpack.Decoder(tuple[dict[str, str] | None, list[bytes]])


@dataclass(frozen=True, slots=True)
class Block:
    """Messages of a stream, some in a row."""

    first_seq: int  # from 1
    messages: Sequence[bytes]
    headers: Mapping[str, str] | None = None  # of the answer; in its first block

    @property
    def last_seq(self) -> int:
        return self.first_seq + len(self.messages) - 1


def insertion(call_id: int, blocks: Sequence[Block]) -> tuple[Executable, list[dict[str, Any]]]:
    """Statement and rows. Blocks of a claim that does not hold any more are not written."""
    return _INSERTION, [
        {
            "of_call": call_id,
            "from_seq": block.first_seq,
            "to_seq": block.last_seq,
            "packed": _packed(block),
        }
        for block in blocks
    ]


class StreamBlocks:
    """Table of blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, blocks: Mapping[int, Block]) -> set[int]:
        """Writes a block of each call, in one transaction; returns the calls that somebody follows.

        PostgreSQL need not have them on its disk: what it loses in a power failure is a gap, at which a
        resumed stream ends.
        """
        columns = idempotent_calls.c
        followed = select(columns.call_id).where(
            columns.call_id.in_(list(blocks)), columns.followed_until > Now()
        )
        on_postgresql = self._database.dialect == "postgresql"
        async with self._database.begin_in_turn() as connection:
            if on_postgresql:
                await connection.execute(text("SET LOCAL synchronous_commit = off"))
            rows = [row for call_id, block in blocks.items() for row in insertion(call_id, [block])[1]]
            await connection.execute(_INSERTION, rows)
            found = set((await connection.execute(followed)).scalars())
            if found and on_postgresql:
                await connection.execute(text(f"NOTIFY {CHANNEL}"))
        return found

    async def read(self, call_id: int, after: int) -> list[Block]:
        """Blocks with messages after a number, in order, at most PAGE_BLOCKS; fewer: there are no more."""
        columns = stream_blocks.c
        query = (
            select(columns.first_seq, columns.body)
            .where(columns.call_id == call_id, columns.last_seq > after)
            .order_by(columns.first_seq)
            .limit(PAGE_BLOCKS)
        )
        async with self._database.connect() as connection:
            return [_unpacked(row.first_seq, row.body) for row in await connection.execute(query)]

    async def first(self, call_id: int) -> Block | None:
        """First block, which has the headers."""
        columns = stream_blocks.c
        query = select(columns.body).where(columns.call_id == call_id, columns.first_seq == 1)
        async with self._database.connect() as connection:
            body = (await connection.execute(query)).scalar_one_or_none()
        return None if body is None else _unpacked(1, body)

    async def last_seq(self, call_id: int) -> int:
        """Number of messages that are in blocks."""
        columns = stream_blocks.c
        query = (
            select(columns.last_seq)
            .where(columns.call_id == call_id)
            .order_by(columns.first_seq.desc())
            .limit(1)
        )
        async with self._database.connect() as connection:
            return int((await connection.execute(query)).scalar_one_or_none() or 0)


def _packed(block: Block) -> bytes:
    headers = None if block.headers is None else dict(block.headers)
    return zlib.compress(msgspec.msgpack.encode((headers, list(block.messages))), 1)


def _unpacked(first_seq: int, body: bytes) -> Block:
    headers, messages = _contents.decode(zlib.decompress(body))
    return Block(first_seq, messages, headers)
