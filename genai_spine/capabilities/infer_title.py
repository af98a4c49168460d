"""InferTitle: a short title for a text."""

import re
from typing import Any

from genai_spine.capabilities.base import Capability
from genai_spine.capabilities.context import Answer
from genai_spine.text import answer_parsing
from genai_spine.text.chunking import TextChunk
from genai_spine.v1 import capability_service_pb2 as pb

MAX_READ_CHARS = 2_000  # of the content; what a title is about stands at its beginning
SENTENCE_END = re.compile(r"[.!?。！？](?=\s|$)")
LABEL = re.compile(r"^(?:title|titel|titre)\s*:\s*", re.IGNORECASE)
PAIRS = ('""', "''", "``", "“”", "„“", "‘’", "‚‘", "«»", "»«", "‹›", "「」", "『』", "**", "__")
OPENED = '"“„«「『'  # left at the start where a limit of tokens cut the end


class InferTitle(Capability[pb.InferTitleRequest, pb.InferTitleResponse]):
    """Title generation, limited in words and characters."""

    NAME = "infer-title"
    METHOD = "InferTitle"
    REQUEST = pb.InferTitleRequest
    RESPONSE = pb.InferTitleResponse
    TEMPERATURE = 0.5
    MAX_TOKENS = 50

    def apply_defaults(self, request: pb.InferTitleRequest) -> None:
        request.max_words = request.max_words or 10

    def full_content(self, request: pb.InferTitleRequest) -> TextChunk:
        return TextChunk(request.content[:MAX_READ_CHARS])

    def unread_characters(self, request: pb.InferTitleRequest) -> int:
        return max(0, len(request.content) - MAX_READ_CHARS)

    def variables(self, request: pb.InferTitleRequest, chunk: TextChunk) -> dict[str, Any]:
        return {
            "content": chunk.text,
            "max_words": request.max_words,
            "max_length": request.max_length,
        }

    def read(self, answer: Answer, request: pb.InferTitleRequest, chunk: TextChunk) -> pb.InferTitleResponse:
        lines = [_bare(line) for line in answer_parsing.plain(answer.text).splitlines()]
        title = next((line for line in lines if line), "")
        title = _shortened(title, request.max_words)
        if request.HasField("max_length"):
            title = _capped(title, request.max_length)
        if not title:
            raise answer_parsing.UnreadableAnswer("the answer holds no title")
        return pb.InferTitleResponse(title=title)


def _bare(line: str) -> str:
    """A line without a label, Markdown or quotation marks around it."""
    bare = LABEL.sub("", line.lstrip("# \t").strip())
    while len(bare) > 1 and bare[0] + bare[-1] in PAIRS:
        inner = bare[1:-1]
        if bare[0] in inner.strip(bare[0]) or bare[-1] in inner.strip(bare[-1]):
            return bare  # two quotations, not one around all
        bare = LABEL.sub("", inner.strip())
    return (
        bare[1:] if bare and bare[0] in OPENED and not any(mark in bare[1:] for mark in '"”“»」』') else bare
    )


def _shortened(title: str, most: int) -> str:
    """Title of at most `most` words; where they end within a later sentence, those of the first."""
    words = title.split()
    if len(words) <= most:
        return " ".join(words)
    cut = " ".join(words[:most])
    end = SENTENCE_END.search(cut)
    return cut[: end.start()] if end else cut


def _capped(title: str, most: int) -> str:
    """Title of at most `most` characters, ended between words where possible."""
    if len(title) <= most:
        return title
    cut = title[: most + 1].rpartition(" ")[0] or title[:most]
    return cut.rstrip(" ,;:-–—")
