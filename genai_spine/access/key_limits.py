"""Rate limits of keys whose work is done later, by the ids of tenant and key, as they are now."""

from time import monotonic

from genai_spine.access.authentication import MAX_KNOWN, STALE_S, Authenticator
from genai_spine.access.rate_limits import in_force
from genai_spine.errors import KeyNotFound, TenantNotFound
from genai_spine.store.access.keys import KeyRows
from genai_spine.store.access.tenants import TenantRows
from genai_spine.v1.rate_limits_pb2 import RateLimits

Limits = tuple[RateLimits | None, RateLimits | None]  # of a key, and of its tenant


class KeyLimits:
    """Rate limits by key, remembered as long as the principals of calls are."""

    def __init__(self, keys: KeyRows, tenants: TenantRows, authenticator: Authenticator) -> None:
        self._keys, self._tenants, self._authenticator = keys, tenants, authenticator
        self._known: dict[tuple[str, str], tuple[Limits, float]] = {}

    async def of(self, tenant_id: str, key_id: str) -> Limits:
        """Limits of a key and of its tenant. Errors: ServiceUnavailable."""
        found = self._known.get((tenant_id, key_id))
        if found is not None and monotonic() - found[1] < STALE_S:
            return found[0]
        read_at, limits = monotonic(), await self._read(tenant_id, key_id)
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[tenant_id, key_id] = (limits, read_at)
        return limits

    async def _read(self, tenant_id: str, key_id: str) -> Limits:
        own = self._authenticator.limits
        try:
            key = await self._keys.get(tenant_id, key_id)
            own = in_force(key.limits) if key.HasField("limits") else own
        except KeyNotFound:  # it acted for another tenant
            pass
        try:
            tenant = await self._tenants.get("", tenant_id)
        except TenantNotFound:
            return own, None
        return own, in_force(tenant.limits)
