"""Fallback of a call for which a budget has no room: the candidates that cost less, the cheapest first."""

from typing import Any

from genai_spine.billing.price_book import PriceBook
from genai_spine.errors import BudgetExceeded
from genai_spine.inference.estimate import InputCount, ReserveRules, most_ticks
from genai_spine.inference.operation import Operation
from genai_spine.providers.base import Route
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1.option_warning_pb2 import OptionWarning


def cheaper(operation: Operation[Any], refused: Route, prices: PriceBook, rules: ReserveRules) -> list[Route]:
    """Candidates that cost less than the refused one at most; none whose price is not known.

    Only of a completion: vectors of another model cannot be compared.
    """
    if not isinstance(operation.request, pb.CreateCompletionRequest):
        return []
    costs: dict[Route, int] = {}
    for route in operation.routes:
        count = InputCount(operation.request, route.model)
        ticks = most_ticks(operation.request, route, prices, rules, count)
        if ticks is not None:
            costs[route] = ticks
    limit = costs.get(refused, 0)
    return sorted((route for route, ticks in costs.items() if ticks < limit), key=costs.__getitem__)


def warning(refusal: BudgetExceeded, operation: Operation[Any], route: Route) -> OptionWarning:
    """Warning that another model answers than the one that was asked first."""
    asked, said = operation.routes[0], refusal.metadata
    return OptionWarning(
        option="model",
        action=OptionWarning.ACTION_MAPPED,
        value_used=f"{route.provider.name}:{route.model}",
        reason=f"the {said['period']} budget of {said['node']} has no room for {asked.model}",
    )
