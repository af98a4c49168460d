"""Content that a model's context has no room for: cut in the middle, or worked on in pieces.

Texts are cut between paragraphs, else lines, else sentences, else words, and not within code fences
where that can be helped. Sizes are tokens; positions are characters (Unicode code points).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from genai_spine.tokens.tokenizer import Tokenizer

HEAD_SHARE = 0.6  # of a shortened text; its end often has the conclusion
MARK = "\n\n[... {count} characters left out here ...]\n\n"
LEAST_ROOM = 32  # tokens; a model with less room for the content cannot work on it
MOST_PIECES = 256
AT_A_TIME = 4  # pieces of one request that are worked on at a time
# Ends of something, the best first.
BORDERS = (
    re.compile(r"\n[ \t]*\n\s*"),
    re.compile(r"\n"),
    re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？]"),
    re.compile(r"\s+"),
)
FENCE = re.compile(r"^```.*?^```[^\n]*\n?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Piece:
    """What of a content goes to the model at a time."""

    text: str
    start: int = 0  # characters of the content before it
    gap: int | None = None  # where the mark of what was left out begins in the text
    omitted: int = 0  # characters that were left out there
    number: int = 1
    total: int = 1
    other: str = ""  # of a second document, what goes with it

    def origin(self, at: int) -> int:
        """The place in the content of a place in the text; within the mark: where it stands."""
        if self.gap is None or at <= self.gap:
            return self.start + at
        mark = len(MARK.format(count=self.omitted))
        return self.start + self.gap + max(0, at - self.gap - mark) + self.omitted

    def stretches(self) -> list[tuple[int, int]]:
        """The parts of the text that stand in the content in one."""
        if self.gap is None:
            return [(0, len(self.text))]
        return [(0, self.gap), (self.gap + len(MARK.format(count=self.omitted)), len(self.text))]


class Room(NamedTuple):
    """What a model has for a content."""

    tokens: int
    measure: Tokenizer

    def has(self, text: str) -> bool:
        # A token is at least one byte, and a character at most four.
        return len(text) * 4 <= self.tokens or self.measure.count(text) <= self.tokens


def shortened(text: str, room: Room) -> Piece:
    """Beginning and end of a text, with a mark between them; the text as it is where it has room."""
    if room.has(text):
        return Piece(text)
    kept = len(text)
    while kept > 1:
        kept = _fewer(text, kept, room)
        head = _border(text, int(kept * HEAD_SHARE) // 2, int(kept * HEAD_SHARE))
        least = len(text) - kept + head
        tail = _border(text, least, (least + len(text)) // 2)
        mark = MARK.format(count=tail - head)
        short = text[:head] + mark + text[tail:]
        if room.has(short):
            return Piece(short, gap=head, omitted=tail - head)
    return Piece("", gap=0, omitted=len(text))


def _fewer(text: str, kept: int, room: Room) -> int:
    """Characters to try next: in proportion, and always some fewer."""
    share = room.tokens / max(1, room.measure.count(text))
    return min(int(len(text) * share), int(kept * 0.9))


def pieces(text: str, room: Room) -> list[Piece]:
    """The text in pieces that have room; put together, they are the text. Raises ValueError when it would
    be too many."""
    cuts = list(_cuts(text, room))
    spans = [(start, end) for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True) if end > start]
    return [
        Piece(text[start:end], start, number=number, total=len(spans))
        for number, (start, end) in enumerate(spans, 1)
    ]


def _cuts(text: str, room: Room) -> Iterator[int]:
    fences = [found.span() for found in FENCE.finditer(text)]
    share = room.tokens / max(1, room.measure.count(text))
    size = max(1, int(len(text) * share * 0.95))
    at = 0
    for _ in range(MOST_PIECES):
        length = min(size, len(text) - at)
        while length > 1 and not room.has(text[at : at + length]):
            length = length * 4 // 5
        end = at + length
        if end == len(text):
            return
        border = _border(text, at + length // 2, end, fences)
        # A beginning can have more tokens than the longer text that it was cut from.
        at = border if room.has(text[at:border]) else end
        yield at
    raise ValueError(f"it would take more than {MOST_PIECES} pieces")


def _border(text: str, least: int, most: int, fences: "list[tuple[int, int]] | None" = None) -> int:
    """The last good place to cut in [least, most]; most, where there is none."""
    for pattern in BORDERS:
        ends = [found.end() for found in pattern.finditer(text, least, most) if found.end() > least]
        free = [end for end in ends if not any(start < end < stop for start, stop in fences or ())]
        if free:
            return free[-1]
    return most


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
