"""Hybrid ranking: the words of a query, and one relevance of what vectors and words have found."""

import re
from collections.abc import Mapping, Sequence

from genai_spine.store.rag.vectors import Hit

DEFAULT_KEYWORD_WEIGHT = 0.3
MAX_WORDS = 32  # of a query, the longest ones
WORD = re.compile(r"[^\W_]+")  # as both indexes cut texts: EN-7000 is two words
# Words that say nothing of what is looked for; the indexes of both databases stem the rest.
COMMON = """
a an and are as at be been but by can could did do does for from had has have how i if in into is
it its me my no not of on or our she he so than that the their them then there these they this to
was we were what when where which who whom whose why will with would you your
"""
STOP_WORDS = frozenset(COMMON.split())


def words_of(query: str) -> list[str]:
    """Words of a query that are looked for, at most MAX_WORDS; stop words where there is nothing else."""
    found = list(dict.fromkeys(word.casefold() for word in WORD.findall(query)))
    telling = [word for word in found if word not in STOP_WORDS] or found
    if len(telling) <= MAX_WORDS:
        return telling
    longest = set(sorted(telling, key=len, reverse=True)[:MAX_WORDS])
    return [word for word in telling if word in longest][:MAX_WORDS]


class Ranked:
    """Chunk that was found, with its scores. vector: its cosine. keyword: 1 for the best one of its query."""

    __slots__ = ("chunk_id", "keyword", "relevance", "vector")

    def __init__(self, chunk_id: int, vector: float | None, keyword: float | None, relevance: float) -> None:
        self.chunk_id, self.vector, self.keyword, self.relevance = chunk_id, vector, keyword, relevance


def fused(cosines: Mapping[int, float], words: Sequence[Hit], keyword_weight: float) -> list[Ranked]:
    """Chunks by their relevance: a weighted sum of the cosine and of the rank of the words.

    The rank has no upper bound, so that the best one of the query counts as 1.
    """
    best = max((hit.score for hit in words), default=0.0) or 1.0
    by_words = {hit.chunk_id: max(0.0, hit.score / best) for hit in words}
    found = []
    for chunk_id in dict.fromkeys([*cosines, *by_words]):
        vector, keyword = cosines.get(chunk_id), by_words.get(chunk_id)
        relevance = (1 - keyword_weight) * max(0.0, vector or 0.0) + keyword_weight * (keyword or 0.0)
        found.append(Ranked(chunk_id, vector, keyword, min(1.0, relevance)))
    return sorted(found, key=lambda one: (-one.relevance, one.chunk_id))
