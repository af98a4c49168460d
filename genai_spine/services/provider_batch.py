"""ProviderBatchService: batches that providers work on; their cost is booked when they have ended."""

from collections.abc import Awaitable, Callable, Iterable

from genai_spine import page_tokens
from genai_spine.access.object_references import references
from genai_spine.access.provider_objects import ObjectOwners, OwnedPage
from genai_spine.call import Call
from genai_spine.errors import ServiceUnavailable
from genai_spine.inference.batches.settlement import BatchSettlement
from genai_spine.providers.base import Provider
from genai_spine.routing.router import Router
from genai_spine.store.provider_objects import ListPlace
from genai_spine.v1 import provider_batch_service_pb2 as pb

# Whether a provider's batch, by its id there and its labels, has items of a run.
IsOfRun = Callable[[str, str, Iterable[str]], Awaitable[bool]]
DEFAULT_PAGE_SIZE = 20  # of a list that is made of our own rows


class ProviderBatchService:
    """RPCs of batches. A batch of another tenant is ProviderObjectNotFound, like one that is not there."""

    def __init__(
        self,
        router: Router,
        books: BatchSettlement,
        owners: ObjectOwners,
        own: Provider | None = None,
        is_of_run: IsOfRun | None = None,
    ) -> None:
        """own: this service itself, whose batches are runs. is_of_run: whether a run settles its lines."""
        self.router = router
        self.books = books
        self.owners = owners
        self.own = own
        self.is_of_run = is_of_run

    async def CreateBatch(self, request: pb.CreateBatchRequest, call: Call) -> pb.ProviderBatch:
        """New batch at a provider over an uploaded file; its cost labels are kept for its lines.

        Errors: NotPermittedToKey, ProviderObjectNotFound, BudgetExceeded; ServiceUnavailable where it cannot
        be recorded whose it is.
        """
        self.router.permissions.check_any_model(call)
        provider = self._provider(request.provider, call)
        await self.owners.check(provider.name, "file", request.input_file_id, call)
        await self.owners.check_references(provider.name, references(request.provider_options_json), call)
        await self.books.admit(call)
        batch = await provider.create_batch(request, call)
        if not await self.owners.add(provider.name, "batch", batch.id, call, call.cost_labels):
            call.billed.add(batch.id)  # some of its lines may be, before it is cancelled
            await provider.cancel_batch(batch.id, call)
            raise ServiceUnavailable(cause="its database does not record whose the batch is")
        return batch

    async def GetBatch(self, request: pb.GetBatchRequest, call: Call) -> pb.ProviderBatch:
        """State of a batch; once it has ended, its cost is booked, unless it is a run's, which does that."""
        provider = await self._checked(request, call)
        batch = await provider.get_batch(request.batch_id, call)
        await self._record_outputs(batch, provider, call)
        if provider is self.own:  # whose calls are on the books as they are made
            return batch
        keys = batch.metadata.values()
        if self.is_of_run is None or not await self.is_of_run(provider.name, batch.id, keys):
            await self.books.settle(batch, provider, call)
        return batch

    async def ListBatches(self, request: pb.ListBatchesRequest, call: Call) -> pb.ListBatchesResponse:
        """Page of a tenant's batches at a provider."""
        provider = self._provider(request.provider, call)
        (after,) = page_tokens.place(request, str) or ("",)
        size = page_tokens.size(request, DEFAULT_PAGE_SIZE)
        place = ListPlace(provider.name, "batch", call.principal.tenant_id, size, after)

        async def listed() -> OwnedPage[pb.ProviderBatch]:
            page = await provider.list_batches(page_tokens.with_cursor(request), call)
            return OwnedPage(list(page.batches), page.next_page_token)

        page = await self.owners.visible(place, listed, lambda id: provider.get_batch(id, call), call)
        for batch in page.objects:
            await self._record_outputs(batch, provider, call)
        return pb.ListBatchesResponse(
            batches=page.objects, next_page_token=page.end and page_tokens.token(request, page.end)
        )

    async def CancelBatch(self, request: pb.CancelBatchRequest, call: Call) -> pb.ProviderBatch:
        """Cancellation of a batch."""
        return await (await self._checked(request, call)).cancel_batch(request.batch_id, call)

    async def _record_outputs(self, batch: pb.ProviderBatch, provider: Provider, call: Call) -> None:
        """Makes the files that the provider wrote for a batch those of its tenant."""
        files = [id for id in (batch.output_file_id, batch.error_file_id) if id]
        if files:
            await self.owners.add_files(provider.name, files, call)

    async def _checked(self, request: pb.GetBatchRequest | pb.CancelBatchRequest, call: Call) -> Provider:
        """Provider of a batch of the caller. Errors: InvalidRequest, ProviderObjectNotFound."""
        provider = self._provider(request.provider, call)
        await self.owners.check(provider.name, "batch", request.batch_id, call)
        return provider

    def _provider(self, name: str, call: Call) -> Provider:
        """Adapter of a provider by name.

        Errors: InvalidRequest (unknown, or not configured), NotPermittedToKey.
        """
        if self.own is not None and name == self.own.name:
            return self.own
        provider = self.router.resolve(name, "any").provider
        self.router.permissions.check_provider(provider.name, call)
        return provider
