"""Correct: a text without its mistakes, and what was mended, each at its place, which is checked."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from genai_spine.capabilities import full_text
from genai_spine.capabilities.answer_schemas import TEXT, record, several
from genai_spine.capabilities.base import Capability, ChunkResult
from genai_spine.capabilities.context import Answer, Context
from genai_spine.text import answer_parsing
from genai_spine.text.chunking import TextChunk
from genai_spine.text.diff import Change, changes
from genai_spine.text.spans import Span, SpanFinder
from genai_spine.v1 import capability_service_pb2 as pb

KEYS = ("corrected", "corrected_text", "correction")


class Correct(Capability[pb.CorrectRequest, pb.CorrectResponse]):
    """Spelling and grammar correction, with each correction at its span."""

    NAME = "correct"
    METHOD = "Correct"
    REQUEST = pb.CorrectRequest
    RESPONSE = pb.CorrectResponse
    TEMPERATURE = 0.1
    ECHOES = True

    def shape(self, request: pb.CorrectRequest) -> Mapping[str, Any]:
        why = {"explanation": TEXT} if request.explain_corrections else {}
        one = record(original=TEXT, corrected=TEXT, **why)
        return record(corrected=TEXT, corrections=several(one))

    def variables(self, request: pb.CorrectRequest, chunk: TextChunk) -> dict[str, Any]:
        return {
            "content": chunk.text,
            "explain_corrections": request.explain_corrections,
            "part": f"part {chunk.number} of {chunk.total}" if chunk.total > 1 else "",
        }

    def read(self, answer: Answer, request: pb.CorrectRequest, chunk: TextChunk) -> pb.CorrectResponse:
        given = answer_parsing.first_object(answer.text, *KEYS)
        corrected = answer_parsing.text_of(given, *KEYS) if given else answer_parsing.prose(answer.text)
        if not corrected:
            raise answer_parsing.UnreadableAnswer("the answer holds no text")
        mended = changes(chunk.text, corrected)
        listed = given.get("corrections") if given else None
        found = _listed(listed if isinstance(listed, list) else [], request)
        if found:
            _CorrectionFinder(chunk, mended).place(found)
        else:
            found = [_of(change, chunk) for change in mended if change.old != change.new]
        return pb.CorrectResponse(corrected=corrected, corrections=_in_order(found))

    async def join(
        self, results: list[ChunkResult], request: pb.CorrectRequest, context: Context
    ) -> pb.CorrectResponse:
        return pb.CorrectResponse(
            corrected=full_text.rejoined((result.chunk, result.response.corrected) for result in results),
            corrections=_in_order(found for result in results for found in result.response.corrections),
        )


def _in_order(found: Iterable[pb.Correction]) -> list[pb.Correction]:
    """Corrections in the order of the content; those without a place come last."""
    return sorted(found, key=lambda one: (not one.HasField("position"), one.position))


def _of(change: Change, chunk: TextChunk) -> pb.Correction:
    """A correction that the model did not tell of."""
    return pb.Correction(original=change.old, corrected=change.new, position=chunk.origin(change.start))


def _listed(given: list[Any], request: pb.CorrectRequest) -> list[pb.Correction]:
    """Corrections as the model lists them; entries that change nothing are left out."""
    found = []
    for item in (item for item in given if isinstance(item, dict)):
        original = answer_parsing.text_of(item, "original", "before", "from")
        corrected = answer_parsing.text_of(item, "corrected", "correction", "after", "to")
        if original == corrected:
            continue
        correction = pb.Correction(original=original, corrected=corrected)
        why = answer_parsing.text_of(item, "explanation", "reason")
        if request.explain_corrections and why:
            correction.explanation = why
        found.append(correction)
    return found


class _CorrectionFinder:
    """Places of corrections: the same word may stand at many, and only some of them were mended."""

    def __init__(self, chunk: TextChunk, mended: list[Change]) -> None:
        self._chunk = chunk
        self._mended = mended
        self._used: set[Span] = set()

    def place(self, corrections: list[pb.Correction]) -> None:
        for correction in corrections:
            span = self._find(correction.original) if correction.original else None
            if span is not None:
                self._used.add(span)
                correction.original = self._chunk.text[span[0] : span[1]]
                correction.position = self._chunk.origin(span[0])

    def _find(self, original: str) -> Span | None:
        """Span of a correction: where the text changed, else the first free place.

        None: it stands nowhere.
        """
        free = [span for span in self._spans(original) if span not in self._used]
        changed = (span for span in free if any(change.touches(*span) for change in self._mended))
        first = next(changed, free[0] if free else None)
        return first or SpanFinder(self._chunk.text, self._chunk.stretches()).find(original)

    def _spans(self, original: str) -> Iterator[Span]:
        """Spans of a text as whole words, else within words."""
        exact = re.escape(original)
        before = r"(?<!\w)" if original[0].isalnum() else ""
        after = r"(?!\w)" if original[-1].isalnum() else ""
        for pattern in dict.fromkeys((before + exact + after, exact)):
            spans = [
                found.span()
                for start, end in self._chunk.stretches()
                for found in re.compile(pattern).finditer(self._chunk.text, start, end)
            ]
            if spans:
                yield from spans
                return
