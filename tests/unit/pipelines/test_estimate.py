"""Estimates of pipelines."""

import pytest
from google.protobuf import json_format

from genai_spine.call import Call
from genai_spine.catalog.providers import CapabilityRegistry
from genai_spine.pipelines.estimate import estimated
from genai_spine.pipelines.provider_order import ProviderOrder
from genai_spine.v1 import provider_service_pb2 as providers
from genai_spine.v1.pipeline_pb2 import PipelineDefinition


@pytest.fixture
def order() -> ProviderOrder:
    info = providers.ProviderInfo(provider_name="one", is_available=True)
    offer = info.capabilities.add(capability=providers.CAPABILITY_SUMMARIZATION, provider_name="one")
    offer.cost_per_unit, offer.cost_unit = 1.0, providers.COST_UNIT_PER_1M_TOKENS
    return ProviderOrder(CapabilityRegistry([info]), lambda name, call: True, lambda model: "")


def definition(**fields: object) -> PipelineDefinition:
    steps = [{"name": "a", "capability": "summarization", **fields}]
    return json_format.ParseDict({"name": "x", "steps": steps}, PipelineDefinition())


def test_an_estimate_leaves_the_definition_as_it_is(order: ProviderOrder):
    found = definition()
    before = found.SerializeToString(deterministic=True)
    estimated(found, {"text": "x" * 400}, order, Call())
    assert found.SerializeToString(deterministic=True) == before


def test_tokens_come_from_the_input_and_from_the_limit_of_the_answer(order: ProviderOrder):
    step = estimated(definition(options={"max_tokens": 20}), {"text": "x" * 400}, order, Call()).steps["a"]
    assert (step.providers, step.input_tokens, step.output_tokens) == (["one"], 350, 20)
    assert step.ticks == 370 * 10_000


def test_what_the_definition_says_of_the_whole_counts_more(order: ProviderOrder):
    found = definition()
    found.estimated_cost_usd, found.estimated_duration_s = 0.5, 7.0
    made = estimated(found, {}, order, Call())
    assert (made.ticks, made.seconds) == (5 * 10**9, 7.0)
