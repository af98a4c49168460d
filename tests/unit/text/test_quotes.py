from hypothesis import given
from hypothesis import strategies as st

from genai_spine.text.chunking import OMISSION_MARK, TextChunk
from genai_spine.text.quotes import Quotes

texts = st.text(st.sampled_from('abAB 🚋é.\n“"'), min_size=1, max_size=40)


@given(texts, st.data())
def test_what_stands_there_is_found_as_it_stands(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    quote = Quotes(TextChunk(text)).find(text[start:end])
    if text[start:end].strip():
        assert quote is not None
        assert text[quote.start : quote.end] == quote.text == text[start:end]
    else:
        assert quote is None


@given(texts, texts)
def test_what_is_found_stands_there(text: str, said: str) -> None:
    quote = Quotes(TextChunk(text)).find(said)
    if quote is not None:
        assert text[quote.start : quote.end] == quote.text


@given(texts, texts, texts, st.integers(0, 1000))
def test_places_of_a_shortened_piece_are_those_of_the_content(
    head: str, gap: str, tail: str, before: int
) -> None:
    content = "x" * before + head + gap + tail
    mark = OMISSION_MARK.format(count=len(gap))
    piece = TextChunk(head + mark + tail, start=before, gap=len(head), omitted=len(gap))
    for said in (head, tail):
        quote = Quotes(piece).find(said)
        if quote is not None:
            assert content[quote.start : quote.end] == quote.text


def test_equal_passages_are_taken_in_turn() -> None:
    quotes = Quotes(TextChunk("one two one two one"))
    assert [quote.start if (quote := quotes.find("one")) else None for _ in range(4)] == [0, 8, 16, None]
