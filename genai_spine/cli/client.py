"""gRPC client of the command line: chat, models, providers and pulls."""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Sequence,
)
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

import grpc
import typer

from genai_spine.chunks import ChunkBuilder, first_choice, text_of
from genai_spine.cli.conversation import Say
from genai_spine.cli.output import StreamedAnswer, counted, own_key, own_tenant, print_json
from genai_spine.supervisor.channel import channel_to, tls_problem
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import (
    health_service_pb2,
    message_pb2,
    model_service_pb2,
    pricing_service_pb2,
    provider_service_pb2,
)
from genai_spine.v1.completion_service_pb2_grpc import CompletionServiceStub
from genai_spine.v1.health_service_pb2_grpc import HealthServiceStub
from genai_spine.v1.model_service_pb2_grpc import ModelServiceStub
from genai_spine.v1.pricing_service_pb2_grpc import PricingServiceStub
from genai_spine.v1.provider_service_pb2_grpc import ProviderServiceStub

CONNECT_TIMEOUT_S = 5.0


Metadata = Sequence[tuple[str, str]]


class UnaryMetadata(grpc.aio.UnaryUnaryClientInterceptor):
    """Client interceptor that sends the same metadata with each unary call."""

    def __init__(self, added: Metadata) -> None:
        self._added = added

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(_with_more(details, self._added), request)


class StreamMetadata(grpc.aio.UnaryStreamClientInterceptor):
    """The same for calls whose answer is a stream; gRPC takes a class as an interceptor of one kind."""

    def __init__(self, added: Metadata) -> None:
        self._added = added

    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(_with_more(details, self._added), request)


def _with_more(details: Any, added: Metadata) -> Any:
    return details._replace(metadata=grpc.aio.Metadata(*(details.metadata or ()), *added))


class Page(Protocol):
    """Answer of a List method."""

    next_page_token: str


P = TypeVar("P", bound=Page)
Stream = Callable[[pb.CreateCompletionRequest], AsyncIterable[pb.CompletionChunk]]


class Chat:
    """Conversation with a model that is kept on this side alone."""

    def __init__(
        self, model: str | None, system: str | None, max_tokens: int | None, *, as_json: bool
    ) -> None:
        self.as_json = as_json
        self.request = pb.CreateCompletionRequest(model=model, max_tokens=max_tokens)
        if system:
            self._add(message_pb2.ROLE_SYSTEM, system)
        self._answers: list[pb.Completion] = []

    @asynccontextmanager
    async def opened(self, address: str) -> AsyncIterator[Say]:
        """Connection to a server; at the end the sum of what was said goes to standard error."""
        async with connected(address) as channel:
            stub = CompletionServiceStub(channel)

            async def say(text: str) -> None:
                await self._exchange(stub.StreamCompletion, text)

            yield say
        if len(self._answers) > 1:
            typer.echo(_sum(self._answers), err=True)

    async def _exchange(self, stream: Stream, text: str) -> None:
        """Message sent and answer printed as it streams; the conversation goes on with both.

        A question without an answer is taken back, so that it can be asked again.
        """
        self._add(message_pb2.ROLE_USER, text)
        whole = ChunkBuilder()
        try:
            with StreamedAnswer("waiting for the model") as shown:
                async for chunk in stream(self.request):
                    whole.add(chunk)
                    for delta in chunk.choices if not self.as_json else ():
                        shown.write(delta.content)
        finally:
            answer = whole.completion()
            content = text_of(first_choice(answer)) if answer.choices else ""
            if content:
                self._add(message_pb2.ROLE_ASSISTANT, content)
            else:
                del self.request.messages[-1]
        self._answers.append(answer)
        if self.as_json:
            print_json(_summary(content, answer))
        else:
            typer.echo(_footer(answer), err=True)

    def _add(self, role: message_pb2.Role, text: str) -> None:
        self.request.messages.add(role=role, content=[message_pb2.ContentPart(text=text)])


async def models(address: str, provider: str | None) -> model_service_pb2.ListModelsResponse:
    """List of models, all pages in one."""
    async with connected(address) as channel:
        stub = ModelServiceStub(channel)
        request = model_service_pb2.ListModelsRequest(provider=provider)
        whole, *others = [page async for page in pages(stub.ListModels, request)]
        for page in others:
            whole.data.extend(page.data)
        whole.next_page_token = ""
        return whole


async def providers(address: str) -> tuple[list[provider_service_pb2.ProviderInfo], dict[str, str]]:
    """Providers, and the health of each by its name, asked for now."""
    async with connected(address) as channel:
        request = provider_service_pb2.ListProvidersRequest(page_size=1000)
        listed, ready = await asyncio.gather(
            ProviderServiceStub(channel).ListProviders(request),
            HealthServiceStub(channel).GetReadiness(health_service_pb2.GetReadinessRequest()),
        )
        return list(listed.providers), dict(ready.providers)


async def pull(
    address: str, provider: str, model: str
) -> AsyncGenerator[provider_service_pb2.PullModelResponse]:
    """Progress of a model that a provider downloads."""
    async with connected(address) as channel:
        request = provider_service_pb2.PullModelRequest(provider=provider, model=model)
        async for step in ProviderServiceStub(channel).PullModel(request):
            yield step


async def prices(address: str, provider: str | None) -> pricing_service_pb2.ListPricesResponse:
    """Price book of a server, all pages in one."""
    async with connected(address) as channel:
        stub = PricingServiceStub(channel)
        request = pricing_service_pb2.ListPricesRequest(provider=provider, page_size=5000)
        whole, *others = [page async for page in pages(stub.ListPrices, request)]
        for page in others:
            whole.prices.extend(page.prices)
        whole.next_page_token = ""
        return whole


async def price(address: str, model: str) -> pricing_service_pb2.ModelPrice:
    """Price of one model, as a server has it."""
    async with connected(address) as channel:
        request = pricing_service_pb2.GetPriceRequest(model=model)
        found: pricing_service_pb2.ModelPrice = await PricingServiceStub(channel).GetPrice(request)
        return found


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
    tokens = f"{answer.usage.input_tokens} + {counted(answer.usage.output_tokens, 'token')}"
    return f"[{answer.provider}:{answer.model}, {tokens}, {_cost([answer])}, {answer.latency_ms} ms]"


def _sum(answers: list[pb.Completion]) -> str:
    given = sum(answer.usage.input_tokens for answer in answers)
    made = sum(answer.usage.output_tokens for answer in answers)
    tokens = f"{given} + {counted(made, 'token')}"
    return f"[conversation: {counted(len(answers), 'answer')}, {tokens}, {_cost(answers)}]"


def _cost(answers: list[pb.Completion]) -> str:
    if not all(answer.cost.price_known for answer in answers):
        return "price not known"
    return f"${sum(answer.cost.cost_usd for answer in answers):.6f}"


async def pages(method: Callable[[Any], Awaitable[P]], request: Any) -> AsyncGenerator[P]:
    """Pages of a list by its RPC method, at least one, the last without a token of the next.

    The request's page_token is set in between; its page_size may be changed by who reads the pages.
    """
    while True:
        page = await method(request)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


@asynccontextmanager
async def connected(address: str, tenant: str | None = None) -> AsyncIterator[grpc.aio.Channel]:
    """Channel to a server, which shows it the key of GENAI_API_KEY and the tenant that is acted for.

    Raises ConnectionError when nobody answers there.
    """
    key, tenant = own_key(), tenant or own_tenant()
    shown = [("authorization", f"Bearer {key}")] if key else []
    shown += [("x-tenant-id", tenant)] if tenant else []
    adding = [UnaryMetadata(shown), StreamMetadata(shown)] if shown else []
    async with channel_to(address, adding) as channel:
        if problem := await tls_problem(address, CONNECT_TIMEOUT_S):
            raise ConnectionError(f"{address}: {problem}")
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await channel.channel_ready()
        except TimeoutError:
            raise ConnectionError(f"no server answers at {address}; `genai-spine up` starts one") from None
        yield channel
