"""Makers of schedules: on whose behalf a schedule's runs are made, as long as that one may call."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from genai_spine.access.authentication import principal_of
from genai_spine.call import Principal
from genai_spine.errors import ProjectNotFound, TenantNotFound
from genai_spine.store.access.keys import KeyRows
from genai_spine.store.access.tenants import ProjectRows, TenantRows
from genai_spine.store.schedules.schedules import Maker, StoredSchedule
from genai_spine.v1.key_service_pb2 import ApiKey

GONE = "the key of its maker was deleted"
REVOKED = "the key of its maker was revoked"
EXPIRED = "the key of its maker has expired"
TENANT = "its tenant was disabled"
PROJECT = "the project of its maker was disabled"


class MakerEnded(Exception):
    """End of a maker who paid for the runs of a schedule; the message says why."""


@dataclass(frozen=True, slots=True)
class Makers:
    """Principals of schedules, with what their makers' keys permit now."""

    keys: KeyRows
    tenants: TenantRows
    projects: ProjectRows

    async def principal(self, stored: StoredSchedule) -> Principal:
        """Principal of a schedule's runs. Raises MakerEnded."""
        maker, name = stored.maker, f"schedule/{stored.id}"
        if await self._is_tenant_disabled(maker.tenant_id):
            raise MakerEnded(TENANT)
        if maker.api_key_id is None:
            return Principal(name, maker.tenant_id, maker.project_id)
        key = await self.keys.by_id(maker.api_key_id)
        if problem := _problem(key):
            raise MakerEnded(problem)
        assert key is not None
        if await self._is_tenant_disabled(key.tenant_id):
            raise MakerEnded(TENANT)
        if key.project_id and await self._is_project_disabled(key):
            raise MakerEnded(PROJECT)
        of_key = principal_of(key)
        return replace(of_key, name=name, tenant_id=maker.tenant_id, project_id=maker.project_id)

    async def _is_tenant_disabled(self, tenant_id: str) -> bool:
        try:
            return (await self.tenants.get("", tenant_id)).disabled
        except TenantNotFound:  # of whoever is asked for no key
            return False

    async def _is_project_disabled(self, key: ApiKey) -> bool:
        try:
            return (await self.projects.get(key.tenant_id, key.project_id)).disabled
        except ProjectNotFound:
            return True


def maker_of(principal: Principal) -> Maker:
    """Maker that a caller is."""
    return Maker(principal.tenant_id, principal.name, principal.project_id, principal.key_id)


def _problem(key: ApiKey | None) -> str:
    """Why a key pays for nothing any more; empty: it does."""
    if key is None:
        return GONE
    if key.HasField("revoke_time"):
        return REVOKED
    if key.HasField("expire_time") and key.expire_time.ToDatetime(UTC) <= datetime.now(UTC):
        return EXPIRED
    return ""
