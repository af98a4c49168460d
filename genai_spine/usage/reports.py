"""Reports of usage: totals by provider, model and day, by one property more, and the spend of now."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from genai_spine.costs import usd_of
from genai_spine.store.usage.sums import LABEL, Key, Question, UsageSums
from genai_spine.usage.question import DEFAULT_DAYS, GROUPS, midnight, question_of
from genai_spine.v1 import usage_service_pb2 as pb

MAX_GROUPS = 1000
# Count of UsageTotals -> measure that is summed for it.
COUNTS = {
    "request_count": "request_count",
    "succeeded_count": "succeeded_count",
    "unpriced_count": "unpriced_count",
    "input_token_count": "input_tokens",
    "output_token_count": "output_tokens",
    "uncached_input_token_count": "uncached_input_tokens",
    "cache_read_token_count": "cache_read_tokens",
    "cache_write_5m_token_count": "cache_write_5m_tokens",
    "cache_write_1h_token_count": "cache_write_1h_tokens",
    "reasoning_token_count": "reasoning_tokens",
    "cost_ticks": "cost_ticks",
    "cost_estimated_ticks": "estimated_ticks",
    "cost_discarded_ticks": "discarded_ticks",
}
Sums = Mapping[str, int]


class UsageReports:
    """Reports over the sums that the database makes."""

    def __init__(self, sums: UsageSums) -> None:
        self._sums = sums

    async def usage(self, request: pb.GetUsageRequest, tenant: str) -> pb.GetUsageResponse:
        """Totals of a period. Errors: InvalidFields (dates)."""
        question = question_of(request, tenant)
        response = pb.GetUsageResponse(
            period_start=question.start.date().isoformat(),
            period_end=(question.end - timedelta(days=1)).date().isoformat(),
        )
        cells = await self._sums.by(question, "day", "provider", "model")
        response.total.CopyFrom(totals(sums for _, sums in cells))
        for (_, provider, model), sums in cells:
            add(response.by_provider[provider], sums)
            add(response.by_model[model], sums)
        for day, total in _grouped(cells, 0).items():
            response.daily_breakdown.add(date=day).total.CopyFrom(total)
        for each in (*response.by_provider.values(), *response.by_model.values()):
            finish(each)
        if request.group_by:
            await self._add_groups(response, question, request)
        return response

    async def costs(self, request: pb.GetCostsRequest, tenant: str) -> pb.GetCostsResponse:
        """Cost of each day of a period. Errors: InvalidFields (dates)."""
        response = pb.GetCostsResponse()
        for (day,), sums in await self._sums.by(question_of(request, tenant), "day"):
            response.daily.add(
                date=day,
                cost_usd=usd_of(sums["cost_ticks"]),
                requests=sums["request_count"],
                cost_ticks=sums["cost_ticks"],
                cost_estimated_ticks=sums["estimated_ticks"],
            )
        response.total_cost_ticks = sum(day.cost_ticks for day in response.daily)
        response.cost_estimated_ticks = sum(day.cost_estimated_ticks for day in response.daily)
        return response

    async def summary(self, tenant: str) -> pb.GetSpendSummaryResponse:
        """Spend of today, of this month and of the last 30 days."""
        today = midnight(datetime.now(UTC).date())
        month, period = today.replace(day=1), today - timedelta(days=DEFAULT_DAYS - 1)
        days = await self._sums.by(Question(tenant, min(month, period), today + timedelta(days=1)), "day")
        starts = {"today": today, "month": month, "last_30_days": period}
        return pb.GetSpendSummaryResponse(
            **{
                name: totals(sums for (day,), sums in days if day >= start.date().isoformat())
                for name, start in starts.items()
            }
        )

    async def _add_groups(
        self, response: pb.GetUsageResponse, question: Question, request: pb.GetUsageRequest
    ) -> None:
        name = request.group_by
        groups = await self._sums.by(question, name if name.startswith(LABEL) else GROUPS[name])
        if name != "day":
            groups.sort(key=lambda group: (-group[1]["cost_ticks"], group[0]))
        most = request.max_groups or MAX_GROUPS
        for (key,), sums in groups[:most]:
            response.groups.add(key=key).total.CopyFrom(totals([sums]))
        if groups[most:]:
            response.other_groups.CopyFrom(totals(sums for _, sums in groups[most:]))


def totals(sums: Iterable[Sums]) -> pb.UsageTotals:
    """Sums added up."""
    total = pb.UsageTotals()
    for each in sums:
        add(total, each)
    finish(total)
    return total


def add(total: pb.UsageTotals, sums: Sums) -> None:
    """Adds sums to a total that is not finished yet; its average holds milliseconds until then."""
    for name, measure in COUNTS.items():
        setattr(total, name, getattr(total, name) + sums[measure])
    total.avg_latency_ms += sums["latency_ms"]


def finish(total: pb.UsageTotals) -> None:
    """Gives a total what follows from its sums."""
    total.failed_count = total.request_count - total.succeeded_count
    total.total_token_count = total.input_token_count + total.output_token_count
    total.cost_usd = usd_of(total.cost_ticks)
    total.avg_latency_ms = total.avg_latency_ms / total.request_count if total.request_count else 0.0


def _grouped(cells: Iterable[tuple[Key, Sums]], place: int) -> dict[str, pb.UsageTotals]:
    """Totals by one part of the key, in the order of the cells."""
    found: dict[str, pb.UsageTotals] = {}
    for key, sums in cells:
        add(found.setdefault(key[place], pb.UsageTotals()), sums)
    for total in found.values():
        finish(total)
    return found
