"""CompletionService: typed completions, embeddings and token counts."""

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
        # Their messages are inference's own: there is nothing to translate.
        self.CreateCompletion = inference.complete
        self.StreamCompletion = inference.stream
        self.CreateEmbeddings = inference.embed

    async def GetCompletion(self, request: pb.GetCompletionRequest, call: Call) -> pb.Completion:
        return await self.kept.get(request.id)

    async def CountTokens(self, request: pb.CountTokensRequest, call: Call) -> pb.CountTokensResponse:
        return await self.counter.count(request.request, call)
