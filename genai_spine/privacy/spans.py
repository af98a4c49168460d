"""Spans: where an entity stands in a text, and overlapping ones made one."""

from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """Place of an entity, in characters (Unicode code points) from the start of the text."""

    start: int
    end: int
    type: str
    confidence: float  # 0 to 1


def merged(spans: Iterable[Span]) -> list[Span]:
    """Spans in the order of the text, none overlapping another.

    Overlapping ones become one span that covers all of them, so that no end of one stays readable. It has the
    type of the surest, then of the longest.
    """
    found: list[Span] = []
    best: list[Span] = []  # for each of found, the one whose type it has
    for span in sorted(spans):
        if not found or span.start >= found[-1].end:
            found.append(span)
            best.append(span)
            continue
        best[-1] = max(best[-1], span, key=lambda one: (one.confidence, one.end - one.start))
        end = max(found[-1].end, span.end)
        found[-1] = Span(found[-1].start, end, best[-1].type, best[-1].confidence)
    return found
