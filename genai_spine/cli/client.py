"""gRPC client of the command line: chat, models, providers and pulls."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc

from genai_spine.chunks import ChunkBuilder, first_choice, text_of
from genai_spine.supervisor.health_check import DIRECT
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, model_service_pb2, provider_service_pb2
from genai_spine.v1.completion_service_pb2_grpc import CompletionServiceStub
from genai_spine.v1.model_service_pb2_grpc import ModelServiceStub
from genai_spine.v1.provider_service_pb2_grpc import ProviderServiceStub

if TYPE_CHECKING:
    from genai_spine.v1.completion_service_pb2_grpc import CompletionServiceAsyncStub

CONNECT_TIMEOUT_S = 5.0


class Client:
    """Client of one server."""

    def __init__(
        self,
        address: str,
        model: str | None = None,
        system: str | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self.address = address
        self.request = pb.CreateCompletionRequest(model=model, max_tokens=max_tokens)
        if system:
            self.request.messages.add(
                role=message_pb2.ROLE_SYSTEM, content=[message_pb2.ContentPart(text=system)]
            )

    async def chat(self, text: str, *, as_json: bool) -> None:
        """Chat with one message, or a conversation when there is none to begin with."""
        async with grpc.aio.insecure_channel(self.address, options=DIRECT) as channel:
            await _connected(channel, self.address)
            stub = CompletionServiceStub(channel)
            if text:
                await self._exchange(stub, text, as_json)
                return
            while line := await asyncio.to_thread(_prompted):
                await self._exchange(stub, line, as_json)

    async def models(self, provider: str | None) -> model_service_pb2.ListModelsResponse:
        """List of models, all pages in one."""
        async with grpc.aio.insecure_channel(self.address, options=DIRECT) as channel:
            await _connected(channel, self.address)
            stub = ModelServiceStub(channel)
            request = model_service_pb2.ListModelsRequest(provider=provider)
            whole: model_service_pb2.ListModelsResponse = await stub.ListModels(request)
            while whole.next_page_token:
                request.page_token = whole.next_page_token
                page = await stub.ListModels(request)
                whole.data.extend(page.data)
                whole.next_page_token = page.next_page_token
            return whole

    async def providers(self) -> provider_service_pb2.ListProvidersResponse:
        """List of providers."""
        async with grpc.aio.insecure_channel(self.address, options=DIRECT) as channel:
            await _connected(channel, self.address)
            request = provider_service_pb2.ListProvidersRequest(page_size=1000)
            listed: provider_service_pb2.ListProvidersResponse = await ProviderServiceStub(
                channel
            ).ListProviders(request)
            return listed

    async def pull(self, provider: str, model: str) -> AsyncGenerator[provider_service_pb2.PullModelResponse]:
        """Progress of a model that a provider downloads."""
        async with grpc.aio.insecure_channel(self.address, options=DIRECT) as channel:
            await _connected(channel, self.address)
            request = provider_service_pb2.PullModelRequest(provider=provider, model=model)
            async for step in ProviderServiceStub(channel).PullModel(request):
                yield step

    async def _exchange(self, stub: "CompletionServiceAsyncStub", text: str, as_json: bool) -> None:
        """Message sent and answer printed as it streams; the conversation goes on with both."""
        self.request.messages.add(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text=text)])
        whole = ChunkBuilder()
        async for chunk in stub.StreamCompletion(self.request):
            whole.add(chunk)
            for delta in chunk.choices:
                if not as_json:
                    print(delta.content, end="", flush=True)
        answer = whole.completion()
        content = text_of(first_choice(answer))
        self.request.messages.add(
            role=message_pb2.ROLE_ASSISTANT, content=[message_pb2.ContentPart(text=content)]
        )
        if as_json:
            print(json.dumps(_summary(content, answer)))
        else:
            print()
            print(_footer(answer), file=sys.stderr)


def _summary(content: str, answer: pb.Completion) -> dict[str, object]:
    return {
        "content": content,
        "model": answer.model,
        "provider": answer.provider,
        "input_tokens": answer.usage.input_tokens,
        "output_tokens": answer.usage.output_tokens,
        "cost_usd": answer.cost.cost_usd,
        "price_known": answer.cost.price_known,
        "latency_ms": answer.latency_ms,
        "execution_id": answer.execution_id,
        "request_id": answer.request_id,
    }


def _footer(answer: pb.Completion) -> str:
    tokens = f"{answer.usage.input_tokens} + {answer.usage.output_tokens} tokens"
    cost = f"${answer.cost.cost_usd:.6f}" if answer.cost.price_known else "price not known"
    return f"[{answer.provider}:{answer.model}, {tokens}, {cost}, {answer.latency_ms} ms]"


def _prompted() -> str:
    try:
        return input("> ")
    except EOFError:
        return ""


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[grpc.aio.Channel]:
    """Channel to a server. Raises ConnectionError when nobody answers there."""
    async with grpc.aio.insecure_channel(address) as channel:
        await _connected(channel, address)
        yield channel


async def _connected(channel: grpc.aio.Channel, address: str) -> None:
    try:
        await asyncio.wait_for(channel.channel_ready(), CONNECT_TIMEOUT_S)
    except TimeoutError:
        raise ConnectionError(f"no server answers at {address}; `genai-spine up` starts one") from None
