"""Recorder: a provider around another one that writes its exchanges to disk; the replay adapter plays them.

Switched on by GENAI_RECORD; the format is described in `recording`. Secrets of the endpoint are masked before
anything is written.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import cast

from genai_spine.call import Call
from genai_spine.errors import SpineError
from genai_spine.providers.base import Endpoint, Option, Provider, Route
from genai_spine.providers.replay import recording
from genai_spine.providers.replay.recording import RecordedExchange
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import model_service_pb2, provider_service_pb2

SECRET_NAME = re.compile(r"secret|token|key|password")  # of a provider's further settings
UNRECORDED = ("replay",)  # it is a recording already


def recorded(provider: Provider, folder: Path | None) -> Provider:
    """Provider as it is, or with a recorder around it. folder: None for no recording."""
    return provider if folder is None or provider.name in UNRECORDED else Recorder(provider, folder)


def _in_messages(call: Call) -> Call:
    """Call whose answer is recorded, so that all of it is wanted in messages."""
    return call if call.pass_through is None else replace(call, pass_through=None)


class Recorder(Provider):
    """Adapter that passes every call on, and records completions and embeddings.

    Errors are recorded too, but no call whose caller went away: what came until then would be played as a
    whole answer. Everything else goes to the provider as it is.
    """

    def __init__(self, provider: Provider, folder: Path) -> None:
        super().__init__(provider.endpoint)
        self.provider = provider
        self.folder = folder
        self.options, self.local, self.schema = provider.options, provider.local, provider.schema
        self.batch_api, self.completes = provider.batch_api, provider.completes
        self.transcription_options = provider.transcription_options
        self._secrets = secrets_of(provider.endpoint)

    async def stream(
        self, request: pb.CreateCompletionRequest, route: Route, call: Call
    ) -> AsyncGenerator[pb.CompletionChunk]:
        exchange, started = self._begun("completion", request, route.model), monotonic()
        try:
            chunks = cast(AsyncGenerator[pb.CompletionChunk], self.provider.stream(request, route, call))
            async with aclosing(chunks):
                async for chunk in chunks:
                    redacted = recording.redacted(chunk, self._secrets)
                    exchange.chunks.append((_ms_since(started), redacted))
                    yield chunk
        except SpineError as error:
            self._fail(exchange, error, started)
            raise
        recording.append(self.folder, exchange)

    async def complete(self, request: pb.CreateCompletionRequest, route: Route, call: Call) -> pb.Completion:
        exchange, started = self._begun("completion", request, route.model), monotonic()
        try:
            answer = await self.provider.complete(request, route, _in_messages(call))
        except SpineError as error:
            self._fail(exchange, error, started)
            raise
        self._answered(exchange, answer, started)
        return answer

    async def embed(
        self, request: pb.CreateEmbeddingsRequest, route: Route, call: Call
    ) -> pb.CreateEmbeddingsResponse:
        exchange, started = self._begun("embeddings", request, route.model), monotonic()
        try:
            answer = await self.provider.embed(request, route, _in_messages(call))
        except SpineError as error:
            self._fail(exchange, error, started)
            raise
        self._answered(exchange, answer, started)
        return answer

    def _begun(self, operation: str, request: recording.Request, model: str) -> RecordedExchange:
        return recording.begun((self.name, model), operation, request, self._secrets)

    def _answered(
        self, exchange: RecordedExchange, answer: pb.Completion | pb.CreateEmbeddingsResponse, started: float
    ) -> None:
        exchange.answer = _ms_since(started), recording.redacted(answer, self._secrets)
        recording.append(self.folder, exchange)

    def _fail(self, exchange: RecordedExchange, error: SpineError, started: float) -> None:
        exchange.error = recording.recorded_error(error, _ms_since(started), self._secrets)
        recording.append(self.folder, exchange)

    # Everything else goes to the provider as it is.

    def options_for(self, request: pb.CreateCompletionRequest, route: Route) -> Mapping[str, Option]:
        return self.provider.options_for(request, route)

    def check_options(self, request: pb.CreateCompletionRequest, route: Route) -> None:
        self.provider.check_options(request, route)

    async def count_tokens(self, request: pb.CreateCompletionRequest, route: Route, call: Call) -> int:
        return await self.provider.count_tokens(request, route, call)

    async def create_images(
        self, request: media.CreateImagesRequest, route: Route, call: Call
    ) -> media.CreateImagesResponse:
        return await self.provider.create_images(request, route, call)

    async def transcribe(
        self, request: media.CreateTranscriptionRequest, route: Route, call: Call
    ) -> media.Transcription:
        return await self.provider.transcribe(request, route, call)

    def create_speech(
        self, request: media.CreateSpeechRequest, route: Route, call: Call
    ) -> AsyncIterator[media.SpeechChunk]:
        return self.provider.create_speech(request, route, call)

    def pull(self, model: str, call: Call) -> AsyncIterator[provider_service_pb2.PullModelResponse]:
        return self.provider.pull(model, call)

    async def list_models(self) -> list[model_service_pb2.Model]:
        return await self.provider.list_models()

    async def health(self) -> None:
        await self.provider.health()

    async def close(self) -> None:
        await self.provider.close()


def secrets_of(endpoint: Endpoint) -> tuple[str, ...]:
    """Secrets to mask: keys and credentials of the endpoint."""
    named = [value for name, value in endpoint.further.items() if SECRET_NAME.search(name)]
    return tuple(filter(None, (endpoint.api_key, *endpoint.more_keys, *named, *endpoint.headers.values())))


def _ms_since(started: float) -> float:
    """Milliseconds since a time of `monotonic()`, to a tenth."""
    return round((monotonic() - started) * 1000, 1)
