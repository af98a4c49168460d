"""Facade of the OpenAI API: chat, text completions and embeddings, JSON bytes in, JSON or SSE bytes out.

The handlers know neither gRPC nor Envoy, so that a second transport can be put before them; service.py
attaches them to the RPCs of the contract. Errors: InvalidRequest naming the field, those of inference.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from genai_spine.call import Call, PassThrough
from genai_spine.concurrency import gather_or_cancel
from genai_spine.delivery.keep_alive import KeepAlive
from genai_spine.errors import InvalidRequest, SpineError
from genai_spine.http_answer import error_body
from genai_spine.inference.inference import Inference, is_plain
from genai_spine.openai_api import requests, responses, sse
from genai_spine.openai_api.admission import admit, admitted
from genai_spine.openai_api.chats.plain_chat import PlainChats
from genai_spine.openai_api.headers import EVENTS, JSON, set_headers
from genai_spine.openai_api.schemas import Chat, Embedding, Native, PlainChat, StreamOptions, Text
from genai_spine.v1 import completion_service_pb2 as pb

PING_INTERVAL_S = 15.0  # silence after which a comment keeps the connection of a stream alive
MAX_PARALLEL_PROMPTS = 8  # provider calls at a time for one body with a list of prompts

Answer = AsyncGenerator[bytes]


@dataclass(frozen=True, slots=True)
class OpenAIFacade:
    """Handlers of chat, text completions and embeddings.

    The first bytes of an answer come when its success is known, so an error before them has a status.
    """

    inference: Inference
    plain_chats: PlainChats = field(default_factory=PlainChats)

    def chat(self, body: bytes, call: Call) -> Answer:
        """Chat completion: one JSON body, or SSE frames where the request streams.

        Errors: InvalidRequest and InvalidFields at once, those of inference with the first byte.
        """
        request, chat = self._chat_request(body, call)
        before_tools = chat.functions is not None
        if chat.stream:
            form = sse.ChatFrames(_wants_usage(chat.stream_options), before_tools=before_tools)
            return self._events(request, form, call)
        return self._chat(request, call, before_tools=before_tools)

    def _chat_request(self, body: bytes, call: Call) -> tuple[pb.CreateCompletionRequest, Chat]:
        """Admitted request of a body, and the chat that it is. Errors: as chat()."""
        fields = requests.fields(body)
        if (known := self.plain_chats.request(fields)) is not None:
            request, chat = known
            admitted(request, call)
        else:
            chat = requests.decode_chat(body)
            request = requests.chat_request(fields, chat)
            admit(request, call)
            if not isinstance(chat, PlainChat):
                return request, chat
            self.plain_chats.remember(fields, request, chat)
        if chat.response_format is None:  # else the answer is checked
            call.pass_through = passing_of(request, call, bytes(fields["messages"]))
        return request, chat

    async def _chat(self, request: pb.CreateCompletionRequest, call: Call, *, before_tools: bool) -> Answer:
        completion = await self.inference.complete(request, call)
        set_headers(call, JSON, completion)
        choices = call.pass_through.content_of(completion) if call.pass_through else None
        yield responses.chat(completion, before_tools=before_tools, choices=choices)

    async def text(self, body: bytes, call: Call) -> Answer:
        """Text completion of one or more prompts, in OpenAI's form or in the older service's own."""
        if requests.is_native(body):
            yield await self._native(body, call)
            return
        text = requests.decode(body, Text)
        prompts = requests.text_requests(body, text)
        for request in prompts:
            admit(request, call)
        prefixes = [request.prompt.text if text.echo else "" for request in prompts]
        if text.stream:
            form = sse.TextFrames(_wants_usage(text.stream_options), prefixes, text.n or 1)
            async with aclosing(self._each(prompts, form, call)) as events:
                async for event in events:
                    yield event
            return
        completions = await self._all(prompts, call)
        set_headers(call, JSON, completions[0])
        yield responses.text(completions, prefixes)

    async def embedding(self, body: bytes, call: Call) -> bytes:
        """Embeddings of one or more inputs, as floats or base64."""
        embedding = requests.decode(body, Embedding)
        fields = requests.fields(body)
        request = requests.embedding_request(fields, embedding)
        if not request.model:
            raise InvalidRequest(field="model", problem="is required")
        admit(request, call)
        as_base64 = embedding.encoding_format == "base64"
        passing = call.pass_through = passing_of(request, call, requests.inputs_json(fields, embedding))
        if passing is not None:
            passing.is_base64 = as_base64
        response = await self.inference.embed(request, call)
        set_headers(call, JSON, response)
        vectors = passing.content_of(response) if passing else None
        return responses.embeddings(response, as_base64=as_base64, vectors=vectors)

    async def _native(self, body: bytes, call: Call) -> bytes:
        """Completion in the older service's own shape, which does not stream."""
        native = requests.decode(body, Native)
        if native.stream:
            raise InvalidRequest(
                field="stream", problem="this body does not stream; use /v1/chat/completions"
            )
        if not native.model:
            raise InvalidRequest(field="model", problem="is required")
        request = requests.native_request(native)
        admit(request, call)
        completion = await self.inference.complete(request, call)
        set_headers(call, JSON, completion)
        return responses.native(completion)

    async def _all(self, prompts: list[pb.CreateCompletionRequest], call: Call) -> list[pb.Completion]:
        """Completions of all prompts, MAX_PARALLEL_PROMPTS at a time.

        The first failure cancels the others.
        """
        if len(prompts) == 1:
            return [await self.inference.complete(prompts[0], call)]
        places = asyncio.Semaphore(MAX_PARALLEL_PROMPTS)

        async def one(request: pb.CreateCompletionRequest) -> pb.Completion:
            async with places:
                return await self.inference.complete(request, call)

        return await gather_or_cancel(map(one, prompts))

    async def _each(
        self, prompts: list[pb.CreateCompletionRequest], form: sse.TextFrames, call: Call
    ) -> Answer:
        """Stream of all prompts, one after the other; an error ends it."""
        for number, request in enumerate(prompts):
            form.begin(number, last=number == len(prompts) - 1)
            async with aclosing(self._events(request, form, call)) as events:
                async for event in events:
                    yield event
            if call.failure:
                return

    async def _events(self, request: pb.CreateCompletionRequest, form: sse.Frames, call: Call) -> Answer:
        """SSE frames of one request, with a ping comment after PING_INTERVAL_S of silence."""
        begun = False
        try:
            async with KeepAlive(self.inference.stream(request, call), PING_INTERVAL_S) as chunks:
                async for chunk in chunks:
                    if chunk is None:
                        yield responses.PING
                        continue
                    if not begun:
                        set_headers(call, EVENTS, chunk)
                        begun = True
                    if event := form.write(chunk):
                        yield event
        except SpineError as error:
            # After the first byte the status is gone; the stream ends with the error and without [DONE].
            if not begun and not form.begun:
                raise
            call.failure = error
            yield sse.error_event(error_body(error, call, openai=True))
            return
        yield form.end()


def passing_of(
    request: pb.CreateCompletionRequest | pb.CreateEmbeddingsRequest, call: Call, content: bytes
) -> PassThrough | None:
    """Bytes of a request for an upstream that takes them as they are.

    None where the answer is kept, or goes to others too: those need all of it in messages.
    """
    is_kept = call.idempotency_key is not None or call.resume is not None
    return None if is_kept or not is_plain(request, call) else PassThrough(request, content)


def _wants_usage(options: StreamOptions | None) -> bool:
    """Whether stream_options ask for usage."""
    return bool(options and options.include_usage)
