"""Retrieval: the chunks that a query is about, by vectors and words; a model reranks them on request."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from genai_spine.call import Call
from genai_spine.concurrency import gather_or_cancel
from genai_spine.costs import sum_costs, sum_usages
from genai_spine.retrieval import embedding
from genai_spine.retrieval.collections import CollectionLibrary
from genai_spine.retrieval.embedding import Embed
from genai_spine.retrieval.ranking import DEFAULT_KEYWORD_WEIGHT, Ranked, fused, words_of
from genai_spine.store.rag.collections import StoredCollection
from genai_spine.store.rag.vectors import ChunkSearch, Hit, Scope
from genai_spine.v1.rag_pb2 import AnswerQueryRequest, RagSource, RetrieveRequest, RetrieveResponse
from genai_spine.v1.usage_pb2 import Cost, Usage

DEFAULT_TOP_K = 5
POOL = 50  # chunks that each of the two ways brings at least
POOL_FACTOR = 4  # times those that are asked for

Query = RetrieveRequest | AnswerQueryRequest


class Spent(NamedTuple):
    """Usage and cost of a call."""

    usage: Usage
    cost: Cost


# Places of some texts in the order of their relevance (0 to 1) to a query, and what that cost.
Rerank = Callable[[str, Sequence[str], Any, Call], Awaitable[tuple[list[tuple[int, float]], Spent]]]


@dataclass(frozen=True, slots=True)
class Retriever:
    """Retrieval from collections, by one configuration's models."""

    library: CollectionLibrary
    search: ChunkSearch
    embed: Embed
    rerank: Rerank

    async def retrieve(self, request: Query, call: Call) -> RetrieveResponse:
        """Chunks that a query is about, the most relevant first.

        Errors: CollectionNotFound, VectorStoreUnavailable, EmbeddingMismatch, those of CreateEmbeddings and,
        with rerank, of CreateCompletion.
        """
        stored = await self.library.found(request.collection, call.principal.tenant_id)
        response = RetrieveResponse(collection_id=stored.id, request_id=call.request_id)
        spent: list[Spent] = []
        ranked = await self._ranked(stored, request, call, spent) if stored.dimensions else []
        size = request.top_k or DEFAULT_TOP_K
        wanted = ranked[: _pool(size) if request.rerank else size]
        found = await self.library.documents.sources([one.chunk_id for one in wanted])
        sources = [_source(found[one.chunk_id], one) for one in wanted if one.chunk_id in found]
        if request.rerank and len(sources) > 1:
            order, cost = await self.rerank(request.query, [one.content for one in sources], request, call)
            spent.append(cost)
            sources = [_with_score(sources[place], score) for place, score in order]
            response.reranked = True
        kept = [one for one in sources if one.relevance_score >= request.min_score][:size]
        for number, one in enumerate(kept, 1):
            one.number = number
        response.sources.extend(kept)
        response.usage.CopyFrom(sum_usages([one.usage for one in spent]))
        response.cost.CopyFrom(sum_costs([one.cost for one in spent]))
        response.latency_ms = call.latency_ms
        return response

    async def _ranked(
        self, stored: StoredCollection, request: Query, call: Call, spent: list[Spent]
    ) -> list[Ranked]:
        """Chunks in the order of their relevance, without their texts."""
        scope = Scope(stored)
        if request.filter or request.document_ids:
            ids = await self._documents(stored, request.filter, request.document_ids)
            if not ids:
                return []
            scope = Scope(stored, ids)
        weight = request.keyword_weight if request.HasField("keyword_weight") else DEFAULT_KEYWORD_WEIGHT
        size = _pool(request.top_k or DEFAULT_TOP_K)
        words = words_of(request.query) if weight > 0 else []
        if weight >= 1:
            return fused({}, await self.search.with_words(scope, words, size), weight)
        vector = await self._vector(stored, request, call, spent)
        nearest, with_words = await gather_or_cancel(
            [self.search.nearest(scope, vector, size), self.search.with_words(scope, words, size)]
        )
        return fused(await self._cosines(scope, vector, nearest, with_words), with_words, weight)

    async def _documents(
        self, stored: StoredCollection, metadata: Mapping[str, str], ids: Sequence[str]
    ) -> list[str]:
        return await self.library.documents.matching(stored.id, metadata, ids)

    async def _vector(self, stored: StoredCollection, request: Query, call: Call, spent: list[Spent]) -> Any:
        asked = embedding.request_of(stored, [request.query], request.cost_labels)
        response = await self.embed(asked, call)
        spent.append(Spent(response.usage, response.cost))
        return embedding.vectors_of(response, 1, stored)[0]

    async def _cosines(
        self, scope: Scope, vector: Any, nearest: Sequence[Hit], with_words: Sequence[Hit]
    ) -> dict[int, float]:
        """Cosines of all that was found: of what words alone have found they are looked up."""
        cosines = {hit.chunk_id: hit.score for hit in nearest}
        if missing := [hit.chunk_id for hit in with_words if hit.chunk_id not in cosines]:
            cosines |= await self.search.cosines(scope, vector, missing)
        return cosines


def _pool(size: int) -> int:
    return max(POOL, POOL_FACTOR * size)


def _source(source: RagSource, ranked: Ranked) -> RagSource:
    """Source with its scores."""
    source.relevance_score = ranked.relevance
    if ranked.vector is not None:
        source.vector_score = ranked.vector
    if ranked.keyword is not None:
        source.keyword_score = ranked.keyword
    return source


def _with_score(source: RagSource, score: float) -> RagSource:
    source.relevance_score = score
    return source
