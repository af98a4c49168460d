"""Authentication: from the headers of a call to its principal.

A secret costs one SHA-256 and a dictionary. What the database says of a key is kept for STALE_S seconds at
most, and read again in the background before that, so a revocation elsewhere holds here by then, and no call
of a busy key waits. Secrets are looked up by their digest: who cannot choose a digest learns nothing from how
long that takes.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from time import monotonic
from typing import Any, NamedTuple, Protocol

import structlog

from genai_spine.access import scopes
from genai_spine.access.key_lookups import KeyLookups
from genai_spine.access.rate_limits import in_force
from genai_spine.call import TENANT_ID, Principal
from genai_spine.errors import ForeignTenant, SpineError, TenantNotFound, Unauthenticated
from genai_spine.store.access.keys import KeyRows
from genai_spine.store.access.tenants import TenantRows
from genai_spine.v1.key_service_pb2 import ApiKey
from genai_spine.v1.rate_limits_pb2 import RateLimits
from genai_spine.v1.tenant_service_pb2 import Tenant

FRESH_S = 1.0  # then it is read again, while it still serves
STALE_S = 2.5  # then it serves no more
REFUSED_S = 2.0  # for which a secret that nobody has is not looked up again
MAX_KNOWN = 20_000  # credentials that are remembered, good ones and bad ones each
WRITE_USES_S = 30.0
SECRET = re.compile(r"gs_(?:live|test|service)_[A-Za-z0-9]{32,64}")
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,4096}\.[A-Za-z0-9_-]{1,8192}\.[A-Za-z0-9_-]{1,2048}")  # a signed JWT
SERVICE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
Given = Mapping[str, str | bytes]

log = structlog.get_logger()


class Credential(NamedTuple):
    """Secret that a caller shows, and the tenant that it wants to act for."""

    secret: str
    service: str = ""  # that the secret is the token of; "": it is an API key, or a JWT
    tenant_id: str = ""  # "": its own


class TokenVerifier(Protocol):
    """Verifier of JWTs of another issuer."""

    async def principal(self, token: str) -> Principal:
        """Principal of a token. Errors: Unauthenticated."""
        ...


@dataclass(slots=True)
class Known:
    """Principal of a credential, and when the database was asked for it."""

    principal: Principal
    read_at: float  # on time.monotonic(), before it was read
    is_refreshing: bool = False


class Authenticator:
    """Principals of credentials, remembered for a short time."""

    def __init__(
        self,
        keys: KeyRows,
        tenants: TenantRows,
        tokens: TokenVerifier | None = None,
        limits: RateLimits | None = None,
    ) -> None:
        """tokens: None: JWTs are not taken. limits: of keys that have none of their own."""
        self._keys, self._tenants, self._tokens = keys, tenants, tokens
        self.limits = limits  # may be replaced; forget() comes after that
        self._lookups = KeyLookups(keys.by_digests)
        self._known: dict[bytes, Known] = {}
        self._refused: dict[bytes, float] = {}  # digest to when it was found to be wrong
        self._reading: dict[bytes, asyncio.Task[Principal]] = {}
        self._changes = 0  # of keys, made here; what was read before one is not remembered
        self._used: set[str] = set()  # ids of keys, since they were last written
        self._writer: asyncio.Task[None] | None = None

    async def principal(self, given: Given) -> Principal:
        """Principal of a call's headers.

        Errors: Unauthenticated; ForeignTenant, TenantNotFound; ServiceUnavailable while the database is away.
        """
        credential = credential_of(given)
        digest = sha256("\0".join(credential).encode()).digest()
        now = monotonic()
        known = self._known.get(digest)
        if known is not None and now - known.read_at < STALE_S:
            if now - known.read_at > FRESH_S and not known.is_refreshing:
                known.is_refreshing = True
                self._read_soon(digest, credential)
            if known.principal.key_id:
                self._used.add(known.principal.key_id)
            return known.principal
        if now - self._refused.get(digest, -REFUSED_S) < REFUSED_S:
            raise Unauthenticated
        return await asyncio.shield(self._read_soon(digest, credential))

    def forget(self) -> None:
        """Reads every key again before it is taken: one was changed here."""
        self._changes += 1
        self._known.clear()
        self._refused.clear()
        self._reading.clear()  # what is being read may be older

    def start(self) -> None:
        """Begins to write when keys were used."""
        self._writer = asyncio.create_task(self._write_forever())

    async def stop(self) -> None:
        """Writes the last uses, and ends what is being read."""
        for task in (self._writer, *self._reading.values()):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        await self._lookups.stop()
        await self._write_uses()

    def _read_soon(self, digest: bytes, credential: Credential) -> "asyncio.Task[Principal]":
        """Reading of a credential, which all calls that wait for it share."""
        task = self._reading.get(digest)
        if task is None:
            task = asyncio.create_task(self._read(digest, credential))
            self._reading[digest] = task
            task.add_done_callback(_looked_at)
        return task

    async def _read(self, digest: bytes, credential: Credential) -> Principal:
        read_at, changes = monotonic(), self._changes
        try:
            principal = await self._looked_up(credential, was_good=digest in self._known)
        except Unauthenticated:
            self._known.pop(digest, None)
            if changes == self._changes:
                _remember(self._refused, digest, read_at)
            raise
        finally:
            if self._reading.get(digest) is asyncio.current_task():
                del self._reading[digest]
        if changes == self._changes:
            _remember(self._known, digest, Known(principal, read_at))
        if principal.key_id:
            self._used.add(principal.key_id)
        return principal

    async def _looked_up(self, credential: Credential, *, was_good: bool) -> Principal:
        if SECRET.fullmatch(credential.secret):
            found = await self._lookups.key(digest_of(credential.secret), was_good=was_good)
            if found is None or found.key.service_name != credential.service:
                raise Unauthenticated
            principal = replace(
                principal_of(found.key, self.limits), tenant_limits=in_force(found.tenant_limits)
            )
        elif self._tokens is not None:
            principal = await self._tokens.principal(credential.secret)
            tenant = await self._check_tenant(principal.tenant_id, Unauthenticated)
            principal = replace(principal, key_limits=self.limits, tenant_limits=in_force(tenant.limits))
        else:
            raise Unauthenticated
        return await self._acting(principal, credential.tenant_id)

    async def _acting(self, principal: Principal, tenant_id: str) -> Principal:
        """The principal in the tenant that it names, which is its own unless it may act for others."""
        if not tenant_id or tenant_id == principal.tenant_id:
            return principal
        if principal.scopes is None or scopes.ACT not in principal.scopes:
            raise ForeignTenant(tenant=tenant_id)
        tenant = await self._check_tenant(tenant_id, lambda: TenantNotFound(tenant=tenant_id))
        return replace(principal, tenant_id=tenant_id, project_id=None, tenant_limits=in_force(tenant.limits))

    async def _check_tenant(self, tenant_id: str, refusal: Callable[[], SpineError]) -> Tenant:
        try:
            tenant = await self._tenants.get("", tenant_id)
        except TenantNotFound:
            raise refusal() from None
        if tenant.disabled:
            raise refusal()
        return tenant

    async def _write_forever(self) -> None:
        while True:
            await asyncio.sleep(WRITE_USES_S)
            await self._write_uses()

    async def _write_uses(self) -> None:
        used, self._used = self._used, set()
        if not used:
            return
        try:
            await self._keys.used(used)
        except SpineError as error:  # it is written with the next uses, or not at all
            log.warning("key_uses_not_written", cause=str(error))


def credential_of(given: Given) -> Credential:
    """Credential of a call's headers.

    Errors: Unauthenticated (none, or none that can be one), ForeignTenant.
    """
    tenant_id = given.get("x-tenant-id") or ""
    service = given.get("x-service-name") or ""
    if service:
        secret = given.get("x-service-token") or ""
    else:
        secret = given.get("x-api-key") or _bearer(given.get("authorization") or "")
    if not (isinstance(secret, str) and isinstance(service, str) and isinstance(tenant_id, str)):
        raise Unauthenticated  # not even text
    if not (SECRET.fullmatch(secret) or (TOKEN.fullmatch(secret) and not service)):
        raise Unauthenticated
    if service and not SERVICE.fullmatch(service):
        raise Unauthenticated
    if tenant_id and not TENANT_ID.fullmatch(tenant_id):
        raise ForeignTenant(tenant=tenant_id[:63])
    return Credential(secret, service, tenant_id)


def principal_of(key: ApiKey, limits: RateLimits | None = None) -> Principal:
    """Principal whose calls come with a key. limits: of a key that has none of its own."""
    return Principal(
        name=f"service:{key.service_name}" if key.service_name else f"key:{key.id}",
        tenant_id=key.tenant_id,
        project_id=key.project_id or None,
        key_id=key.id,
        scopes=scopes.closure(key.scopes),
        permissions=key.permissions if key.HasField("permissions") else None,
        deduplicate_retries=key.deduplicate_retries,
        key_limits=in_force(key.limits) if key.HasField("limits") else limits,
        is_logged=key.request_log if key.HasField("request_log") else None,
    )


def digest_of(secret: str) -> str:
    """SHA-256 of a secret, hexadecimal: of 256 random bits it needs no salt and no slow hash."""
    return sha256(secret.encode()).hexdigest()


def _bearer(value: str | bytes) -> str | bytes:
    if isinstance(value, bytes):
        return value
    scheme, _, secret = value.partition(" ")
    return secret.strip(" ") if scheme.lower() == "bearer" else ""


def _remember(table: dict[bytes, Any], digest: bytes, value: object) -> None:
    """Remembers a value; the one that was put in first makes room."""
    table.pop(digest, None)
    if len(table) >= MAX_KNOWN:
        del table[next(iter(table))]
    table[digest] = value


def _looked_at(task: "asyncio.Task[Principal]") -> None:
    """Takes notice of a failure that nobody waits for: the next call meets it by itself."""
    if not task.cancelled():
        task.exception()
