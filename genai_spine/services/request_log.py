"""RequestLogService: entries of the request log for the tenant that they belong to."""

from genai_spine import page_tokens
from genai_spine.call import Call
from genai_spine.errors import InvalidFields, RequestLogNotFound
from genai_spine.request_log.request_log import RequestLog
from genai_spine.store.newest_first import PageEnd
from genai_spine.v1 import request_log_service_pb2 as pb

DEFAULT_PAGE_SIZE = 50
CHOICES = ("request_log_id", "request_id", "end_user", "all")


class RequestLogService:
    """RPCs of the request log."""

    def __init__(self, log: RequestLog) -> None:
        self.log = log

    async def ListRequestLogs(
        self, request: pb.ListRequestLogsRequest, call: Call
    ) -> pb.ListRequestLogsResponse:
        """Page of a tenant's entries, newest first. Errors: InvalidFields (page token)."""
        after = page_tokens.place(request, page_tokens.TIME, str)
        size = page_tokens.size(request, DEFAULT_PAGE_SIZE)
        page = await self.log.rows.page(
            request, call.principal.tenant_id, size, PageEnd(*after) if after else None
        )
        response = pb.ListRequestLogsResponse(request_logs=page.entries)
        if page.end:
            response.next_page_token = page_tokens.token(request, *page.end)
        return response

    async def GetRequestLog(self, request: pb.GetRequestLogRequest, call: Call) -> pb.RequestLog:
        """Entry by id. Errors: RequestLogNotFound."""
        found = await self.log.rows.get(request.request_log_id, call.principal.tenant_id)
        if found is None:
            raise RequestLogNotFound(request_log=request.request_log_id)
        return found

    async def DeleteRequestLogs(
        self, request: pb.DeleteRequestLogsRequest, call: Call
    ) -> pb.DeleteRequestLogsResponse:
        """Deletion of a tenant's entries, those included that this server has not written yet.

        Errors: InvalidFields, RequestLogNotFound.
        """
        said = [name for name in CHOICES if getattr(request, name)]
        if len(said) != 1:
            problem = f"say just one of {', '.join(CHOICES)}"
            raise InvalidFields([(said[1] if said else "all", problem)])
        await self.log.flush()
        deleted = await self.log.rows.delete(request, call.principal.tenant_id)
        if not deleted and request.request_log_id:
            raise RequestLogNotFound(request_log=request.request_log_id)
        return pb.DeleteRequestLogsResponse(deleted_count=deleted)
