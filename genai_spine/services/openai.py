"""OpenAI's paths: bytes of JSON in, bytes of JSON or of server-sent events out.

The handlers (chat, text, embedding) know no gRPC and no Envoy, so that a second, thinner door can be
put before them. The class at the end attaches them to the contract's RPCs.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from google.api.httpbody_pb2 import HttpBody

from genai_spine import fields
from genai_spine.call import Call
from genai_spine.edge import carrying, error_body
from genai_spine.errors import InvalidRequest, SpineError
from genai_spine.inference import Inference
from genai_spine.services import openai_frames as frames
from genai_spine.services import openai_replies as replies
from genai_spine.services import openai_requests as requests
from genai_spine.services.openai_shapes import Chat, Embedding, Native, StreamOptions, Text
from genai_spine.v1 import completion_service_pb2 as pb

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
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
        fields.check(request)
        before_tools = chat.functions is not None
        if chat.stream:
            form = frames.ChatFrames(_wants_usage(chat.stream_options), before_tools=before_tools)
            async with aclosing(self._events(request, form, call)) as events:
                async for event in events:
                    yield event
            return
        completion = await self.inference.complete(request, call)
        _head(call, JSON, completion)
        yield replies.chat(completion, before_tools=before_tools)

    async def text(self, body: bytes, call: Call) -> Answer:
        if requests.is_native(body):
            yield await self._native(body, call)
            return
        text = requests.decode(body, Text)
        wanted = requests.text_requests(body, text)
        for request in wanted:
            fields.check(request)
        prefixes = [request.prompt.text if text.echo else "" for request in wanted]
        if text.stream:
            form = frames.TextFrames(_wants_usage(text.stream_options), prefixes, text.n or 1)
            async with aclosing(self._each(wanted, form, call)) as events:
                async for event in events:
                    yield event
            return
        completions = await self._all(wanted, call)
        _head(call, JSON, completions[0])
        yield replies.text(completions, prefixes)

    async def embedding(self, body: bytes, call: Call) -> bytes:
        embedding = requests.decode(body, Embedding)
        request = requests.embedding_request(body, embedding)
        if not request.model:
            raise InvalidRequest(field="model", problem="is required")
        fields.check(request)
        response = await self.inference.embed(request, call)
        _head(call, JSON, response)
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
        fields.check(request)
        completion = await self.inference.complete(request, call)
        _head(call, JSON, completion)
        return replies.native(completion)

    async def _all(self, wanted: list[pb.CreateCompletionRequest], call: Call) -> list[pb.Completion]:
        if len(wanted) == 1:
            return [await self.inference.complete(wanted[0], call)]
        places = asyncio.Semaphore(PARALLEL_PROMPTS)

        async def one(request: pb.CreateCompletionRequest) -> pb.Completion:
            async with places:
                return await self.inference.complete(request, call)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(request)) for request in wanted]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

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
                        _head(call, EVENTS, chunk)
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


def _head(
    call: Call, content_type: str, answer: pb.Completion | pb.CompletionChunk | pb.CreateEmbeddingsResponse
) -> None:
    """Response headers. Cost is known before the body only when the answer is whole."""
    call.content_type = content_type
    call.headers["x-genai-execution-id"] = answer.execution_id
    call.headers["x-genai-provider"] = answer.provider
    call.headers["openai-version"] = "2020-10-01"
    call.headers["openai-processing-ms"] = str(call.latency_ms)
    call.headers["server-timing"] = f"total;dur={call.latency_ms}"
    if content_type == EVENTS:
        call.headers["cache-control"] = "no-cache"
    else:
        call.headers["x-genai-cost-usd"] = f"{answer.cost.cost_ticks / 10**10:.10f}"


class OpenAIService:
    def __init__(self, facade: Facade) -> None:
        self.facade = facade

    def CreateChatCompletion(self, request: HttpBody, call: Call) -> AsyncIterator[HttpBody]:
        return _bodies(self.facade.chat, request, call)

    def CreateTextCompletion(self, request: HttpBody, call: Call) -> AsyncIterator[HttpBody]:
        return _bodies(self.facade.text, request, call)

    async def CreateEmbedding(self, request: HttpBody, call: Call) -> HttpBody:
        return _first(await self.facade.embedding(request.data, call), call)


async def _bodies(
    handler: Callable[[bytes, Call], Answer], request: HttpBody, call: Call
) -> AsyncGenerator[HttpBody]:
    async with aclosing(handler(request.data, call)) as answer:
        yield _first(await anext(answer), call)
        async for data in answer:
            yield HttpBody(data=data)


def _first(data: bytes, call: Call) -> HttpBody:
    """The first message of an answer, which carries its headers."""
    headers, call.headers = call.headers, {}
    return HttpBody(data=data, content_type=carrying(call.content_type, headers if call.path else {}))
