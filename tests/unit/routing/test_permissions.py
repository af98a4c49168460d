"""Permissions of a key, compared with names of models, providers and lanes."""

from dataclasses import replace
from typing import Any

import pytest

from genai_spine.call import ANONYMOUS, Call
from genai_spine.errors import NotPermittedToKey
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint, Route
from genai_spine.routing.permissions import Permissions
from genai_spine.v1.key_service_pb2 import KeyPermissions

PERMISSIONS = Permissions({"small": ("gpt-4o-mini", "claude-*haiku*"), "none": ()})
ROUTES = {
    name: Route(
        PROVIDERS[provider].make(Endpoint(name=provider, base_url="http://127.0.0.1:1", api_key="k")), name
    )
    for provider, name in (("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("anthropic", "claude-3-haiku"))
}


def call(lane: str = "cpu", **permissions: Any) -> Call:
    return Call(lane=lane, principal=replace(ANONYMOUS, permissions=KeyPermissions(**permissions)))


def permitted(**permissions: Any) -> list[str]:
    routes = [*ROUTES.values()]
    try:
        return [route.model for route in PERMISSIONS.permitted(routes, "any", (), call(**permissions))]
    except NotPermittedToKey:
        return []


@pytest.mark.parametrize(
    ("permissions", "models"),
    [
        ({}, ["gpt-4o", "gpt-4o-mini", "claude-3-haiku"]),
        ({"allowed_models": ["@small"]}, ["gpt-4o-mini", "claude-3-haiku"]),
        ({"denied_models": ["@small"]}, ["gpt-4o"]),
        ({"allowed_models": ["@none"]}, []),
        ({"allowed_models": ["@absent"]}, []),
        ({"denied_models": ["@absent"]}, []),
        ({"denied_models": ["@none"]}, ["gpt-4o", "gpt-4o-mini", "claude-3-haiku"]),
        ({"allowed_models": ["@absent", "gpt-4o"]}, ["gpt-4o"]),
        ({"allowed_models": ["openai:*"]}, ["gpt-4o", "gpt-4o-mini"]),
        ({"allowed_models": ["gpt-4"]}, []),
        ({"allowed_models": [""]}, []),
        ({"allowed_models": ["gpt-4o|claude-3-haiku"]}, []),
        ({"allowed_models": ["*"], "denied_providers": ["open*"]}, ["claude-3-haiku"]),
        ({"allowed_providers": ["anthropic"], "denied_models": ["claude*"]}, []),
        ({"allowed_lanes": ["gpu"]}, []),
        ({"denied_lanes": ["*"]}, []),
    ],
)
def test_what_is_denied_is_denied_and_an_empty_list_allows_all(
    permissions: dict[str, Any], models: list[str]
):
    assert permitted(**permissions) == models


def test_an_allowed_alias_allows_its_members_alone():
    routes = [*ROUTES.values()]
    found = PERMISSIONS.permitted(routes, "fast", [routes[1]], call(allowed_models=["fast"]))
    assert [route.model for route in found] == ["gpt-4o-mini"]


def test_a_batch_may_name_any_model():
    PERMISSIONS.check_any_model(call(allowed_providers=["openai"]))
    PERMISSIONS.check_any_model(Call())
    for names in ({"allowed_models": ["*"]}, {"denied_models": ["o1"]}):
        with pytest.raises(NotPermittedToKey):
            PERMISSIONS.check_any_model(call(**names))


def test_what_has_no_model_asks_for_its_provider():
    PERMISSIONS.check_provider("openai", Call())
    with pytest.raises(NotPermittedToKey):
        PERMISSIONS.check_provider("openai", call(denied_providers=["openai"]))


@pytest.mark.parametrize("asked", ["llama3.2", "llama3.2:latest"])
@pytest.mark.parametrize(
    "named", ["llama3.2", "llama3.2:latest", "ollama:llama3.2", "ollama:llama3.2:latest"]
)
def test_a_tag_that_may_be_left_out_is_no_way_round(asked: str, named: str):
    provider = PROVIDERS["ollama"].make(Endpoint(name="ollama", base_url="http://127.0.0.1:1"))
    assert not PERMISSIONS.allow(Route(provider, asked), call(denied_models=[named]))
    assert PERMISSIONS.allow(Route(provider, asked), call(allowed_models=[named]))
    assert PERMISSIONS.allow(Route(provider, "llama3.2:1b"), call(denied_models=[named]))


def test_a_list_leaves_out_what_a_key_may_not_use():
    shown = [
        name for name, route in ROUTES.items() if PERMISSIONS.allow(route, call(allowed_models=["@small"]))
    ]
    assert shown == ["gpt-4o-mini", "claude-3-haiku"]
    assert all(PERMISSIONS.allow(route, Call()) for route in ROUTES.values())
    assert [
        PERMISSIONS.allow_provider(name, call(denied_providers=["open*"])) for name in ("openai", "xai")
    ] == [
        False,
        True,
    ]
    with pytest.raises(NotPermittedToKey):
        PERMISSIONS.allow(ROUTES["gpt-4o"], call(denied_lanes=["cpu"]))


def test_models_that_a_provider_falls_back_to_are_asked_for_too():
    route = ROUTES["gpt-4o-mini"]
    PERMISSIONS.check_models(route, ["gpt-4o"], Call())
    PERMISSIONS.check_models(route, ["gpt-4o-mini"], call(allowed_models=["@small"]))
    with pytest.raises(NotPermittedToKey, match="gpt-4o"):
        PERMISSIONS.check_models(route, ["gpt-4o-mini", "gpt-4o"], call(allowed_models=["@small"]))
