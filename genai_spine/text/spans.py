"""Spans of quoted texts in a content, searched: models count characters badly.

Positions are characters (Unicode code points) of the content.
"""

import re
from collections.abc import Iterable
from unicodedata import combining, normalize

Span = tuple[int, int]
CURLY = str.maketrans("‘’“”–—\u00a0", "''\"\"-- ")  # what models write in the place of another, one for one


class SpanFinder:
    """Finder of spans; a span is found once for each text and kind."""

    def __init__(self, content: str, within: Iterable[Span] | None = None) -> None:
        """Finder over a content. within: spans that may be searched; None: all of it."""
        self.content = content
        self._stretches = list(within) if within is not None else [(0, len(content))]
        self._loose = content.translate(CURLY)
        self._used: dict[tuple[str, str], set[Span]] = {}

    def find(self, quoted: str, near: int | None = None, kind: str = "") -> Span | None:
        """Span of a quotation that the same quotation of the same kind has not had already.

        Verbatim matches win over those that ignore case, quotation marks, blanks and whether accents are
        composed. near: offset that the model claims; otherwise the first free span. None: there is no other.
        """
        if not quoted.strip():
            return None
        words = normalize("NFC", quoted).casefold().split()
        used = self._used.setdefault((" ".join(words), kind), set())
        for pattern, text in self._patterns(quoted):
            spans = [span for span in self._spans(pattern, text) if span not in used]
            if spans:
                span = spans[0] if near is None else min(spans, key=lambda span: abs(span[0] - near))
                used.add(span)
                return span
        return None

    def _patterns(self, quoted: str) -> "Iterable[tuple[re.Pattern[str], str]]":
        words = [_in_any_form(word) for word in quoted.translate(CURLY).split()]
        spaced = r"\s+".join(words)
        yield re.compile(re.escape(quoted)), self.content
        yield re.compile(spaced), self._loose
        yield re.compile(spaced, re.IGNORECASE), self._loose

    def _spans(self, pattern: "re.Pattern[str]", text: str) -> list[Span]:
        return [
            found.span() for start, end in self._stretches for found in pattern.finditer(text, start, end)
        ]


def _in_any_form(word: str) -> str:
    """Pattern of a word whose accents are composed or not: NFC and NFD of Unicode."""
    if word.isascii():
        return re.escape(word)
    clusters: list[str] = []
    for character in normalize("NFC", word):
        if clusters and combining(character):
            clusters[-1] += character
        else:
            clusters.append(character)
    forms = ((re.escape(cluster), re.escape(normalize("NFD", cluster))) for cluster in clusters)
    return "".join(one if one == other else f"(?:{one}|{other})" for one, other in forms)


def around(content: str, span: Span, width: int = 60) -> str:
    """Context of a span, about `width` characters each side, blanks collapsed."""
    start, end = max(0, span[0] - width), min(len(content), span[1] + width)
    if start:
        start = content.find(" ", start, span[0]) + 1 or start
    if end < len(content):
        end = max(content.rfind(" ", span[1], end), span[1]) if " " in content[span[1] : end] else end
    return " ".join(content[start:end].split())
