"""Texts that are too long: nothing is lost in pieces, and what is left out of a short one is told."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genai_spine.text import chunking
from genai_spine.text.chunking import OMISSION_MARK, TextChunk, TokenBudget
from genai_spine.tokens.tokenizer import Tokenizer

BY_ESTIMATE = Tokenizer(None)
TEXTS = st.text(
    alphabet=st.sampled_from("abc .\n!。🍎"),
    min_size=1,
    max_size=400,
)


def room(tokens: int) -> TokenBudget:
    return TokenBudget(tokens, BY_ESTIMATE)


def paragraphs(count: int) -> str:
    return "\n\n".join(f"Paragraph {number} is short. It has two sentences." for number in range(count))


@given(text=TEXTS, tokens=st.integers(4, 60))
@example(text="aaaaaaaa\n🍎\n", tokens=4)  # the rest is short and has more tokens than its share
@example(text="aa .\n🍎..", tokens=4)  # as has a beginning that ends at a border
@settings(max_examples=150)
def test_pieces_put_together_are_the_text(text: str, tokens: int) -> None:
    pieces = chunking.split(text, room(tokens))
    assert "".join(piece.text for piece in pieces) == text
    assert [text[piece.start : piece.start + len(piece.text)] for piece in pieces] == [p.text for p in pieces]
    assert all(room(tokens).has(piece.text) for piece in pieces)
    assert [(piece.number, piece.total) for piece in pieces] == [
        (number, len(pieces)) for number in range(1, len(pieces) + 1)
    ]


@given(text=TEXTS, tokens=st.integers(20, 80))
@settings(max_examples=150)
def test_shortened_text_has_room_and_every_character_of_it_has_its_origin(text: str, tokens: int) -> None:
    piece = chunking.shortened(text, room(tokens))
    assert room(tokens).has(piece.text)
    kept = sum(end - start for start, end in piece.stretches())
    assert kept + piece.omitted == len(text)
    for start, end in piece.stretches():
        for at in range(start, end):
            assert text[piece.origin(at)] == piece.text[at]


def test_pieces_end_between_paragraphs() -> None:
    pieces = chunking.split(paragraphs(40), room(100))
    assert len(pieces) > 3
    assert all(piece.text.endswith("sentences.\n\n") for piece in pieces[:-1])


def test_text_without_paragraphs_is_cut_between_sentences() -> None:
    pieces = chunking.split(" ".join(f"Sentence {number} ends here." for number in range(60)), room(60))
    assert len(pieces) > 3
    assert all(piece.text.endswith("here. ") for piece in pieces[:-1])


def test_code_fence_stays_in_one_piece_where_it_fits() -> None:
    code = "```python\n" + "x = 1\n\n" * 6 + "```\n"
    text = paragraphs(4) + "\n\n" + code + paragraphs(4)
    pieces = chunking.split(text, room(90))
    assert len(pieces) > 1
    assert sum(code in piece.text for piece in pieces) == 1


def test_head_and_tail_end_at_sentences_and_the_middle_is_marked() -> None:
    text = paragraphs(100)
    piece = chunking.shortened(text, room(300))
    head, tail = piece.text.split(OMISSION_MARK.format(count=piece.omitted))
    assert head.rstrip().endswith(".")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert tail.startswith(("Paragraph", "It has"))
    assert len(head) > len(tail) > 100


def test_text_that_has_room_is_left_alone() -> None:
    assert chunking.shortened("short", room(50)) == TextChunk("short")


def test_too_many_pieces_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 256 chunks"):
        chunking.split(paragraphs(5000), room(40))


@given(text=TEXTS)
def test_sentences_are_parts_of_the_text_without_blanks_around(text: str) -> None:
    spans = list(chunking.sentences(text))
    assert all(text[start:end].strip() == text[start:end] != "" for start, end in spans)
    assert spans == sorted(spans)
    assert "".join("".join(text[start:end].split()) for start, end in spans) == "".join(text.split())
