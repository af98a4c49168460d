"""Chunking of content that does not fit a context: truncated in the middle, or split into chunks.

Boundaries are paragraphs, else lines, sentences, words, and outside of code fences where possible. Sizes
are tokens; positions are characters (Unicode code points).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from genai_spine.tokens.tokenizer import Tokenizer

HEAD_SHARE = 0.6  # of a shortened text; its end often has the conclusion
OMISSION_MARK = "\n\n[... {count} characters left out here ...]\n\n"
MIN_BUDGET_TOKENS = 32  # tokens; a model with less room for the content cannot work on it
MAX_CHUNKS = 256
MAX_CONCURRENT_CHUNKS = 4  # of one request at a time
# Ends of something, the best first.
BOUNDARIES = (
    re.compile(r"\n[ \t]*\n\s*"),
    re.compile(r"\n"),
    re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？]"),
    re.compile(r"\s+"),
)
FENCE = re.compile(r"^```.*?^```[^\n]*\n?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class TextChunk:
    """Chunk of a content, with its offset (characters) and what was omitted within it."""

    text: str
    start: int = 0  # characters of the content before it
    gap: int | None = None  # where the mark of what was left out begins in the text
    omitted: int = 0  # characters that were left out there
    number: int = 1
    total: int = 1
    other: str = ""  # of a second document, what goes with it

    def origin(self, at: int) -> int:
        """Offset in the content of an offset in the text; within the omission mark: where the mark stands."""
        if self.gap is None or at <= self.gap:
            return self.start + at
        mark = len(OMISSION_MARK.format(count=self.omitted))
        return self.start + self.gap + max(0, at - self.gap - mark) + self.omitted

    def stretches(self) -> list[tuple[int, int]]:
        """Spans of the text that are contiguous in the content."""
        if self.gap is None:
            return [(0, len(self.text))]
        return [(0, self.gap), (self.gap + len(OMISSION_MARK.format(count=self.omitted)), len(self.text))]


class TokenBudget(NamedTuple):
    """Token budget for a content, by one model's tokenizer."""

    tokens: int
    measure: Tokenizer

    def has(self, text: str) -> bool:
        """Whether a text fits."""
        # A token is at least one byte, and a character at most four.
        return len(text) * 4 <= self.tokens or self.measure.count(text) <= self.tokens


def shortened(text: str, budget: TokenBudget) -> TextChunk:
    """Truncation: beginning and end with a mark between them; a text that fits stays as it is."""
    if budget.has(text):
        return TextChunk(text)
    size = len(text)
    while size > 1:
        size = _next_size(text, size, budget)
        head = _boundary(text, int(size * HEAD_SHARE) // 2, int(size * HEAD_SHARE))
        low = len(text) - size + head
        tail = _boundary(text, low, (low + len(text)) // 2)
        mark = OMISSION_MARK.format(count=tail - head)
        short = text[:head] + mark + text[tail:]
        if budget.has(short):
            return TextChunk(short, gap=head, omitted=tail - head)
    return TextChunk("", gap=0, omitted=len(text))


def _next_size(text: str, size: int, budget: TokenBudget) -> int:
    """Characters to try next: in proportion, and always some fewer."""
    share = budget.tokens / max(1, budget.measure.count(text))
    return min(int(len(text) * share), int(size * 0.9))


def split(text: str, budget: TokenBudget) -> list[TextChunk]:
    """Chunks that fit the budget; concatenated they are the text. Raises ValueError above MAX_CHUNKS."""
    cuts = list(_cuts(text, budget))
    spans = [(start, end) for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True) if end > start]
    return [
        TextChunk(text[start:end], start, number=number, total=len(spans))
        for number, (start, end) in enumerate(spans, 1)
    ]


def _cuts(text: str, budget: TokenBudget) -> Iterator[int]:
    fences = [found.span() for found in FENCE.finditer(text)]
    share = budget.tokens / max(1, budget.measure.count(text))
    size = max(1, int(len(text) * share * 0.95))
    at = 0
    for _ in range(MAX_CHUNKS):
        length = min(size, len(text) - at)
        while length > 1 and not budget.has(text[at : at + length]):
            length = length * 4 // 5
        end = at + length
        if end == len(text):
            return
        border = _boundary(text, at + length // 2, end, fences)
        # A beginning can have more tokens than the longer text that it was cut from.
        at = border if budget.has(text[at:border]) else end
        yield at
    raise ValueError(f"it would take more than {MAX_CHUNKS} chunks")


def _boundary(text: str, low: int, high: int, fences: "list[tuple[int, int]] | None" = None) -> int:
    """Last good place to cut in [low, high]; high, where there is none."""
    for pattern in BOUNDARIES:
        ends = [found.end() for found in pattern.finditer(text, low, high) if found.end() > low]
        free = [end for end in ends if not any(start < end < stop for start, stop in fences or ())]
        if free:
            return free[-1]
    return high


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the sentences, without the blanks around them."""
    at = 0
    for found in re.finditer(r"[.!?…][\"'”’)\]]*(?=\s)|[。！？]|\n", text):
        yield from _stripped(text, at, found.end())
        at = found.end()
    yield from _stripped(text, at, len(text))


def _stripped(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    part = text[start:end]
    if part.strip():
        yield start + len(part) - len(part.lstrip()), end - (len(part) - len(part.rstrip()))
