"""CompletionService: typed completions, embeddings and token counts."""

from collections.abc import AsyncGenerator

from genai_spine.call import Call
from genai_spine.catalog.models import Catalog
from genai_spine.delivery.background_completions import KeptCompletions
from genai_spine.inference.count_tokens import Counter
from genai_spine.inference.inference import Inference
from genai_spine.v1 import completion_service_pb2 as pb


class CompletionService:
    """RPCs of completions; all of them are inference's work."""

    def __init__(self, inference: Inference, catalog: Catalog, background: KeptCompletions) -> None:
        self.inference = inference
        self.catalog = catalog
        self.counter = Counter(catalog)
        self.background = background

    async def CreateCompletion(self, request: pb.CreateCompletionRequest, call: Call) -> pb.Completion:
        """Unary completion, with routing, retries, cache and cost."""
        return await self.inference.complete(request, call)

    def StreamCompletion(
        self, request: pb.CreateCompletionRequest, call: Call
    ) -> AsyncGenerator[pb.CompletionChunk]:
        """Streamed completion; the last chunk has usage and cost."""
        return self.inference.stream(request, call)

    async def CreateEmbeddings(
        self, request: pb.CreateEmbeddingsRequest, call: Call
    ) -> pb.CreateEmbeddingsResponse:
        """Embedding vectors of texts."""
        return await self.inference.embed(request, call)

    async def GetCompletion(self, request: pb.GetCompletionRequest, call: Call) -> pb.Completion:
        """Background completion by id. Errors: CompletionNotFound and the error that it ended with."""
        return await self.background.get(request.id)

    async def CountTokens(self, request: pb.CountTokensRequest, call: Call) -> pb.CountTokensResponse:
        """Number of input tokens, exact, by the provider, or estimated."""
        return await self.counter.count(request.request, call)
