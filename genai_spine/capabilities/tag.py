"""Tag: tags for a text, those that are in use before others."""

from collections.abc import Iterable, Mapping
from typing import Any

from genai_spine.capabilities.answer_schemas import NUMBER, TEXT, one_of, record, several
from genai_spine.capabilities.base import Capability, ChunkResult
from genai_spine.capabilities.context import Answer, Context
from genai_spine.text import answer_parsing
from genai_spine.text.chunking import TextChunk
from genai_spine.v1 import capability_service_pb2 as pb

DEFAULT_TYPE = "topic"


class Tag(Capability[pb.TagRequest, pb.TagResponse]):
    """Tagging of a text, preferring existing tags, with relevance from 0 to 1."""

    NAME = "tag"
    METHOD = "Tag"
    REQUEST = pb.TagRequest
    RESPONSE = pb.TagResponse
    TEMPERATURE = 0.2

    def apply_defaults(self, request: pb.TagRequest) -> None:
        request.max_tags = request.max_tags or 5
        distinct = list(dict.fromkeys(request.tag_types)) or [DEFAULT_TYPE]
        del request.tag_types[:]
        request.tag_types.extend(distinct)

    def shape(self, request: pb.TagRequest) -> Mapping[str, Any]:
        one = record(tag=TEXT, type=one_of(request.tag_types), confidence=NUMBER)
        return record(tags=several(one))

    def variables(self, request: pb.TagRequest, chunk: TextChunk) -> dict[str, Any]:
        return {
            "content": chunk.text,
            "max_tags": request.max_tags,
            "tag_types": ", ".join(request.tag_types),
            "existing_tags": "\n".join(f"- {tag}" for tag in dict.fromkeys(request.existing_tags)),
        }

    def read(self, answer: Answer, request: pb.TagRequest, chunk: TextChunk) -> pb.TagResponse:
        given = answer_parsing.items(answer.text, "tags")
        found = [tag for tag in (_tag(item, request) for item in given) if tag]
        if given and not found:
            raise answer_parsing.UnreadableAnswer("the answer's list holds no tags of the wanted types")
        return _response(found, request)

    async def join(
        self, results: list[ChunkResult], request: pb.TagRequest, context: Context
    ) -> pb.TagResponse:
        """A vote in which the chunks weigh as much as they are long."""
        total = sum(len(result.chunk.text) for result in results)
        votes: dict[tuple[str, str], pb.FoundTag] = {}
        for result in results:
            share = len(result.chunk.text) / total
            for tag in result.response.tags:
                first = votes.setdefault((tag.tag.casefold(), tag.type), _without_votes(tag))
                first.confidence = round(first.confidence + share * tag.confidence, 6)
        return _response(votes.values(), request)


def _without_votes(tag: pb.FoundTag) -> pb.FoundTag:
    return pb.FoundTag(tag=tag.tag, type=tag.type, existing=tag.existing)


def _tag(item: Any, request: pb.TagRequest) -> pb.FoundTag | None:
    """Tag of an entry. None: it has no name, or its type was not requested."""
    if isinstance(item, str):
        item = {"tag": item}
    name = " ".join(answer_parsing.text_of(item, "tag", "name", "text", "label").lstrip("#").split())
    named = answer_parsing.text_of(item, "type", "tag_type", "kind")
    kind = answer_parsing.known(named, request.tag_types)
    if kind is None and (not named or len(request.tag_types) == 1):
        kind = request.tag_types[0]
    if not name or kind is None:
        return None
    existing = answer_parsing.known(name, request.existing_tags)
    sure = answer_parsing.share(item.get("confidence"))
    return pb.FoundTag(tag=existing or name, type=kind, confidence=sure, existing=existing is not None)


def _response(found: Iterable[pb.FoundTag], request: pb.TagRequest) -> pb.TagResponse:
    """The surest first, each once, whatever its case and whether words are joined by blanks or hyphens."""
    kept: list[pb.FoundTag] = []
    for tag in sorted(found, key=lambda tag: -tag.confidence):
        if answer_parsing.known(tag.tag, (one.tag for one in kept)) is None:
            kept.append(tag)
    return pb.TagResponse(tags=kept[: request.max_tags])
