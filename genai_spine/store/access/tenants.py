"""Tenants and projects: the only SQL of both, and the mapping of a row to a message.

A project is read and written as a tenant is; beside it stands the tenant that it belongs to.
"""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from genai_spine.errors import Conflict, EtagMismatch, ProjectNotFound, TenantNotFound
from genai_spine.store.access import audit
from genai_spine.store.access.audit import SealedEntry, clean
from genai_spine.store.access.rate_limits import limits_json, limits_of
from genai_spine.store.access.tables import projects, tenants
from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.v1.tenant_service_pb2 import Project, Tenant

M = TypeVar("M", Tenant, Project)


class Named(Generic[M]):
    """Rows that are known by a name of the operator's, and can be disabled."""

    table: sa.Table
    kind: type[M]

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, message: M, entry: SealedEntry) -> M:
        """A new row. Errors: Conflict (the id is taken), TenantNotFound (of a project)."""
        row = {
            **self._place(message),
            "id": message.id,
            "name": message.name or message.id,
            "is_disabled": message.disabled,
            "revision": 0,
            "created_at": Now(),
            "updated_at": Now(),
            **self._more(message),
        }
        try:
            async with self._database.begin() as connection:
                added = await connection.execute(sa.insert(self.table).values(row).returning(self.table))
                stored = self._message(added.mappings().one())
                await audit.add(connection, entry)
        except IntegrityError:
            await self._check_place(message)
            raise Conflict(field="id", problem=f"'{message.id}' is taken") from None
        return stored

    async def get(self, tenant_id: str, id: str) -> M:
        """Row by its id. Errors: TenantNotFound, ProjectNotFound."""
        query = sa.select(self.table).where(*self._mine(tenant_id), self.table.c.id == clean(id))
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise self._absent(id)
        return self._message(row)

    async def page(self, tenant_id: str, size: int, after: str | None) -> list[M]:
        """Rows by their ids, behind one of them."""
        query = sa.select(self.table).where(*self._mine(tenant_id))
        if after is not None:
            query = query.where(self.table.c.id > after)
        async with self._database.connect() as connection:
            found = await connection.execute(query.order_by(self.table.c.id).limit(size))
            return [self._message(row) for row in found.mappings()]

    async def change(self, message: M, fields: Sequence[str], entry: SealedEntry) -> M:
        """Fields taken over. message: with its id, its tenant, and the etag that was read, if any.

        Errors: TenantNotFound, ProjectNotFound, EtagMismatch.
        """
        columns = self.table.c
        all_values = {"name": message.name or message.id, "disabled": message.disabled, **self._more(message)}
        values = {{"disabled": "is_disabled"}.get(name, name): all_values[name] for name in fields}
        mine = sa.and_(
            columns.id == clean(message.id), *self._mine(getattr(message, "tenant_id", message.id))
        )
        statement = sa.update(self.table).where(mine)
        statement = statement.values(**values, revision=columns.revision + 1, updated_at=Now())
        async with self._database.begin() as connection:
            row = (await connection.execute(statement.returning(self.table))).mappings().one_or_none()
            if row is None:
                raise self._absent(message.id)
            if message.HasField("etag") and message.etag != str(row["revision"] - 1):
                kind = self.kind.DESCRIPTOR.name.lower()
                raise EtagMismatch(resource=f"{kind} '{message.id}'", etag=row["revision"] - 1)
            await audit.add(connection, entry)
            return self._message(row)

    def _place(self, message: M) -> dict[str, str]:
        """Columns beside the id that the row is found by."""
        return {}

    def _more(self, message: M) -> dict[str, Any]:
        """Columns that only this kind has, by the names of their fields."""
        return {}

    async def _check_place(self, message: M) -> None:
        """Errors: TenantNotFound (of a project)."""

    def _mine(self, tenant_id: str) -> list[sa.ColumnElement[bool]]:
        """Conditions of the rows of a tenant."""
        return []

    def _absent(self, id: str) -> Exception:
        return TenantNotFound(tenant=id)

    def _message(self, row: Any) -> M:
        message = self.kind(
            id=row["id"], name=row["name"], disabled=row["is_disabled"], etag=str(row["revision"])
        )
        message.create_time.FromDatetime(row["created_at"])
        message.update_time.FromDatetime(row["updated_at"])
        return message


class TenantRows(Named[Tenant]):
    """Tenants; the tenant_id that the methods take has no meaning."""

    table, kind = tenants, Tenant

    def _more(self, message: Tenant) -> dict[str, Any]:
        return {"limits": limits_json(message)}

    def _message(self, row: Any) -> Tenant:
        message = super()._message(row)
        if row["limits"] is not None:
            message.limits.SetInParent()
            message.limits.MergeFrom(limits_of(row["limits"]))
        return message


class ProjectRows(Named[Project]):
    """Projects of tenants."""

    table, kind = projects, Project

    def _place(self, message: Project) -> dict[str, str]:
        return {"tenant_id": message.tenant_id}

    async def _check_place(self, message: Project) -> None:
        await TenantRows(self._database).get("", message.tenant_id)

    def _mine(self, tenant_id: str) -> list[sa.ColumnElement[bool]]:
        return [projects.c.tenant_id == tenant_id]

    def _absent(self, id: str) -> Exception:
        return ProjectNotFound(project=id)

    def _message(self, row: Any) -> Project:
        message = super()._message(row)
        message.tenant_id = row["tenant_id"]
        return message
