"""What every capability keeps to, whatever it does: one suite over CAPABILITIES."""

from typing import Any

import pytest

from genai_spine.call import Call
from genai_spine.capabilities import CAPABILITIES, base
from genai_spine.capabilities.base import Capability
from genai_spine.capabilities.context import Context
from genai_spine.errors import ProviderError
from genai_spine.prompts import default_prompts, yaml_format
from tests.contract.capability_samples import SAMPLES
from tests.contract.scripted import Scripted, services

EVERY = pytest.mark.parametrize("name", CAPABILITIES)


def context_of(model: Scripted) -> Context:
    return Context(services(model), Call())


@EVERY
async def test_sample_is_answered(name: str) -> None:
    request, answer, read = SAMPLES[name]
    response: Any = await CAPABILITIES[name].run(request, context_of(Scripted(answer)))
    assert {field: getattr(response, field) for field in read} == read
    assert (response.result.provider, response.result.model) == ("scripted", "scripted-1")
    assert response.result.request_id
    assert response.result.execution_id == "execution-1"
    assert (response.result.usage.input_tokens, response.result.usage.output_tokens) == (100, 10)
    assert response.result.cost.cost_ticks == 30_000
    assert response.result.cost.cost_usd == response.result.cost.cost_usd == 3e-6
    assert (response.result.context.pieces, response.result.context.prompt_slug) == (
        1,
        CAPABILITIES[name].slugs()[0],
    )


@EVERY
async def test_rows_carry_the_tag_and_the_prompt(name: str) -> None:
    model = Scripted(SAMPLES[name].answer)
    await CAPABILITIES[name].run(SAMPLES[name].request, context_of(model))
    purpose = model.calls[0].attribution
    assert purpose is not None
    assert purpose.capability.startswith(name)
    assert purpose.prompt_version == 1
    assert purpose.prompt_id
    assert len(purpose.variables_hash) == 64


@EVERY
async def test_stream_has_the_text_and_ends_with_the_result(name: str) -> None:
    request, answer, _ = SAMPLES[name]
    stream = base.stream(CAPABILITIES[name], request, context_of(Scripted(answer)))
    events = [event async for event in stream]
    assert [event.sequence for event in events] == list(range(len(events)))
    assert "".join(event.text for event in events) == answer
    assert events[-1].WhichOneof("event") == CAPABILITIES[name].member
    whole: Any = await CAPABILITIES[name].run(request, context_of(Scripted(answer)))
    last = getattr(events[-1], CAPABILITIES[name].member)
    for response in (whole, last):
        response.result.ClearField("request_id")
        response.result.ClearField("latency_ms")
    assert last == whole


@EVERY
async def test_answer_without_text_is_a_provider_error(name: str) -> None:
    with pytest.raises(ProviderError, match="the answer is empty"):
        await CAPABILITIES[name].run(SAMPLES[name].request, context_of(Scripted(" \n")))


@EVERY
async def test_domain_is_told_to_the_model(name: str) -> None:
    request: Any = type(SAMPLES[name].request)()
    request.CopyFrom(SAMPLES[name].request)
    request.domain = "financial-markets"
    model = Scripted(SAMPLES[name].answer)
    await CAPABILITIES[name].run(request, context_of(model))
    assert "financial-markets" in model.requests[0].messages[0].content[0].text


@EVERY
async def test_provider_that_takes_no_schema_is_asked_plainly(name: str) -> None:
    model = Scripted(SAMPLES[name].answer, takes_schemas=False)
    await CAPABILITIES[name].run(SAMPLES[name].request, context_of(model))
    assert len(model.requests) == 1
    assert not model.requests[0].HasField("response_format")


@EVERY
def test_row_agrees_with_the_contract(name: str) -> None:
    capability: Capability[Any, Any] = CAPABILITIES[name]
    assert name == capability.NAME
    assert isinstance(SAMPLES[name].request, capability.REQUEST)
    assert capability.RESPONSE.DESCRIPTOR.name == f"{capability.METHOD}Response"


@EVERY
def test_prompts_are_in_the_library_with_the_same_temperature_and_limit(name: str) -> None:
    capability = CAPABILITIES[name]
    library = {prompt.slug: prompt for text in default_prompts.texts() for prompt in yaml_format.read(text)}
    for slug in capability.slugs():
        assert library[slug].temperature == capability.TEMPERATURE
        assert (library[slug].max_tokens or None) == capability.MAX_TOKENS


def test_every_capability_has_a_sample() -> None:
    assert set(SAMPLES) == set(CAPABILITIES)
