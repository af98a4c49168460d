"""AuditService: who changed what."""

from collections.abc import AsyncGenerator

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.json_format import MessageToJson

from genai_spine.access.audit import AuditLog
from genai_spine.call import Call
from genai_spine.v1 import audit_service_pb2 as pb

LINES = "application/x-ndjson"


class AuditService:
    """RPCs of the audit log."""

    def __init__(self, audit: AuditLog) -> None:
        self.audit = audit

    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, call: Call
    ) -> pb.ListAuditEntriesResponse:
        """Page of entries. Errors: InvalidFields."""
        return await self.audit.page(call, request)

    async def ExportAuditEntries(
        self, request: pb.ListAuditEntriesRequest, call: Call
    ) -> AsyncGenerator[HttpBody]:
        """All entries, streamed as lines of JSON."""
        begun = False
        async for entries in self.audit.export(call, request):
            lines = [MessageToJson(entry, indent=None, preserving_proto_field_name=True) for entry in entries]
            yield HttpBody(
                data="".join(f"{line}\n" for line in lines).encode(), content_type="" if begun else LINES
            )
            begun = True
        if not begun:
            yield HttpBody(content_type=LINES)
