"""Chunks of documents for retrieval, with their places: semantic, by structure, fixed, or by speaker.

Boundaries of the first two are semantic-text-splitter's: paragraphs, sentences, words; of Markdown also
headings, lists and tables (https://docs.rs/text-splitter, 0.33.1, 2026-11-30). Sizes are tokens, places are
characters (Unicode code points).
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

WORD = re.compile(r"\s*\S+\s*")
MAX_WORD_CHARS = 2_000  # longer ones are cut, as of a text in base64
# "Agent: Good day", "[Speaker 1]: ...", "**Anna Berg:** ..." at the beginning of a line.
TURN = re.compile(
    r"^[ \t]*(?:\*\*|\[)?(?P<who>[^\W\d_][\w .'’()/-]{0,48}?)\]?(?:\*\*)?:(?:\*\*)?[ \t]+", re.M
)

Count = Callable[[str], int]  # tokens of a text


@dataclass(frozen=True, slots=True)
class ChunkRules:
    """Rules by which a document is cut."""

    strategy: str = "semantic"  # semantic, structure, fixed or speaker
    max_tokens: int = 400
    overlap_tokens: int = 0


@dataclass(frozen=True, slots=True)
class DocumentText:
    """Text of a document. pages: for each page the characters before it."""

    text: str
    is_markdown: bool = False
    pages: Sequence[int] = ()


class Chunk(NamedTuple):
    """Chunk of a document; pages count from 1, and are 0 where it has none."""

    text: str
    start: int
    end: int
    tokens: int
    first_page: int
    last_page: int
    headings: tuple[str, ...]
    speaker: str


def chunks(document: DocumentText, rules: ChunkRules, count: Count) -> Iterator[Chunk]:
    """Chunks of a document in their order; what is blank is none."""
    headings = _headings(document) if rules.strategy == "structure" else []
    places = [start for start, _ in headings]
    for start, text, speaker in _pieces(document, rules, count):
        stripped = text.strip()
        if not stripped:
            continue
        start += len(text) - len(text.lstrip())
        end = start + len(stripped)
        above = headings[bisect_right(places, start) - 1][1] if places and places[0] <= start else ()
        pages = _page(document, start), _page(document, end - 1)
        yield Chunk(stripped, start, end, count(stripped), *pages, above, speaker)


def _pieces(document: DocumentText, rules: ChunkRules, count: Count) -> Iterator[tuple[int, str, str]]:
    """Start, text and speaker of each piece."""
    if rules.strategy == "fixed":
        yield from ((start, text, "") for start, text in _windows(document.text, rules, count))
    elif rules.strategy == "speaker":
        yield from _turns(document.text, rules, count)
    else:
        is_markdown = document.is_markdown or rules.strategy == "structure"
        split = _splitter(rules, count, is_markdown=is_markdown)
        yield from ((start, text, "") for start, text in split(document.text))


def _splitter(
    rules: ChunkRules, count: Count, *, is_markdown: bool
) -> Callable[[str], Sequence[tuple[int, str]]]:
    from semantic_text_splitter import MarkdownSplitter, TextSplitter  # here: the server's start is measured

    kind = MarkdownSplitter if is_markdown else TextSplitter
    overlap = min(rules.overlap_tokens, rules.max_tokens - 1)
    indices: Callable[[str], Sequence[tuple[int, str]]]
    indices = kind.from_callback(count, rules.max_tokens, overlap=overlap, trim=False).chunk_indices
    return indices


def _windows(text: str, rules: ChunkRules, count: Count) -> Iterator[tuple[int, str]]:
    """Windows of whole words, each of as many tokens as fit, and with an overlap of so many."""
    words = [span for found in WORD.finditer(text) for span in _cut(*found.span())]
    sizes = [count(text[start:end]) for start, end in words]
    first = 0
    while first < len(words):
        last, tokens = first, sizes[first]
        while last + 1 < len(words) and tokens + sizes[last + 1] <= rules.max_tokens:
            last += 1
            tokens += sizes[last]
        yield words[first][0], text[words[first][0] : words[last][1]]
        if last + 1 == len(words):
            return
        first, tokens = _back(sizes, last + 1, first, rules.overlap_tokens), 0


def _back(sizes: Sequence[int], behind: int, first: int, overlap: int) -> int:
    """First word of the next window: some before its end are repeated, and never all of them."""
    at, tokens = behind, 0
    while at - 1 > first and tokens + sizes[at - 1] <= overlap:
        at -= 1
        tokens += sizes[at]
    return at


def _cut(start: int, end: int) -> Iterator[tuple[int, int]]:
    for at in range(start, end, MAX_WORD_CHARS):
        yield at, min(end, at + MAX_WORD_CHARS)


def _turns(text: str, rules: ChunkRules, count: Count) -> Iterator[tuple[int, str, str]]:
    """Turns of a conversation; those of one speaker that follow each other are one."""
    marks = [(found.start(), found["who"].strip()) for found in TURN.finditer(text)]
    starts = [mark for place, mark in enumerate(marks) if not place or mark[1] != marks[place - 1][1]]
    if not starts or starts[0][0]:
        starts.insert(0, (0, ""))
    split = _splitter(ChunkRules(rules.strategy, rules.max_tokens), count, is_markdown=False)
    ends = [start for start, _ in starts[1:]] + [len(text)]
    for (start, who), end in zip(starts, ends, strict=True):
        for offset, piece in split(text[start:end]):
            yield start + offset, piece, who


def _headings(document: DocumentText) -> list[tuple[int, tuple[str, ...]]]:
    """Where headings of Markdown stand, and those above the text behind them, the outermost first."""
    from markdown_it import MarkdownIt

    lines = [0, *(found.end() for found in re.finditer(r"\n", document.text))]
    found: list[tuple[int, tuple[str, ...]]] = []
    stack: list[tuple[int, str]] = []
    tokens = MarkdownIt("commonmark", {"maxNesting": 20}).parse(document.text)
    for token, inline in pairwise(tokens):
        if token.type == "heading_open" and token.map and not token.level:
            level = int(token.tag[1:])
            stack = [one for one in stack if one[0] < level] + [(level, inline.content.strip()[:300])]
            found.append((lines[token.map[0]], tuple(title for _, title in stack)))
    return found


def _page(document: DocumentText, at: int) -> int:
    """Number of the page that a character stands on, from 1; 0: there are no pages."""
    return bisect_right(document.pages, at) if document.pages else 0
