"""gRPC channel of the command line to a server, and the pages of a list."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

import grpc

from genai_spine.cli.output import own_key, own_tenant
from genai_spine.supervisor.channel import channel_to, tls_problem

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
