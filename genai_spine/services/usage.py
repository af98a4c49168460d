"""UsageService: what a tenant used and spent, as reports and as files."""

from collections.abc import AsyncGenerator

from google.api import httpbody_pb2

from genai_spine.access import scopes
from genai_spine.billing.price_book import PriceBook
from genai_spine.call import Call
from genai_spine.store.usage.sums import UsageSums
from genai_spine.usage.export import csv_pieces, focus_pieces
from genai_spine.usage.question import EVERY_TENANT, question_of
from genai_spine.usage.reports import UsageReports
from genai_spine.v1 import usage_service_pb2 as pb


class UsageService:
    """RPCs of usage."""

    def __init__(self, sums: UsageSums, book: PriceBook) -> None:
        self.sums = sums
        self.book = book
        self.reports = UsageReports(sums)

    async def GetUsage(self, request: pb.GetUsageRequest, call: Call) -> pb.GetUsageResponse:
        """Totals of a period. Errors: InvalidFields; PermissionDenied for those of other tenants."""
        if request.group_by == EVERY_TENANT:
            scopes.check_acting(call.principal)
        return await self.reports.usage(request, call.principal.tenant_id)

    async def GetCosts(self, request: pb.GetCostsRequest, call: Call) -> pb.GetCostsResponse:
        """Cost of each day. Errors: InvalidFields."""
        return await self.reports.costs(request, call.principal.tenant_id)

    async def GetSpendSummary(
        self, request: pb.GetSpendSummaryRequest, call: Call
    ) -> pb.GetSpendSummaryResponse:
        """Spend of today, this month and the last 30 days."""
        return await self.reports.summary(call.principal.tenant_id)

    async def ExportUsage(
        self, request: pb.ExportUsageRequest, call: Call
    ) -> AsyncGenerator[httpbody_pb2.HttpBody]:
        """File of usage, in pieces of about 64 kB. Errors: InvalidFields."""
        question = question_of(request, call.principal.tenant_id)
        if request.format == pb.USAGE_EXPORT_FORMAT_FOCUS:
            pieces = focus_pieces(self.sums, self.book, question)
        else:
            pieces = csv_pieces(self.sums, question)
        call.content_type = "text/csv; charset=utf-8"
        async for piece in pieces:
            yield httpbody_pb2.HttpBody(content_type=call.content_type, data=piece.encode())
