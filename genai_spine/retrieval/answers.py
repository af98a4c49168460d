"""Answers from a collection: a text drawn from what was retrieved, and its citations, which are checked."""

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from genai_spine.call import Call
from genai_spine.costs import sum_costs, sum_usages
from genai_spine.errors import UnsupportedOperation
from genai_spine.retrieval.extracts import extracts
from genai_spine.retrieval.search import Retriever
from genai_spine.text.chunking import TextChunk
from genai_spine.text.quotes import Quotes
from genai_spine.v1.capability_service_pb2 import Citation, SynthesizeRequest
from genai_spine.v1.rag_pb2 import AnswerQueryRequest, AnswerQueryResponse, RagCitation, RagSource

EXTRACTIVE = "extractive"  # what answers in the place of a model

Synthesize = Callable[[SynthesizeRequest, Call], Awaitable[Any]]  # SynthesizeResponse


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers by one configuration's models."""

    retriever: Retriever
    synthesize: Synthesize

    async def answer(self, request: AnswerQueryRequest, call: Call) -> AnswerQueryResponse:
        """Answer to a question. Errors: those of Retriever.retrieve() and of Synthesize."""
        found = await self.retriever.retrieve(request, call)
        response = AnswerQueryResponse(
            sources=found.sources,
            collection_id=found.collection_id,
            reranked=found.reranked,
            usage=found.usage,
            cost=found.cost,
            request_id=call.request_id,
        )
        is_wanted = request.generate_answer or not request.HasField("generate_answer")
        if is_wanted and found.sources:
            await self._answer(response, request, call)
            await self._number_pages(response)
        response.latency_ms = call.latency_ms
        return response

    async def _number_pages(self, response: AnswerQueryResponse) -> None:
        """Writes the page that each passage begins on; a chunk may have several."""
        ids = [one.document_id for one in response.citations if one.HasField("page")]
        starts = await self.retriever.library.documents.page_starts(ids) if ids else {}
        for one in response.citations:
            if one.document_id in starts:
                one.page = max(1, bisect_right(starts[one.document_id], one.start_offset))

    async def _answer(self, response: AnswerQueryResponse, request: AnswerQueryRequest, call: Call) -> None:
        """Writes the answer and its citations."""
        asked = SynthesizeRequest(query=request.query, cost_labels=request.cost_labels)
        for name in ("model", "provider"):
            if request.HasField(name):
                setattr(asked, name, getattr(request, name))
        for source in response.sources:
            asked.documents.add(id=str(source.number), title=_title(source), content=source.content)
        try:
            made = await self.synthesize(asked, call)
        except UnsupportedOperation as error:  # by a provider without a language model, such as builtin
            _extract(response, request.query, error)
            return
        response.answer = made.synthesis
        response.citations.extend(_citations(made.citations, response.sources))
        response.unknown_citations.extend(made.unknown_citations)
        response.answerable = bool(response.citations)
        response.provider, response.model = made.result.provider, made.result.model
        response.usage.CopyFrom(sum_usages([response.usage, made.result.usage]))
        response.cost.CopyFrom(sum_costs([response.cost, made.result.cost]))


def _extract(response: AnswerQueryResponse, query: str, error: UnsupportedOperation) -> None:
    """Writes sentences of the sources as the answer, word for word, each with its citation."""
    found = extracts(query, response.sources)
    response.answer = " ".join(f"{one.text} [{one.source.number}]" for one in found)
    for one in found:
        cited = Citation(document_id=str(one.source.number), quote=one.text)
        response.citations.append(_citation(cited, one.source))
    response.answerable = bool(found)
    response.provider, response.model = error.metadata.get("provider", ""), EXTRACTIVE


def _title(source: RagSource) -> str:
    """Title of a source as the model reads it: with its page and headings."""
    page = f", page {source.first_page}" if source.HasField("first_page") else ""
    above = f", {' > '.join(source.headings)}" if source.headings else ""
    return f"{source.document_title or source.document_name}{page}{above}"[:300]


def _citations(cited: Sequence[Citation], sources: Sequence[RagSource]) -> list[RagCitation]:
    """Citations with the places of their passages in the documents."""
    by_id = {str(source.number): source for source in sources}
    return [_citation(one, by_id[one.document_id]) for one in cited if one.document_id in by_id]


def _citation(cited: Citation, source: RagSource) -> RagCitation:
    found = RagCitation(
        source_number=source.number,
        document_id=source.document_id,
        document_name=source.document_name,
        start_offset=source.start_offset,
        end_offset=source.end_offset,
    )
    if source.HasField("first_page"):
        found.page = source.first_page
    place = Quotes(TextChunk(source.content)).find(cited.quote) if cited.quote else None
    if place is not None:
        found.quote = place.text
        found.start_offset = source.start_offset + place.start
        found.end_offset = source.start_offset + place.end
    return found
