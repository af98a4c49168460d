"""A provider of the registry and the simulator that it speaks to."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from genai_spine.call import Call
from genai_spine.chunks import fold
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint, Provider, Timeouts
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from tests.contract.options import said
from tests.direct import direct
from tests.upstreams import aws_wire
from tests.upstreams.anthropic import AnthropicUpstream
from tests.upstreams.azure import API_VERSION, AzureUpstream
from tests.upstreams.bedrock import CLAUDE, TITAN, BedrockUpstream
from tests.upstreams.ollama import OllamaUpstream
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.server import Upstream

TIMEOUTS = Timeouts(connect_s=5, first_token_s=10, between_tokens_s=10)
STRICT = ("openai", "azure")  # speak OpenAI's own dialect, so the simulator may refuse what OpenAI refuses
MODELS = {"builtin": "extractive", "anthropic": "claude-sonnet-4-20250514", "bedrock": CLAUDE}


class Variant(NamedTuple):
    """A row of the registry that is configured, or asked, in another way."""

    row: str
    upstream: Callable[[], OpenAIUpstream]
    further: Mapping[str, str] = MappingProxyType({})
    model: str = "gpt-4o"


DEPLOYED, BRIDGED = "azure by deployment", "openai by responses"
VARIANTS = {
    DEPLOYED: Variant("azure", AzureUpstream, {"api_version": API_VERSION}),
    BRIDGED: Variant("openai", partial(OpenAIUpstream, strict_models=False), model="o3-pro"),
}
# `replay` promises what was recorded, no more, and `deepgram` hears, but says nothing.
PROMISING = [name for name in PROVIDERS if name not in ("replay", "deepgram")]
SPOKEN = [*(name for name in PROMISING if name != "builtin"), *VARIANTS]  # have an upstream
PROSE = (
    "The harbour was rebuilt in 1921. It has three basins for ships. The oldest basin is used by fishing "
    "boats today. A museum in the old warehouse shows how the harbour grew."
)


class Spoken:
    """A provider and the upstream that it speaks to."""

    def __init__(self, name: str, upstream: Upstream | None) -> None:
        variant = VARIANTS.get(name) or Variant(name, OpenAIUpstream)
        name = variant.row
        self.row = PROVIDERS[name]
        url = "builtin:" if upstream is None else upstream.url
        if isinstance(upstream, OpenAIUpstream):
            url = upstream.base_url
        key, further = "sk-test-1", variant.further
        self.model = MODELS.get(name, variant.model)
        self.embedding_model = "hashing" if upstream is None else "embedding-model"
        if isinstance(upstream, BedrockUpstream):
            key, further, self.embedding_model = aws_wire.BEARER, {"control_url": url}, TITAN
        self.provider: Provider = self.row.make(Endpoint(name, url, key, timeouts=TIMEOUTS, further=further))
        self.upstream = upstream

    @property
    def up(self) -> Upstream:
        assert self.upstream is not None
        return self.upstream

    @property
    def options(self) -> dict[str, str]:
        return {
            name: option.upstream
            for name, option in direct(self.provider).options_for(self.request()).items()
        }

    def request(self, text: str = PROSE, **fields: Any) -> pb.CreateCompletionRequest:
        return pb.CreateCompletionRequest(
            **({"model": self.model, "messages": [said(message_pb2.ContentPart(text=text))]} | fields)
        )

    async def hurry(self) -> None:
        """From now on it waits 0.2 s for the first token, and for each one after it."""
        await self.provider.close()
        short = Timeouts(connect_s=5, first_token_s=0.2, between_tokens_s=0.2)
        self.provider = self.row.make(replace(self.provider.endpoint, timeouts=short))

    async def whole(self, request: pb.CreateCompletionRequest) -> pb.Completion:
        return await direct(self.provider).complete(request, Call())

    async def chunks(self, request: pb.CreateCompletionRequest) -> list[pb.CompletionChunk]:
        return [chunk async for chunk in direct(self.provider).stream(request, Call())]


@asynccontextmanager
async def speaking(name: str) -> AsyncIterator[Spoken]:
    """name: a row of the registry, or a variant."""
    async with AsyncExitStack() as stack:
        upstream: Upstream | None = None
        if name == "ollama":
            upstream = await stack.enter_async_context(OllamaUpstream())
        elif name == "anthropic":
            upstream = await stack.enter_async_context(AnthropicUpstream())
        elif name == "bedrock":
            upstream = await stack.enter_async_context(BedrockUpstream())
        elif name in VARIANTS:
            upstream = await stack.enter_async_context(VARIANTS[name].upstream())
        elif name != "builtin":
            upstream = await stack.enter_async_context(OpenAIUpstream(strict=name in STRICT))
        found = Spoken(name, upstream)
        yield found
        await found.provider.close()


def spoken_by(*names: str) -> Any:
    return pytest.mark.parametrize("spoken", names, indirect=True)


async def folded(chunks: list[pb.CompletionChunk]) -> pb.Completion:
    async def stream() -> AsyncIterator[pb.CompletionChunk]:
        for chunk in chunks:
            yield chunk

    return await fold(stream())
