"""Daily costs: the sums of a day brought up to date, and what the day cost a tenant."""

from datetime import UTC, datetime, timedelta

from genai_spine.call import Call
from genai_spine.errors import InvalidFields
from genai_spine.store.usage.rollups import Rollups
from genai_spine.v1.work_pb2 import AggregateCostsRequest, AggregateCostsResponse


class DailyCosts:
    """Work of aggregate_costs."""

    def __init__(self, rollups: Rollups) -> None:
        self._rollups = rollups

    async def aggregate(self, request: AggregateCostsRequest, call: Call) -> AggregateCostsResponse:
        """Brings a day up to date; to repeat it changes nothing. Errors: InvalidFields (no day)."""
        day = _day(request)
        await self._rollups.roll_day(day)
        costs = await self._rollups.costs_of_day(day, call.principal.tenant_id)
        return AggregateCostsResponse(date=day.date().isoformat(), costs=costs)


def _day(request: AggregateCostsRequest) -> datetime:
    """First moment of a request's day; of yesterday where it names none. Errors: InvalidFields."""
    if not request.HasField("date"):
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return today - timedelta(days=1)
    try:
        return datetime.fromisoformat(request.date).replace(tzinfo=UTC)
    except ValueError:
        raise InvalidFields([("date", "is no day; one is 2026-01-15")]) from None
