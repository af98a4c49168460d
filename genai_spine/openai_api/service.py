"""OpenAI's paths: bytes of JSON in, bytes of JSON or of server-sent events out.

The handlers (chat, text, embedding) know no gRPC and no Envoy, so that a second, thinner door can be
put before them. The class at the end attaches them to the contract's RPCs.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from google.api.httpbody_pb2 import HttpBody

from genai_spine import validation
from genai_spine.call import Call
from genai_spine.concurrency import gather_or_cancel
from genai_spine.errors import InvalidRequest, SpineError
from genai_spine.http_answer import error_body
from genai_spine.inference.inference import Inference
from genai_spine.openai_api import requests
from genai_spine.openai_api import responses as replies
from genai_spine.openai_api import sse as frames
from genai_spine.openai_api.files import FilesFacade
from genai_spine.openai_api.headers import EVENTS, JSON, first, head
from genai_spine.openai_api.media import MediaFacade
from genai_spine.openai_api.schemas import Chat, Embedding, Native, StreamOptions, Text
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import openai_service_pb2 as openai

PING_S = 15.0  # silence after which a comment keeps the connection of a stream alive
PARALLEL_PROMPTS = 8  # provider calls at a time for one body with a list of prompts

Answer = AsyncGenerator[bytes]


@dataclass(frozen=True, slots=True)
class Facade:
    """The three handlers. The first bytes of an answer come when its success is known."""

    inference: Inference

    async def chat(self, body: bytes, call: Call) -> Answer:
        chat = requests.decode(body, Chat)
        request = requests.chat_request(body, chat)
        validation.check(request)
        before_tools = chat.functions is not None
        if chat.stream:
            form = frames.ChatFrames(_wants_usage(chat.stream_options), before_tools=before_tools)
            async with aclosing(self._events(request, form, call)) as events:
                async for event in events:
                    yield event
            return
        completion = await self.inference.complete(request, call)
        head(call, JSON, completion)
        yield replies.chat(completion, before_tools=before_tools)

    async def text(self, body: bytes, call: Call) -> Answer:
        if requests.is_native(body):
            yield await self._native(body, call)
            return
        text = requests.decode(body, Text)
        wanted = requests.text_requests(body, text)
        for request in wanted:
            validation.check(request)
        prefixes = [request.prompt.text if text.echo else "" for request in wanted]
        if text.stream:
            form = frames.TextFrames(_wants_usage(text.stream_options), prefixes, text.n or 1)
            async with aclosing(self._each(wanted, form, call)) as events:
                async for event in events:
                    yield event
            return
        completions = await self._all(wanted, call)
        head(call, JSON, completions[0])
        yield replies.text(completions, prefixes)

    async def embedding(self, body: bytes, call: Call) -> bytes:
        embedding = requests.decode(body, Embedding)
        request = requests.embedding_request(body, embedding)
        if not request.model:
            raise InvalidRequest(field="model", problem="is required")
        validation.check(request)
        response = await self.inference.embed(request, call)
        head(call, JSON, response)
        return replies.embeddings(response, as_base64=embedding.encoding_format == "base64")

    async def _native(self, body: bytes, call: Call) -> bytes:
        native = requests.decode(body, Native)
        if native.stream:
            raise InvalidRequest(
                field="stream", problem="this body does not stream; use /v1/chat/completions"
            )
        if not native.model:
            raise InvalidRequest(field="model", problem="is required")
        request = requests.native_request(native)
        validation.check(request)
        completion = await self.inference.complete(request, call)
        head(call, JSON, completion)
        return replies.native(completion)

    async def _all(self, wanted: list[pb.CreateCompletionRequest], call: Call) -> list[pb.Completion]:
        if len(wanted) == 1:
            return [await self.inference.complete(wanted[0], call)]
        places = asyncio.Semaphore(PARALLEL_PROMPTS)

        async def one(request: pb.CreateCompletionRequest) -> pb.Completion:
            async with places:
                return await self.inference.complete(request, call)

        return await gather_or_cancel(map(one, wanted))

    async def _each(
        self, wanted: list[pb.CreateCompletionRequest], form: frames.TextFrames, call: Call
    ) -> Answer:
        """One prompt after the other in one stream, which an error ends."""
        for number, request in enumerate(wanted):
            form.begin(number, last=number == len(wanted) - 1)
            async with aclosing(self._events(request, form, call)) as events:
                async for event in events:
                    yield event
            if call.failure:
                return

    async def _events(self, request: pb.CreateCompletionRequest, form: frames.Frames, call: Call) -> Answer:
        begun = False
        try:
            async with aclosing(_pinged(self.inference.stream(request, call), PING_S)) as chunks:
                async for chunk in chunks:
                    if chunk is None:
                        yield replies.PING
                        continue
                    if not begun:
                        head(call, EVENTS, chunk)
                        begun = True
                    if event := form.write(chunk):
                        yield event
        except SpineError as error:
            # After the first byte the status is gone; the stream ends with the error and without [DONE].
            if not begun and not form.begun:
                raise
            call.failure = error
            yield frames.failed(error_body(error, call, openai=True))
            return
        yield form.end()


async def _pinged(
    chunks: AsyncGenerator[pb.CompletionChunk], every_s: float
) -> AsyncGenerator[pb.CompletionChunk | None]:
    """The chunks, and None whenever none came for so long after the first one."""
    task: asyncio.Future[pb.CompletionChunk] | None = None
    try:
        yield await anext(chunks)
        while True:
            task = asyncio.ensure_future(anext(chunks))
            while not (await asyncio.wait((task,), timeout=every_s))[0]:
                yield None
            yield task.result()
    except StopAsyncIteration:
        return
    finally:
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait((task,))
        await chunks.aclose()


def _wants_usage(options: StreamOptions | None) -> bool:
    return bool(options and options.include_usage)


class OpenAIService:
    def __init__(self, facade: Facade, media: MediaFacade, files: FilesFacade) -> None:
        self.facade = facade
        self.media = media
        self.files = files

    def CreateChatCompletion(self, request: HttpBody, call: Call) -> AsyncIterator[HttpBody]:
        return _bodies(self.facade.chat, request, call)

    def CreateTextCompletion(self, request: HttpBody, call: Call) -> AsyncIterator[HttpBody]:
        return _bodies(self.facade.text, request, call)

    async def CreateEmbedding(self, request: HttpBody, call: Call) -> HttpBody:
        return first(await self.facade.embedding(request.data, call), call)

    async def CreateImage(self, request: HttpBody, call: Call) -> HttpBody:
        return first(await self.media.image(request.data, call), call)

    async def CreateTranscription(self, request: HttpBody, call: Call) -> HttpBody:
        return first(await self.media.transcription(request.data, request.content_type, call), call)

    async def CreateTranslation(self, request: HttpBody, call: Call) -> HttpBody:
        return first(await self.media.translation(request.data, request.content_type, call), call)

    def CreateSpeech(self, request: HttpBody, call: Call) -> AsyncIterator[HttpBody]:
        return _bodies(self.media.speech, request, call)

    async def CreateFile(self, request: HttpBody, call: Call) -> HttpBody:
        return first(await self.files.upload(request.data, request.content_type, call), call)

    async def ListFileObjects(self, request: openai.ListFileObjectsRequest, call: Call) -> HttpBody:
        return first(await self.files.list_files(request, call), call)

    async def GetFileObject(self, request: openai.GetFileObjectRequest, call: Call) -> HttpBody:
        return first(await self.files.file(request.file_id, call), call)

    async def DeleteFileObject(self, request: openai.GetFileObjectRequest, call: Call) -> HttpBody:
        return first(await self.files.delete(request.file_id, call), call)

    def GetFileContent(self, request: openai.GetFileObjectRequest, call: Call) -> AsyncIterator[HttpBody]:
        return self.files.content(request.file_id, call)

    async def CreateBatchObject(self, request: HttpBody, call: Call) -> HttpBody:
        return first(await self.files.create_batch(request.data, call), call)

    async def ListBatchObjects(self, request: openai.ListBatchObjectsRequest, call: Call) -> HttpBody:
        return first(await self.files.list_batches(request, call), call)

    async def GetBatchObject(self, request: openai.GetBatchObjectRequest, call: Call) -> HttpBody:
        return first(await self.files.batch(request.batch_id, call), call)

    async def CancelBatchObject(self, request: openai.GetBatchObjectRequest, call: Call) -> HttpBody:
        return first(await self.files.cancel(request.batch_id, call), call)


async def _bodies(
    handler: Callable[[bytes, Call], Answer], request: HttpBody, call: Call
) -> AsyncGenerator[HttpBody]:
    async with aclosing(handler(request.data, call)) as answer:
        yield first(await anext(answer), call)
        async for data in answer:
            yield HttpBody(data=data)
