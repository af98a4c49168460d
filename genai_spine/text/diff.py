"""Diff of two texts in bounded time: by lines, then by sentences, then by words."""

import re
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import NamedTuple

LEVELS = (
    re.compile(r"[^\n]*\n|[^\n]+"),
    re.compile(r".*?[.!?…][\"'”’)\]]*\s+|.*?[。！？]|.+", re.DOTALL),
    re.compile(r"\S+\s*|\s+"),
)
# Pairs of equal parts, one of each text, that are weighed; texts that have more count as one change.
MAX_PAIRS = 200_000


class Change(NamedTuple):
    """Change of one span. Positions are characters (Unicode code points) of the old text."""

    start: int
    end: int
    old: str
    new: str

    def touches(self, start: int, end: int) -> bool:
        """Whether the change and the span [start, end] meet."""
        return self.start <= end and start <= self.end


def changes(old: str, new: str) -> list[Change]:
    """Changes in the order of the old text; blanks at the ends of a change belong to none."""
    return [_bare(change) for change in _between(Change(0, len(old), old, new), LEVELS)]


def _between(whole: Change, levels: "tuple[re.Pattern[str], ...]") -> Iterator[Change]:
    before, after = levels[0].findall(whole.old), levels[0].findall(whole.new)
    counts = Counter(before), Counter(after)
    if sum(count * counts[1][part] for part, count in counts[0].items()) > MAX_PAIRS:
        yield whole
        return
    starts = [whole.start]
    for part in before:
        starts.append(starts[-1] + len(part))
    for kind, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        change = Change(starts[i], starts[j], "".join(before[i:j]), "".join(after[k:m]))
        if levels[1:] and kind == "replace":
            yield from _between(change, levels[1:])
        else:
            yield change


def _bare(change: Change) -> Change:
    start = change.start + len(change.old) - len(change.old.lstrip())
    old = change.old.strip()
    return Change(start, start + len(old), old, change.new.strip())
