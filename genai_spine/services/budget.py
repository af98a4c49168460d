"""BudgetService: what may be spent, and what is."""

from genai_spine import http_answer
from genai_spine.budgets.library import BudgetLibrary
from genai_spine.budgets.status import BudgetStatus
from genai_spine.call import Call
from genai_spine.v1 import budget_pb2
from genai_spine.v1 import budget_service_pb2 as pb


class BudgetService:
    """RPCs of budgets; see budgets/library.py for their errors."""

    def __init__(self, library: BudgetLibrary, status: BudgetStatus) -> None:
        self.library, self.status = library, status

    async def SetBudget(self, request: pb.SetBudgetRequest, call: Call) -> budget_pb2.Budget:
        """New budget, or a change of one."""
        return await self.library.set(request, call)

    async def GetBudget(self, request: pb.GetBudgetRequest, call: Call) -> budget_pb2.Budget:
        """Budget by its number."""
        return await self.library.get(request.budget_id, call)

    async def ListBudgets(self, request: pb.ListBudgetsRequest, call: Call) -> pb.ListBudgetsResponse:
        """Page of budgets."""
        return await self.library.page(request, call)

    async def ListBudgetCounters(
        self, request: pb.ListBudgetCountersRequest, call: Call
    ) -> pb.ListBudgetCountersResponse:
        """Page of a budget's counters."""
        return await self.library.counters(request, call)

    async def DeleteBudget(self, request: pb.DeleteBudgetRequest, call: Call) -> pb.DeleteBudgetResponse:
        """End of a budget; HTTP status 204."""
        await self.library.delete(request, call)
        http_answer.answered(call, 204)
        return pb.DeleteBudgetResponse()

    async def GetBudgetStatus(
        self, request: pb.GetBudgetStatusRequest, call: Call
    ) -> pb.GetBudgetStatusResponse:
        """Status of the caller's tenant: what it may spend and has spent."""
        return await self.status.of(call.principal.tenant_id)
