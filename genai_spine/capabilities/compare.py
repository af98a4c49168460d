"""Compare: changes from one document to another, and their similarity.

Literal comparisons are computed, the model only puts them into words. Other comparisons are the model's,
and quotations are kept only where they stand in the documents.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Any, ClassVar

from genai_spine.capabilities.base import Capability, ChunkResult
from genai_spine.capabilities.context import Answer, Context
from genai_spine.errors import InvalidFields
from genai_spine.text import answer_parsing, chunking
from genai_spine.text.chunking import TextChunk, TokenBudget
from genai_spine.text.spans import SpanFinder
from genai_spine.v1 import capability_service_pb2 as pb

LITERAL = "literal"
MAX_WORDS = 4_000  # of both documents together; longer ones are compared line by line
MAX_LINES = 20_000  # of one document
MAX_CHANGES = 200  # of a literal comparison
MAX_QUOTE_CHARS = 500
TOKENS = re.compile(r"\w+|[^\w\s]|\s+")
OTHER_NAMES = {
    "addition": "added",
    "add": "added",
    "new": "added",
    "deletion": "removed",
    "deleted": "removed",
}
OTHER_NAMES |= {"delete": "removed", "remove": "removed", "change": "modified", "changed": "modified"}
OTHER_NAMES |= {"modification": "modified", "updated": "modified", "move": "moved"}
TYPES = ("added", "removed", "modified", "moved")


class Compare(Capability[pb.CompareRequest, pb.CompareResponse]):
    """Document comparison: similarity from 0 to 1, changes and a summary."""

    NAME = "compare"
    METHOD = "Compare"
    REQUEST = pb.CompareRequest
    RESPONSE = pb.CompareResponse
    TEMPERATURE = 0.2
    SHAPE: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "summary": {"type": "string"},
            "similarity_score": {"type": "number"},
            "key_differences": {"type": "array", "items": {"type": "string"}},
            "changes": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "type": {"type": "string", "enum": list(TYPES)},
                        "description": {"type": "string"},
                        "before": {"type": ["string", "null"]},
                        "after": {"type": ["string", "null"]},
                    },
                    "required": ["type", "description", "before", "after"],
                    "additionalProperties": False,
                },
            },
        },
        "required": ["summary", "similarity_score", "key_differences", "changes"],
        "additionalProperties": False,
    }

    def apply_defaults(self, request: pb.CompareRequest) -> None:
        request.comparison_type = request.comparison_type or "semantic"
        request.output_format = request.output_format or "paragraph"
        for name in ("document_a", "document_b"):
            if request.comparison_type == LITERAL and getattr(request, name).count("\n") > MAX_LINES:
                problem = f"must have at most {MAX_LINES} lines to be compared literally"
                raise InvalidFields([(name, problem)])

    def full_content(self, request: pb.CompareRequest) -> TextChunk:
        return TextChunk(request.document_a, other=request.document_b)

    def shortened(self, whole: TextChunk, budget: TokenBudget) -> TextChunk:
        """Beginning and end of both documents."""
        half = budget._replace(tokens=budget.tokens // 2)
        first = chunking.shortened(whole.text, half)
        second = chunking.shortened(whole.other, half)
        return replace(first, other=second.text, omitted=first.omitted + second.omitted)

    def split(self, whole: TextChunk, budget: TokenBudget) -> list[TextChunk]:
        """Parts of the first document with those of the second that belong to them."""
        pairs = list(_pairs(whole.text, whole.other, budget._replace(tokens=budget.tokens // 2)))
        if len(pairs) > chunking.MAX_CHUNKS:
            raise ValueError(f"it would take more than {chunking.MAX_CHUNKS} chunks")
        return [
            TextChunk(first, number=number, total=len(pairs), other=second)
            for number, (first, second) in enumerate(pairs, 1)
        ]

    def variables(self, request: pb.CompareRequest, chunk: TextChunk) -> dict[str, Any]:
        return {
            "document_a": chunk.text,
            "document_b": chunk.other,
            "comparison_type": request.comparison_type,
            "focus_areas": ", ".join(request.focus_areas),
            "output_format": request.output_format,
        }

    def read(self, answer: Answer, request: pb.CompareRequest, chunk: TextChunk) -> pb.CompareResponse:
        given = next(
            (item for item in answer_parsing.objects(answer.text) if answer_parsing.text_of(item, "summary")),
            None,
        )
        if given is None:
            raise answer_parsing.UnreadableAnswer("the answer holds no JSON object with a summary")
        response = pb.CompareResponse(
            summary=answer_parsing.text_of(given, "summary"),
            similarity_score=answer_parsing.share(given.get("similarity_score"), _shared_words(chunk)),
            key_differences=answer_parsing.texts(given.get("key_differences")),
        )
        changes = given.get("changes")
        for item in changes if isinstance(changes, list) else ():
            if change := _change(item, chunk):
                response.changes.append(change)
        return response

    async def finish(self, response: pb.CompareResponse, request: pb.CompareRequest) -> None:
        if request.comparison_type == LITERAL:
            score, changes = await asyncio.to_thread(literal, request.document_a, request.document_b)
            response.similarity_score = score
            del response.changes[:]
            response.changes.extend(changes)

    async def join(
        self, results: list[ChunkResult], request: pb.CompareRequest, context: Context
    ) -> pb.CompareResponse:
        """Changes of all chunks.

        The score is the mean by length, the summary joins those of changed parts.
        """
        sizes = [max(1, len(result.chunk.text) + len(result.chunk.other)) for result in results]
        scores = [result.response.similarity_score for result in results]
        whole = pb.CompareResponse(
            similarity_score=sum(map(float.__mul__, scores, map(float, sizes))) / sum(sizes)
        )
        changed = [result.response for result in results if result.chunk.text != result.chunk.other]
        for response in changed or [results[0].response]:
            whole.changes.extend(response.changes)
            whole.key_differences.extend(response.key_differences)
        whole.summary = "\n".join(dict.fromkeys(r.summary for r in changed or [results[0].response]))
        return whole


def _change(item: Any, chunk: TextChunk) -> pb.Change | None:
    """Change as the model describes it; quotations that stand in no document are left out."""
    if isinstance(item, str):
        item = {"description": item}
    if not isinstance(item, dict):
        return None
    before, after = answer_parsing.text_of(item, "before"), answer_parsing.text_of(item, "after")
    before = before if SpanFinder(chunk.text).find(before) else ""
    after = after if SpanFinder(chunk.other).find(after) else ""
    named = answer_parsing.text_of(item, "type").lower()
    kind = named if named in TYPES else OTHER_NAMES.get(named, _kind(before, after))
    description = answer_parsing.text_of(item, "description", "change", "summary")
    if not description and not before and not after:
        return None
    change = pb.Change(type=kind, description=description or f"{before} -> {after}")
    if before:
        change.before = before
    if after:
        change.after = after
    return change


def _kind(before: str, after: str) -> str:
    if before == after or (before and after):
        return "modified"
    return "removed" if before else "added"


def literal(first: str, second: str) -> tuple[float, list[pb.Change]]:
    """Similarity of two texts from 0 to 1, and the words, or in long texts the lines, that differ.

    At most MAX_CHANGES of them.
    """
    left, right = _units(first, second)
    matcher = SequenceMatcher(None, left, right, autojunk=len(left) + len(right) > MAX_WORDS)
    changes = []
    for _, start, end, other_start, other_end in matcher.get_opcodes():
        before, after = "".join(left[start:end]).strip(), "".join(right[other_start:other_end]).strip()
        if before == after:
            continue
        change = pb.Change(type=_kind(before, after), description=_describe(before, after))
        if before:
            change.before = before[:MAX_QUOTE_CHARS]
        if after:
            change.after = after[:MAX_QUOTE_CHARS]
        changes.append(change)
    return round(matcher.ratio(), 4), changes[:MAX_CHANGES]


def _describe(before: str, after: str) -> str:
    shown = [f"'{text[:80]}{'...' if len(text) > 80 else ''}'" for text in (before, after)]
    if before and after:
        return f"{shown[0]} became {shown[1]}"
    return f"{shown[0]} was removed" if before else f"{shown[1]} was added"


def _shared_words(chunk: TextChunk) -> float:
    """Share of words in common, from 0 to 1; for a model that gives no score."""
    return round(SequenceMatcher(None, chunk.text.split(), chunk.other.split()).quick_ratio(), 4)


def _units(first: str, second: str) -> tuple[list[str], list[str]]:
    left, right = TOKENS.findall(first), TOKENS.findall(second)
    if len(left) + len(right) <= MAX_WORDS:
        return left, right
    return first.splitlines(keepends=True), second.splitlines(keepends=True)


def _pairs(first: str, second: str, budget: TokenBudget) -> Iterable[tuple[str, str]]:
    """Parts that belong together, each of them with room; joined, the parts are the documents."""
    left, right = first.splitlines(keepends=True), second.splitlines(keepends=True)
    held, other = "", ""
    for kind, start, end, other_start, other_end in SequenceMatcher(None, left, right).get_opcodes():
        lines = list(_aligned(left[start:end], right[other_start:other_end], equal=kind == "equal"))
        for one, two in lines:
            for a, b in _fitting(one, two, budget):
                if (held or other) and not (budget.has(held + a) and budget.has(other + b)):
                    yield held, other
                    held = other = ""
                held, other = held + a, other + b
    if held or other:
        yield held, other


def _aligned(left: list[str], right: list[str], *, equal: bool) -> Iterable[tuple[str, str]]:
    if equal:
        yield from zip(left, right, strict=True)
        return
    for number in range(max(len(left), len(right))):
        yield "".join(left[number : number + 1]), "".join(right[number : number + 1])


def _fitting(one: str, two: str, budget: TokenBudget) -> Iterable[tuple[str, str]]:
    """A pair of lines, in pieces where a line alone is too long."""
    if budget.has(one) and budget.has(two):
        yield one, two
        return
    left = [chunk.text for chunk in chunking.split(one, budget)] if one else []
    right = [chunk.text for chunk in chunking.split(two, budget)] if two else []
    yield from _aligned(left, right, equal=False)
