"""Ownership of files and batches at providers: a tenant reaches what was made for it, and nothing else.

All tenants share the provider's account, so its own lists are never shown as they are. An object without a
row, which was made elsewhere or before there were tenants, is the default tenant's while authentication is
off, and otherwise nobody's.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog

from genai_spine.access.object_references import MODEL, Reference
from genai_spine.call import DEFAULT_TENANT, Call, Principal
from genai_spine.errors import InvalidFields, ProviderObjectNotFound
from genai_spine.store.provider_objects import ListPlace, ProviderObject, ProviderObjects

DB_TIMEOUT_S = 5.0  # for one attempt
PAUSES_S = (0.1, 1.0)  # before the next attempt
MAX_LOOKUPS = 8  # calls of a provider at a time, for a list


class Named(Protocol):
    """Object with an id of the provider's."""

    id: str


T = TypeVar("T", bound=Named)
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OwnedPage(Generic[T]):
    """Page of a list of a tenant's objects."""

    objects: list[T]
    end: str  # place of the next page where others follow, else empty


class ObjectOwners:
    """Owners of the objects at all providers."""

    def __init__(self, objects: ProviderObjects, shared: Sequence[str] = ()) -> None:
        """shared: ids of objects that everybody may name in options; they may hold *."""
        self.objects = objects
        self._shared = re.compile(
            "|".join(".*".join(map(re.escape, id.split("*"))) for id in shared) or r"(?!)"
        )

    async def add(
        self, provider: str, kind: str, id: str, call: Call, labels: Mapping[str, str] | None = None
    ) -> bool:
        """Records who made an object, file or batch; False: nobody but the default tenant will find it."""
        made = ProviderObject(provider, kind, id, call.principal, labels or {})
        for pause_s in (*PAUSES_S, None):
            try:
                async with asyncio.timeout(DB_TIMEOUT_S):
                    await self.objects.add(made)
                return True
            except Exception as error:
                cause = f"{type(error).__name__}: {error}"[:500]
                log.error("owner_not_recorded", provider=provider, id=id, cause=cause, retry_s=pause_s)
            if pause_s is not None:
                await asyncio.sleep(pause_s)
        return sees_unowned(call.principal)

    async def add_files(self, provider: str, ids: Iterable[str], call: Call) -> None:
        """Records files that a provider made for a tenant's batch."""
        known = await self.objects.tenants(provider, [id for id in ids if id])
        for id in ids:
            if id and id not in known:
                await self.add(provider, "file", id, call)

    async def check(self, provider: str, kind: str, id: str, call: Call) -> None:
        """Raises ProviderObjectNotFound, as for a missing one, where an object is not the caller's."""
        owner = (await self.objects.tenants(provider, [id])).get(id)
        if not _is_own(owner, call.principal):
            raise ProviderObjectNotFound(provider=provider, kind=kind, id=id)

    async def check_files(self, provider: str, ids: Sequence[str], call: Call) -> None:
        """check() of several files."""
        owners = await self.objects.tenants(provider, ids)
        for id in ids:
            if not _is_own(owners.get(id), call.principal):
                raise ProviderObjectNotFound(provider=provider, kind="file", id=id)

    async def check_references(self, provider: str, found: Collection[Reference], call: Call) -> None:
        """Checks the stored objects among what a provider's own options name.

        An object that this service did not make is the default tenant's while authentication is off, and
        otherwise nobody's. Errors: ProviderObjectNotFound.
        """
        named = {one for one in found if one.kind != MODEL and not self._shared.fullmatch(one.id)}
        if not named:
            return
        ids = [id for _, id in named]
        owners = await self.objects.tenants_of_answers(provider, ids) | await self.objects.tenants(
            provider, ids
        )
        for kind, id in sorted(named):
            if not _is_own(owners.get(id), call.principal):
                raise ProviderObjectNotFound(provider=provider, kind=kind, id=id)

    async def own(self, provider: str, ids: Iterable[str], call: Call) -> set[str]:
        """Subset of the ids that are the caller's."""
        ids = list(ids)
        owners = await self.objects.tenants(provider, ids)
        return {id for id in ids if _is_own(owners.get(id), call.principal)}

    async def visible(
        self,
        place: ListPlace,
        listed: Callable[[], Awaitable[OwnedPage[T]]],
        get: Callable[[str], Awaitable[T]],
        call: Call,
    ) -> OwnedPage[T]:
        """Page of a tenant's objects of one kind, as the provider has them now.

        listed: page of the provider's own list, of which only those of other tenants are left out for whoever
        sees what has no owner. Others get page().

        Errors: InvalidFields (page token), those of listed and get.
        """
        if not sees_unowned(call.principal):
            return await self.page(place, get)
        found = await listed()
        own = await self.own(place.provider, (one.id for one in found.objects), call)
        return OwnedPage([one for one in found.objects if one.id in own], found.end)

    async def page(self, place: ListPlace, get: Callable[[str], Awaitable[T]]) -> OwnedPage[T]:
        """Page of a tenant's objects of one kind, each as the provider's `get` has it now.

        Those that the provider has no more are left out. Errors: InvalidFields (page token), those of get.
        """
        found = await self.objects.page(place)
        if found is None:
            raise InvalidFields([("page_token", "is no token of this list with these filters")])
        limit = asyncio.Semaphore(MAX_LOOKUPS)

        async def looked_up(id: str) -> T | None:
            async with limit:
                try:
                    return await get(id)
                except ProviderObjectNotFound:
                    await self.objects.remove(place.provider, id)
                    return None

        shown = await asyncio.gather(*map(looked_up, found.ids))
        end = found.ids[-1] if found.goes_on else ""
        return OwnedPage([one for one in shown if one is not None], end)


def sees_unowned(principal: Principal) -> bool:
    """Whether objects that nobody is known to have made are the principal's."""
    return principal.scopes is None and principal.tenant_id == DEFAULT_TENANT


def _is_own(owner: str | None, principal: Principal) -> bool:
    return sees_unowned(principal) if owner is None else owner == principal.tenant_id
