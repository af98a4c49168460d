"""Status of a tenant's budgets: what it may spend today and this month, and what it has spent."""

from dataclasses import dataclass
from datetime import UTC, datetime

from genai_spine.billing.budgets import Budgets
from genai_spine.budgets.changes import limit_now
from genai_spine.costs import usd_of
from genai_spine.store.booking.budget_messages import percent
from genai_spine.usage.reports import UsageReports
from genai_spine.v1 import budget_pb2
from genai_spine.v1 import budget_service_pb2 as pb
from genai_spine.v1.budget_pb2 import Budget
from genai_spine.v1.execution_pb2 import Execution


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Parts of the limits from which on warnings are given, of budgets that the settings make."""

    daily: float
    monthly: float


class BudgetStatus:
    """Status of tenants, whether by budgets of their own or by a default."""

    def __init__(self, budgets: Budgets, reports: UsageReports, thresholds: Thresholds) -> None:
        self._budgets, self._reports, self._thresholds = budgets, reports, thresholds

    async def of(self, tenant_id: str) -> pb.GetBudgetStatusResponse:
        """Status of a tenant; what it has spent is what the usage reports say."""
        await self._budgets.refresh()
        spend = await self._reports.summary(tenant_id)
        daily = self._applying(tenant_id, budget_pb2.BUDGET_PERIOD_DAILY)
        monthly = self._applying(tenant_id, budget_pb2.BUDGET_PERIOD_MONTHLY)
        alerts = pb.BudgetThresholds(
            daily_warning_threshold=daily.warn_percent / 100 if daily else self._thresholds.daily,
            monthly_warning_threshold=monthly.warn_percent / 100 if monthly else self._thresholds.monthly,
        )
        return pb.GetBudgetStatusResponse(
            daily=_level(daily, spend.today.cost_ticks),
            monthly=_level(monthly, spend.month.cost_ticks),
            alerts=alerts,
        )

    def _applying(self, tenant_id: str, period: int) -> Budget | None:
        """Budget of all of a tenant's calls in a period; None: there is no limit."""
        applied = self._budgets.applying(Execution(tenant_id=tenant_id))
        return next((budget for budget, _ in applied if budget.period == period), None)


def _level(budget: Budget | None, used: int) -> pb.BudgetLevel:
    level = pb.BudgetLevel(used_ticks=used, used_usd=usd_of(used))
    if budget is not None:
        limit = limit_now(budget, datetime.now(UTC))
        remaining = max(0, limit - used)
        level.limit_ticks, level.limit_usd = limit, usd_of(limit)
        level.remaining_ticks, level.remaining_usd = remaining, usd_of(remaining)
        level.used_percent, level.policy = percent(used, limit), budget.policy
    return level
