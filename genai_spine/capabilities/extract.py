"""Extract: named things in a text, each with its place in it, which is checked."""

from collections.abc import Iterable, Mapping
from typing import Any

from genai_spine.capabilities.base import Capability, ChunkResult
from genai_spine.capabilities.context import Answer, Context
from genai_spine.text import answer_parsing
from genai_spine.text.chunking import TextChunk
from genai_spine.text.spans import SpanFinder, around
from genai_spine.v1 import capability_service_pb2 as pb

DEFAULT_TYPES = ("PERSON", "ORG", "LOCATION", "DATE", "MONEY")
# What models write for a type.
OTHER_NAMES = {
    "PER": "PERSON",
    "PEOPLE": "PERSON",
    "ORGANIZATION": "ORG",
    "ORGANISATION": "ORG",
    "COMPANY": "ORG",
    "LOC": "LOCATION",
    "GPE": "LOCATION",
    "PLACE": "LOCATION",
    "TIME": "DATE",
    "CURRENCY": "MONEY",
    "PERCENTAGE": "PERCENT",
}


class Extract(Capability[pb.ExtractRequest, pb.ExtractResponse]):
    """Named entity recognition, with verified spans."""

    NAME = "extract"
    METHOD = "Extract"
    REQUEST = pb.ExtractRequest
    RESPONSE = pb.ExtractResponse
    TEMPERATURE = 0.1

    def shape(self, request: pb.ExtractRequest) -> Mapping[str, Any]:
        entity = {
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "type": {"type": "string", "enum": list(request.entity_types)},
                "start": {"type": ["integer", "null"]},
                "confidence": {"type": "number"},
            },
            "required": ["text", "type", "start", "confidence"],
            "additionalProperties": False,
        }
        return {
            "type": "object",
            "properties": {"entities": {"type": "array", "items": entity}},
            "required": ["entities"],
            "additionalProperties": False,
        }

    def apply_defaults(self, request: pb.ExtractRequest) -> None:
        given = [*request.entity_types] or [*request.types] or [request.type] * bool(request.type)
        del request.entity_types[:]
        request.entity_types.extend(dict.fromkeys(given or DEFAULT_TYPES))

    def variables(self, request: pb.ExtractRequest, chunk: TextChunk) -> dict[str, Any]:
        return {"content": chunk.text, "entity_types": ", ".join(request.entity_types)}

    def read(self, answer: Answer, request: pb.ExtractRequest, chunk: TextChunk) -> pb.ExtractResponse:
        given = answer_parsing.items(answer.text, "entities")
        found = [entity for entity in (_entity(item, request.entity_types) for item in given) if entity]
        if given and not found and not any(isinstance(item, dict) and item.get("type") for item in given):
            raise answer_parsing.UnreadableAnswer("the answer's list holds no entities")
        places = SpanFinder(chunk.text, chunk.stretches())
        entities = [_placed(entity, places, chunk, request) for entity in found]
        remaining = [
            entity for entity in entities if entity.verified or request.unfound != pb.UNFOUND_ENTITY_DROP
        ]
        return _response(remaining)

    async def join(
        self, results: list[ChunkResult], request: pb.ExtractRequest, context: Context
    ) -> pb.ExtractResponse:
        """Entities of all chunks; one that does not stand in the content is listed once."""
        entities: dict[Any, pb.Entity] = {}
        for entity in (entity for result in results for entity in result.response.entities):
            key = (entity.start, entity.end, entity.type) if entity.verified else (entity.text, entity.type)
            entities.setdefault(key, entity)
        return _response(entities.values())


def _entity(item: Any, types: Iterable[str]) -> pb.Entity | None:
    """Entity as the model gives it, start unchecked. None: its type was not requested."""
    wanted = list(types)
    if isinstance(item, str):
        item = {"text": item}
    text = answer_parsing.text_of(item, "text", "entity", "value", "name")
    named = answer_parsing.text_of(item, "type", "label", "category")
    kind = answer_parsing.known(named, wanted) or answer_parsing.known(OTHER_NAMES.get(named.upper()), wanted)
    if kind is None and (not named or len(wanted) == 1):
        kind = wanted[0] if len(wanted) == 1 else None
    if not text or kind is None:
        return None
    entity = pb.Entity(text=text, type=kind, confidence=answer_parsing.share(item.get("confidence")))
    start = item.get("start")
    if isinstance(start, int) and not isinstance(start, bool) and 0 <= start < 2**32:
        entity.start = start
    return entity


def _placed(entity: pb.Entity, places: SpanFinder, chunk: TextChunk, request: pb.ExtractRequest) -> pb.Entity:
    """The entity at its place in the content, or without one."""
    near = entity.start if entity.HasField("start") else None
    span = places.find(entity.text, near, entity.type)
    if span is None:
        entity.ClearField("start")
        return entity
    entity.verified, entity.text = True, chunk.text[span[0] : span[1]]
    entity.start, entity.end = chunk.origin(span[0]), chunk.origin(span[1] - 1) + 1
    if request.include_context:
        entity.context = around(request.content, (entity.start, entity.end))
    return entity


def _response(entities: Iterable[pb.Entity]) -> pb.ExtractResponse:
    """Response with entities in the order of the content; unverified ones come last."""
    ordered = sorted(entities, key=lambda entity: (not entity.verified, entity.start, entity.end))
    return pb.ExtractResponse(entities=ordered, entity_count=len(ordered))
