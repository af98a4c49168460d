"""CountTokens: tokens of an input, by the best counter that there is for its model."""

from genai_spine.call import Call
from genai_spine.catalog.models import Catalog
from genai_spine.errors import UnsupportedOperation
from genai_spine.guardrails.guard import guard_of
from genai_spine.providers.base import Route
from genai_spine.tokens import counts
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import usage_pb2


class TokenCounter:
    """Counts by the model's own encoding, the upstream's counter or an estimate, in this order."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    async def count(self, request: pb.CreateCompletionRequest, call: Call) -> pb.CountTokensResponse:
        """Tokens of the input, who counted them, and whether they fit the context.

        Errors: those of routing and of the provider, NotPermittedToKey, GuardrailTriggered.
        """
        guard = guard_of(call)
        if guard is not None:
            request = await guard.before(request)
        router = self.catalog.router
        route = router.permitted(router.routes(request.provider, request.model), request.model, call)[0]
        response = pb.CountTokensResponse(provider=route.provider.name, model=route.model)
        await self._count(response, request, route, call)
        length = self.catalog.context_length(route.provider.name, route.model)
        if length is None:
            length = await self.catalog.live(route.provider).context_length(route.model, call)
        response.fits = length is None or response.input_tokens + (request.max_tokens or 1) <= length
        if length is not None:
            response.context_length = length
        return response

    async def _count(
        self, response: pb.CountTokensResponse, request: pb.CreateCompletionRequest, route: Route, call: Call
    ) -> None:
        tokenizer = await Tokenizer.of(route.model)
        tally = await counts.tally_in_thread(request, tokenizer)
        response.counter, response.provenance = tokenizer.name, tally.provenance
        response.input_tokens = tally.tokens
        if not tally.exact:
            provider = self.catalog.live(route.provider)
            try:
                response.input_tokens = await provider.count_tokens(request, route, call)
            except UnsupportedOperation:
                return
            response.counter, response.provenance = "provider", usage_pb2.PROVENANCE_PROVIDER_REPORTED
