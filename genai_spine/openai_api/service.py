"""OpenAIService: RPCs of the OpenAI API over gRPC; each hands its body to a facade and wraps the answer."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

from google.api.httpbody_pb2 import HttpBody

from genai_spine.call import Call
from genai_spine.openai_api.chats.stored_chats import StoredChatFacade
from genai_spine.openai_api.facade import Answer, OpenAIFacade
from genai_spine.openai_api.files import FilesFacade
from genai_spine.openai_api.headers import first_message
from genai_spine.openai_api.media import MediaFacade
from genai_spine.v1 import openai_service_pb2 as openai


class OpenAIService:
    """RPCs of the OpenAI API, all with google.api.HttpBody."""

    def __init__(
        self, facade: OpenAIFacade, stored: StoredChatFacade, media: MediaFacade, files: FilesFacade
    ) -> None:
        self.facade = facade
        self.stored = stored
        self.media = media
        self.files = files

    def CreateChatCompletion(self, request: HttpBody, call: Call) -> AsyncIterator[HttpBody]:
        """POST /v1/chat/completions, unary or SSE."""
        return _bodies(self.facade.chat, request, call)

    async def ListChatCompletions(self, request: openai.ListChatCompletionsRequest, call: Call) -> HttpBody:
        """GET /v1/chat/completions."""
        return first_message(await self.stored.list_completions(request, call), call)

    async def GetChatCompletion(self, request: openai.GetChatCompletionRequest, call: Call) -> HttpBody:
        """GET /v1/chat/completions/{completion_id}."""
        return first_message(await self.stored.completion(request.completion_id, call), call)

    async def ListChatMessages(self, request: openai.ListChatMessagesRequest, call: Call) -> HttpBody:
        """GET /v1/chat/completions/{completion_id}/messages."""
        return first_message(await self.stored.messages(request, call), call)

    async def UpdateChatCompletion(self, request: openai.UpdateChatCompletionRequest, call: Call) -> HttpBody:
        """POST /v1/chat/completions/{completion_id}."""
        return first_message(await self.stored.update(request.completion_id, request.body.data, call), call)

    async def DeleteChatCompletion(self, request: openai.GetChatCompletionRequest, call: Call) -> HttpBody:
        """DELETE /v1/chat/completions/{completion_id}."""
        return first_message(await self.stored.delete(request.completion_id, call), call)

    def CreateTextCompletion(self, request: HttpBody, call: Call) -> AsyncIterator[HttpBody]:
        """POST /v1/completions, unary or SSE."""
        return _bodies(self.facade.text, request, call)

    async def CreateEmbedding(self, request: HttpBody, call: Call) -> HttpBody:
        """POST /v1/embeddings."""
        return first_message(await self.facade.embedding(request.data, call), call)

    async def CreateImage(self, request: HttpBody, call: Call) -> HttpBody:
        """POST /v1/images/generations."""
        return first_message(await self.media.image(request.data, call), call)

    async def CreateTranscription(self, request: HttpBody, call: Call) -> HttpBody:
        """POST /v1/audio/transcriptions, a multipart form."""
        return first_message(await self.media.transcription(request.data, request.content_type, call), call)

    async def CreateTranslation(self, request: HttpBody, call: Call) -> HttpBody:
        """POST /v1/audio/translations, a multipart form."""
        return first_message(await self.media.translation(request.data, request.content_type, call), call)

    def CreateSpeech(self, request: HttpBody, call: Call) -> AsyncIterator[HttpBody]:
        """POST /v1/audio/speech, streamed bytes."""
        return _bodies(self.media.speech, request, call)

    async def CreateFile(self, request: HttpBody, call: Call) -> HttpBody:
        """POST /v1/files, a multipart form."""
        return first_message(await self.files.upload(request.data, request.content_type, call), call)

    async def ListFileObjects(self, request: openai.ListFileObjectsRequest, call: Call) -> HttpBody:
        """GET /v1/files."""
        return first_message(await self.files.list_files(request, call), call)

    async def GetFileObject(self, request: openai.GetFileObjectRequest, call: Call) -> HttpBody:
        """GET /v1/files/{file_id}."""
        return first_message(await self.files.file(request.file_id, call), call)

    async def DeleteFileObject(self, request: openai.GetFileObjectRequest, call: Call) -> HttpBody:
        """DELETE /v1/files/{file_id}."""
        return first_message(await self.files.delete(request.file_id, call), call)

    def GetFileContent(self, request: openai.GetFileObjectRequest, call: Call) -> AsyncIterator[HttpBody]:
        """GET /v1/files/{file_id}/content, streamed bytes."""
        return self.files.content(request.file_id, call)

    async def CreateBatchObject(self, request: HttpBody, call: Call) -> HttpBody:
        """POST /v1/batches."""
        return first_message(await self.files.create_batch(request.data, call), call)

    async def ListBatchObjects(self, request: openai.ListBatchObjectsRequest, call: Call) -> HttpBody:
        """GET /v1/batches."""
        return first_message(await self.files.list_batches(request, call), call)

    async def GetBatchObject(self, request: openai.GetBatchObjectRequest, call: Call) -> HttpBody:
        """GET /v1/batches/{batch_id}."""
        return first_message(await self.files.batch(request.batch_id, call), call)

    async def CancelBatchObject(self, request: openai.GetBatchObjectRequest, call: Call) -> HttpBody:
        """POST /v1/batches/{batch_id}/cancel."""
        return first_message(await self.files.cancel(request.batch_id, call), call)


async def _bodies(
    handler: Callable[[bytes, Call], Answer], request: HttpBody, call: Call
) -> AsyncGenerator[HttpBody]:
    """HttpBody messages of a handler; the first one carries content type and headers."""
    async with aclosing(handler(request.data, call)) as answer:
        yield first_message(await anext(answer), call)
        async for data in answer:
            yield HttpBody(data=data)
