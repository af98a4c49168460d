"""Guarded inference: the guardrails of a key or a request around every call of a provider."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from genai_spine.call import Call
from genai_spine.chunks import ChunkBuilder
from genai_spine.guardrails.guard import CallGuard, guard_of
from genai_spine.guardrails.webhook import GuardWebhook
from genai_spine.inference.inference import Chunks, Inference, added
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import media_service_pb2 as media


class GuardedInference(Inference):
    """Inference whose cache, shared calls and providers see only what the guard of a call lets through.

    Errors of every operation, beside those of Inference: GuardrailTriggered.
    """

    webhook: GuardWebhook | None = None  # client of the webhooks that guardrails name

    async def complete(self, request: pb.CreateCompletionRequest, call: Call) -> pb.Completion:
        guard = guard_of(call, self.webhook)
        if guard is None:
            return await super().complete(request, call)
        return await guard.after(await super().complete(await guard.before(request), call), request)

    def stream(
        self, request: pb.CreateCompletionRequest, call: Call, whole: ChunkBuilder | None = None
    ) -> Chunks:
        guard = guard_of(call, self.webhook)
        if guard is None:
            return super().stream(request, call, whole)
        chunks = self._stream_guarded(guard, request, call)
        return chunks if whole is None else added(chunks, whole)

    async def embed(self, request: pb.CreateEmbeddingsRequest, call: Call) -> pb.CreateEmbeddingsResponse:
        guard = guard_of(call, self.webhook)
        return await super().embed(request if guard is None else await guard.before(request), call)

    async def create_images(
        self, request: media.CreateImagesRequest, call: Call
    ) -> media.CreateImagesResponse:
        guard = guard_of(call, self.webhook)
        if guard is None:
            return await super().create_images(request, call)
        return await guard.after(await super().create_images(await guard.before(request), call), request)

    async def transcribe(self, request: media.CreateTranscriptionRequest, call: Call) -> media.Transcription:
        guard = guard_of(call, self.webhook)
        if guard is None:
            return await super().transcribe(request, call)
        return await guard.after(await super().transcribe(await guard.before(request), call), request)

    async def create_speech(
        self, request: media.CreateSpeechRequest, call: Call
    ) -> AsyncGenerator[media.SpeechChunk]:
        guard = guard_of(call, self.webhook)
        hidden = request if guard is None else await guard.before(request)
        async with aclosing(super().create_speech(hidden, call)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _stream_guarded(
        self, guard: CallGuard, request: pb.CreateCompletionRequest, call: Call
    ) -> Chunks:
        stream = super().stream(await guard.before(request), call)
        async with aclosing(guard.during(stream, request)) as chunks:
            async for chunk in chunks:
                yield chunk
