"""`python -m bench.routing`: microseconds that a choice of three candidates adds to one, without any server.

One measurement is all that routing does for a call that the first candidate answers: the plan, the first
turn, and what its end tells the circuit.
"""

import asyncio
from collections.abc import Mapping
from time import process_time

from genai_spine.billing.price_book import PriceBook
from genai_spine.call import Call
from genai_spine.inference.failover import Failover
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint
from genai_spine.routing.candidates import CandidatePlanner
from genai_spine.routing.router import Alias, Member, Router
from genai_spine.routing.strategies import RoutingContext
from genai_spine.routing.upstream import Upstream
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, routing_pb2

COUNT = 5_000
ROUNDS = 7
MODELS = ("openai:gpt-4o", "anthropic:claude-sonnet-4-20250514", "groq:llama-3.3-70b-versatile")
STRATEGIES = {
    "in order": routing_pb2.ROUTING_STRATEGY_ORDER,
    "by weight": routing_pb2.ROUTING_STRATEGY_WEIGHTED,
    "by cost": routing_pb2.ROUTING_STRATEGY_COST_OPTIMIZED,
    "balanced": routing_pb2.ROUTING_STRATEGY_BALANCED,
}


class Routing:
    def __init__(self) -> None:
        names = ("openai", "anthropic", "groq")
        providers = {name: PROVIDERS[name].make(Endpoint(name, "http://localhost:1", "k")) for name in names}
        self.upstreams: Mapping[str, Upstream] = {
            n: Upstream([provider]) for n, provider in providers.items()
        }
        members = tuple(Member(model) for model in MODELS)
        aliases = {name: Alias(members, strategy) for name, strategy in STRATEGIES.items()}
        aliases["one"] = Alias(members[:1])
        router = Router(providers, "openai", aliases=aliases)
        self.planner = CandidatePlanner(router, RoutingContext(PriceBook.load(), self.upstreams))
        self.call = Call()

    async def us(self, model: str) -> float:
        """Microseconds for a request."""
        part = message_pb2.ContentPart(text="Hello there, how are you today?")
        request = pb.CreateCompletionRequest(
            model=model,
            messages=[message_pb2.Message(role=message_pb2.ROLE_USER, content=[part])],
            temperature=0.5,
        )
        begun = process_time()
        for _ in range(COUNT):
            failover = Failover(self.planner.plan(request), self.upstreams, self.call, 3)
            (await failover.next_slot()).release(None)
        return (process_time() - begun) / COUNT * 1e6


async def measured() -> dict[str, float]:
    """The best of some rounds, which take turns."""
    routing = Routing()
    best = dict.fromkeys(("one", *STRATEGIES), float("inf"))
    for _ in range(ROUNDS):
        for name in best:
            best[name] = min(best[name], await routing.us(name))
    one = best.pop("one")
    return {f"added by three candidates {name}, us": us - one for name, us in best.items()}


if __name__ == "__main__":
    for name, us in asyncio.run(measured()).items():
        print(f"{name:<52}{us:>10.2f}")
