"""The client: a few calls over one HTTP/2 connection, with plain inputs and typed errors."""

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from ssl import SSLContext
from typing import Any, Self, TypedDict, cast

from grpclib.client import Channel

from genai_spine_client.answers import Answer, Piece, Vectors
from genai_spine_client.details import DetailsCodec
from genai_spine_client.errors import typed
from genai_spine_client.gen.genai_spine.v1 import (
    CompletionChunk,
    CompletionServiceStub,
    CreateCompletionRequest,
    CreateEmbeddingsRequest,
    EmbeddingInput,
    GetModelRequest,
    ListModelsRequest,
    Model,
    ModelServiceStub,
)
from genai_spine_client.inputs import Messages, options, turns
from genai_spine_client.pipelines import Pipelines
from genai_spine_client.runs import Runs


class _Options(TypedDict):
    timeout: float | None
    metadata: dict[str, str]


class Spine:
    """All calls of one service; `async with Spine(host, port) as spine:` closes its connection at the end.

    Every call raises SpineError. `request_id` names a call in logs and ledger (at most 128 of A-Z a-z 0-9
    . _ : / + = @ -), `timeout_s` limits it, and `fields` are further fields of the request message; `tools`,
    `tool_choice`, `response_format` and messages may be dicts in OpenAI's shape (ValueError: they are not).
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8100,
        *,
        ssl: bool | SSLContext = False,
        timeout_s: float | None = None,
        headers: Mapping[str, str] | None = None,
        api_key: str | None = None,
    ) -> None:
        """ssl: for https. timeout_s: of calls that name none. headers: of every call, as x-genai-lane.

        api_key: for a server that asks for one; None: of the variable GENAI_API_KEY, if it is set.
        """
        self.host = host
        self.port = port
        self.models = Models(self)
        self.runs = Runs(self)
        self.pipelines = Pipelines(self)
        self._ssl = ssl or None
        self._timeout_s = timeout_s
        key = api_key or os.environ.get("GENAI_API_KEY")
        self._headers = ({"authorization": f"Bearer {key}"} if key else {}) | dict(headers or {})
        self._channel: Channel | None = None

    async def complete(
        self,
        messages: Messages,
        model: str | None = None,
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
        **fields: Any,
    ) -> Answer:
        """The whole answer at once."""
        request = CreateCompletionRequest(messages=turns(messages), model=model, **options(fields))
        with typed():
            return Answer(await self.stub.create_completion(request, **self._options(request_id, timeout_s)))

    async def stream(
        self,
        messages: Messages,
        model: str | None = None,
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
        **fields: Any,
    ) -> AsyncGenerator[Piece]:
        """The answer as it is made; the last piece has usage and cost.

        To leave early, close it (`async with aclosing(spine.stream(...)) as pieces:`) or cancel the task:
        that ends the call at the provider too.
        """
        request = CreateCompletionRequest(messages=turns(messages), model=model, **options(fields))
        with typed():
            answer = self.stub.stream_completion(request, **self._options(request_id, timeout_s))
            async with aclosing(cast(AsyncGenerator[CompletionChunk], answer)) as chunks:
                async for chunk in chunks:
                    yield Piece(chunk)

    async def embed(
        self,
        input: str | Sequence[str],
        model: str | None = None,
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
        **fields: Any,
    ) -> Vectors:
        """One vector for each text."""
        texts = [input] if isinstance(input, str) else input
        inputs = [EmbeddingInput(text=text) for text in texts]
        request = CreateEmbeddingsRequest(inputs=inputs, model=model, **fields)
        with typed():
            return Vectors(await self.stub.create_embeddings(request, **self._options(request_id, timeout_s)))

    @property
    def channel(self) -> Channel:
        """For the stubs of other services: `HealthServiceStub(spine.channel)`. Needs a running event loop."""
        if self._channel is None:
            self._channel = Channel(self.host, self.port, ssl=self._ssl, status_details_codec=DetailsCodec())
        return self._channel

    @property
    def stub(self) -> CompletionServiceStub:
        """The generated client, for all that has no method here."""
        return CompletionServiceStub(self.channel)

    @property
    def model_stub(self) -> ModelServiceStub:
        """The generated client of the models."""
        return ModelServiceStub(self.channel)

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    def _options(self, request_id: str | None = None, timeout_s: float | None = None) -> _Options:
        own = {} if request_id is None else {"x-request-id": request_id}
        return {
            "timeout": self._timeout_s if timeout_s is None else timeout_s,
            "metadata": self._headers | own,
        }


class Models:
    """`spine.models`"""

    def __init__(self, spine: Spine) -> None:
        self._spine = spine

    async def list(self, provider: str | None = None) -> list[Model]:
        """All models that can be called, or those of one provider."""
        request, found = ListModelsRequest(provider=provider), []
        with typed():
            while True:
                page = await self._spine.model_stub.list_models(request, **self._spine._options())
                found += page.data
                if not page.next_page_token:
                    return found
                request.page_token = page.next_page_token

    async def get(self, model: str) -> Model:
        """One model, by its id or any name that a call accepts."""
        with typed():
            request = GetModelRequest(model=model)
            return await self._spine.model_stub.get_model(request, **self._spine._options())
