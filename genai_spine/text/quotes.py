"""Quotations of a model, located in the content and checked."""

from typing import NamedTuple

from genai_spine.text.chunking import TextChunk
from genai_spine.text.spans import SpanFinder

QUOTATION_MARKS = "\"'“”„‘’«»` "  # that models put around a quotation


class Quote(NamedTuple):
    """Verbatim quotation. Positions are characters (Unicode code points) of the content."""

    text: str  # as it stands there
    start: int
    end: int


class Quotes:
    """Locator of quotations in text order: of equal passages, the nearest behind the last one is taken."""

    def __init__(self, chunk: TextChunk) -> None:
        self._chunk = chunk
        self._places = SpanFinder(chunk.text, chunk.stretches())
        self._at = 0

    def find(self, quoted: str) -> Quote | None:
        """Quotation at its place, also without the marks around it. None: it is not in the content."""
        for text in dict.fromkeys((quoted, quoted.strip(QUOTATION_MARKS))):
            span = self._places.find(text, self._at)
            if span is not None:
                self._at = span[1]
                chunk = self._chunk
                return Quote(
                    chunk.text[span[0] : span[1]], chunk.origin(span[0]), chunk.origin(span[1] - 1) + 1
                )
        return None
