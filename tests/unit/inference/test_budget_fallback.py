"""Candidates in the place of one for which a budget has no room."""

from typing import Any

from genai_spine.call import Call
from genai_spine.errors import BudgetExceeded
from genai_spine.inference import budget_fallback
from genai_spine.inference.estimate import ReserveRules
from genai_spine.inference.operation import Operation
from genai_spine.providers.base import Route
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1.option_warning_pb2 import OptionWarning
from tests.unit.inference.scripted import PRICES, Scripted, asked

OPENAI = Scripted("openai")
MODELS = ("gpt-4o", "gpt-4-turbo", "gpt-4o-mini", "unheard-of", "gpt-3.5-turbo")
ROUTES = [Route(OPENAI, model) for model in MODELS]


def operation(request: Any) -> Operation[Any]:
    return Operation("completion", request, Call(), ROUTES)


def test_cheaper_are_those_that_cost_less_at_most_the_cheapest_first() -> None:
    found = budget_fallback.cheaper(operation(asked(max_tokens=100)), ROUTES[0], PRICES, ReserveRules())
    assert [route.model for route in found] == ["gpt-4o-mini", "gpt-3.5-turbo"]
    assert budget_fallback.cheaper(operation(asked()), ROUTES[2], PRICES, ReserveRules()) == []
    assert budget_fallback.cheaper(operation(asked()), ROUTES[3], PRICES, ReserveRules()) == []


def test_cheaper_are_none_for_vectors() -> None:
    request = pb.CreateEmbeddingsRequest(inputs=[pb.EmbeddingInput(text="a")])
    assert budget_fallback.cheaper(operation(request), ROUTES[0], PRICES, ReserveRules()) == []


def test_warning_names_who_answers_and_which_budget_had_no_room() -> None:
    refusal = BudgetExceeded(
        node="tenant", key="t", period="daily", limit_usd="1", used_usd="1", estimate_usd="1"
    )
    assert budget_fallback.warning(refusal, operation(asked()), ROUTES[2]) == OptionWarning(
        option="model",
        action=OptionWarning.ACTION_MAPPED,
        value_used="openai:gpt-4o-mini",
        reason="the daily budget of tenant has no room for gpt-4o",
    )
