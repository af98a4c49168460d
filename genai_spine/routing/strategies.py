"""Strategies: in which order the candidates of a request are tried."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import random

from genai_spine.billing.price_book import PriceBook
from genai_spine.providers.base import Route
from genai_spine.routing.quality_tiers import Tiers
from genai_spine.routing.upstream import Upstream
from genai_spine.tokens import counts
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import routing_pb2, usage_pb2

SHORT = 8192  # bytes of a request that holds no image worth speaking of
BYTES_PER_TOKEN = 4
USUAL_OUTPUT = 500  # tokens of an answer whose request sets no limit
UNMEASURED_MS = 1000.0  # of a model that was not called yet; a slow one must not win by being unknown
LOCAL_MS = 300.0
MAX_GROUPS = 10_000  # of candidates whose starts are remembered

Request = pb.CreateCompletionRequest | pb.CreateEmbeddingsRequest


@dataclass(slots=True)
class RoutingContext:
    """Data that strategies weigh candidates with: prices, latencies and quality tiers."""

    prices: PriceBook
    upstreams: Mapping[str, Upstream]
    tiers: Tiers = field(default_factory=Tiers)
    _starts: dict[str, int] = field(default_factory=dict)

    def expected(self, request: Request) -> usage_pb2.Usage:
        """Estimated usage of a call of any candidate."""
        if isinstance(request, pb.CreateEmbeddingsRequest):
            return counts.usage(
                counts.estimate_inputs(request, request.model), 0, output=usage_pb2.PROVENANCE_ESTIMATED
            )
        made = request.max_tokens or USUAL_OUTPUT
        # The order of prices does not hang on a few tokens; counting costs more than all the rest.
        size = request.ByteSize()
        given = size // BYTES_PER_TOKEN if size <= SHORT else counts.estimate_input(request, request.model)
        return counts.usage(given, made, output=usage_pb2.PROVENANCE_ESTIMATED)

    def ticks(self, route: Route, usage: usage_pb2.Usage) -> int | None:
        """Cost in ticks of 1e-10 USD; None when the price is not known."""
        return self.prices.ticks(route.provider.name, route.model, usage, local=route.provider.local)

    def speed_ms(self, route: Route) -> float:
        """Mean latency in milliseconds; an assumed one where nothing was measured."""
        measured = self.upstreams[route.provider.name].speed_ms(route.model)
        if measured is None:
            return LOCAL_MS if route.provider.local else UNMEASURED_MS
        return measured

    def tier(self, route: Route) -> int:
        """Quality tier of the candidate's model."""
        return self.tiers.of(route.provider.name, route.model)

    def next_start(self, routes: Sequence[Route]) -> int:
        """0, 1, 2, ... for the same candidates."""
        key = "|".join(f"{route.provider.name}:{route.model}" for route in routes)
        if key not in self._starts and len(self._starts) >= MAX_GROUPS:
            self._starts.clear()
        start = self._starts.get(key, -1) + 1
        self._starts[key] = start
        return start


Strategy = Callable[[list[Route], Request, RoutingContext], list[Route]]


def weighted(routes: list[Route], request: Request, context: RoutingContext) -> list[Route]:
    """Without replacement: each place is drawn by the weights of those that are left."""
    # Of draws u**(1/w), w's is the largest with probability w / sum(w) (Efraimidis and Spirakis, 2006).
    return sorted(routes, key=lambda route: random() ** (1 / route.weight), reverse=True)


def cheapest(routes: list[Route], request: Request, context: RoutingContext) -> list[Route]:
    """Lowest estimated cost first; an unknown price comes last."""
    usage = context.expected(request)

    def price(route: Route) -> tuple[bool, int]:
        ticks = context.ticks(route, usage)
        return ticks is None, ticks or 0

    return sorted(routes, key=price)


def best(routes: list[Route], request: Request, context: RoutingContext) -> list[Route]:
    """Highest quality tier first."""
    return sorted(routes, key=context.tier, reverse=True)


def fastest(routes: list[Route], request: Request, context: RoutingContext) -> list[Route]:
    """Lowest measured latency first."""
    return sorted(routes, key=context.speed_ms)


def local_first(routes: list[Route], request: Request, context: RoutingContext) -> list[Route]:
    """Models on the operator's own machines first."""
    return sorted(routes, key=lambda route: not route.provider.local)


def round_robin(routes: list[Route], request: Request, context: RoutingContext) -> list[Route]:
    """Each candidate first in turn."""
    start = context.next_start(routes) % len(routes)
    return routes[start:] + routes[:start]


def balanced(routes: list[Route], request: Request, context: RoutingContext) -> list[Route]:
    """By the sum of a candidate's places in the three orders."""
    orders = [order(routes, request, context) for order in (cheapest, fastest, best)]
    return sorted(routes, key=lambda route: sum(order.index(route) for order in orders))


STRATEGIES: dict[int, Strategy] = {
    routing_pb2.ROUTING_STRATEGY_WEIGHTED: weighted,
    routing_pb2.ROUTING_STRATEGY_COST_OPTIMIZED: cheapest,
    routing_pb2.ROUTING_STRATEGY_QUALITY: best,
    routing_pb2.ROUTING_STRATEGY_SPEED: fastest,
    routing_pb2.ROUTING_STRATEGY_LOCAL_FIRST: local_first,
    routing_pb2.ROUTING_STRATEGY_ROUND_ROBIN: round_robin,
    routing_pb2.ROUTING_STRATEGY_BALANCED: balanced,
}
