"""ProviderFileService: files stored at providers, streamed through."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from google.api.httpbody_pb2 import HttpBody

from genai_spine import page_tokens
from genai_spine.access.provider_objects import ObjectOwners, OwnedPage
from genai_spine.call import Call
from genai_spine.errors import ServiceUnavailable
from genai_spine.providers.base import Provider
from genai_spine.routing.router import Router
from genai_spine.store.provider_objects import ListPlace
from genai_spine.v1 import provider_file_service_pb2 as pb

MAX_PAGE_SIZE = 100  # of a list that is made of our own rows: each file is asked for by itself


class ProviderFileService:
    """RPCs of files. A file of another tenant is ProviderObjectNotFound, like one that is not there."""

    def __init__(self, router: Router, owners: ObjectOwners, own: Provider | None = None) -> None:
        """own: this service itself, which keeps files by its own means."""
        self.router = router
        self.owners = owners
        self.own = own

    async def UploadFile(self, request: pb.UploadFileRequest, call: Call) -> pb.ProviderFile:
        """Upload of a file to a provider.

        Errors: ServiceUnavailable where it cannot be recorded whose it is.
        """
        provider = self._provider(request.provider, call)
        file = await provider.upload_file(request, call)
        if not await self.owners.add(provider.name, "file", file.id, call):
            await provider.delete_file(file.id, call)
            raise ServiceUnavailable(cause="its database does not record whose the file is")
        return file

    async def ListFiles(self, request: pb.ListFilesRequest, call: Call) -> pb.ListFilesResponse:
        """Page of a tenant's files at a provider; those for other purposes are left out."""
        provider = self._provider(request.provider, call)
        (after,) = page_tokens.place(request, str) or ("",)
        size = min(page_tokens.size(request, MAX_PAGE_SIZE), MAX_PAGE_SIZE)
        place = ListPlace(
            *(provider.name, "file", call.principal.tenant_id, size, after), oldest_first=request.oldest_first
        )

        async def listed() -> OwnedPage[pb.ProviderFile]:
            page = await provider.list_files(page_tokens.with_cursor(request), call)
            return OwnedPage(list(page.files), page.next_page_token)

        page = await self.owners.visible(place, listed, lambda id: provider.get_file(id, call), call)
        files = [file for file in page.objects if not request.purpose or file.purpose == request.purpose]
        return pb.ListFilesResponse(
            files=files, next_page_token=page.end and page_tokens.token(request, page.end)
        )

    async def GetFile(self, request: pb.GetFileRequest, call: Call) -> pb.ProviderFile:
        """Metadata of a file."""
        return await (await self._checked(request, call)).get_file(request.file_id, call)

    async def DeleteFile(self, request: pb.DeleteFileRequest, call: Call) -> pb.DeleteFileResponse:
        """Deletion of a file."""
        provider = await self._checked(request, call)
        deleted = await provider.delete_file(request.file_id, call)
        await self.owners.objects.remove(provider.name, request.file_id)
        return deleted

    async def DownloadFile(self, request: pb.DownloadFileRequest, call: Call) -> AsyncGenerator[HttpBody]:
        """Bytes of a file, streamed."""
        pieces = (await self._checked(request, call)).read_file(request.file_id, call)
        begun = False
        async with aclosing(pieces):
            async for media_type, data in pieces:
                yield HttpBody(data=data, content_type="" if begun else media_type or OCTETS)
                begun = True
        if not begun:
            yield HttpBody(content_type=OCTETS)

    async def _checked(
        self, request: pb.GetFileRequest | pb.DeleteFileRequest | pb.DownloadFileRequest, call: Call
    ) -> Provider:
        """Provider of a file of the caller. Errors: InvalidRequest, ProviderObjectNotFound."""
        provider = self._provider(request.provider, call)
        await self.owners.check(provider.name, "file", request.file_id, call)
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


OCTETS = "application/octet-stream"
