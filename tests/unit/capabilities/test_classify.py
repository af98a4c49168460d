"""Categories: one or several, the surest first."""

import json

import pytest

from genai_spine.errors import ProviderError
from genai_spine.v1 import capability_service_pb2 as pb
from tests.contract.scripted import Scripted
from tests.unit.capabilities.asked import asked, said, watched

CATEGORIES = ["Sport", "Politics", "Culture"]
BOTH = json.dumps(
    {
        "classifications": [
            {"category": "Culture", "confidence": 0.3},
            {"category": "Politics", "confidence": 0.6},
        ]
    }
)


def request_of(**fields: object) -> pb.ClassifyRequest:
    return pb.ClassifyRequest(content="Text.", categories=CATEGORIES, **fields)  # type: ignore[arg-type]


def shown(response: pb.ClassifyResponse) -> list[tuple[str, float]]:
    return [(entry.category, entry.confidence) for entry in response.classifications]


async def test_single_label_keeps_only_the_surest() -> None:
    response, model = await watched(request_of(), BOTH)
    assert shown(response) == [("Politics", 0.6)]
    assert response.primary_category == response.category == response.classification == "Politics"
    assert "the one category that fits best" in said(model)
    assert "- Sport\n- Politics\n- Culture" in said(model)
    assert model.requests[0].temperature == 0.1


async def test_multi_label_keeps_all_the_surest_first() -> None:
    response, model = await watched(request_of(multi_label=True), BOTH)
    assert shown(response) == [("Politics", 0.6), ("Culture", 0.3)]
    assert "every category that fits" in said(model)


async def test_confidence_is_left_out_when_it_is_not_wanted() -> None:
    response = await asked(request_of(multi_label=True, include_confidence=False), BOTH)
    assert [entry.category for entry in response.classifications] == ["Politics", "Culture"]
    assert not any(entry.HasField("confidence") for entry in response.classifications)
    kept = await asked(request_of(include_confidence=True), BOTH)
    assert kept.classifications[0].confidence == 0.6


async def test_category_is_named_as_the_caller_wrote_it() -> None:
    request = pb.ClassifyRequest(content="Text.", categories=["HR & Payroll", "HR & Payroll", "IT"])
    response, model = await watched(request, "It belongs to hr & payroll.")
    assert shown(response) == [("HR & Payroll", 0.8)]
    assert said(model).count("- HR & Payroll") == 1


async def test_answer_without_a_category_is_a_provider_error() -> None:
    with pytest.raises(ProviderError, match="names none of the categories"):
        await asked(request_of(), "It is about the weather.")


async def test_pieces_vote_by_their_length() -> None:
    content = "\n\n".join(f"Paragraph {number} of a long text about the city." for number in range(300))
    request = pb.ClassifyRequest(
        content=content, categories=CATEGORIES, long_input=pb.LONG_INPUT_MAP_REDUCE, multi_label=True
    )
    sport = '{"category": "Sport", "confidence": 1}'
    politics = '{"category": "Politics", "confidence": 1}'
    response, model = await watched(request, Scripted([sport, politics]), context_length=1500)
    pieces = response.result.context.pieces
    assert pieces == len(model.requests) > 2
    assert [entry.category for entry in response.classifications] == ["Politics", "Sport"]
    assert sum(entry.confidence for entry in response.classifications) == pytest.approx(1)
    assert response.classifications[1].confidence == pytest.approx(1 / pieces, abs=0.15)
