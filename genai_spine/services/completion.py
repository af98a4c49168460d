"""CompletionService: typed completions, embeddings and token counts."""

from collections.abc import AsyncGenerator

from genai_spine.call import Call
from genai_spine.catalog.models import Catalog
from genai_spine.delivery.background_completions import BackgroundCompletions
from genai_spine.inference.count_tokens import TokenCounter
from genai_spine.inference.inference import Inference
from genai_spine.v1 import completion_service_pb2 as pb


class CompletionService:
    def __init__(self, inference: Inference, catalog: Catalog, kept: BackgroundCompletions) -> None:
        self.inference = inference
        self.catalog = catalog
        self.counter = TokenCounter(catalog)
        self.kept = kept

    async def CreateCompletion(self, request: pb.CreateCompletionRequest, call: Call) -> pb.Completion:
        return await self.inference.complete(request, call)

    def StreamCompletion(
        self, request: pb.CreateCompletionRequest, call: Call
    ) -> AsyncGenerator[pb.CompletionChunk]:
        return self.inference.stream(request, call)

    async def CreateEmbeddings(
        self, request: pb.CreateEmbeddingsRequest, call: Call
    ) -> pb.CreateEmbeddingsResponse:
        return await self.inference.embed(request, call)

    async def GetCompletion(self, request: pb.GetCompletionRequest, call: Call) -> pb.Completion:
        return await self.kept.get(request.id)

    async def CountTokens(self, request: pb.CountTokensRequest, call: Call) -> pb.CountTokensResponse:
        return await self.counter.count(request.request, call)
