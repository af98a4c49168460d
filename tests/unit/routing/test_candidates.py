"""Plans: the candidates of a request, in the order in which they are tried."""

from collections.abc import Sequence

import pytest

from genai_spine.errors import InvalidRequest, NoCandidates, SpineError, UnsupportedOption
from genai_spine.providers.base import Endpoint, Option, Provider, Route
from genai_spine.routing.candidates import check_candidate
from genai_spine.routing.router import Alias, Member
from genai_spine.v1 import routing_pb2
from genai_spine.v1.completion_service_pb2 import CreateCompletionRequest
from tests.unit.routing.candidates import asked, planner

OPENAI, CLAUDE, LLAMA = (
    "openai:gpt-4o",
    "anthropic:claude-sonnet-4-20250514",
    "ollama:llama3.2:latest",
)


def names(routes: Sequence[Route]) -> list[str]:
    return [f"{route.provider.name}:{route.model}" for route in routes]


def routing(*fallbacks: str, **fields: object) -> routing_pb2.Routing:
    return routing_pb2.Routing(fallback_models=fallbacks, **fields)  # type: ignore[arg-type]


def test_a_model_alone_is_the_only_candidate() -> None:
    assert names(planner().plan(asked())) == [OPENAI]


def test_fallbacks_follow_and_nobody_stands_twice() -> None:
    request = asked(routing=routing("anthropic", "ollama", "openai:gpt-4o", CLAUDE))
    assert names(planner().plan(request)) == [OPENAI, CLAUDE, LLAMA]


def test_a_fallback_provider_that_is_not_configured_is_passed_over() -> None:
    request = asked(routing=routing("groq", "mistral", "ollama", "bedrock"))
    assert names(planner().plan(request)) == [OPENAI, LLAMA]


def test_the_servers_chain_comes_last_and_what_is_not_configured_is_passed_over() -> None:
    found = planner(("mistral", "groq:any", "ollama", "gpt-4o-mini"))
    assert names(found.plan(asked())) == [OPENAI, LLAMA, "openai:gpt-4o-mini"]
    assert names(found.plan(asked(routing=routing_pb2.Routing(no_fallback=True)))) == [OPENAI]
    assert names(found.plan(asked(routing=routing("anthropic")))) == [OPENAI, CLAUDE]


def test_an_alias_is_all_its_models_in_its_strategys_order() -> None:
    local_first = Alias((Member(OPENAI), Member(LLAMA)), routing_pb2.ROUTING_STRATEGY_LOCAL_FIRST)
    found = planner(aliases={"any": local_first})
    assert names(found.plan(asked("any"))) == [LLAMA, OPENAI]
    listed = routing(strategy=routing_pb2.ROUTING_STRATEGY_ORDER)
    assert names(found.plan(asked("any", routing=listed))) == [OPENAI, LLAMA], "the request's own one wins"


def test_who_cannot_honour_the_request_is_left_out() -> None:
    request = asked(seed=7, routing=routing("anthropic", "ollama"))
    assert names(planner().plan(request)) == [LLAMA]
    with pytest.raises(UnsupportedOption, match="provider openai does not support seed"):
        planner().plan(asked(seed=7, routing=routing("anthropic")))


def test_a_candidate_is_asked_after_its_table_of_options() -> None:
    class Picky(Provider):
        OPTIONS = {"temperature": Option("temperature", min=0.5, max=1)}  # noqa: RUF012  # as in every adapter

        def check_options(self, request: CreateCompletionRequest, route: Route) -> None:
            self._refuse("user", f"names with {route.model}")

    route = Route(Picky(Endpoint("picky")), "m")
    for fields, problem in (
        ({"seed": 7}, "picky does not support seed"),
        ({"temperature": 2}, "temperature: must be at most 1 for picky"),
        ({"temperature": 0}, "temperature: must be at least 0.5 for picky"),
        ({"temperature": 1}, "picky does not support names with m"),
        ({"choice_count": 2}, "picky does not support names with m"),
    ):
        with pytest.raises(SpineError, match=problem):
            check_candidate(asked(**fields), route)


def test_conditions_leave_candidates_out() -> None:
    premium = routing("ollama", min_quality=routing_pb2.QUALITY_TIER_PREMIUM)
    assert names(planner().plan(asked(routing=premium))) == [OPENAI]
    free = routing("ollama", max_cost_ticks=0)
    assert names(planner().plan(asked(routing=free))) == [LLAMA]
    with pytest.raises(NoCandidates, match="openai:gpt-4o would cost"):
        planner().plan(asked(routing=routing_pb2.Routing(max_cost_ticks=0)))


def test_preferred_providers_go_first() -> None:
    request = asked(routing=routing("anthropic", "ollama", preferred_providers=["ollama", "anthropic"]))
    assert names(planner().plan(request)) == [LLAMA, CLAUDE, OPENAI]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (routing("ollama", no_fallback=True), "routing.no_fallback"),
        (routing("groq:any"), "routing.fallback_models[0]"),
        (routing_pb2.Routing(preferred_providers=["openai", "groq"]), "routing.preferred_providers[1]"),
    ],
)
def test_what_makes_no_sense_names_its_field(given: routing_pb2.Routing, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        planner().plan(asked(routing=given))
    assert refused.value.metadata["field"] == field


def test_a_plan_leaves_the_request_as_it_was() -> None:
    request = asked(routing=routing("ollama"))
    before = request.SerializeToString(deterministic=True)
    planner(("anthropic",)).plan(request)
    assert request.SerializeToString(deterministic=True) == before


def test_an_unknown_model_has_no_fallback() -> None:
    with pytest.raises(SpineError, match="provider bedrock is not configured"):
        planner(("ollama",)).plan(asked("amazon.nova-lite-v1:0"))
