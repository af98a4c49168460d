"""The only caller of a provider: plan, book the intent, call, try again or elsewhere, price, settle.

Each provider call is one execution in the ledger, whatever becomes of it. Another call is made only while
nothing was delivered, and only as a Pursuit says: no layer below or above repeats a call.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TypeVar

from genai_spine.billing.ledger import Ledger
from genai_spine.billing.price_book import PriceBook
from genai_spine.call import Call
from genai_spine.concurrency import gather_or_cancel
from genai_spine.delivery.delivery import Delivery, Wanted, is_plain
from genai_spine.errors import ContextLengthExceeded, InternalError, SchemaMismatch, SpineError
from genai_spine.inference import choices, hedging, schema_repair
from genai_spine.inference.attempt import Attempt, Order, Request
from genai_spine.inference.failover import Pursuit, Turn
from genai_spine.json_schema import answers
from genai_spine.json_schema.describe import with_instruction
from genai_spine.routing.candidates import Planner
from genai_spine.routing.quality_tiers import Tiers
from genai_spine.routing.router import Route, Router
from genai_spine.routing.strategies import Scales
from genai_spine.routing.upstream import Upstream
from genai_spine.tokens import counts
from genai_spine.tokens.context_window import check_context, truncate
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import usage_pb2

T = TypeVar("T", pb.Completion, pb.CreateEmbeddingsResponse, media.CreateImagesResponse, media.Transcription)
R = TypeVar("R", bound=Request)


@dataclass(frozen=True, slots=True)
class Rules:
    """How calls are repeated and spread."""

    retries: int = 3  # calls after the first one, per request
    fallback_chain: tuple[str, ...] = ()
    tiers: Tiers = field(default_factory=Tiers)


@dataclass(frozen=True, slots=True)
class Books:
    ledger: Ledger
    prices: PriceBook


class Inference:
    def __init__(
        self,
        router: Router,
        upstreams: Mapping[str, Upstream],
        books: Books,
        delivery: Delivery,
        rules: Rules,
    ) -> None:
        """upstreams: by the names of the router's providers."""
        self.router = router
        self.upstreams = upstreams
        self.ledger, self.prices = books.ledger, books.prices
        self.delivery = delivery
        self.retries = rules.retries
        self.planner = Planner(router, Scales(self.prices, upstreams, rules.tiers), rules.fallback_chain)

    async def complete(self, request: pb.CreateCompletionRequest, call: Call) -> pb.Completion:
        """Errors: those of routing, ProviderFailure, ProviderTimeout, DeadlineExceeded."""
        order = _order(request, call)
        plan = await self._plan(request)
        if is_plain(request, call):
            return await self._made(order, plan)
        wanted = _wanted(order, plan)
        return await self.delivery.whole(
            wanted, pb.Completion, lambda call: self._made(replace(order, call=call), plan)
        )

    async def _made(self, order: Order, plan: list[Route]) -> pb.Completion:
        """A new one."""
        request = order.request
        assert isinstance(request, pb.CreateCompletionRequest)
        if choices.must_be_gathered(request, plan[0]):
            parts = [self._complete(part, plan) for part in choices.single(order)]
            return choices.gathered(await gather_or_cancel(parts))
        if request.routing.hedge_after_ms:
            return await hedging.first_answer(order, plan, self._complete)
        return await self._complete(order, plan)

    async def stream(
        self, request: pb.CreateCompletionRequest, call: Call
    ) -> AsyncGenerator[pb.CompletionChunk]:
        """Chunks as they come; one more at the end has usage and cost. Errors: as complete()."""
        order = _order(request, call, streamed=True)
        plan = await self._plan(request)
        if is_plain(request, call):
            chunks = self._chunks(order, plan)
        else:
            chunks = self.delivery.stream(
                _wanted(order, plan), lambda call: self._chunks(replace(order, call=call), plan)
            )
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    def _chunks(self, order: Order, plan: list[Route]) -> AsyncGenerator[pb.CompletionChunk]:
        """Of a new answer."""
        request = order.request
        assert isinstance(request, pb.CreateCompletionRequest)
        if choices.must_be_gathered(request, plan[0]):
            return choices.woven([self._stream(part, plan) for part in choices.single(order)])
        if request.routing.hedge_after_ms:
            return hedging.first_stream(order, plan, self._stream)
        return self._stream(order, plan)

    async def embed(self, request: pb.CreateEmbeddingsRequest, call: Call) -> pb.CreateEmbeddingsResponse:
        """Errors: as complete()."""
        plan = self.planner.embedding_plan(request)

        async def once(attempt: Attempt) -> pb.CreateEmbeddingsResponse:
            response = await attempt.turn.provider.embed(request, call)
            if not response.HasField("usage"):
                given = counts.estimate_inputs(request)
                response.usage.CopyFrom(counts.usage(given, 0, output=usage_pb2.PROVENANCE_ESTIMATED))
            return response

        order = Order("embeddings", request, request.model, call)
        if is_plain(request, call):
            return await self._until_done(order, plan, once)
        return await self.delivery.whole(
            _wanted(order, plan),
            pb.CreateEmbeddingsResponse,
            lambda call: self._until_done(replace(order, call=call), plan, once),
        )

    async def draw(self, request: media.CreateImagesRequest, call: Call) -> media.CreateImagesResponse:
        """Errors: as complete()."""
        plan = self.planner.media_plan("image", request)

        async def once(attempt: Attempt) -> media.CreateImagesResponse:
            assert isinstance(attempt.request, media.CreateImagesRequest)
            return await attempt.turn.provider.draw(attempt.request, call)

        return await self._until_done(Order("image", request, request.model, call), plan, once)

    async def transcribe(self, request: media.CreateTranscriptionRequest, call: Call) -> media.Transcription:
        """Errors: as complete()."""
        plan = self.planner.media_plan("transcription", request)

        async def once(attempt: Attempt) -> media.Transcription:
            assert isinstance(attempt.request, media.CreateTranscriptionRequest)
            return await attempt.turn.provider.transcribe(attempt.request, call)

        return await self._until_done(Order("transcription", request, request.model, call), plan, once)

    async def speak(
        self, request: media.CreateSpeechRequest, call: Call
    ) -> AsyncGenerator[media.SpeechChunk]:
        """Sound as it comes; one more chunk at the end has units and cost. Errors: as complete()."""
        plan = self.planner.media_plan("speech", request)
        order = Order("speech", request, request.model, call, streamed=True)
        pursuit = Pursuit(plan, self.upstreams, call, self.retries)
        while True:
            turn = await pursuit.turn()
            try:
                with turn:
                    attempt = await self._attempt(order, turn)
                    try:
                        asked = attempt.request
                        assert isinstance(asked, media.CreateSpeechRequest)
                        async with aclosing(attempt.spoken(turn.provider.speak(asked, call))) as chunks:
                            async for chunk in chunks:
                                yield chunk
                        yield await attempt.silent()
                        return
                    except BaseException as error:
                        await _end(attempt, error)
                        raise
            except SpineError as error:
                await pursuit.failed(turn, error)

    async def _plan(self, request: pb.CreateCompletionRequest) -> list[Route]:
        """The candidates whose context the input may fit. Errors: Planner.plan()'s, ContextLengthExceeded."""
        plan = self.planner.plan(request)
        if request.truncation == pb.TRUNCATION_OLDEST_MESSAGES:
            return plan
        size, fitting = request.ByteSize(), []
        failure: ContextLengthExceeded | None = None
        for route in plan:
            length = self.prices.context_length(route.provider.name, route.model)
            try:
                if length is not None and size > length:  # a token is at least one byte
                    await check_context(_aimed(request, route), length)
                fitting.append(route)
            except ContextLengthExceeded as error:
                failure = failure or error
        if failure is not None and not fitting:
            raise failure
        return fitting

    async def _complete(self, order: Order, plan: list[Route]) -> pb.Completion:
        try:
            return await self._answer(order, plan)
        except SchemaMismatch as error:
            flaw, request = order.flaw, order.request
            assert isinstance(request, pb.CreateCompletionRequest)
            if flaw is None or not answers.can_be_repaired(request, error):
                raise
            again = schema_repair.order(order, flaw, error)
            return schema_repair.mended(flaw, await self._answer(again, [flaw.attempt.turn.route]))

    async def _answer(self, order: Order, plan: list[Route]) -> pb.Completion:
        wanted = order.request
        assert isinstance(wanted, pb.CreateCompletionRequest)

        async def once(attempt: Attempt) -> pb.Completion:
            request = attempt.request
            assert isinstance(request, pb.CreateCompletionRequest)
            completion = await attempt.turn.provider.complete(request, order.call)
            if not completion.HasField("usage"):
                completion.usage.CopyFrom(_estimated(request, completion))
            if completion.id:
                attempt.execution.provider_response_id = completion.id
            completion.id = attempt.answer_id("comp_")
            if answers.wants_json(wanted):
                await schema_repair.check(attempt, completion)
            return completion

        return await self._until_done(order, plan, once)

    async def _stream(self, order: Order, plan: list[Route]) -> AsyncGenerator[pb.CompletionChunk]:
        pursuit = Pursuit(plan, self.upstreams, order.call, self.retries)
        while True:
            turn = await pursuit.turn()
            try:
                with turn:
                    attempt = await self._attempt(order, turn)
                    request = attempt.request
                    assert isinstance(request, pb.CreateCompletionRequest)
                    collected = _collected(attempt)
                    try:
                        stream = turn.provider.stream(request, order.call)
                        async with aclosing(attempt.metered(stream)) as chunks:
                            async for chunk in chunks:
                                if collected is not None:
                                    collected.add(chunk)
                                yield chunk
                        if collected is not None and (deltas := await asyncio.to_thread(collected.checked)):
                            yield attempt.stamped(pb.CompletionChunk(choices=deltas))
                        yield await attempt.finished()
                        return
                    except BaseException as error:
                        await _end(attempt, error)
                        raise
            except SpineError as error:
                await pursuit.failed(turn, error)

    async def _until_done(
        self, order: Order, plan: list[Route], once: Callable[[Attempt], Awaitable[T]]
    ) -> T:
        pursuit = Pursuit(plan, self.upstreams, order.call, self.retries)
        while True:
            turn = await pursuit.turn()
            try:
                with turn:
                    attempt = await self._attempt(order, turn)
                    try:
                        return await attempt.settled(await once(attempt))
                    except BaseException as error:
                        await _end(attempt, error)
                        raise
            except SpineError as error:
                await pursuit.failed(turn, error)

    async def _attempt(self, order: Order, turn: Turn) -> Attempt:
        """Opens the call's execution, with the request as the provider whose turn it is gets it."""
        request = _aimed(order.request, turn.route)
        if isinstance(request, pb.CreateCompletionRequest):
            if request.truncation:
                request = await self._truncated(request)
            if turn.provider.schema is None and request.response_format.HasField("json_schema"):
                request = with_instruction(request, turn.provider.options)
        return Attempt(self.ledger, self.prices, order, turn, request)

    async def _truncated(self, request: pb.CreateCompletionRequest) -> pb.CreateCompletionRequest:
        length = self.prices.context_length(request.provider, request.model)
        if request.truncation != pb.TRUNCATION_OLDEST_MESSAGES or length is None:
            return request
        shorter = pb.CreateCompletionRequest()
        shorter.CopyFrom(request)
        await truncate(shorter, length)
        return shorter


def _order(request: pb.CreateCompletionRequest, call: Call, *, streamed: bool = False) -> Order:
    """Errors: InvalidFields when the request's schema is none."""
    if answers.wants_json(request):
        answers.check(request)
    return Order("completion", request, request.model, call, streamed)


def _collected(attempt: Attempt) -> answers.StreamedAnswer | None:
    """What gathers a stream for the check at its end; None when there is nothing to check."""
    request = attempt.order.request
    assert isinstance(request, pb.CreateCompletionRequest)
    if not answers.wants_json(request):
        return None
    return answers.StreamedAnswer(request, attempt.turn.provider.schema)


def _aimed(request: R, route: Route) -> R:
    """The request, which from then on names the provider and the upstream's model."""
    request.provider, request.model = route.provider.name, route.model
    return request


def _wanted(order: Order, plan: list[Route]) -> Wanted:
    """From here on the request names the first candidate."""
    request = _aimed(order.request, plan[0])
    assert isinstance(request, pb.CreateCompletionRequest | pb.CreateEmbeddingsRequest)
    return Wanted(order.operation, request, order.call, order.answered)


async def _end(attempt: Attempt, error: BaseException) -> None:
    """Settles a call that did not end well. Raises InternalError in the place of a fault of ours."""
    if isinstance(error, SpineError):
        await attempt.failed(error)
    elif isinstance(error, Exception):
        await attempt.failed(InternalError())
        raise InternalError() from error
    else:
        attempt.cancelled()  # the caller went away, or another call was faster


def _estimated(request: pb.CreateCompletionRequest, completion: pb.Completion) -> usage_pb2.Usage:
    return counts.usage(
        counts.estimate_input(request),
        counts.estimate_answer(completion),
        counts.estimate_reasoning(completion),
        output=usage_pb2.PROVENANCE_ESTIMATED,
    )
