"""Adapters called without routing: the model is the one that the request names."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, cast

from genai_spine.call import Call
from genai_spine.providers.base import Option, Provider, Route
from genai_spine.routing.candidates import check_candidate
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import media_service_pb2 as media


def route_of(provider: Provider, request: Any) -> Route:
    return Route(provider, request.model)


class Direct:
    """One adapter; every method is the adapter's own, with the route made of the request's model."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    def stream(self, request: pb.CreateCompletionRequest, call: Call) -> AsyncGenerator[pb.CompletionChunk]:
        chunks = self.provider.stream(request, route_of(self.provider, request), call)
        return cast(AsyncGenerator[pb.CompletionChunk], chunks)

    async def complete(self, request: pb.CreateCompletionRequest, call: Call) -> pb.Completion:
        return await self.provider.complete(request, route_of(self.provider, request), call)

    async def embed(self, request: pb.CreateEmbeddingsRequest, call: Call) -> pb.CreateEmbeddingsResponse:
        return await self.provider.embed(request, route_of(self.provider, request), call)

    async def count_tokens(self, request: pb.CreateCompletionRequest, call: Call) -> int:
        return await self.provider.count_tokens(request, route_of(self.provider, request), call)

    async def create_images(
        self, request: media.CreateImagesRequest, call: Call
    ) -> media.CreateImagesResponse:
        return await self.provider.create_images(request, route_of(self.provider, request), call)

    async def transcribe(self, request: media.CreateTranscriptionRequest, call: Call) -> media.Transcription:
        return await self.provider.transcribe(request, route_of(self.provider, request), call)

    def create_speech(
        self, request: media.CreateSpeechRequest, call: Call
    ) -> AsyncIterator[media.SpeechChunk]:
        return self.provider.create_speech(request, route_of(self.provider, request), call)

    def check_options(self, request: pb.CreateCompletionRequest) -> None:
        check_candidate(request, route_of(self.provider, request))

    def options_for(self, request: pb.CreateCompletionRequest) -> Mapping[str, Option]:
        return self.provider.options_for(request, route_of(self.provider, request))


def direct(provider: Provider) -> Direct:
    return Direct(provider)
