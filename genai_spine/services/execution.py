"""ExecutionService: ledger rows for callers and operators, by request, session, prompt or time."""

from genai_spine import page_tokens
from genai_spine.call import Call
from genai_spine.errors import ExecutionNotFound
from genai_spine.store.execution_history import ExecutionHistory
from genai_spine.store.executions import Executions
from genai_spine.store.newest_first import PageEnd
from genai_spine.v1 import execution_service_pb2 as pb
from genai_spine.v1.execution_pb2 import Execution

DEFAULT_PAGE_SIZE = 50


class ExecutionService:
    """RPCs of executions."""

    def __init__(self, executions: Executions, history: ExecutionHistory) -> None:
        self.executions = executions
        self.history = history

    async def ListExecutions(
        self, request: pb.ListExecutionsRequest, call: Call
    ) -> pb.ListExecutionsResponse:
        """Page of a tenant's executions, newest first. Errors: InvalidFields (page token)."""
        after = page_tokens.place(request, page_tokens.TIME, str)
        size = page_tokens.size(request, DEFAULT_PAGE_SIZE)
        page = await self.history.page(
            request, call.principal.tenant_id, size, PageEnd(*after) if after else None
        )
        response = pb.ListExecutionsResponse(executions=page.executions)
        if page.end:
            response.next_page_token = page_tokens.token(request, *page.end)
        return response

    async def GetExecution(self, request: pb.GetExecutionRequest, call: Call) -> Execution:
        """Execution by id. Errors: ExecutionNotFound."""
        id = request.execution_id.replace("\0", "")
        found = await self.executions.get(id, call.principal.tenant_id)
        if found is None:
            raise ExecutionNotFound(execution=request.execution_id)
        return found
