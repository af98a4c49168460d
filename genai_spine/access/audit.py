"""Audit log: who changed what, each entry sealed, so that a change in the database shows."""

import hmac
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import uuid4

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from genai_spine import page_tokens
from genai_spine.access.secrets import AUDIT, RootSecret
from genai_spine.call import Call
from genai_spine.store.access.audit import AuditRows, SealedEntry
from genai_spine.store.newest_first import PageEnd
from genai_spine.v1.audit_service_pb2 import AuditEntry, ListAuditEntriesRequest, ListAuditEntriesResponse

DEFAULT_PAGE_SIZE = 50
EXPORT_PAGE = 500  # entries read at a time


class AuditLog:
    """Entries made, sealed, stored, and read again."""

    def __init__(self, rows: AuditRows, root: RootSecret | None) -> None:
        """root: None: there is no root secret, so nothing is sealed, and nothing can be told to be intact."""
        self._rows = rows
        self._keys = [] if root is None else root.keys(AUDIT)

    async def record(self, call: Call, action: str, target: str, details: Message | dict[str, Any]) -> None:
        """One change, in a transaction of its own. Where it can be, write entry() in the change's instead."""
        await self._rows.add(self.entry(call, action, target, details))

    def entry(self, call: Call, action: str, target: str, details: Message | dict[str, Any]) -> SealedEntry:
        """Entry about what the caller does. details: what it is changed to, without secrets."""
        entry = AuditEntry(
            id=f"audit_{uuid4().hex}",
            tenant_id=call.principal.tenant_id,
            actor=call.principal.name,
            action=action,
            target=target,
            request_id=call.request_id,
        )
        entry.create_time.FromDatetime(datetime.now(UTC))  # whole microseconds, as the database keeps them
        if isinstance(details, Message):
            details = MessageToDict(details, preserving_proto_field_name=True)
        entry.details.SetInParent()
        ParseDict(details, entry.details)
        return SealedEntry(entry, _seal(self._keys[0], entry) if self._keys else None)

    async def page(self, call: Call, request: ListAuditEntriesRequest) -> ListAuditEntriesResponse:
        """Page of the entries of the caller's tenant, the newest first. Errors: InvalidFields."""
        after = page_tokens.place(request, page_tokens.TIME, str)
        size = page_tokens.size(request, DEFAULT_PAGE_SIZE)
        found = await self._read(call, request, size + 1, PageEnd(*after) if after else None)
        response = ListAuditEntriesResponse(entries=found[:size])
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = page_tokens.token(request, last.create_time.ToDatetime(UTC), last.id)
        return response

    async def export(self, call: Call, request: ListAuditEntriesRequest) -> AsyncIterator[list[AuditEntry]]:
        """All entries of the caller's tenant that the filters let through, some at a time."""
        after: PageEnd | None = None
        while found := await self._read(call, request, EXPORT_PAGE, after):
            yield found
            after = PageEnd(found[-1].create_time.ToDatetime(UTC), found[-1].id)

    async def _read(
        self, call: Call, request: ListAuditEntriesRequest, size: int, after: PageEnd | None
    ) -> list[AuditEntry]:
        rows = await self._rows.page(call.principal.tenant_id, request, size, after)
        for entry, seal in rows:
            entry.intact = self._is_intact(entry, seal)
        return [row.entry for row in rows]

    def _is_intact(self, entry: AuditEntry, seal: str | None) -> bool:
        return seal is not None and any(hmac.compare_digest(_seal(key, entry), seal) for key in self._keys)


def _seal(key: bytes, entry: AuditEntry) -> str:
    """HMAC-SHA256 of an entry, hexadecimal."""
    return hmac.digest(key, entry.SerializeToString(deterministic=True), sha256).hex()
