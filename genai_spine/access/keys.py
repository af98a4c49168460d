"""Keys of callers: made, changed, rotated, revoked; each change is audited, and holds here at once."""

import secrets
import string
from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import Any
from uuid import uuid4

from google.protobuf.json_format import MessageToDict

from genai_spine import field_masks, page_tokens
from genai_spine.access import scopes
from genai_spine.access.audit import AuditLog
from genai_spine.access.authentication import Authenticator, digest_of
from genai_spine.call import ANONYMOUS, Call, Principal
from genai_spine.errors import Conflict, InvalidFields, NotPermittedToKey
from genai_spine.guardrails.checks import check_rules
from genai_spine.store.access.keys import KeyRows, Secret
from genai_spine.store.access.tenants import ProjectRows
from genai_spine.store.newest_first import PageEnd
from genai_spine.v1 import key_service_pb2 as pb

LETTERS = string.ascii_letters + string.digits
SECRET_LETTERS = 43  # of 62: 256 random bits
SHOWN_LETTERS = 4  # of them, in the prefix that a key is known by
DEFAULT_PAGE_SIZE = 50
DEFAULT_OVERLAP_S = 86_400
DEFAULT_SCOPE = "completions:read"
EDITABLE = (
    *("project_id", "name", "scopes", "permissions", "expire_time", "deduplicate_retries"),
    *("limits", "request_log"),
)

CancelRuns = Callable[[str, str], Awaitable[int]]  # those of a tenant's key that wait; returns how many


class KeyLibrary:
    """Keys of the tenant of whoever calls."""

    def __init__(self, rows: KeyRows, projects: ProjectRows, audit: AuditLog) -> None:
        self.rows, self.projects, self.audit = rows, projects, audit
        self.authenticator: Authenticator | None = None  # that must hear of changes; None: nobody is asked
        self.cancel_runs: CancelRuns | None = None  # None: there are no runs

    async def create(self, request: pb.CreateKeyRequest, call: Call) -> pb.KeySecret:
        """A new key with its secret.

        Errors: InvalidFields, PermissionDenied, NotPermittedToKey, ProjectNotFound, TenantNotFound.
        """
        key = new_key(request.key, call.principal)
        if not key.name:
            raise InvalidFields([("key.name", "is required")])
        await self._check(key, call.principal)
        secret, stored = new_secret(key)
        entry = self.audit.entry(call, "keys.create", f"key:{key.id}", _details(key))
        return pb.KeySecret(key=await self.rows.add(key, stored, entry), secret=secret)

    async def get(self, request: pb.GetKeyRequest, call: Call) -> pb.ApiKey:
        """Key by its id. Errors: KeyNotFound."""
        return await self.rows.get(call.principal.tenant_id, request.key_id)

    async def page(self, request: pb.ListKeysRequest, call: Call) -> pb.ListKeysResponse:
        """Page of keys, the newest first. Errors: InvalidFields (page token)."""
        after = page_tokens.place(request, page_tokens.TIME, str)
        size = page_tokens.size(request, DEFAULT_PAGE_SIZE)
        place = PageEnd(*after) if after else None
        found = await self.rows.page(call.principal.tenant_id, request, size + 1, place)
        response = pb.ListKeysResponse(keys=found[:size])
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = page_tokens.token(request, last.create_time.ToDatetime(UTC), last.id)
        return response

    async def change(self, request: pb.UpdateKeyRequest, call: Call) -> pb.ApiKey:
        """Update by field mask. Errors: those of create(), KeyNotFound, EtagMismatch."""
        fields = field_masks.chosen(request.update_mask.paths, request.key, EDITABLE)
        present = await self._own(request.key_id, call)
        changed = pb.ApiKey(id=present.id, tenant_id=present.tenant_id)
        for name in EDITABLE:
            _copy(request.key if name in fields else present, changed, name)
        if not changed.name:
            raise InvalidFields([("key.name", "is required")])
        changed.scopes[:] = changed.scopes or [DEFAULT_SCOPE]
        if request.key.HasField("etag"):
            changed.etag = request.key.etag
        await self._check(changed, call.principal)
        details = {name: value for name, value in _details(changed).items() if name in fields}
        entry = self.audit.entry(call, "keys.update", f"key:{present.id}", details)
        return self._changed(await self.rows.change(changed, fields, entry))

    async def rotate(self, request: pb.RotateKeyRequest, call: Call) -> pb.KeySecret:
        """Another secret for a key. Errors: KeyNotFound, PermissionDenied, Conflict (it is revoked)."""
        key = await self._own(request.key_id, call)
        if key.HasField("revoke_time"):
            raise Conflict(field="key_id", problem="the key is revoked")
        key.ClearField("etag")
        overlap_s = request.overlap_s if request.HasField("overlap_s") else DEFAULT_OVERLAP_S
        secret, stored = new_secret(key)
        details = {"prefix": stored.prefix, "overlap_s": overlap_s}
        entry = self.audit.entry(call, "keys.rotate", f"key:{key.id}", details)
        rotated = self._changed(await self.rows.rotate(key, stored, overlap_s, entry))
        return pb.KeySecret(key=rotated, secret=secret)

    async def revoke(self, request: pb.RevokeKeyRequest, call: Call) -> pb.ApiKey:
        """End of a key, and on request of its runs that wait. Errors: KeyNotFound, PermissionDenied."""
        key = await self._own(request.key_id, call)
        key.ClearField("etag")
        details = {"prefix": key.prefix, **({"stop_runs": True} if request.stop_runs else {})}
        entry = self.audit.entry(call, "keys.revoke", f"key:{key.id}", details)
        revoked = self._changed(await self.rows.revoke(key, entry))
        if request.stop_runs and self.cancel_runs is not None:
            await self.cancel_runs(key.tenant_id, key.id)
        return revoked

    async def bootstrap(self) -> pb.KeySecret | None:
        """First key of all, with the scope admin; None: there is one. Safe if several do it at once."""
        call = Call(principal=Principal(name="command-line"))
        key = new_key(pb.ApiKey(name="first admin key", scopes=[scopes.ADMIN]), call.principal)
        secret, stored = new_secret(key)
        entry = self.audit.entry(call, "keys.bootstrap", f"key:{key.id}", _details(key))
        if not await self.rows.add_first(key, stored, entry):
            return None
        return pb.KeySecret(key=await self.rows.get(key.tenant_id, key.id), secret=secret)

    async def _own(self, id: str, call: Call) -> pb.ApiKey:
        """Key that the caller may change, which has no scope that the caller lacks.

        Errors: KeyNotFound, PermissionDenied.
        """
        key = await self.rows.get(call.principal.tenant_id, id)
        scopes.check_granted(key.scopes, call.principal)
        return key

    async def _check(self, key: pb.ApiKey, by: Principal) -> None:
        """Refuses a key that gives what its maker does not have, or is of a project that is not there."""
        scopes.check_known(key.scopes)
        scopes.check_granted(key.scopes, by)
        check_rules(key.permissions.guardrails)
        if by.permissions is not None and by.permissions != key.permissions:
            raise NotPermittedToKey(kind="permissions", name="other than its own")
        if key.project_id:
            await self.projects.get(key.tenant_id, key.project_id)

    def _changed(self, key: pb.ApiKey) -> pb.ApiKey:
        if self.authenticator is not None:
            self.authenticator.forget()
        return key


def new_key(described: pb.ApiKey, by: Principal = ANONYMOUS) -> pb.ApiKey:
    """Key with an id of its own, of its maker's tenant, with what can be chosen of it."""
    key = pb.ApiKey(id=f"key_{uuid4().hex}", tenant_id=by.tenant_id, created_by=by.name, test=described.test)
    for name in (*EDITABLE, "service_name"):
        _copy(described, key, name)
    key.scopes[:] = key.scopes or [DEFAULT_SCOPE]
    return key


def new_secret(key: pb.ApiKey) -> tuple[str, Secret]:
    """Random secret of a key, and what of it is stored."""
    kind = "service" if key.service_name else "test" if key.test else "live"
    letters = "".join(secrets.choice(LETTERS) for _ in range(SECRET_LETTERS))
    secret = f"gs_{kind}_{letters}"
    return secret, Secret(secret[: len(f"gs_{kind}_") + SHOWN_LETTERS], digest_of(secret))


def _copy(source: pb.ApiKey, target: pb.ApiKey, name: str) -> None:
    """Field of one key as it is in another one, unset included."""
    field = pb.ApiKey.DESCRIPTOR.fields_by_name[name]
    if field.is_repeated:
        getattr(target, name)[:] = getattr(source, name)
    elif field.message_type is not None:
        if source.HasField(name):
            getattr(target, name).CopyFrom(getattr(source, name))
    elif not field.has_presence or source.HasField(name):
        setattr(target, name, getattr(source, name))


def _details(key: pb.ApiKey) -> dict[str, Any]:
    """Key as the audit log has it: what was chosen of it."""
    shown = pb.ApiKey()
    for name in (*EDITABLE, "service_name"):
        _copy(key, shown, name)
    return MessageToDict(shown, preserving_proto_field_name=True)
