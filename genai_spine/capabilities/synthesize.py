"""Synthesize: one text drawn from several documents, whose citations are resolved against them."""

from collections.abc import Mapping
from typing import Any

from genai_spine.capabilities.answer_schemas import TEXT, TEXT_OR_NULL, record, several
from genai_spine.capabilities.base import Capability, ChunkResult
from genai_spine.capabilities.context import Answer, Context
from genai_spine.errors import InvalidFields
from genai_spine.text import answer_parsing, citations, documents
from genai_spine.text.chunking import TextChunk, TokenBudget
from genai_spine.text.packing import SEPARATOR
from genai_spine.v1 import capability_service_pb2 as pb

KEYS = ("synthesis", "text", "answer", "summary")
CITED = record(synthesis=TEXT, citations=several(record(id=TEXT, quote=TEXT_OR_NULL)))

Request = pb.SynthesizeRequest
Response = pb.SynthesizeResponse


class Synthesize(Capability[Request, Response]):
    """Synthesis of several documents, with citations on request."""

    NAME = "synthesize"
    METHOD = "Synthesize"
    REQUEST = Request
    RESPONSE = Response
    TEMPERATURE = 0.3

    def apply_defaults(self, request: Request) -> None:
        request.synthesis_type = request.synthesis_type or "answer"
        problems = [] if request.query.strip() else [("query", "is required")]
        problems += documents.assign_ids(request.documents)
        if problems:
            raise InvalidFields(problems)

    def full_content(self, request: Request) -> TextChunk:
        return documents.joined(request.documents)

    def shape(self, request: Request) -> Mapping[str, Any] | None:
        return CITED if request.documents and _cites(request) else None

    def variables(self, request: Request, chunk: TextChunk) -> dict[str, Any]:
        return {
            "documents": chunk.text if request.documents else "",
            "results": "" if request.documents else chunk.text,
            "query": request.query,
            "synthesis_type": request.synthesis_type,
            "cite_sources": _cites(request),
        }

    def shortened(self, whole: TextChunk, budget: TokenBudget) -> TextChunk:
        if not isinstance(whole, documents.DocumentsText):
            return super().shortened(whole, budget)
        return documents.shortened(whole.documents, budget)

    def split(self, whole: TextChunk, budget: TokenBudget) -> list[TextChunk]:
        if not isinstance(whole, documents.DocumentsText):
            return super().split(whole, budget)
        return documents.split(whole.documents, budget)

    def read(self, answer: Answer, request: Request, chunk: TextChunk) -> Response:
        given = answer_parsing.first_object(answer.text, *KEYS)
        text = answer_parsing.text_of(given, *KEYS) if given else answer_parsing.prose(answer.text)
        if not text:
            raise answer_parsing.UnreadableAnswer("the answer holds no synthesis")
        listed = given.get("citations") if given else None
        quotes = citations.quotes(listed if isinstance(listed, list) else [], request.documents)
        return _response(text, quotes, request)

    async def join(self, results: list[ChunkResult], request: Request, context: Context) -> Response:
        """Synthesis of the chunk texts, which keeps their citations."""
        quotes: dict[str, str] = {}
        for citation in (citation for result in results for citation in result.response.citations):
            if citation.HasField("quote"):
                quotes.setdefault(citation.document_id, citation.quote)
        last = Request()
        last.CopyFrom(request)
        last.ClearField("documents")
        texts = SEPARATOR.join(result.response.synthesis for result in results)
        whole = await self.process(await self.chunks(TextChunk(texts), last, context), last, context)
        return _response(whole.synthesis, quotes, request)


def _cites(request: Request) -> bool:
    return request.cite_sources or not request.HasField("cite_sources")


def _response(text: str, quotes: Mapping[str, str], request: Request) -> Response:
    found, unknown = citations.resolved(text, quotes, request.documents)
    return Response(synthesis=text, citations=found, unknown_citations=unknown)
