"""Keys of callers: the only SQL of api_keys, and the mapping of a row to a message.

A change is one transaction that locks the key's row by counting its revision up, and writes its entry of the
audit log.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from typing import Any, NamedTuple

import sqlalchemy as sa
from google.protobuf.json_format import MessageToDict, ParseDict
from sqlalchemy.exc import IntegrityError

from genai_spine.errors import EtagMismatch, KeyNotFound, ProjectNotFound, SpineError, TenantNotFound
from genai_spine.store.access import audit
from genai_spine.store.access.audit import SealedEntry, clean
from genai_spine.store.access.rate_limits import limits_json, limits_of
from genai_spine.store.access.tables import api_keys, projects, tenants
from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.newest_first import PageEnd, behind
from genai_spine.v1.key_service_pb2 import ApiKey, ListKeysRequest
from genai_spine.v1.rate_limits_pb2 import RateLimits

COLUMNS = api_keys.c
LIVES = sa.and_(
    COLUMNS.revoked_at.is_(None), sa.or_(COLUMNS.expires_at.is_(None), COLUMNS.expires_at > Now())
)
TEXTS = ("id", "tenant_id", "project_id", "name", "prefix", "service_name", "created_by", "previous_prefix")
TIMES = {
    "expire_time": "expires_at",
    "create_time": "created_at",
    "last_use_time": "last_used_at",
    "revoke_time": "revoked_at",
    "previous_expire_time": "previous_expires_at",
}


class Secret(NamedTuple):
    """Secret as it is stored: how it begins, and its digest."""

    prefix: str
    digest: str


class TakenKey(NamedTuple):
    """Key that a secret is taken for, and the limits of its tenant."""

    key: ApiKey
    tenant_limits: RateLimits


class KeyRows:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKey, secret: Secret, entry: SealedEntry) -> ApiKey:
        """A new key. Errors: ProjectNotFound."""
        statement = sa.insert(api_keys).values(_new(key, secret)).returning(api_keys)
        try:
            async with self._database.begin() as connection:
                added = await connection.execute(statement)
                stored = _key(added.mappings().one())
                await audit.add(connection, entry)
        except IntegrityError:
            raise _absent(key) from None
        return stored

    async def add_first(self, key: ApiKey, secret: Secret, entry: SealedEntry) -> bool:
        """A key, only where there is none at all. Of several at once one adds it: whether it was this."""
        async with self._database.engine.begin() as connection:
            await self._database.lock_for_upgrade(connection)
            if (await connection.execute(sa.select(COLUMNS.id).limit(1))).first():
                return False
            await connection.execute(sa.insert(api_keys).values(_new(key, secret)))
            await audit.add(connection, entry)
        return True

    async def by_digests(self, digests: Sequence[str]) -> dict[str, TakenKey]:
        """Keys that secrets are taken for now, by their digests: they live, with their tenant and project."""
        asked = _padded(digests)
        is_overlap = sa.func.coalesce(COLUMNS.previous_expires_at > Now(), False).label("is_overlap")
        of_now, before = COLUMNS.secret_hash.in_(asked), COLUMNS.previous_hash.in_(asked)
        joined = api_keys.join(tenants, tenants.c.id == COLUMNS.tenant_id).outerjoin(
            projects,
            sa.and_(projects.c.tenant_id == COLUMNS.tenant_id, projects.c.id == COLUMNS.project_id),
        )
        enabled = sa.and_(
            tenants.c.is_disabled.is_(False),
            sa.or_(COLUMNS.project_id.is_(None), projects.c.is_disabled.is_(False)),
        )
        columns = (api_keys, is_overlap, tenants.c.limits.label("tenant_limits"))
        query = sa.select(*columns).select_from(joined)
        async with self._database.connect() as connection:
            rows = await connection.execute(query.where(sa.or_(of_now, before), LIVES, enabled))
            return {digest: key for row in rows.mappings() for digest, key in _by_digest(row)}

    async def get(self, tenant_id: str, id: str) -> ApiKey:
        """Key of a tenant. Errors: KeyNotFound."""
        query = sa.select(api_keys).where(COLUMNS.id == clean(id), COLUMNS.tenant_id == tenant_id)
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise KeyNotFound(key=id)
        return _key(row)

    async def by_id(self, id: str) -> ApiKey | None:
        """Key of any tenant; None: there is none."""
        query = sa.select(api_keys).where(COLUMNS.id == id)
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return None if row is None else _key(row)

    async def page(
        self, tenant_id: str, request: ListKeysRequest, size: int, after: PageEnd | None
    ) -> list[ApiKey]:
        """Keys of a tenant, the newest first, behind a place."""
        query = sa.select(api_keys).where(
            COLUMNS.tenant_id == tenant_id, *behind(after, COLUMNS.created_at, COLUMNS.id)
        )
        if request.HasField("project_id"):
            query = query.where(COLUMNS.project_id == clean(request.project_id))
        if not request.include_ended:
            query = query.where(LIVES)
        query = query.order_by(COLUMNS.created_at.desc(), COLUMNS.id.desc()).limit(size)
        async with self._database.connect() as connection:
            return [_key(row) for row in (await connection.execute(query)).mappings()]

    async def change(self, key: ApiKey, fields: Sequence[str], entry: SealedEntry) -> ApiKey:
        """Fields of a key taken over. key: with id, tenant and the etag that was read, if any.

        Errors: KeyNotFound, EtagMismatch, ProjectNotFound.
        """
        columns = {"expire_time": "expires_at"}
        values = _editable(key)
        changed = {columns.get(name, name): values[columns.get(name, name)] for name in fields}
        return await self._change(key, changed, entry)

    async def rotate(self, key: ApiKey, secret: Secret, overlap_s: int, entry: SealedEntry) -> ApiKey:
        """Another secret; the one that it has goes on for overlap_s. Errors: KeyNotFound."""
        changed = {
            "prefix": secret.prefix,
            "secret_hash": secret.digest,
            "previous_prefix": COLUMNS.prefix if overlap_s else None,
            "previous_hash": COLUMNS.secret_hash if overlap_s else None,
            "previous_expires_at": Now(float(overlap_s)) if overlap_s else None,
        }
        return await self._change(key, changed, entry)

    async def revoke(self, key: ApiKey, entry: SealedEntry) -> ApiKey:
        """End of a key, for good; a revoked one stays as it is. Errors: KeyNotFound."""
        return await self._change(key, {"revoked_at": sa.func.coalesce(COLUMNS.revoked_at, Now())}, entry)

    async def used(self, ids: Iterable[str]) -> None:
        """Keys that were used just now."""
        statement = sa.update(api_keys).where(COLUMNS.id.in_(sorted(ids))).values(last_used_at=Now())
        async with self._database.begin() as connection:
            await connection.execute(statement)

    async def _change(self, key: ApiKey, values: dict[str, Any], entry: SealedEntry) -> ApiKey:
        mine = sa.and_(COLUMNS.id == clean(key.id), COLUMNS.tenant_id == key.tenant_id)
        statement = sa.update(api_keys).where(mine).values(**values, revision=COLUMNS.revision + 1)
        try:
            async with self._database.begin() as connection:
                row = (await connection.execute(statement.returning(api_keys))).mappings().one_or_none()
                if row is None:
                    raise KeyNotFound(key=key.id)
                if key.HasField("etag") and key.etag != str(row["revision"] - 1):
                    raise EtagMismatch(resource=f"key '{key.id}'", etag=row["revision"] - 1)
                await audit.add(connection, entry)
                return _key(row)
        except IntegrityError:
            raise _absent(key) from None


def _padded(digests: Sequence[str]) -> list[str]:
    """Digests, the last one repeated: lists of few lengths are few statements for the database to plan."""
    length = 1 << (len(digests) - 1).bit_length()
    return [*digests, *[digests[-1]] * (length - len(digests))]


def _by_digest(row: Any) -> Iterator[tuple[str, TakenKey]]:
    """Key of a row by the digests of the secrets that it is taken for."""
    key = TakenKey(_key(row), limits_of(row["tenant_limits"]))
    yield row["secret_hash"], key
    if row["is_overlap"]:
        yield row["previous_hash"], key


def _absent(key: ApiKey) -> SpineError:
    """What of a key cannot be: its id and its secret are random, so it is the project, or the tenant."""
    return ProjectNotFound(project=key.project_id) if key.project_id else TenantNotFound(tenant=key.tenant_id)


def _new(key: ApiKey, secret: Secret) -> dict[str, Any]:
    """Row of a new key."""
    return {
        **_editable(key),
        **{name: getattr(key, name) for name in ("id", "tenant_id", "created_by")},
        "service_name": key.service_name or None,
        "is_test": key.test,
        "prefix": secret.prefix,
        "secret_hash": secret.digest,
        "created_at": Now(),
        "revision": 0,
    }


def _editable(key: ApiKey) -> dict[str, Any]:
    """Columns of the fields that can be changed."""
    permissions = MessageToDict(key.permissions, preserving_proto_field_name=True)
    return {
        "project_id": key.project_id or None,
        "name": key.name,
        "scopes": list(key.scopes),
        "permissions": permissions or None,
        "expires_at": key.expire_time.ToDatetime(UTC) if key.HasField("expire_time") else None,
        "deduplicate_retries": key.deduplicate_retries,
        "limits": limits_json(key),
        "request_log": key.request_log if key.HasField("request_log") else None,
    }


def _key(row: Any) -> ApiKey:
    key = ApiKey(
        scopes=row["scopes"],
        test=row["is_test"],
        deduplicate_retries=row["deduplicate_retries"],
        request_log=row["request_log"],
        etag=str(row["revision"]),
        **{name: row[name] for name in TEXTS if row[name] is not None},
    )
    if row["permissions"] is not None:
        ParseDict(row["permissions"], key.permissions, ignore_unknown_fields=True)
    if row["limits"] is not None:
        key.limits.SetInParent()
        key.limits.MergeFrom(limits_of(row["limits"]))
    for field, column in TIMES.items():
        if row[column] is not None:
            getattr(key, field).FromDatetime(row[column])
    return key
