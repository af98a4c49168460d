"""Rate limits in the database: those of keys and tenants as JSON, and their counters, made where they are
missing. Calls are counted where they are booked.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from google.protobuf.json_format import MessageToDict, ParseDict

from genai_spine.store.access.tables import rate_counters
from genai_spine.store.booking.rate_statements import FIELDS
from genai_spine.store.database import Database
from genai_spine.v1.key_service_pb2 import ApiKey
from genai_spine.v1.rate_limits_pb2 import RateLimits
from genai_spine.v1.tenant_service_pb2 import Tenant


class RateRows:
    """Table rate_counters."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, subjects: Iterable[str]) -> dict[str, int]:
        """Ids of the counters of subjects, made where they are missing."""
        found: dict[str, int] = {}
        columns = rate_counters.c
        for subject in sorted(set(subjects)):  # in one order: two processes do not lock each other out
            query = sa.select(columns.id).where(columns.subject == subject)
            row = {"subject": subject, **dict.fromkeys(FIELDS, 0)}
            async with self._database.begin_in_turn() as connection:
                id = (await connection.execute(query)).scalar()
                if id is None:
                    await connection.execute(self._database.insert_once(rate_counters, row))
                    id = (await connection.execute(query)).scalar_one()
                found[subject] = id
        return found


def limits_json(message: ApiKey | Tenant) -> dict[str, Any] | None:
    """Column of the limits of a key or a tenant; None: it has none of its own."""
    if not message.HasField("limits"):
        return None
    return MessageToDict(message.limits, preserving_proto_field_name=True)


def limits_of(column: dict[str, Any] | None) -> RateLimits:
    """Limits of a column."""
    return ParseDict(column or {}, RateLimits(), ignore_unknown_fields=True)
