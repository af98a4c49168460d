"""Pipelines of tenants: the newest version of each, and all versions as they were."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.call import uuid7
from genai_spine.errors import Conflict, EtagMismatch, PipelineNotFound
from genai_spine.store.access.audit import clean
from genai_spine.store.connections.expressions import JsonListTexts
from genai_spine.store.database import Database
from genai_spine.store.pipelines.tables import pipeline_versions, pipelines
from genai_spine.v1.pipeline_pb2 import PipelineDefinition
from genai_spine.v1.pipeline_service_pb2 import Pipeline, PipelineVersion

_pipeline = pipelines.c
_version = pipeline_versions.c


def _active(tenant_id: str, tags: Sequence[str]) -> list[sa.ColumnElement[bool]]:
    """Conditions of a tenant's active pipelines, of those with one of some tags."""
    found = [_pipeline.tenant_id == tenant_id, _pipeline.is_active]
    if tags:
        entries = JsonListTexts(_pipeline.tags).table_valued("value")
        wanted = [clean(tag) for tag in tags]
        found.append(sa.exists(sa.select(1).select_from(entries).where(entries.c.value.in_(wanted))))
    return found


class PipelineRows:
    """Tables of pipelines."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant_id: str, key: str) -> Pipeline | None:
        """Pipeline of a tenant by its id, deleted or not, or by the name of an active one."""
        async with self._database.connect() as connection:
            return _one(await _rows(connection, _of(tenant_id, key)), key)

    async def names(self, tenant_id: str) -> list[str]:
        """Names of a tenant's active pipelines."""
        query = sa.select(_pipeline.name).where(_pipeline.tenant_id == tenant_id, _pipeline.is_active)
        async with self._database.connect() as connection:
            return list((await connection.execute(query.order_by(_pipeline.name))).scalars())

    async def count(self, tenant_id: str, tags: Sequence[str] = ()) -> int:
        """How many active pipelines a tenant has. tags: only those with one of them."""
        query = sa.select(sa.func.count()).select_from(pipelines).where(*_active(tenant_id, tags))
        async with self._database.connect() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def page(self, tenant_id: str, after: str, size: int, tags: Sequence[str] = ()) -> list[Pipeline]:
        """Active pipelines of a tenant behind a name, by their names. tags: only those with one of them."""
        query = sa.select(pipelines).where(*_active(tenant_id, tags), _pipeline.name > clean(after))
        async with self._database.connect() as connection:
            found = await connection.execute(query.order_by(_pipeline.name).limit(size))
            return [_pipeline_of(row) for row in found.mappings()]

    async def insert(self, tenant_id: str, pipeline: Pipeline) -> None:
        """Adds a pipeline and its version 1; sets what the server sets. Errors: Conflict (its name)."""
        now = datetime.now(UTC)
        pipeline.id, pipeline.version, pipeline.etag, pipeline.is_active = uuid7(), 1, "1", True
        row = _values(pipeline) | {"id": pipeline.id, "tenant_id": tenant_id, "revision": 1}
        row |= {"version": 1, "is_active": True, "created_by": pipeline.created_by}
        async with self._database.begin() as connection:
            await _written(
                connection, sa.insert(pipelines).values({**row, "created_at": now, "updated_at": now})
            )
            await _add_version(connection, pipeline, now)
        pipeline.create_time.FromDatetime(now)
        pipeline.update_time.FromDatetime(now)

    async def update(self, tenant_id: str, key: str, etag: str | None, changed: Pipeline) -> Pipeline:
        """The pipeline with another definition: a version, where it differs.

        Errors: PipelineNotFound, EtagMismatch, Conflict (its name).
        """
        async with self._database.begin() as connection:
            stored = await _locked(connection, tenant_id, key, etag)
            if stored.definition == changed.definition:
                return stored
            now = datetime.now(UTC)
            stored.definition.CopyFrom(changed.definition)
            stored.version += 1
            stored.etag = str(int(stored.etag) + 1)
            stored.change_notes, stored.created_by = changed.change_notes, changed.created_by
            values = _values(stored) | {"version": stored.version, "revision": int(stored.etag)}
            this = sa.update(pipelines).where(_pipeline.id == stored.id)
            await _written(connection, this.values({**values, "updated_at": now}))
            await _add_version(connection, stored, now)
            stored.update_time.FromDatetime(now)
            stored.name = stored.definition.name
        return stored

    async def delete(self, tenant_id: str, key: str, etag: str | None) -> None:
        """Makes a pipeline inactive. Errors: PipelineNotFound, EtagMismatch."""
        async with self._database.begin() as connection:
            stored = await _locked(connection, tenant_id, key, etag)
            values = {"is_active": False, "revision": _pipeline.revision + 1, "updated_at": datetime.now(UTC)}
            await connection.execute(sa.update(pipelines).where(_pipeline.id == stored.id).values(values))

    async def versions(self, pipeline_id: str, before: int, size: int) -> list[PipelineVersion]:
        """Versions of a pipeline older than a number, the newest first."""
        query = sa.select(pipeline_versions).where(_version.pipeline_id == pipeline_id)
        query = query.where(_version.version < before).order_by(_version.version.desc()).limit(size)
        async with self._database.connect() as connection:
            return [_version_of(row) for row in (await connection.execute(query)).mappings()]

    async def version(self, pipeline_id: str, number: int) -> PipelineVersion | None:
        """One version."""
        found = await self.versions(pipeline_id, number + 1, 1)
        return found[0] if found and found[0].version == number else None


def _of(tenant_id: str, key: str) -> sa.ColumnElement[bool]:
    """Condition of what a tenant means by an id or a name."""
    named = sa.and_(_pipeline.name == clean(key), _pipeline.is_active)
    return sa.and_(_pipeline.tenant_id == tenant_id, sa.or_(_pipeline.id == clean(key), named))


async def _rows(
    connection: AsyncConnection, where: sa.ColumnElement[bool], *, lock: bool = False
) -> Sequence[Any]:
    query = sa.select(pipelines).where(where)
    return (await connection.execute(query.with_for_update() if lock else query)).mappings().all()


def _one(rows: Sequence[Any], key: str) -> Pipeline | None:
    """Pipeline of several rows: that of the id before that of the name."""
    found = sorted(rows, key=lambda row: row["id"] != key)
    return _pipeline_of(found[0]) if found else None


async def _locked(connection: AsyncConnection, tenant_id: str, key: str, etag: str | None) -> Pipeline:
    """Active pipeline that nobody else changes meanwhile. Errors: PipelineNotFound, EtagMismatch."""
    stored = _one(await _rows(connection, _of(tenant_id, key), lock=True), key)
    if stored is None or not stored.is_active:
        raise PipelineNotFound(requested_pipeline=key, available_pipelines="")
    if etag is not None and etag != stored.etag:
        raise EtagMismatch(resource=f"pipeline '{stored.name}'", etag=stored.etag)
    return stored


async def _written(connection: AsyncConnection, statement: Any) -> None:
    try:
        await connection.execute(statement)
    except IntegrityError as error:
        raise Conflict(field="name", problem="another active pipeline has it") from error


async def _add_version(connection: AsyncConnection, pipeline: Pipeline, now: datetime) -> None:
    row = {
        "pipeline_id": pipeline.id,
        "version": pipeline.version,
        "body": pipeline.definition.SerializeToString(deterministic=True),
        "change_notes": pipeline.change_notes,
        "created_by": pipeline.created_by,
        "created_at": now,
    }
    await connection.execute(sa.insert(pipeline_versions).values(row))


def _values(pipeline: Pipeline) -> dict[str, Any]:
    """Columns that come from the definition."""
    definition = pipeline.definition
    return {
        "name": definition.name,
        "body": definition.SerializeToString(deterministic=True),
        "tags": list(definition.tags),
    }


def _pipeline_of(row: Any) -> Pipeline:
    found = Pipeline(
        id=row["id"],
        definition=PipelineDefinition.FromString(row["body"]),
        version=row["version"],
        is_active=row["is_active"],
        created_by=row["created_by"],
        etag=str(row["revision"]),
    )
    found.create_time.FromDatetime(row["created_at"])
    found.update_time.FromDatetime(row["updated_at"])
    return found


def _version_of(row: Any) -> PipelineVersion:
    found = PipelineVersion(
        pipeline_id=row["pipeline_id"],
        version=row["version"],
        definition=PipelineDefinition.FromString(row["body"]),
        change_notes=row["change_notes"],
        created_by=row["created_by"],
    )
    found.create_time.FromDatetime(row["created_at"])
    return found
