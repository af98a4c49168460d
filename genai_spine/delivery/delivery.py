"""Delivery of answers, between caller and provider: the cache, a shared call, a caller who goes away, an
answer that is to be stored.

inference.py makes the call; here is decided whether it is made, and who hears of it.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from genai_spine import chunks
from genai_spine.behaviour import warning_header
from genai_spine.call import Call
from genai_spine.delivery import cache_key, response_cache
from genai_spine.delivery.background_completions import BackgroundCompletion, BackgroundCompletions
from genai_spine.delivery.response_cache import ResponseCache
from genai_spine.delivery.restamp import Restamp
from genai_spine.delivery.shared_call import Outcome, SharedCalls, Subscriber, once
from genai_spine.delivery.stored_completions import StoredCompletions
from genai_spine.providers.base import Route
from genai_spine.v1 import completion_service_pb2 as pb

HIT, MISS = pb.CACHE_STATUS_HIT, pb.CACHE_STATUS_MISS
COALESCED, BYPASS = pb.CACHE_STATUS_COALESCED, pb.CACHE_STATUS_BYPASS
CANCEL, CONTINUE = pb.DISCONNECT_POLICY_CANCEL_UPSTREAM, pb.DISCONNECT_POLICY_CONTINUE

Answer = TypeVar("Answer", pb.Completion, pb.CreateEmbeddingsResponse)
Reply = TypeVar("Reply", pb.Completion, pb.CompletionChunk, pb.CreateEmbeddingsResponse)


@dataclass
class DeliveryRequest:
    """A request on its way, and how its caller wants it answered."""

    operation: str  # completion or embeddings
    message: cache_key.Request  # as the caller sent it
    route: Route  # of the first candidate
    call: Call
    # Of each provider call that succeeded for it; filled by whoever makes the calls.
    successful_routes: list[Route] = field(default_factory=list)
    status: pb.CacheStatus = pb.CACHE_STATUS_UNSPECIFIED

    @cached_property
    def key(self) -> str:
        """Cache key of the request as the first candidate would answer it."""
        return cache_key.of(self.operation, self.message, self.route, self.call.principal.tenant_id)

    @property
    def successful_key(self) -> str | None:
        """Of the request as it went to who answered: a fallback's words must not be given out as the first
        candidate's. None: it was no single one.
        """
        if len(routes := set(self.successful_routes)) != 1:
            return None
        return cache_key.of(self.operation, self.message, routes.pop(), self.call.principal.tenant_id)

    @cached_property
    def age_s(self) -> int | None:
        """None: no cache. Errors: InvalidRequest for a header that cannot be read."""
        request = self.message
        if isinstance(request, pb.CreateCompletionRequest) and request.HasField("cache_max_age_s"):
            return request.cache_max_age_s
        return response_cache.max_age_s(self.call.cache_control) if self.call.cache_control else None

    @property
    def policy(self) -> int:
        """DisconnectPolicy of the request; without one, the upstream is cancelled."""
        request = self.message
        given = request.disconnect_policy if isinstance(request, pb.CreateCompletionRequest) else 0
        return given or CANCEL

    @property
    def coalesces(self) -> bool:
        """Whether equal requests may share one call."""
        return isinstance(self.message, pb.CreateCompletionRequest) and self.message.coalesce

    @property
    def stored(self) -> pb.CreateCompletionRequest | None:
        """The request where its answer is to be stored."""
        request = self.message
        return request if isinstance(request, pb.CreateCompletionRequest) and request.store else None

    def set_cache_status(self, status: pb.CacheStatus) -> None:
        """Sets the status of the answer and of the x-cache header."""
        self.status = status
        self.call.headers["x-cache"] = pb.CacheStatus.Name(status).removeprefix("CACHE_STATUS_")


class Delivery:
    """Decides between the cache, a shared call and a call of the caller's own."""

    def __init__(
        self,
        responses: ResponseCache | None,
        shared_calls: SharedCalls,
        background: BackgroundCompletions,
        stored: StoredCompletions,
    ) -> None:
        """responses: None, this server keeps no answers."""
        self._stored = stored
        self._responses = responses
        self._shared_calls = shared_calls
        self._background = background
        self._tasks: set[asyncio.Task[Any]] = set()

    async def unary(
        self, request: DeliveryRequest, kind: type[Answer], make: Callable[[Call], Awaitable[Answer]]
    ) -> Answer:
        """An answer in one message. make: makes the provider's call.

        Errors: those of make; InvalidRequest, ServiceUnavailable.
        """
        answer = await self._unary(request, kind, make)
        if (stored := request.stored) is not None and isinstance(answer, pb.Completion):
            await self._stored.add(stored, answer, request.call)
        return answer

    def stream(
        self, request: DeliveryRequest, make: Callable[[Call], AsyncGenerator[pb.CompletionChunk]]
    ) -> AsyncGenerator[pb.CompletionChunk]:
        """The same, chunk by chunk."""
        chunks = self._stream(request, make)
        stored = request.stored
        return chunks if stored is None else self._stored.stream(stored, chunks, request.call)

    async def _unary(
        self, request: DeliveryRequest, kind: type[Answer], make: Callable[[Call], Awaitable[Answer]]
    ) -> Answer:
        if (stored := await self._found(request, kind)) is not None:
            return stored
        if not _is_special(request):
            return _own(request, None)(await make(request.call))
        subscriber, restamped = await self._subscribe(request, "unary", lambda call: once(make(call)))
        return restamped(await subscriber.unary())

    async def _stream(
        self, request: DeliveryRequest, make: Callable[[Call], AsyncGenerator[pb.CompletionChunk]]
    ) -> AsyncGenerator[pb.CompletionChunk]:
        if (stored := await self._found(request, pb.Completion)) is not None:
            for chunk in chunks.unfold(stored):
                yield chunk
            return
        messages: AsyncGenerator[pb.CompletionChunk] | Subscriber[pb.CompletionChunk]
        if _is_special(request):
            messages, restamped = await self._subscribe(request, "stream", make)
        else:
            messages, restamped = make(request.call), _own(request, None)
        async with aclosing(messages):
            async for chunk in messages:
                yield restamped(chunk)

    @property
    def running(self) -> int:
        """Number of calls that are made apart from their callers."""
        return len(self._shared_calls)

    async def drain(self, timeout_s: float) -> None:
        """Lets calls without a caller come to their end for so long, and writes what is to be kept."""
        if self._tasks:
            await asyncio.wait(self._tasks)  # each ends within seconds
        await self._shared_calls.drain(timeout_s)
        if self._responses is not None:
            await self._responses.stop()

    async def _found(self, request: DeliveryRequest, kind: type[Answer]) -> Answer | None:
        if request.age_s is None:
            return None
        if self._responses is None:
            request.set_cache_status(BYPASS)
            return None
        stored = await self._responses.find(request.key, request.age_s, kind) if request.age_s else None
        request.set_cache_status(MISS if stored is None else HIT)
        if stored is None:
            return None
        answer = Restamp(request.call, HIT).restamped(stored)
        if isinstance(answer, pb.Completion) and answer.warnings:
            request.call.headers[warning_header.NAME] = warning_header.text(answer.warnings)
        if request.policy == CONTINUE and isinstance(answer, pb.Completion):
            await asyncio.shield(self._task(self._keep_hit(answer, request.call)))
        return answer

    async def _keep_hit(self, answer: pb.Completion, call: Call) -> None:
        background = await self._opened(call)
        answer.id = background.id
        await background.close(answer)

    async def _subscribe(
        self, request: DeliveryRequest, form: str, make: Callable[[Call], AsyncGenerator[Reply]]
    ) -> tuple[Subscriber[Reply], Callable[[Reply], Reply]]:
        """To a call that begins now, or to one like it that runs; and how to stamp what it says.

        form: stream or unary; calls of the two do not mix.
        """
        if request.policy != CONTINUE:
            return self._begin(request, form, make, None)

        async def begin() -> tuple[Subscriber[Reply], Callable[[Reply], Reply]]:
            background = await self._opened(request.call)
            return self._begin(request, form, make, background)

        beginning = self._task(begin())
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:  # it begins all the same, and goes on without a subscriber
            beginning.add_done_callback(_leave)
            raise

    async def _opened(self, call: Call) -> BackgroundCompletion:
        return await self._background.open(call.request_id, call.principal.tenant_id)

    def _begin(
        self,
        request: DeliveryRequest,
        form: str,
        make: Callable[[Call], AsyncGenerator[Reply]],
        background: BackgroundCompletion | None,
    ) -> tuple[Subscriber[Reply], Callable[[Reply], Reply]]:
        call, joined = request.call, False
        if request.coalesces or request.policy != CANCEL:
            # The provider's call may outlive its first caller.
            call = replace(call, deadline=None, read_timeout_s=None)
        if request.coalesces:
            # One that keeps the answer in the cache and one that does not do not mix either.
            key = f"{form} {request.status} {request.key}"
            shared_call, joined = self._shared_calls.share(key, lambda: make(call))
        else:
            shared_call = self._shared_calls.start(lambda: make(call))
        if joined:
            request.set_cache_status(COALESCED)
            restamped = _again(request, background, shared_call.headers)
        else:
            if request.status == MISS:
                shared_call.on_complete(self._cached(request))
            shared_call.headers = call.headers
            restamped = _own(request, background)
        if background is not None:
            shared_call.on_complete(self._recorded(request, background, restamped))
        return shared_call.subscribe(request.policy), restamped

    def _task(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Held here, because the loop does not hold it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _cached(self, request: DeliveryRequest) -> Callable[[Outcome], Awaitable[None]]:
        async def keep(outcome: Outcome) -> None:
            key = request.successful_key
            if self._responses is not None and key is not None and not isinstance(outcome, Exception):
                tenant = request.call.principal.tenant_id
                self._responses.keep(key, tenant, request.operation, outcome)

        return keep

    def _recorded(
        self,
        request: DeliveryRequest,
        background: BackgroundCompletion,
        restamped: Callable[[pb.Completion], pb.Completion],
    ) -> Callable[[Outcome], Awaitable[None]]:
        async def keep(outcome: Outcome) -> None:
            if isinstance(outcome, pb.Completion):
                answer = pb.Completion()
                answer.CopyFrom(outcome)
                await background.close(restamped(answer))
                if (stored := request.stored) is not None:  # also when nobody waits for it any more
                    await self._stored.add(stored, answer, request.call)
            elif isinstance(outcome, Exception):
                await background.close(outcome)

        return keep


def _leave(beginning: "asyncio.Task[Any]") -> None:
    if not beginning.cancelled() and beginning.exception() is None:
        beginning.result()[0].close()


def _is_special(request: DeliveryRequest) -> bool:
    """The answer is for more than this caller, or for longer than it stays."""
    return request.status == MISS or request.coalesces or request.policy != CANCEL


def _own(request: DeliveryRequest, background: BackgroundCompletion | None) -> Callable[[Reply], Reply]:
    """Stamps an answer that was made for this caller."""

    def restamped(answer: Reply) -> Reply:
        if isinstance(answer, pb.CreateEmbeddingsResponse):
            return answer
        if background is not None:
            answer.id = background.id
        if not isinstance(answer, pb.CompletionChunk) or answer.HasField("cost"):
            answer.cache_status = request.status
        return answer

    return restamped


def _again(
    request: DeliveryRequest, background: BackgroundCompletion | None, headers: Mapping[str, str]
) -> Callable[[Reply], Reply]:
    """Stamps an answer that was made for another caller. headers: that one's, there with its first words."""
    restamp = Restamp(request.call, COALESCED)
    if background is not None:
        restamp.id = background.id

    def restamped(answer: Reply) -> Reply:
        if warnings := headers.get(warning_header.NAME):
            request.call.headers[warning_header.NAME] = warnings
        return restamp.restamped(answer)

    return restamped
