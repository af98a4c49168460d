"""Paraphrase: a text in other words, in exactly as many ways as are wanted."""

from collections.abc import Mapping
from typing import Any

from genai_spine.capabilities import echoes, reading
from genai_spine.capabilities.base import Capability, Part
from genai_spine.capabilities.context import Answer, Context, Limits
from genai_spine.capabilities.long_input import Piece, Room
from genai_spine.capabilities.shapes import TEXT, record, several
from genai_spine.v1 import capability_service_pb2 as pb

KEYS = ("paraphrase", "text", "paraphrased")
LISTS = ("paraphrases", "variations")


class Paraphrase(Capability[pb.ParaphraseRequest, pb.ParaphraseResponse]):
    NAME = "paraphrase"
    METHOD = "Paraphrase"
    REQUEST = pb.ParaphraseRequest
    RESPONSE = pb.ParaphraseResponse
    TEMPERATURE = 0.7
    ECHOES = True

    def settle(self, request: pb.ParaphraseRequest) -> None:
        request.variations = request.variations or 1

    def shape(self, request: pb.ParaphraseRequest) -> Mapping[str, Any] | None:
        """One way is answered as it is."""
        if request.variations == 1:
            return None
        return record(paraphrases=several(TEXT, minItems=request.variations))

    def variables(self, request: pb.ParaphraseRequest, piece: Piece) -> dict[str, Any]:
        return {
            "content": piece.text,
            "style": request.style,
            "variations": request.variations,
            "part": f"part {piece.number} of {piece.total}" if piece.total > 1 else "",
        }

    async def room(self, limits: Limits, request: pb.ParaphraseRequest, context: Context) -> Room:
        """The answer is as long as all the ways to say it together."""
        room = await super().room(limits, request, context)
        return Room(room.tokens // request.variations, room.measure)

    def read(self, answer: Answer, request: pb.ParaphraseRequest, piece: Piece) -> pb.ParaphraseResponse:
        if request.variations == 1:
            return _response([echoes.echo(answer, piece, *KEYS)])
        found = list(dict.fromkeys(_listed(answer.text)))
        if len(found) < request.variations:
            problem = f"the answer holds {len(found)} different texts in place of {request.variations}"
            raise reading.Unreadable(problem)
        return _response(found[: request.variations])

    async def join(
        self, parts: list[Part], request: pb.ParaphraseRequest, context: Context
    ) -> pb.ParaphraseResponse:
        """Each way is that way of all pieces, one after another."""
        return _response(
            [
                echoes.rejoined((part.piece, part.response.variations[number]) for part in parts)
                for number in range(request.variations)
            ]
        )


def _response(texts: list[str]) -> pb.ParaphraseResponse:
    return pb.ParaphraseResponse(paraphrase=texts[0], variations=texts)


def _listed(text: str) -> list[str]:
    """The texts of a JSON list of texts or objects, or of lines with numbers or bullets."""
    for key in LISTS:
        try:
            items = reading.items(text, key)
        except reading.Unreadable:
            continue
        given = [item if isinstance(item, str) else reading.text_of(item, *KEYS) for item in items]
        return [entry.strip() for entry in given if entry.strip()]
    lines = [line.strip() for line in reading.prose(text).splitlines()]
    return [reading.BULLET.sub("", line) for line in lines if reading.BULLET.match(line)]
