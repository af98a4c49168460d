"""Rows of the hash chain and of what it lists, read from one snapshot of the database to be verified."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.store.booking.chain import JSON_COLUMNS, canonical_json
from genai_spine.store.booking.tables import ledger_amendments, ledger_batches, ledger_chains
from genai_spine.store.database import Database
from genai_spine.store.tables import executions

COLUMNS = tuple(str(column.name) for column in executions.c)
MAX_UNLISTED = 1000  # rows outside of the chain that are named

_row, _batch, _chain, _amendment = executions.c, ledger_batches.c, ledger_chains.c, ledger_amendments.c


class StoredBatch(NamedTuple):
    """Batch of a chain, as the database has it."""

    seq: int
    hash: bytes
    versions: bytes
    at: datetime


class Counts(NamedTuple):
    """Versions that rows say they have in the chain."""

    intents: int
    settlements: int
    amendments: int


class Claim(NamedTuple):
    """Where a row says that the chain has it."""

    id: str
    server_id: str
    intent_seq: int | None
    settled_by: str | None
    settle_seq: int | None


class StoredRow(NamedTuple):
    """Execution, as the database has it."""

    values: Sequence[Any]  # of COLUMNS, in the form that is sealed
    claim: Claim
    cost_usd: float
    cost_ticks: int


CLAIM = ("id", "server_id", "intent_seq", "settled_by", "settle_seq")
_claim = itemgetter(*map(COLUMNS.index, CLAIM))
_JSON_PLACES = tuple(map(COLUMNS.index, sorted(JSON_COLUMNS)))


class ChainRows:
    """One snapshot."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def snapshot(cls, database: Database) -> "AsyncGenerator[ChainRows]":
        """All rows as they are at one moment, while servers go on."""
        async with database.snapshot() as connection:
            yield cls(connection)

    async def chains(self) -> list[str]:
        """Names of the chains, in the order in which they began."""
        query = sa.select(_chain.server_id).order_by(_chain.started_at, _chain.server_id)
        found = list((await self._connection.execute(query)).scalars())
        names = set((await self._connection.execute(sa.select(_batch.server_id).distinct())).scalars())
        return found + sorted(names - set(found))

    async def began(self) -> datetime | None:
        """When the first chain began."""
        found: datetime | None = (
            await self._connection.execute(sa.select(sa.func.min(_chain.started_at)))
        ).scalar()
        return found

    async def batches(self, chain: str, after: int, limit: int) -> list[StoredBatch]:
        """Batches of a chain after a number, in order."""
        query = (
            sa.select(_batch.seq, _batch.hash, _batch.versions, _batch.at)
            .where(_batch.server_id == chain, _batch.seq > after)
            .order_by(_batch.seq)
            .limit(limit)
        )
        return [StoredBatch(*row) for row in await self._connection.execute(query)]

    async def versions(self, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], bytes]:
        """Lists of batches, by chain and number."""
        query = sa.select(_batch.server_id, _batch.seq, _batch.versions)
        query = query.where(sa.tuple_(_batch.server_id, _batch.seq).in_(places))
        return {(name, seq): versions for name, seq, versions in await self._connection.execute(query)}

    async def hash(self, chain: str, seq: int) -> bytes | None:
        """Hash of a batch; None: it is not there."""
        query = sa.select(_batch.hash).where(_batch.server_id == chain, _batch.seq == seq)
        found: bytes | None = (await self._connection.execute(query)).scalar_one_or_none()
        return found

    async def rows(self, ids: Sequence[str]) -> dict[str, StoredRow]:
        """Executions by id."""
        query = sa.select(executions).where(_row.id.in_(ids))
        found = {}
        for row in await self._connection.execute(query):
            values: list[Any] = list(row)
            for place in _JSON_PLACES:
                if values[place] is not None:
                    values[place] = canonical_json(values[place])
            found[row.id] = StoredRow(values, Claim(*_claim(values)), row.cost_usd, row.cost_ticks)
        return found

    async def amendments(self, ids: Sequence[str]) -> dict[tuple[str, str, int], str]:
        """Settlements that others took the place of: JSON by execution, chain and number."""
        query = sa.select(
            _amendment.execution_id, _amendment.settled_by, _amendment.settle_seq, _amendment.old_json
        )
        found = await self._connection.execute(query.where(_amendment.execution_id.in_(ids)))
        return {(id, by, seq): text for id, by, seq, text in found}

    async def counts(self) -> Counts:
        """Numbers of versions that rows claim."""
        rows = sa.select(sa.func.count(_row.intent_seq), sa.func.count(_row.settle_seq))
        intents, settlements = (await self._connection.execute(rows)).one()
        amended = sa.select(sa.func.count()).select_from(ledger_amendments)
        return Counts(intents, settlements, (await self._connection.execute(amended)).scalar_one())

    async def claims(self, after: str, limit: int) -> list[Claim]:
        """Places of rows behind an id, in the order of ids."""
        query = (
            sa.select(*(_row[name] for name in CLAIM)).where(_row.id > after).order_by(_row.id).limit(limit)
        )
        return [Claim(*row) for row in await self._connection.execute(query)]

    async def unlisted(self, since: datetime) -> list[str]:
        """Ids of rows that were made or settled since then, and are in no batch; at most MAX_UNLISTED."""
        made = sa.and_(_row.intent_seq.is_(None), _row.created_at >= since)
        settled = sa.and_(_row.settle_seq.is_(None), _row.state != "PENDING", _row.settled_at >= since)
        query = sa.select(_row.id).where(sa.or_(made, settled)).order_by(_row.id).limit(MAX_UNLISTED)
        return list((await self._connection.execute(query)).scalars())
