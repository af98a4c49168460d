"""Providers without an upstream, for tests of who is asked and in which order."""

from collections.abc import Mapping

from genai_spine.billing.price_book import PriceBook
from genai_spine.providers.base import Endpoint, Option, Provider
from genai_spine.routing.candidates import CandidatePlanner
from genai_spine.routing.circuit_breaker import UpstreamLimits
from genai_spine.routing.router import Alias, Router
from genai_spine.routing.strategies import RoutingContext
from genai_spine.routing.upstream import Upstream
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

PRICES = PriceBook.load()
MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-sonnet-4-20250514", "ollama": "llama3.2:latest"}


class Deaf(Provider):
    """Takes temperature and nothing else."""

    OPTIONS = {"temperature": Option("temperature")}  # noqa: RUF012  # as in every adapter


class Local(Deaf):
    LOCAL = True
    OPTIONS = Deaf.OPTIONS | {"seed": Option("seed")}


def providers() -> dict[str, Provider]:
    kinds = {"ollama": Local}
    return {
        name: kinds.get(name, Deaf)(Endpoint(name, default_model=model)) for name, model in MODELS.items()
    }


def upstreams(made: Mapping[str, Provider], **limits: UpstreamLimits) -> dict[str, Upstream]:
    return {
        name: Upstream([provider], limits.get(name, UpstreamLimits(failures=0)))
        for name, provider in made.items()
    }


def planner(chain: tuple[str, ...] = (), aliases: Mapping[str, Alias] | None = None) -> CandidatePlanner:
    made = providers()
    return CandidatePlanner(
        Router(made, "openai", aliases=aliases), RoutingContext(PRICES, upstreams(made)), chain
    )


def asked(model: str = "gpt-4o", **fields: object) -> pb.CreateCompletionRequest:
    said = message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text="Hello")])
    return pb.CreateCompletionRequest(model=model, messages=[said], **fields)  # type: ignore[arg-type]
