"""ProviderBatchService: batches that providers work on; their cost is booked when they have ended."""

from genai_spine.call import Call
from genai_spine.inference.batch_settlement import BatchBooks
from genai_spine.providers.base import Provider
from genai_spine.routing.router import Router
from genai_spine.v1 import provider_batch_service_pb2 as pb


class ProviderBatchService:
    """RPCs of batches."""

    def __init__(self, router: Router, books: BatchBooks) -> None:
        self.router = router
        self.books = books

    async def CreateBatch(self, request: pb.CreateBatchRequest, call: Call) -> pb.ProviderBatch:
        """New batch at a provider over an uploaded file."""
        return await self._provider(request.provider).create_batch(request, call)

    async def GetBatch(self, request: pb.GetBatchRequest, call: Call) -> pb.ProviderBatch:
        """State of a batch; once it has ended, its cost is booked."""
        provider = self._provider(request.provider)
        batch = await provider.get_batch(request.batch_id, call)
        await self.books.settle(batch, provider, call)
        return batch

    async def ListBatches(self, request: pb.ListBatchesRequest, call: Call) -> pb.ListBatchesResponse:
        """Page of a provider's batches."""
        return await self._provider(request.provider).list_batches(request, call)

    async def CancelBatch(self, request: pb.CancelBatchRequest, call: Call) -> pb.ProviderBatch:
        """Cancellation of a batch."""
        return await self._provider(request.provider).cancel_batch(request.batch_id, call)

    def _provider(self, name: str) -> Provider:
        """Adapter of a provider by name. Errors: InvalidRequest (unknown, or not configured)."""
        return self.router.resolve(name, "any").provider
