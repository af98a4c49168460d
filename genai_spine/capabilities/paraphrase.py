"""Paraphrase: a text in other words, in exactly as many ways as are wanted."""

from collections.abc import Mapping
from typing import Any

from genai_spine.capabilities import full_text
from genai_spine.capabilities.answer_schemas import TEXT, record, several
from genai_spine.capabilities.base import Capability, ChunkResult
from genai_spine.capabilities.context import Answer, Context, ModelLimits
from genai_spine.text import answer_parsing
from genai_spine.text.chunking import TextChunk, TokenBudget
from genai_spine.v1 import capability_service_pb2 as pb

KEYS = ("paraphrase", "text", "paraphrased")
LISTS = ("paraphrases", "variations")


class Paraphrase(Capability[pb.ParaphraseRequest, pb.ParaphraseResponse]):
    """Paraphrases of a text, as many variants as requested."""

    NAME = "paraphrase"
    METHOD = "Paraphrase"
    REQUEST = pb.ParaphraseRequest
    RESPONSE = pb.ParaphraseResponse
    TEMPERATURE = 0.7
    ECHOES = True

    def apply_defaults(self, request: pb.ParaphraseRequest) -> None:
        request.variations = request.variations or 1

    def shape(self, request: pb.ParaphraseRequest) -> Mapping[str, Any] | None:
        """Schema for several variants; a single one is answered as plain text."""
        if request.variations == 1:
            return None
        return record(paraphrases=several(TEXT, minItems=request.variations))

    def variables(self, request: pb.ParaphraseRequest, chunk: TextChunk) -> dict[str, Any]:
        return {
            "content": chunk.text,
            "style": request.style,
            "variations": request.variations,
            "part": f"part {chunk.number} of {chunk.total}" if chunk.total > 1 else "",
        }

    async def budget(
        self, limits: ModelLimits, request: pb.ParaphraseRequest, context: Context
    ) -> TokenBudget:
        """The answer is as long as all the ways to say it together."""
        budget = await super().budget(limits, request, context)
        return TokenBudget(budget.tokens // request.variations, budget.measure)

    def read(self, answer: Answer, request: pb.ParaphraseRequest, chunk: TextChunk) -> pb.ParaphraseResponse:
        if request.variations == 1:
            return _response([full_text.full_text(answer, chunk, *KEYS)])
        found = list(dict.fromkeys(_listed(answer.text)))
        if len(found) < request.variations:
            problem = f"the answer holds {len(found)} different texts in place of {request.variations}"
            raise answer_parsing.UnreadableAnswer(problem)
        return _response(found[: request.variations])

    async def join(
        self, results: list[ChunkResult], request: pb.ParaphraseRequest, context: Context
    ) -> pb.ParaphraseResponse:
        """Variants of the whole text: each is that variant of all chunks, concatenated."""
        return _response(
            [
                full_text.rejoined((result.chunk, result.response.variations[number]) for result in results)
                for number in range(request.variations)
            ]
        )


def _response(texts: list[str]) -> pb.ParaphraseResponse:
    return pb.ParaphraseResponse(paraphrase=texts[0], variations=texts)


def _listed(text: str) -> list[str]:
    """The texts of a JSON list of texts or objects, or of lines with numbers or bullets."""
    for key in LISTS:
        try:
            items = answer_parsing.items(text, key)
        except answer_parsing.UnreadableAnswer:
            continue
        given = [item if isinstance(item, str) else answer_parsing.text_of(item, *KEYS) for item in items]
        return [entry.strip() for entry in given if entry.strip()]
    lines = [line.strip() for line in answer_parsing.prose(text).splitlines()]
    return [answer_parsing.BULLET.sub("", line) for line in lines if answer_parsing.BULLET.match(line)]
