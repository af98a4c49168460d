"""Classify: which of the given categories a text belongs to, the surest first."""

from collections.abc import Iterable, Mapping
from typing import Any

from genai_spine.capabilities.base import Capability, ChunkResult
from genai_spine.capabilities.context import Answer, Context
from genai_spine.text import answer_parsing
from genai_spine.text.chunking import TextChunk
from genai_spine.v1 import capability_service_pb2 as pb


class Classify(Capability[pb.ClassifyRequest, pb.ClassifyResponse]):
    """Single-label or multi-label classification with confidences from 0 to 1."""

    NAME = "classify"
    METHOD = "Classify"
    REQUEST = pb.ClassifyRequest
    RESPONSE = pb.ClassifyResponse
    TEMPERATURE = 0.1

    def apply_defaults(self, request: pb.ClassifyRequest) -> None:
        distinct = list(dict.fromkeys(request.categories))
        del request.categories[:]
        request.categories.extend(distinct)

    def shape(self, request: pb.ClassifyRequest) -> Mapping[str, Any]:
        one = {
            "type": "object",
            "properties": {
                "category": {"type": "string", "enum": list(request.categories)},
                "confidence": {"type": "number"},
            },
            "required": ["category", "confidence"],
            "additionalProperties": False,
        }
        return {
            "type": "object",
            "properties": {"classifications": {"type": "array", "items": one}},
            "required": ["classifications"],
            "additionalProperties": False,
        }

    def variables(self, request: pb.ClassifyRequest, chunk: TextChunk) -> dict[str, Any]:
        return {
            "content": chunk.text,
            "categories": "\n".join(f"- {category}" for category in request.categories),
            "multi_label": request.multi_label,
        }

    def read(self, answer: Answer, request: pb.ClassifyRequest, chunk: TextChunk) -> pb.ClassifyResponse:
        return _response(answer_parsing.classifications(answer.text, request.categories), request)

    async def finish(self, response: pb.ClassifyResponse, request: pb.ClassifyRequest) -> None:
        if request.HasField("include_confidence") and not request.include_confidence:
            for entry in response.classifications:
                entry.ClearField("confidence")

    async def join(
        self, results: list[ChunkResult], request: pb.ClassifyRequest, context: Context
    ) -> pb.ClassifyResponse:
        """A vote in which the chunks weigh as much as they are long.

        A category's confidence is its mean over all of the content; with one label, each chunk votes for
        its surest category.
        """
        total = sum(len(result.chunk.text) for result in results)
        votes: dict[str, float] = {}
        for result in results:
            weight = len(result.chunk.text) / total
            for entry in result.response.classifications:
                votes[entry.category] = votes.get(entry.category, 0.0) + weight * entry.confidence
        ordered = sorted(votes.items(), key=lambda pair: -pair[1])
        return _response([(category, round(sure, 6)) for category, sure in ordered], request)


def _response(found: Iterable[tuple[str, float]], request: pb.ClassifyRequest) -> pb.ClassifyResponse:
    best = list(found)[: None if request.multi_label else 1]
    primary = best[0][0]
    return pb.ClassifyResponse(
        classifications=[pb.Classification(category=category, confidence=sure) for category, sure in best],
        primary_category=primary,
        category=primary,
        classification=primary,
    )
