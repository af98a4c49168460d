"""AnswerQuestion: an answer from a given context, with the passage that proves it, which is checked."""

from collections.abc import Mapping
from typing import Any

from genai_spine.capabilities.answer_schemas import BOOLEAN, NUMBER, TEXT, TEXT_OR_NULL, record
from genai_spine.capabilities.base import Capability, ChunkResult
from genai_spine.capabilities.context import Answer, Context
from genai_spine.errors import InvalidFields
from genai_spine.text import answer_parsing
from genai_spine.text.chunking import TextChunk
from genai_spine.text.packing import SEPARATOR
from genai_spine.text.quotes import Quotes
from genai_spine.v1 import capability_service_pb2 as pb

Request = pb.AnswerQuestionRequest
Response = pb.AnswerQuestionResponse

NEGATIVE = ("false", "no")  # for answerable, where a model writes words


class AnswerQuestion(Capability[Request, Response]):
    """Extractive question answering over a given context, with verified evidence."""

    NAME = "answer-question"
    METHOD = "AnswerQuestion"
    REQUEST = Request
    RESPONSE = Response
    TEMPERATURE = 0.1
    SHAPE = record(answerable=BOOLEAN, evidence=TEXT_OR_NULL, answer=TEXT, confidence=NUMBER)

    def apply_defaults(self, request: Request) -> None:
        blank = [name for name in ("context", "question") if not getattr(request, name).strip()]
        if blank:
            raise InvalidFields([(name, "is required") for name in blank])

    def full_content(self, request: Request) -> TextChunk:
        return TextChunk(request.context)

    def variables(self, request: Request, chunk: TextChunk) -> dict[str, Any]:
        return {"context": chunk.text, "question": request.question}

    def read(self, answer: Answer, request: Request, chunk: TextChunk) -> Response:
        given: Mapping[str, Any] = answer_parsing.first_object(answer.text, "answer", "answerable") or {}
        if not given:
            given = {"answer": answer_parsing.prose(answer.text)}
        answer_text = answer_parsing.text_of(dict(given), "answer", "text")
        found = Response(answer=answer_text, confidence=answer_parsing.share(given.get("confidence")))
        if quoted := _quoted(given.get("evidence")):
            _place(found, quoted, chunk)
        known = given.get("answerable", True)
        told_no = known is False or (isinstance(known, str) and known.strip().casefold() in NEGATIVE)
        return _unanswerable_without_evidence(found, request, answerable=bool(answer_text) and not told_no)

    async def join(self, results: list[ChunkResult], request: Request, context: Context) -> Response:
        """The one answer that the chunks give; of several, one that is made of all of them."""
        given: list[Response] = [result.response for result in results]
        found = [one for one in given if one.answerable]
        if not found:
            return max(given, key=lambda one: one.confidence)
        found.sort(key=lambda one: (-one.evidence.verified, -one.confidence))
        if len({one.answer.casefold() for one in found}) == 1:
            return found[0]
        notes = SEPARATOR.join(_note(one) for one in found)
        if len(notes) * 2 > len(request.context):
            return found[0]
        whole = await self.process(await self.chunks(TextChunk(notes), request, context), request, context)
        quoted = whole.evidence.text or found[0].evidence.text
        whole.ClearField("evidence")
        if quoted:
            _place(whole, quoted, TextChunk(request.context))
        if not whole.evidence.verified and found[0].evidence.verified:
            whole.evidence.CopyFrom(found[0].evidence)
        return _unanswerable_without_evidence(whole, request, answerable=whole.answerable)


def _quoted(evidence: Any) -> str:
    """The passage of {"text"}, of a text, or the first one of a list."""
    if isinstance(evidence, list):
        evidence = evidence[0] if evidence else None
    if isinstance(evidence, dict):
        return answer_parsing.text_of(evidence, "text", "quote", "passage")
    return evidence.strip() if isinstance(evidence, str) else ""


def _place(response: Response, quoted: str, chunk: TextChunk) -> None:
    place = Quotes(chunk).find(quoted)
    response.evidence.text = place.text if place else quoted
    if place:
        response.evidence.start, response.evidence.end = place.start, place.end
        response.evidence.verified = True


def _unanswerable_without_evidence(response: Response, request: Request, *, answerable: bool) -> Response:
    """Response without its answer where require_evidence is set and no passage proves it."""
    response.answerable = answerable and (response.evidence.verified or not request.require_evidence)
    if not response.answerable:
        response.answer = ""
    return response


def _note(found: Response) -> str:
    """An answer of a chunk as the context of the question to all of them."""
    return f"{found.evidence.text}\n({found.answer})" if found.evidence.verified else found.answer
