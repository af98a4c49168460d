"""Aliases of models, as variables and genai.yaml write them."""

from math import inf
from typing import Any

from genai_spine.routing.router import Alias, Member
from genai_spine.v1 import routing_pb2


def alias(name: str, given: Any) -> Alias:
    """Alias of one model, of models separated by |, of a list, or of {"models": [...], "strategy": ...}.

    Raises ValueError.
    """
    if isinstance(given, Alias):
        return given
    strategy = None
    if isinstance(given, dict):
        strategy = _strategy(name, given.get("strategy"))
        given = given.get("models")
    models = given.split("|") if isinstance(given, str) else given
    if not isinstance(models, list) or not models:
        raise ValueError(f"{name}: needs at least one model")
    return Alias(tuple(_member(name, model) for model in models), strategy)


def _member(name: str, given: Any) -> Member:
    """Member of an alias: a model with its weight. Raises ValueError."""
    model, weight = (given.get("model"), given.get("weight", 1)) if isinstance(given, dict) else (given, 1)
    if not isinstance(model, str) or not model.strip():
        raise ValueError(f"{name}: a model is a name such as openai:gpt-4o")
    if not isinstance(weight, int | float) or not 0 < weight < inf:
        raise ValueError(f"{name}: the weight of {model} must be a number above 0")
    return Member(model.strip(), float(weight))


def _strategy(name: str, given: str | None) -> "routing_pb2.RoutingStrategy | None":
    """Routing strategy by name. Raises ValueError."""
    if given is None:
        return None
    known = {
        key.removeprefix("ROUTING_STRATEGY_").lower(): key for key in routing_pb2.RoutingStrategy.keys()[1:]
    }
    if not isinstance(given, str) or given not in known:
        raise ValueError(f"{name}: strategy {given!r} is not one of {', '.join(known)}")
    found: routing_pb2.RoutingStrategy = getattr(routing_pb2, known[given])
    return found
