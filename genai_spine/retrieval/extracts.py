"""Answers without a language model: the sentences of the sources that say most of what is asked."""

from collections.abc import Sequence
from typing import NamedTuple

from genai_spine.retrieval.ranking import words_of
from genai_spine.text.chunking import sentences
from genai_spine.v1.rag_pb2 import RagSource

MAX_SENTENCES = 2
STEM = 5  # characters by which words are compared: ends, ended
MIN_SHARE = 0.3  # of the query's words that a sentence has


class Extract(NamedTuple):
    """Sentence of a source."""

    source: RagSource
    text: str
    share: float  # of the query's words


def extracts(query: str, sources: Sequence[RagSource]) -> list[Extract]:
    """Sentences that answer a query best, the best first; none where no sentence says enough of it."""
    asked = {word[:STEM] for word in words_of(query)}
    found = []
    for source in sources:
        for start, end in sentences(source.content):
            text = source.content[start:end]
            said = {word[:STEM] for word in words_of(text)}
            share = len(asked & said) / max(1, len(asked))
            if share >= MIN_SHARE:
                found.append(Extract(source, text, share))
    found.sort(key=lambda one: (-one.share, one.source.number))
    best = [one for one in found if one.share >= found[0].share / 2]
    return list({one.text: one for one in best}.values())[:MAX_SENTENCES]
