"""PII detection as DetectPii and Redact have it: patterns always, and beside them what a model finds."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, TypeVar

from genai_spine.capabilities.answer_schemas import NUMBER, TEXT, record, several
from genai_spine.capabilities.base import Capability
from genai_spine.capabilities.context import Answer
from genai_spine.errors import InvalidFields
from genai_spine.privacy.detection import check_types, detect
from genai_spine.privacy.own_patterns import OwnPatterns
from genai_spine.privacy.patterns import FINDERS
from genai_spine.privacy.spans import Span, merged
from genai_spine.text import answer_parsing
from genai_spine.text.chunking import TextChunk
from genai_spine.v1 import capability_service_pb2 as pb

PROVIDER, MODEL = "builtin", "pii-patterns"  # which answer unless the caller names others
MAX_SPANS = 100_000  # of one text
TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")

Request = TypeVar("Request", pb.DetectPiiRequest, pb.RedactRequest)
Response = TypeVar("Response", pb.DetectPiiResponse, pb.RedactResponse)


class PiiDetection(Capability[Request, Response]):
    """Base class of capabilities that work on the personal data in a text."""

    TEMPERATURE: ClassVar[float] = 0.0
    SHAPE = record(
        entities=several(record(text=TEXT, type=TEXT, start=NUMBER, end=NUMBER, confidence=NUMBER))
    )

    def apply_defaults(self, request: Request) -> None:
        if not request.model and not request.provider:
            request.provider = PROVIDER
        if request.provider == PROVIDER:
            request.model = request.model or MODEL
            check_types(request.entity_types, request.patterns)
        OwnPatterns(request.patterns)

    def slug(self, request: Request) -> str:
        return self.slugs()[0]

    def slugs(self) -> list[str]:
        return ["capability-detect-pii"]

    def variables(self, request: Request, chunk: TextChunk) -> dict[str, Any]:
        task: dict[str, Any] = {"content": chunk.text, "entity_types": [*request.entity_types]}
        return {"task": json.dumps(task | {"patterns": dict(request.patterns)}, ensure_ascii=False)}

    def spans(self, answer: Answer, request: Request, chunk: TextChunk) -> list[Span]:
        """Places of personal data in a text, in order, without overlaps.

        Errors: UnreadableAnswer; InvalidFields (more than MAX_SPANS).
        """
        known = [name for name in request.entity_types if name in FINDERS or name in request.patterns]
        found = [*_placed(answer, chunk.text, request.entity_types)]
        if known or not request.entity_types:
            found += detect(chunk.text, known, _patterns(request), most=MAX_SPANS)
        spans = [span for span in merged(found) if span.confidence >= request.min_confidence]
        if len(spans) > MAX_SPANS:
            raise InvalidFields([("content", f"must have at most {MAX_SPANS} entities")])
        return spans


def _patterns(request: Any) -> Mapping[str, str]:
    """Patterns of the types that are asked for."""
    types = request.entity_types
    return {name: regex for name, regex in request.patterns.items() if not types or name in types}


def _placed(answer: Answer, text: str, types: Any) -> Iterator[Span]:
    """Entities of an answer that stand in the text: at their place, or else wherever their value stands."""
    for item in answer_parsing.items(answer.text, "entities"):
        value = item.get("text") if isinstance(item, dict) else None
        name = answer_parsing.text_of(item, "type", "label", "category").upper() if value else ""
        if not isinstance(value, str) or not TYPE.fullmatch(name) or (types and name not in types):
            continue
        confidence, start = answer_parsing.share(item.get("confidence")), item.get("start")
        if _stands(text, value, start):
            yield Span(start, start + len(value), name, confidence)
            continue
        for match in re.finditer(rf"(?<!\w){re.escape(value)}(?!\w)", text):
            yield Span(match.start(), match.end(), name, confidence)


def _stands(text: str, value: str, start: Any) -> bool:
    """Whether a value stands in a text at a place that a model gave."""
    return isinstance(start, int) and start >= 0 and text.startswith(value, start)
