"""Comparisons: computed where words count, quoted only where the words stand there."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_spine.capabilities.compare import Compare, literal
from genai_spine.errors import InvalidFields, ProviderError
from genai_spine.text.chunking import TextChunk, TokenBudget
from genai_spine.tokens.tokenizer import Measure
from genai_spine.v1 import capability_service_pb2 as pb
from tests.unit.capabilities.asked import asked, said, watched

A, B = "The tram costs 40 million. Work starts in June.", "The tram costs 50 million. Work starts in June."


def answer(**more: Any) -> str:
    return json.dumps({"summary": "It costs more.", "similarity_score": 0.9, "key_differences": []} | more)


async def test_semantic_comparison_is_the_models() -> None:
    changes = [
        {"type": "modified", "description": "The price", "before": "40 million", "after": "50  million"},
        {"type": "addition", "description": "Nothing", "before": None, "after": "a bridge"},
        {"type": "?", "description": "Odd"},
        "In plain words",
        {},
        7,
    ]
    response, model = await watched(
        pb.CompareRequest(document_a=A, document_b=B, focus_areas=["price", "time"]), answer(changes=changes)
    )
    assert "price, time" in said(model)
    assert "what the documents mean" in said(model)
    assert response.similarity_score == 0.9
    assert [(change.type, change.description) for change in response.changes] == [
        ("modified", "The price"),
        ("added", "Nothing"),
        ("modified", "Odd"),
        ("modified", "In plain words"),
    ]
    assert (response.changes[0].before, response.changes[0].after) == ("40 million", "50  million")
    assert not response.changes[1].HasField("after"), "it stands in no document"


@pytest.mark.parametrize(
    ("kind", "told"), [("literal", "word by word"), ("structured", "part by part"), ("semantic", "mean")]
)
async def test_kind_is_told(kind: str, told: str) -> None:
    _, model = await watched(pb.CompareRequest(document_a=A, document_b=B, comparison_type=kind), answer())
    assert told in said(model)


async def test_literal_comparison_is_computed() -> None:
    request = pb.CompareRequest(document_a=A, document_b=B, comparison_type="literal")
    response = await asked(request, answer(changes=[{"type": "added", "description": "made up"}]))
    assert [(c.type, c.before, c.after) for c in response.changes] == [("modified", "40", "50")]
    assert 0.9 < response.similarity_score < 1
    assert response.summary == "It costs more."
    same = await asked(
        pb.CompareRequest(document_a=A, document_b=A, comparison_type="literal"), answer(similarity_score=0)
    )
    assert (same.similarity_score, list(same.changes)) == (1.0, [])


async def test_missing_score_is_the_share_of_words() -> None:
    response = await asked(pb.CompareRequest(document_a=A, document_b=B), '{"summary": "x"}')
    assert response.similarity_score == pytest.approx(8 / 9, abs=0.001)


@pytest.mark.parametrize("text", ["They differ.", "[]", '{"changes": []}', '{"summary": ""}'])
async def test_answer_without_a_summary_is_a_provider_error(text: str) -> None:
    with pytest.raises(ProviderError, match="no JSON object with a summary"):
        await asked(pb.CompareRequest(document_a=A, document_b=B), text)


async def test_endless_lists_of_lines_are_not_compared_literally() -> None:
    request = pb.CompareRequest(document_a="a\n" * 20_001, document_b=B, comparison_type="literal")
    with pytest.raises(InvalidFields, match="document_a: must have at most 20000 lines"):
        await asked(request, answer())


async def test_long_documents_are_compared_part_by_part() -> None:
    lines = [f"Line {number} says something about the city of Oslo." for number in range(200)]
    other = [*lines[:50], "This line is here and nowhere else.", *lines[50:150], *lines[160:]]
    request = pb.CompareRequest(
        document_a="\n".join(lines), document_b="\n".join(other), long_input=pb.LONG_INPUT_MAP_REDUCE
    )
    change = {"type": "added", "description": "A line", "after": "This line is here and nowhere else."}
    response, model = await watched(request, answer(changes=[change]), context_length=2000)
    assert response.context.pieces == len(model.requests) > 2
    assert sum(change.HasField("after") for change in response.changes) == 1
    assert response.similarity_score == pytest.approx(0.9)
    assert response.summary == "It costs more."


async def test_of_long_documents_beginning_and_end_are_compared() -> None:
    long = " ".join(f"Sentence {number} is here." for number in range(500))
    request = pb.CompareRequest(document_a=long, document_b=long + " X.", long_input=pb.LONG_INPUT_TRUNCATE)
    response, model = await watched(request, answer(), context_length=2500)
    assert said(model).count("characters left out here") == 2
    assert response.context.omitted_characters > 1000


LINES = st.lists(st.text(alphabet=st.sampled_from("ab .\n"), max_size=12), max_size=12).map("\n".join)


@given(first=LINES, second=LINES, tokens=st.integers(8, 40))
@settings(deadline=None)
def test_parts_put_together_are_the_documents(first: str, second: str, tokens: int) -> None:
    room = TokenBudget(tokens, Measure(None))
    parts = Compare().split(TextChunk(first, other=second), room)
    assert "".join(part.text for part in parts) == first
    assert "".join(part.other for part in parts) == second
    half = TokenBudget(tokens // 2, room.measure)
    assert all(half.has(part.text) and half.has(part.other) for part in parts)


@given(first=LINES, second=LINES)
def test_literal_score_is_1_only_for_the_same_text(first: str, second: str) -> None:
    score, changes = literal(first, second)
    assert 0 <= score <= 1
    assert (score == 1) == (first == second)
    if first == second:
        assert changes == []
