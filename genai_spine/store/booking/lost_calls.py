"""Lost calls: rows of the ledger whose cost is not known, because their process died."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from genai_spine.store.booking.execution_rows import execution_of
from genai_spine.store.booking.ledger_chain import Correction
from genai_spine.store.database import Database
from genai_spine.store.tables import executions
from genai_spine.v1.execution_pb2 import Execution, LossResolution

_row = executions.c
RESERVED = ("RESERVE", "STREAM")  # resolutions with which a call costs what was reserved for it
UNRESOLVED = (_row.state == "LOST", sa.or_(_row.resolution.is_(None), _row.resolution.in_(RESERVED)))


def correction(row: Execution, values: Mapping[str, Any]) -> Correction:
    """Other values of a lost call, as long as nobody else has resolved it."""
    name = LossResolution.Name(row.resolution).removeprefix("LOSS_RESOLUTION_")
    return Correction(row.id, {"state": "LOST", "resolution": name if row.resolution else None}, values)


class LostCalls:
    """Reader of them, of all tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unresolved(
        self, start: datetime, end: datetime, provider: str | None, limit: int
    ) -> list[Execution]:
        """Calls that began in [start, end), booked with what was reserved for them; the oldest first."""
        query = sa.select(executions).where(*UNRESOLVED, _row.created_at >= start, _row.created_at < end)
        if provider is not None:
            query = query.where(_row.provider == provider)
        return await self._read(query.order_by(_row.created_at, _row.id).limit(limit))

    async def find(self, ids: Sequence[str]) -> list[Execution]:
        """Calls by their ids, lost or not."""
        return await self._read(sa.select(executions).where(_row.id.in_(ids)))

    async def _read(self, query: sa.Select[tuple[object, ...]]) -> list[Execution]:
        async with self._database.connect() as connection:
            return [execution_of(row) for row in (await connection.execute(query)).mappings()]
