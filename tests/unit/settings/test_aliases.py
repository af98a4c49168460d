"""Aliases: pairs, JSON, weights and strategies, as a variable writes them."""

import re

import pytest

from genai_spine.routing.router import Alias, Member
from genai_spine.v1 import routing_pb2
from tests.unit.settings.conftest import loaded


@pytest.mark.parametrize(
    "text",
    [
        "fast=openai:gpt-4o-mini, local = ollama:llama3.2,",
        '{"fast":"openai:gpt-4o-mini","local":"ollama:llama3.2"}',
    ],
)
def test_aliases_are_pairs_or_json(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    found = loaded(monkeypatch, GENAI_MODEL_ALIASES=text)
    assert found.model_aliases == {
        "fast": Alias((Member("openai:gpt-4o-mini"),)),
        "local": Alias((Member("ollama:llama3.2"),)),
    }


def test_an_alias_can_be_several_models_with_weights_and_a_strategy(monkeypatch: pytest.MonkeyPatch) -> None:
    text = """{"a": "x|y", "b": ["x", {"model": "y", "weight": 3}],
               "c": {"models": ["x"], "strategy": "round_robin"}}"""
    found = loaded(monkeypatch, GENAI_MODEL_ALIASES=text).model_aliases
    assert found["a"] == Alias((Member("x"), Member("y")))
    assert found["b"] == Alias((Member("x"), Member("y", 3.0)))
    assert found["c"] == Alias((Member("x"),), routing_pb2.ROUTING_STRATEGY_ROUND_ROBIN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": []}', "a: needs at least one model"),
        ('{"a": {"models": ["x"], "strategy": "best"}}', "strategy 'best' is not one of order, weighted"),
        ('{"a": [{"model": "x", "weight": 0}]}', "the weight of x must be a number above 0"),
        ('{"a": [{"weight": 1}]}', "a: a model is a name"),
    ],
)
def test_an_alias_that_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        loaded(monkeypatch, GENAI_MODEL_ALIASES=text)
