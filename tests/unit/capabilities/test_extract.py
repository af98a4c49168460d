"""Entities: their kinds, and their places, which never lie."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_spine.errors import ProviderError
from genai_spine.v1 import capability_service_pb2 as pb
from tests.contract.scripted import Scripted
from tests.unit.capabilities.asked import asked, said, watched

TEXT = "Ana 🍎 met Bo. Ana paid 5 euros to Acme in Oslo."


def entities(*found: Any) -> str:
    return json.dumps({"entities": list(found)})


def shown(response: pb.ExtractResponse) -> list[tuple[str, str, int]]:
    return [(entity.text, entity.type, entity.start) for entity in response.entities]


async def test_default_kinds_are_asked_for() -> None:
    _, model = await watched(pb.ExtractRequest(content=TEXT), entities())
    assert "PERSON, ORG, LOCATION, DATE, MONEY" in said(model)
    assert model.requests[0].temperature == 0.1
    shape = json.loads(model.requests[0].response_format.json_schema.schema_json)
    kinds = shape["properties"]["entities"]["items"]["properties"]["type"]["enum"]
    assert kinds == ["PERSON", "ORG", "LOCATION", "DATE", "MONEY"]


@pytest.mark.parametrize(
    "request_",
    [
        pb.ExtractRequest(content=TEXT, entity_types=["todos"]),
        pb.ExtractRequest(content=TEXT, types=["todos"]),
        pb.ExtractRequest(content=TEXT, type="todos"),
    ],
)
async def test_kinds_have_three_names(request_: pb.ExtractRequest) -> None:
    response, model = await watched(request_, '["met Bo", {"text": "Ana paid"}]')
    assert "Wanted types: todos" in said(model)
    assert shown(response) == [("met Bo", "todos", 6), ("Ana paid", "todos", 14)]


async def test_places_are_corrected_and_mentions_are_told_apart() -> None:
    answer = entities(
        {"text": "Ana", "type": "PERSON", "start": 13, "confidence": 0.9},
        {"text": "Ana", "type": "person", "start": 900},
        {"text": "acme", "type": "Organization", "start": 0},
        {"text": "Oslo", "type": "LOCATION"},
    )
    response = await asked(pb.ExtractRequest(content=TEXT), answer)
    assert shown(response) == [
        ("Ana", "PERSON", 0),
        ("Ana", "PERSON", 14),
        ("Acme", "ORG", 34),
        ("Oslo", "LOCATION", 42),
    ]
    assert all(TEXT[entity.start : entity.end] == entity.text for entity in response.entities)
    assert all(entity.verified for entity in response.entities)
    assert response.entity_count == 4
    assert [entity.confidence for entity in response.entities] == [0.8, 0.9, 0.8, 0.8]
    assert not response.entities[0].HasField("context")


async def test_what_does_not_stand_there_is_marked_or_dropped() -> None:
    answer = entities({"text": "Zoe", "type": "PERSON", "start": 2}, {"text": "Bo", "type": "PERSON"})
    marked = await asked(pb.ExtractRequest(content=TEXT), answer)
    assert [(entity.text, entity.verified) for entity in marked.entities] == [("Bo", True), ("Zoe", False)]
    assert not marked.entities[1].HasField("start")
    assert not marked.entities[1].HasField("end")
    request = pb.ExtractRequest(content=TEXT, unfound=pb.UNFOUND_ENTITY_DROP)
    dropped = await asked(request, answer)
    assert (shown(dropped), dropped.entity_count) == ([("Bo", "PERSON", 10)], 1)


async def test_kinds_that_nobody_asked_for_are_left_out() -> None:
    answer = entities({"text": "Oslo", "type": "WEATHER"}, {"text": "Bo", "type": "PER"})
    assert shown(await asked(pb.ExtractRequest(content=TEXT), answer)) == [("Bo", "PERSON", 10)]


async def test_context_is_given_when_asked_for() -> None:
    request = pb.ExtractRequest(content=TEXT, include_context=True)
    response = await asked(request, entities({"text": "Acme", "type": "ORG"}))
    assert "Acme" in response.entities[0].context


async def test_nothing_found_is_an_answer() -> None:
    response = await asked(pb.ExtractRequest(content=TEXT), "[]")
    assert (list(response.entities), response.entity_count) == ([], 0)


@pytest.mark.parametrize("answer", ["I found Ana.", '{"people": []}', '["Ana", "Bo"]', '[{"a": 1}]', "7"])
async def test_answer_without_entities_is_a_provider_error(answer: str) -> None:
    with pytest.raises(ProviderError, match=r"the answer('s list)? holds no"):
        await asked(pb.ExtractRequest(content=TEXT), answer)


async def test_places_of_pieces_are_places_of_the_content() -> None:
    content = "\n\n".join(f"Day {number}: Ana slept. Nothing else was seen at all." for number in range(150))
    request = pb.ExtractRequest(content=content, long_input=pb.LONG_INPUT_MAP_REDUCE)
    one = {"text": "Ana", "type": "PERSON"}
    answer = entities(*[one] * 150, {"text": "Zoe", "type": "PERSON"})
    response, model = await watched(request, answer, context_length=2500)
    assert response.result.context.pieces == len(model.requests) > 1
    found = [entity for entity in response.entities if entity.verified]
    assert [entity.start for entity in found] == [
        at for at in range(len(content)) if content.startswith("Ana", at)
    ]
    unfound = [entity.text for entity in response.entities if not entity.verified]
    assert unfound == ["Ana", "Zoe"]


async def test_places_behind_an_omission_are_places_of_the_content() -> None:
    content = " ".join(f"Sentence {number} is here." for number in range(400)) + " Bo ends it."
    request = pb.ExtractRequest(content=content, long_input=pb.LONG_INPUT_TRUNCATE)
    response = await asked(request, entities({"text": "Bo", "type": "PERSON"}), context_length=1800)
    assert response.result.context.omitted_characters > 0
    (entity,) = response.entities
    assert content[entity.start : entity.end] == "Bo"


ITEMS = st.lists(
    st.fixed_dictionaries(
        {"text": st.text(alphabet=st.sampled_from("Ana Bo🍎\n5é"), max_size=8)},
        optional={
            "type": st.sampled_from(["PERSON", "person", "ORG", "nothing", 3, None]),
            "start": st.integers(-5, 2**40) | st.none() | st.just("3"),
            "confidence": st.floats() | st.text(max_size=3) | st.none(),
        },
    ),
    max_size=6,
)


@given(content=st.text(alphabet=st.sampled_from("Ana Bo🍎\n5é"), max_size=60), items=ITEMS)
@settings(deadline=None)
def test_whatever_the_model_says_places_hold_the_text(content: str, items: Any) -> None:
    import asyncio

    request = pb.ExtractRequest(content=content + "x", entity_types=["PERSON", "ORG"])
    try:
        answer = json.dumps({"entities": items})
        response = asyncio.run(asked(request, Scripted(answer)))
    except ProviderError:
        return
    for entity in response.entities:
        assert entity.verified == entity.HasField("start") == entity.HasField("end")
        assert entity.type in ("PERSON", "ORG")
        assert 0 <= entity.confidence <= 1
        if entity.verified:
            assert request.content[entity.start : entity.end] == entity.text
    spans = [(e.start, e.end, e.type) for e in response.entities if e.verified]
    assert len(spans) == len(set(spans))
