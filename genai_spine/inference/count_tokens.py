"""CountTokens: how many tokens an input has, by the best counter that there is for its model."""

from genai_spine.call import Call
from genai_spine.catalog.models import Catalog
from genai_spine.errors import UnsupportedOperation
from genai_spine.providers.base import Provider
from genai_spine.tokens import counts
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import usage_pb2


class TokenCounter:
    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    async def count(self, request: pb.CreateCompletionRequest, call: Call) -> pb.CountTokensResponse:
        """Errors: those of routing and of the provider. The request is resolved by it."""
        route = self.catalog.router.resolve(request.provider, request.model)
        request.provider, request.model = route.provider.name, route.model
        response = pb.CountTokensResponse(provider=route.provider.name, model=route.model)
        await _count(response, request, route.provider, call)
        length = self.catalog.context_length(route.provider.name, route.model)
        response.fits = length is None or response.input_tokens + (request.max_tokens or 1) <= length
        if length is not None:
            response.context_length = length
        return response


async def _count(
    response: pb.CountTokensResponse, request: pb.CreateCompletionRequest, provider: Provider, call: Call
) -> None:
    """Its own encoding if that leaves no doubt, else the upstream's counter, else an estimate."""
    tokenizer = await Tokenizer.of(request.model)
    counted = await counts.tally_in_thread(request, tokenizer)
    response.counter, response.provenance = tokenizer.name, counted.provenance
    response.input_tokens = counted.tokens
    if not counted.exact:
        try:
            response.input_tokens = await provider.count_tokens(request, call)
        except UnsupportedOperation:
            return
        response.counter, response.provenance = "provider", usage_pb2.PROVENANCE_PROVIDER_REPORTED
