"""Order of providers for a step."""

from typing import Any

import pytest
from google.protobuf import json_format

from genai_spine.call import Call
from genai_spine.catalog.providers import CapabilityRegistry
from genai_spine.pipelines.provider_order import Candidate, ProviderOrder
from genai_spine.v1 import provider_service_pb2 as providers
from genai_spine.v1 import routing_pb2
from genai_spine.v1.pipeline_pb2 import PipelineStep

ECONOMY, STANDARD, PREMIUM = (
    routing_pb2.QUALITY_TIER_ECONOMY,
    routing_pb2.QUALITY_TIER_STANDARD,
    routing_pb2.QUALITY_TIER_PREMIUM,
)
OFFERS = {"best": (PREMIUM, 5), "good": (STANDARD, 50), "fair": (STANDARD, 60), "cheap": (ECONOMY, 900)}


def order(**fields: Any) -> ProviderOrder:
    registry = CapabilityRegistry()
    for name, (tier, priority) in OFFERS.items():
        info = providers.ProviderInfo(provider_name=name, is_available=name != fields.get("down"))
        offer = info.capabilities.add(capability=providers.CAPABILITY_SUMMARIZATION, provider_name=name)
        offer.quality_tier, offer.priority = tier, priority
        registry.register(info)
    return ProviderOrder(
        registry, lambda name, call: name != fields.get("refused"), lambda model: fields.get("owner", "")
    )


def names(asked: dict[str, Any], **fields: Any) -> list[str]:
    step = json_format.ParseDict({"name": "a", "capability": "summarization", **asked}, PipelineStep())
    return [one.provider for one in order(**fields).candidates(step, Call())]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, ["best", "good", "fair", "cheap"]),
        ({"preferred_providers": ["fair", "cheap"]}, ["fair", "cheap", "good", "best"]),
        ({"preferred_providers": ["nobody", "good"]}, ["good", "fair", "best", "cheap"]),
        ({"quality": "standard"}, ["good", "fair"]),
        ({"quality": "standard", "preferred_providers": ["best"]}, ["good", "fair"]),
        ({"fallback": {"max_fallbacks": 1}}, ["best", "good"]),
        ({"fallback": {"max_fallbacks": 0}, "preferred_providers": ["good", "cheap"]}, ["good", "cheap"]),
        ({"fallback": {"enabled": False}}, ["best"]),
        ({"fallback": {"enabled": False}, "preferred_providers": ["nobody", "fair", "good"]}, ["fair"]),
        ({"fallback": {"exclude_providers": ["best", "fair"]}}, ["good", "cheap"]),
        (
            {"fallback": {"allow_quality_degradation": False}, "preferred_providers": ["fair"]},
            ["fair", "good", "best"],
        ),
    ],
)
def test_the_preference_goes_before_the_chain(asked: dict[str, Any], wanted: list[str]):
    assert names(asked) == wanted


def test_who_is_away_or_not_permitted_is_not_asked():
    assert names({}, down="best", refused="good") == ["fair", "cheap"]


def test_a_model_is_that_of_its_own_provider():
    options = {"options": {"model": "m"}}
    step = json_format.ParseDict({"name": "a", "capability": "summarization", **options}, PipelineStep())
    found = order(owner="fair").candidates(step, Call())
    assert found[0] == Candidate("fair", "m")
    assert {one.model for one in found[1:]} == {""}


def test_what_this_version_does_not_do_has_no_provider():
    step = PipelineStep(name="a", capability="coaching_analysis")
    assert order().candidates(step, Call()) == []
