"""Files and batches at providers that were made through this service: whose they are, and what for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, or_, select, text, update

from genai_spine.call import ANONYMOUS, Principal
from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.tables import ANSWER_IS_STORED, executions, provider_objects

COLUMNS = provider_objects.c


@dataclass(frozen=True, slots=True)
class ProviderObject:
    """Object of a provider, and who made it."""

    provider: str
    kind: str  # file or batch
    id: str  # the provider's
    principal: Principal = ANONYMOUS
    cost_labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListPlace:
    """Place of a page in a tenant's list of objects."""

    provider: str
    kind: str
    tenant: str
    size: int
    after: str = ""  # id of the object that it begins behind, also of one that is gone; empty: the first page
    oldest_first: bool = False


class ObjectIds(NamedTuple):
    """Page of ids."""

    ids: list[str]
    goes_on: bool  # others follow


class ProviderObjects:
    """The rows of provider_objects."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, made: ProviderObject) -> None:
        """Row of an object; the first one of an object stays."""
        principal = made.principal
        labels = {key: value.replace("\0", "\ufffd") for key, value in made.cost_labels.items()}
        row = {
            "provider": made.provider,
            "id": made.id,
            "kind": made.kind,
            "tenant_id": principal.tenant_id,
            "project_id": principal.project_id,
            "api_key_id": principal.key_id,
            "principal": None if principal.name == ANONYMOUS.name else principal.name,
            "cost_labels": labels or None,
            "created_at": Now(),
        }
        async with self._database.begin() as connection:
            await connection.execute(self._database.insert_once(provider_objects, row))

    async def get(self, provider: str, id: str) -> ProviderObject | None:
        """An object with its maker; None: it was made elsewhere, or before this service knew makers."""
        of_it = (COLUMNS.provider == provider, COLUMNS.id == _clean(id))
        async with self._database.connect() as connection:
            row = (await connection.execute(select(provider_objects).where(*of_it))).one_or_none()
        if row is None:
            return None
        principal = Principal(row.principal or ANONYMOUS.name, row.tenant_id, row.project_id, row.api_key_id)
        return ProviderObject(provider, row.kind, id, principal, row.cost_labels or {})

    async def tenants(self, provider: str, ids: Sequence[str]) -> dict[str, str]:
        """Tenants of those objects of a provider that have one, by the object's id."""
        query = select(COLUMNS.id, COLUMNS.tenant_id)
        query = query.where(COLUMNS.provider == provider, COLUMNS.id.in_(list(map(_clean, ids))))
        async with self._database.connect() as connection:
            return {row.id: row.tenant_id for row in await connection.execute(query)}

    async def tenants_of_answers(self, provider: str, ids: Sequence[str]) -> dict[str, str]:
        """Tenants of answers of the Responses API that calls of this service brought, by the answer's id."""
        answer = executions.c.provider_response_id
        query = select(answer, executions.c.tenant_id).where(
            text(ANSWER_IS_STORED), answer.in_(list(map(_clean, ids))), executions.c.provider == provider
        )
        async with self._database.connect() as connection:
            return {row[0]: row[1] for row in await connection.execute(query)}

    async def page(self, place: ListPlace) -> ObjectIds | None:
        """Ids of a tenant's objects of one kind; None: it had none with the id of `after`."""
        of_it = [
            COLUMNS.provider == place.provider,
            COLUMNS.kind == place.kind,
            COLUMNS.tenant_id == place.tenant,
        ]
        conditions = [*of_it, COLUMNS.deleted_at.is_(None)]
        keys = (COLUMNS.created_at, COLUMNS.id)
        order = list(keys) if place.oldest_first else [key.desc() for key in keys]
        async with self._database.connect() as connection:
            if place.after:
                last = select(*keys).where(*of_it, COLUMNS.id == _clean(place.after))
                row = (await connection.execute(last)).one_or_none()
                if row is None:
                    return None
                conditions.append(_behind(row.created_at, row.id, oldest_first=place.oldest_first))
            query = select(COLUMNS.id).where(*conditions).order_by(*order).limit(place.size + 1)
            ids = list((await connection.execute(query)).scalars())
        return ObjectIds(ids[: place.size], len(ids) > place.size)

    async def remove(self, provider: str, id: str) -> None:
        """Marks an object that is gone: lists leave it out, and go on behind it."""
        gone = update(provider_objects).where(COLUMNS.provider == provider, COLUMNS.id == _clean(id))
        async with self._database.begin() as connection:
            await connection.execute(gone.values(deleted_at=Now()))


def _behind(time: datetime, id: str, *, oldest_first: bool) -> ColumnElement[bool]:
    """Condition of the rows behind one."""
    created_at, ids = COLUMNS.created_at, COLUMNS.id
    if oldest_first:
        return or_(created_at > time, and_(created_at == time, ids > id))
    return or_(created_at < time, and_(created_at == time, ids < id))


def _clean(id: str) -> str:
    return id.replace("\0", "\ufffd")  # PostgreSQL takes no NUL; no id has one
