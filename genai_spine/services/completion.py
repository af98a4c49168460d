"""CompletionService: typed completions, embeddings and token counts."""

from genai_spine.call import Call
from genai_spine.catalog.models import Catalog
from genai_spine.delivery.background_completions import BackgroundCompletions
from genai_spine.inference.count_tokens import TokenCounter
from genai_spine.inference.inference import Inference
from genai_spine.v1 import completion_service_pb2 as pb


class CompletionService:
    """RPCs of completions; all of them are inference's work."""

    def __init__(self, inference: Inference, catalog: Catalog, background: BackgroundCompletions) -> None:
        self.inference = inference
        self.catalog = catalog
        self.counter = TokenCounter(catalog)
        self.background = background
        # Their messages are inference's own: there is nothing to translate.
        self.CreateCompletion = inference.complete
        self.StreamCompletion = inference.stream
        self.CreateEmbeddings = inference.embed

    async def GetCompletion(self, request: pb.GetCompletionRequest, call: Call) -> pb.Completion:
        """Background completion by id. Errors: CompletionNotFound and the error that it ended with."""
        return await self.background.get(request.id, call.principal.tenant_id)

    async def CountTokens(self, request: pb.CountTokensRequest, call: Call) -> pb.CountTokensResponse:
        """Number of input tokens, exact, by the provider, or estimated."""
        return await self.counter.count(request.request, call)
