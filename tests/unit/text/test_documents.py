import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.text import documents
from genai_spine.text.chunking import TokenBudget
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1.capability_service_pb2 import SourceDocument

MEASURE = asyncio.run(Tokenizer.of("gpt-4o"))
contents = st.lists(st.integers(1, 400).map(lambda count: "word " * count), min_size=1, max_size=6)


def sources(texts: list[str]) -> list[SourceDocument]:
    found = [SourceDocument(content=text) for text in texts]
    assert documents.assign_ids(found) == []
    return found


@given(contents, st.integers(200, 2000))
def test_shortened_documents_have_room_and_none_is_missing(texts: list[str], tokens: int) -> None:
    room = TokenBudget(tokens, MEASURE)
    short = documents.shortened(sources(texts), room)
    assert MEASURE.count(short.text) <= tokens
    assert all(f'<document id="{number + 1}">' in short.text for number in range(len(texts)))


@given(contents, st.integers(100, 1000))
def test_pieces_have_room_and_hold_all_of_every_document(texts: list[str], tokens: int) -> None:
    room = TokenBudget(tokens, MEASURE)
    pieces = documents.split(sources(texts), room)
    assert all(MEASURE.count(piece.text) <= tokens for piece in pieces)
    assert "".join(piece.text for piece in pieces).count("word") == "".join(texts).count("word")
    assert [(piece.number, piece.total) for piece in pieces] == [
        (number + 1, len(pieces)) for number in range(len(pieces))
    ]


def test_too_many_pieces_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 256 chunks"):
        documents.split(sources(["word " * 30_000]), TokenBudget(60, MEASURE))
