"""ProviderFileService: files stored at providers, streamed through."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from google.api.httpbody_pb2 import HttpBody

from genai_spine.call import Call
from genai_spine.providers.base import Provider
from genai_spine.routing.router import Router
from genai_spine.v1 import provider_file_service_pb2 as pb


class ProviderFileService:
    """RPCs of files."""

    def __init__(self, router: Router) -> None:
        self.router = router

    async def UploadFile(self, request: pb.UploadFileRequest, call: Call) -> pb.ProviderFile:
        """Upload of a file to a provider."""
        return await self._provider(request.provider).upload_file(request, call)

    async def ListFiles(self, request: pb.ListFilesRequest, call: Call) -> pb.ListFilesResponse:
        """Page of a provider's files."""
        return await self._provider(request.provider).list_files(request, call)

    async def GetFile(self, request: pb.GetFileRequest, call: Call) -> pb.ProviderFile:
        """Metadata of a file."""
        return await self._provider(request.provider).get_file(request.file_id, call)

    async def DeleteFile(self, request: pb.DeleteFileRequest, call: Call) -> pb.DeleteFileResponse:
        """Deletion of a file."""
        return await self._provider(request.provider).delete_file(request.file_id, call)

    async def DownloadFile(self, request: pb.DownloadFileRequest, call: Call) -> AsyncGenerator[HttpBody]:
        """Bytes of a file, streamed."""
        pieces = self._provider(request.provider).read_file(request.file_id, call)
        begun = False
        async with aclosing(pieces):
            async for media_type, data in pieces:
                yield HttpBody(data=data, content_type="" if begun else media_type or OCTETS)
                begun = True
        if not begun:
            yield HttpBody(content_type=OCTETS)

    def _provider(self, name: str) -> Provider:
        """Adapter of a provider by name. Errors: InvalidRequest (unknown, or not configured)."""
        return self.router.resolve(name, "any").provider


OCTETS = "application/octet-stream"
