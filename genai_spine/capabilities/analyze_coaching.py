"""AnalyzeCoaching: what was good in a conversation, and what would have been better."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from genai_spine.capabilities.answer_schemas import NUMBER, TEXT, TEXT_OR_NULL, record, several
from genai_spine.capabilities.base import Capability, ChunkResult
from genai_spine.capabilities.context import Answer, Context
from genai_spine.text import answer_parsing
from genai_spine.text.chunking import TextChunk
from genai_spine.text.quotes import Quotes
from genai_spine.v1 import capability_service_pb2 as pb

MAX_POINTS = 10  # of each kind
BEST = 100
GOOD = record(point=TEXT, evidence=TEXT_OR_NULL)
BETTER = record(point=TEXT, suggestion=TEXT, evidence=TEXT_OR_NULL)

Request = pb.AnalyzeCoachingRequest
Response = pb.AnalyzeCoachingResponse


class AnalyzeCoaching(Capability[Request, Response]):
    """Coaching analysis of a conversation: score, strengths, improvements and advice."""

    NAME = "analyze-coaching"
    METHOD = "AnalyzeCoaching"
    REQUEST = Request
    RESPONSE = Response
    TEMPERATURE = 0.2
    SHAPE: ClassVar[Mapping[str, Any]] = record(
        score=NUMBER, strengths=several(GOOD), improvements=several(BETTER), advice=TEXT
    )

    def variables(self, request: Request, chunk: TextChunk) -> dict[str, Any]:
        return {
            "content": chunk.text,
            "agent": request.agent,
            "summary": request.summary,
            "sentiment": request.sentiment,
            "focus": request.focus,
        }

    def read(self, answer: Answer, request: Request, chunk: TextChunk) -> Response:
        given = answer_parsing.first_object(answer.text, "strengths", "improvements", "score", "advice")
        if not given:
            raise answer_parsing.UnreadableAnswer("the answer holds no coaching")
        response = Response(
            score=_score(given.get("score")),
            strengths=_points(given.get("strengths"), chunk),
            improvements=_points(given.get("improvements"), chunk),
            advice=answer_parsing.text_of(given, "advice", "summary"),
        )
        if not response.strengths and not response.improvements and not response.advice:
            raise answer_parsing.UnreadableAnswer("the answer holds neither points nor advice")
        return response

    async def join(self, results: list[ChunkResult], request: Request, context: Context) -> Response:
        """Points of all chunks, and the mean of their scores by the length of the chunks."""
        weights = [max(1, len(result.chunk.text)) for result in results]
        scores = [result.response.score for result in results]
        total = sum(weight * score for weight, score in zip(weights, scores, strict=True))
        return Response(
            score=round(total / sum(weights)),
            strengths=_distinct([point for result in results for point in result.response.strengths]),
            improvements=_distinct([point for result in results for point in result.response.improvements]),
            advice="\n".join(result.response.advice for result in results if result.response.advice),
        )


def _points(given: Any, chunk: TextChunk) -> list[pb.CoachingPoint]:
    return _distinct(list(_read(given if isinstance(given, list) else [], Quotes(chunk))))


def _read(given: list[Any], quotes: Quotes) -> Iterator[pb.CoachingPoint]:
    for item in given:
        fields = item if isinstance(item, dict) else {"point": item} if isinstance(item, str) else {}
        point = answer_parsing.text_of(fields, "point", "text", "title", "description")
        if not point:
            continue
        found = pb.CoachingPoint(point=point)
        if suggestion := answer_parsing.text_of(fields, "suggestion", "advice"):
            found.suggestion = suggestion
        if place := quotes.find(answer_parsing.text_of(fields, "evidence", "quote")):
            found.evidence = place.text
        yield found


def _distinct(points: Sequence[pb.CoachingPoint]) -> list[pb.CoachingPoint]:
    """Points that say different things, at most MAX_POINTS."""
    found = {" ".join(one.point.casefold().split()): one for one in reversed(points)}
    return [one for one in points if found[" ".join(one.point.casefold().split())] is one][:MAX_POINTS]


def _score(given: Any) -> int:
    """Score from 0 to 100; nothing that is a number is 0."""
    try:
        number = float(given)
    except (TypeError, ValueError, OverflowError):
        return 0
    return round(min(float(BEST), max(0.0, number))) if number == number else 0  # not of NaN
