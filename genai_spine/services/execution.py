"""ExecutionService: ledger rows for callers and operators, by request, session, prompt or time."""

import base64
from datetime import datetime

from genai_spine.call import Call
from genai_spine.errors import ExecutionNotFound, InvalidFields
from genai_spine.store.execution_history import ExecutionHistory, PageEnd
from genai_spine.store.executions import Executions
from genai_spine.v1 import execution_pb2
from genai_spine.v1 import execution_service_pb2 as pb

DEFAULT_PAGE_SIZE = 50
SUCCESS = {  # pending: unset
    execution_pb2.EXECUTION_STATE_SUCCEEDED: True,
    execution_pb2.EXECUTION_STATE_FAILED: False,
    execution_pb2.EXECUTION_STATE_CANCELLED: False,
    execution_pb2.EXECUTION_STATE_LOST: False,
}


class ExecutionService:
    """RPCs of executions."""

    def __init__(self, executions: Executions, history: ExecutionHistory) -> None:
        self.executions = executions
        self.history = history

    async def ListExecutions(
        self, request: pb.ListExecutionsRequest, call: Call
    ) -> pb.ListExecutionsResponse:
        """Page of executions, newest first. Errors: InvalidFields (page token)."""
        after = _place(request.page_token) if request.page_token else None
        page = await self.history.page(request, request.limit or DEFAULT_PAGE_SIZE, after)
        response = pb.ListExecutionsResponse(executions=[_entry(row) for row in page.executions])
        if page.end:
            response.next_page_token = _token(page.end)
        return response

    async def GetExecution(self, request: pb.GetExecutionRequest, call: Call) -> pb.ExecutionEntry:
        """Execution by id. Errors: ExecutionNotFound."""
        found = await self.executions.get(request.execution_id.replace("\0", ""))
        if found is None:
            raise ExecutionNotFound(execution=request.execution_id)
        return _entry(found)


def _entry(row: execution_pb2.Execution) -> pb.ExecutionEntry:
    """Ledger row as callers see it."""
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


def _token(place: PageEnd) -> str:
    """Page token of a page's end."""
    return base64.urlsafe_b64encode(f"{place.created_at.isoformat()} {place.id}".encode()).decode()


def _place(token: str) -> PageEnd:
    """Page end of a token. Errors: InvalidFields."""
    try:
        created_at, _, id = base64.urlsafe_b64decode(token.encode()).decode().partition(" ")
        place = PageEnd(datetime.fromisoformat(created_at), id)
    except ValueError:
        raise InvalidFields([("page_token", "is no token of this list")]) from None
    if place.created_at.tzinfo is None or "\0" in id:
        raise InvalidFields([("page_token", "is no token of this list")])
    return place
