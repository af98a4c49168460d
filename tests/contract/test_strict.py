"""A schema that is to be followed strictly goes out as the upstream takes it, others as they are."""

import json
from typing import Any

import pytest

from genai_spine.v1 import completion_service_pb2 as pb
from tests.contract.spoken import BRIDGED, DEPLOYED, Spoken, spoken_by

# Open, with an optional property, keywords that OpenAI refuses, and a number that no double holds.
OPEN = (
    '{"type":"object","properties":{"z":{"type":"integer","maximum":12345678901234567890},'
    '"a":{"type":"string","minLength":3,"default":"abc"}},"required":["z"]}'
)
CLOSED = (
    '{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}'
)


def form(schema: str, strict: bool | None) -> pb.ResponseFormat:
    made = pb.JsonSchema(name="person", schema_json=schema)
    if strict is not None:
        made.strict = strict
    return pb.ResponseFormat(json_schema=made)


def sent(spoken: Spoken) -> Any:
    body = spoken.up.bill[-1].body
    if "text" in body:
        return body["text"]["format"]
    return body.get("format") or body["response_format"]["json_schema"]


@spoken_by("openai", "azure", DEPLOYED, BRIDGED, "vllm", "groq")
@pytest.mark.parametrize("strict", [False, None])
async def test_a_schema_that_need_not_be_followed_strictly_goes_out_as_it_is(
    spoken: Spoken, strict: bool | None
) -> None:
    await spoken.whole(spoken.request("json", response_format=form(OPEN, strict)))
    assert sent(spoken)["schema"] == json.loads(OPEN)
    assert sent(spoken).get("strict") == strict
    assert OPEN in spoken.up.bill[-1].raw


@spoken_by("openai", DEPLOYED, BRIDGED, "groq", "vllm")
async def test_a_strict_schema_that_is_accepted_stays_as_it_is(spoken: Spoken) -> None:
    await spoken.whole(spoken.request("json", response_format=form(CLOSED, True)))
    assert CLOSED in spoken.up.bill[-1].raw


@spoken_by("ollama")
@pytest.mark.parametrize("strict", [True, False, None])
async def test_ollama_makes_a_grammar_of_any_schema(spoken: Spoken, strict: bool | None) -> None:
    await spoken.whole(spoken.request("json", response_format=form(OPEN, strict)))
    assert set(sent(spoken)["properties"]) == {"z", "a"}
    assert sent(spoken)["required"] == ["z"]


@spoken_by("openai", "azure", DEPLOYED, BRIDGED)
async def test_a_strict_schema_is_made_what_the_upstream_accepts(spoken: Spoken) -> None:
    await spoken.whole(spoken.request("json", response_format=form(OPEN, True)))
    schema = sent(spoken)["schema"]
    assert sent(spoken)["strict"] is True
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["z", "a"]
    assert "12345678901234567890" in spoken.up.bill[-1].raw
    assert spoken.up.bill[-1].status == 200
