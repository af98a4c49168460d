"""The ledger's rows, as callers and operators look for them."""

from genai_spine import page_tokens
from genai_spine.call import Call
from genai_spine.errors import ExecutionNotFound
from genai_spine.store.execution_history import ExecutionHistory
from genai_spine.store.executions import Executions
from genai_spine.store.newest_first import Place
from genai_spine.v1 import execution_pb2
from genai_spine.v1 import execution_service_pb2 as pb

PAGE = 50
SUCCESS = {  # pending: unset
    execution_pb2.EXECUTION_STATE_SUCCEEDED: True,
    execution_pb2.EXECUTION_STATE_FAILED: False,
    execution_pb2.EXECUTION_STATE_CANCELLED: False,
    execution_pb2.EXECUTION_STATE_LOST: False,
}


class ExecutionService:
    def __init__(self, executions: Executions, history: ExecutionHistory) -> None:
        self.executions = executions
        self.history = history

    async def ListExecutions(
        self, request: pb.ListExecutionsRequest, call: Call
    ) -> pb.ListExecutionsResponse:
        after = page_tokens.place(request, page_tokens.TIME, str)
        size = page_tokens.size(request, PAGE)
        page = await self.history.page(request, size, Place(*after) if after else None)
        response = pb.ListExecutionsResponse(executions=[_entry(row) for row in page.executions])
        if page.end:
            response.next_page_token = page_tokens.token(request, *page.end)
        return response

    async def GetExecution(self, request: pb.GetExecutionRequest, call: Call) -> pb.ExecutionEntry:
        found = await self.executions.get(request.execution_id.replace("\0", ""))
        if found is None:
            raise ExecutionNotFound(execution=request.execution_id)
        return _entry(found)


def _entry(row: execution_pb2.Execution) -> pb.ExecutionEntry:
    entry = pb.ExecutionEntry(
        id=row.id,
        provider=row.provider,
        model=row.model,
        input_tokens=row.usage.input_tokens,
        output_tokens=row.usage.output_tokens,
        cost_usd=row.cost.cost_usd,
        latency_ms=row.latency_ms,
        success=SUCCESS.get(row.state),
        user_id=row.user if row.HasField("user") else None,
        request_id=row.request_id,
        created_at=row.create_time,
        execution=row,
    )
    for name in ("prompt_id", "prompt_version", "capability", "error", "session_id"):
        if row.HasField(name):
            setattr(entry, name, getattr(row, name))
    return entry
