"""What stands between a caller and the provider's call: the cache, a shared call, a caller who goes away.

inference.py makes the call; here is decided whether it is made, and who hears of it.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from genai_spine import chunks
from genai_spine.call import Call
from genai_spine.delivery import cache_key, response_cache
from genai_spine.delivery.background_completions import Kept, KeptCompletions
from genai_spine.delivery.response_cache import ResponseCache
from genai_spine.delivery.restamp import Retold
from genai_spine.delivery.shared_call import Listener, Outcome, Relays, once
from genai_spine.v1 import completion_service_pb2 as pb

HIT, MISS = pb.CACHE_STATUS_HIT, pb.CACHE_STATUS_MISS
COALESCED, BYPASS = pb.CACHE_STATUS_COALESCED, pb.CACHE_STATUS_BYPASS
CANCEL, CONTINUE = pb.DISCONNECT_POLICY_CANCEL_UPSTREAM, pb.DISCONNECT_POLICY_CONTINUE

Answer = TypeVar("Answer", pb.Completion, pb.CreateEmbeddingsResponse)
Said = TypeVar("Said", pb.Completion, pb.CompletionChunk, pb.CreateEmbeddingsResponse)


@dataclass
class Wanted:
    """A request on its way, and how its caller wants it answered."""

    operation: str  # completion or embeddings
    request: cache_key.Request  # as the first candidate would be sent it; later as others are
    call: Call
    # Provider and model of each call that succeeded for it; filled by whoever makes the calls.
    answered: list[tuple[str, str]] = field(default_factory=list)
    status: pb.CacheStatus = pb.CACHE_STATUS_UNSPECIFIED

    @cached_property
    def key(self) -> str:
        return cache_key.of(self.operation, self._asked)

    def __post_init__(self) -> None:
        self._asked = deepcopy(self.request)

    @property
    def answered_key(self) -> str | None:
        """Of the request as it went to who answered: a fallback's words must not be given out as the first
        candidate's. None: it was no single one.
        """
        if len(routes := set(self.answered)) != 1:
            return None
        sent = deepcopy(self._asked)
        sent.provider, sent.model = routes.pop()
        return cache_key.of(self.operation, sent)

    @cached_property
    def age_s(self) -> int | None:
        """None: no cache. Errors: InvalidRequest for a header that cannot be read."""
        request = self.request
        if isinstance(request, pb.CreateCompletionRequest) and request.HasField("cache_max_age_s"):
            return request.cache_max_age_s
        return response_cache.max_age_s(self.call.cache_control) if self.call.cache_control else None

    @property
    def policy(self) -> int:
        request = self.request
        given = request.disconnect_policy if isinstance(request, pb.CreateCompletionRequest) else 0
        return given or CANCEL

    @property
    def coalesces(self) -> bool:
        return isinstance(self.request, pb.CreateCompletionRequest) and self.request.coalesce

    def becomes(self, status: pb.CacheStatus) -> None:
        self.status = status
        self.call.headers["x-cache"] = pb.CacheStatus.Name(status).removeprefix("CACHE_STATUS_")


class Delivery:
    def __init__(self, responses: ResponseCache | None, relays: Relays, kept: KeptCompletions) -> None:
        """responses: None, this server keeps no answers."""
        self._responses = responses
        self._relays = relays
        self._kept = kept
        self._tasks: set[asyncio.Task[Any]] = set()

    async def whole(
        self, wanted: Wanted, kind: type[Answer], make: Callable[[Call], Awaitable[Answer]]
    ) -> Answer:
        """An answer in one message. make: makes the provider's call.

        Errors: those of make; InvalidRequest, ServiceUnavailable.
        """
        if (stored := await self._found(wanted, kind)) is not None:
            return stored
        if not _is_special(wanted):
            return _own(wanted, None)(await make(wanted.call))
        listener, told = await self._listen(wanted, "whole", lambda call: once(make(call)))
        return told(await listener.whole())

    async def stream(
        self, wanted: Wanted, make: Callable[[Call], AsyncGenerator[pb.CompletionChunk]]
    ) -> AsyncGenerator[pb.CompletionChunk]:
        """The same, chunk by chunk."""
        if (stored := await self._found(wanted, pb.Completion)) is not None:
            for chunk in chunks.unfold(stored):
                yield chunk
            return
        said: AsyncGenerator[pb.CompletionChunk] | Listener[pb.CompletionChunk]
        if _is_special(wanted):
            said, told = await self._listen(wanted, "stream", make)
        else:
            said, told = make(wanted.call), _own(wanted, None)
        async with aclosing(said):
            async for chunk in said:
                yield told(chunk)

    async def drain(self, timeout_s: float) -> None:
        """Lets calls without a caller come to their end for so long, and writes what is to be kept."""
        if self._tasks:
            await asyncio.wait(self._tasks)  # each ends within seconds
        await self._relays.drain(timeout_s)
        if self._responses is not None:
            await self._responses.stop()

    async def _found(self, wanted: Wanted, kind: type[Answer]) -> Answer | None:
        if wanted.age_s is None:
            return None
        if self._responses is None:
            wanted.becomes(BYPASS)
            return None
        stored = await self._responses.find(wanted.key, wanted.age_s, kind) if wanted.age_s else None
        wanted.becomes(MISS if stored is None else HIT)
        if stored is None:
            return None
        told = Retold(wanted.call, HIT).told(stored)
        if wanted.policy == CONTINUE and isinstance(told, pb.Completion):
            await asyncio.shield(self._task(self._keep_hit(told)))
        return told

    async def _keep_hit(self, told: pb.Completion) -> None:
        kept = await self._kept.open(told.request_id)
        told.id = kept.id
        await kept.close(told)

    async def _listen(
        self, wanted: Wanted, form: str, make: Callable[[Call], AsyncGenerator[Said]]
    ) -> tuple[Listener[Said], Callable[[Said], Said]]:
        """To a call that begins now, or to one like it that runs; and how to stamp what it says.

        form: stream or whole; calls of the two do not mix.
        """
        if wanted.policy != CONTINUE:
            return self._begin(wanted, form, make, None)

        async def begin() -> tuple[Listener[Said], Callable[[Said], Said]]:
            kept = await self._kept.open(wanted.call.request_id)
            return self._begin(wanted, form, make, kept)

        beginning = self._task(begin())
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:  # it begins all the same, and goes on without a listener
            beginning.add_done_callback(_leave)
            raise

    def _begin(
        self, wanted: Wanted, form: str, make: Callable[[Call], AsyncGenerator[Said]], kept: Kept | None
    ) -> tuple[Listener[Said], Callable[[Said], Said]]:
        call, joined = wanted.call, False
        if wanted.coalesces or wanted.policy != CANCEL:
            call = replace(call, deadline=None)  # the provider's call may outlive its first caller
        if wanted.coalesces:
            # One that keeps the answer in the cache and one that does not do not mix either.
            key = f"{form} {wanted.status} {wanted.key}"
            relay, joined = self._relays.share(key, lambda: make(call))
        else:
            relay = self._relays.start(lambda: make(call))
        if joined:
            wanted.becomes(COALESCED)
        elif wanted.status == MISS:
            relay.afterwards(self._cached(wanted))
        told = _again(wanted, kept) if joined else _own(wanted, kept)
        if kept is not None:
            relay.afterwards(_kept(kept, told))
        return relay.listen(wanted.policy), told

    def _task(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Held here, because the loop does not hold it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _cached(self, wanted: Wanted) -> Callable[[Outcome], Awaitable[None]]:
        async def keep(outcome: Outcome) -> None:
            key = wanted.answered_key
            if self._responses is not None and key is not None and not isinstance(outcome, Exception):
                self._responses.keep(key, wanted.operation, outcome)

        return keep


def _leave(beginning: "asyncio.Task[Any]") -> None:
    if not beginning.cancelled() and beginning.exception() is None:
        beginning.result()[0].close()


def is_plain(request: cache_key.Request, call: Call) -> bool:
    """The request asks for nothing of this module."""
    if call.cache_control is not None:
        return False
    if isinstance(request, pb.CreateEmbeddingsRequest):
        return True
    special = request.HasField("cache_max_age_s") or request.coalesce or request.disconnect_policy > CANCEL
    return not special


def _is_special(wanted: Wanted) -> bool:
    """The answer is for more than this caller, or for longer than it stays."""
    return wanted.status == MISS or wanted.coalesces or wanted.policy != CANCEL


def _own(wanted: Wanted, kept: Kept | None) -> Callable[[Said], Said]:
    """Stamps an answer that was made for this caller."""

    def told(answer: Said) -> Said:
        if isinstance(answer, pb.CreateEmbeddingsResponse):
            return answer
        if kept is not None:
            answer.id = kept.id
        if not isinstance(answer, pb.CompletionChunk) or answer.HasField("cost"):
            answer.cache_status = wanted.status
        return answer

    return told


def _again(wanted: Wanted, kept: Kept | None) -> Callable[[Said], Said]:
    """Stamps an answer that was made for another caller."""
    retold = Retold(wanted.call, COALESCED)
    if kept is not None:
        retold.id = kept.id
    return retold.told


def _kept(kept: Kept, told: Callable[[pb.Completion], pb.Completion]) -> Callable[[Outcome], Awaitable[None]]:
    async def keep(outcome: Outcome) -> None:
        if isinstance(outcome, pb.Completion):
            answer = pb.Completion()
            answer.CopyFrom(outcome)
            await kept.close(told(answer))
        elif isinstance(outcome, Exception):
            await kept.close(outcome)

    return keep
