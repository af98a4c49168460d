"""The only caller of a provider: plan, book the intent, call, try again or elsewhere, price, settle.

Each provider call is one execution in the ledger, whatever becomes of it. Another call is made only while
nothing was delivered, and only as a Failover says: no layer below or above repeats a call.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TypeVar

from genai_spine.billing.ledger import Ledger
from genai_spine.billing.price_book import PriceBook
from genai_spine.call import Call
from genai_spine.delivery.delivery import Delivery, DeliveryRequest, is_plain
from genai_spine.errors import ContextLengthExceeded, InternalError, SchemaMismatch, SpineError
from genai_spine.inference import choices, hedging, schema_repair
from genai_spine.inference.attempt import Attempt
from genai_spine.inference.failover import Failover, Slot
from genai_spine.inference.operation import Operation, Request
from genai_spine.json_schema import answers
from genai_spine.json_schema.describe import with_instruction
from genai_spine.routing.candidates import CandidatePlanner
from genai_spine.routing.quality_tiers import Tiers
from genai_spine.providers.base import Route
from genai_spine.routing.router import Router
from genai_spine.routing.strategies import RoutingContext
from genai_spine.routing.upstream import Upstream
from genai_spine.tokens import counts
from genai_spine.tokens.context_window import check_context, truncate
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import usage_pb2

T = TypeVar("T", pb.Completion, pb.CreateEmbeddingsResponse, media.CreateImagesResponse, media.Transcription)
R = TypeVar("R", bound=Request)


@dataclass(frozen=True, slots=True)
class RetryRules:
    """How calls are repeated and spread."""

    retries: int = 3  # calls after the first one, per request
    fallback_chain: tuple[str, ...] = ()
    tiers: Tiers = field(default_factory=Tiers)


@dataclass(frozen=True, slots=True)
class Accounting:
    ledger: Ledger
    prices: PriceBook


class Inference:
    def __init__(
        self,
        router: Router,
        upstreams: Mapping[str, Upstream],
        books: Accounting,
        delivery: Delivery,
        rules: RetryRules,
    ) -> None:
        """upstreams: by the names of the router's providers."""
        self.router = router
        self.upstreams = upstreams
        self.ledger, self.prices = books.ledger, books.prices
        self.delivery = delivery
        self.retries = rules.retries
        self.planner = CandidatePlanner(
            router, RoutingContext(self.prices, upstreams, rules.tiers), rules.fallback_chain
        )

    async def complete(self, request: pb.CreateCompletionRequest, call: Call) -> pb.Completion:
        """Errors: those of routing, ProviderFailure, ProviderTimeout, DeadlineExceeded."""
        operation = _order(request, call)
        plan = await self._plan(request)
        if is_plain(request, call):
            return await self._made(operation, plan)
        wanted = _wanted(operation, plan)
        return await self.delivery.unary(
            wanted, pb.Completion, lambda call: self._made(replace(operation, call=call), plan)
        )

    async def _made(self, operation: Operation, plan: list[Route]) -> pb.Completion:
        """A new one."""
        request = operation.request
        assert isinstance(request, pb.CreateCompletionRequest)
        if choices.must_be_gathered(request, plan[0]):
            parts = [self._complete(part, plan) for part in choices.single(operation)]
            return choices.gathered(await choices.all_of(parts))
        if request.routing.hedge_after_ms:
            return await hedging.first_answer(operation, plan, self._complete)
        return await self._complete(operation, plan)

    async def stream(
        self, request: pb.CreateCompletionRequest, call: Call
    ) -> AsyncGenerator[pb.CompletionChunk]:
        """Chunks as they come; one more at the end has usage and cost. Errors: as complete()."""
        operation = _order(request, call, streamed=True)
        plan = await self._plan(request)
        if is_plain(request, call):
            chunks = self._chunks(operation, plan)
        else:
            chunks = self.delivery.stream(
                _wanted(operation, plan), lambda call: self._chunks(replace(operation, call=call), plan)
            )
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    def _chunks(self, operation: Operation, plan: list[Route]) -> AsyncGenerator[pb.CompletionChunk]:
        """Of a new answer."""
        request = operation.request
        assert isinstance(request, pb.CreateCompletionRequest)
        if choices.must_be_gathered(request, plan[0]):
            return choices.woven([self._stream(part, plan) for part in choices.single(operation)])
        if request.routing.hedge_after_ms:
            return hedging.first_stream(operation, plan, self._stream)
        return self._stream(operation, plan)

    async def embed(self, request: pb.CreateEmbeddingsRequest, call: Call) -> pb.CreateEmbeddingsResponse:
        """Errors: as complete()."""
        plan = self.planner.embedding_plan(request)

        async def once(attempt: Attempt) -> pb.CreateEmbeddingsResponse:
            response = await attempt.slot.provider.embed(request, call)
            if not response.HasField("usage"):
                given = counts.estimate_inputs(request)
                response.usage.CopyFrom(counts.usage(given, 0, output=usage_pb2.PROVENANCE_ESTIMATED))
            return response

        operation = Operation("embeddings", request, request.model, call)
        if is_plain(request, call):
            return await self._until_done(operation, plan, once)
        return await self.delivery.unary(
            _wanted(operation, plan),
            pb.CreateEmbeddingsResponse,
            lambda call: self._until_done(replace(operation, call=call), plan, once),
        )

    async def create_images(
        self, request: media.CreateImagesRequest, call: Call
    ) -> media.CreateImagesResponse:
        """Errors: as complete()."""
        plan = self.planner.media_plan("image", request)

        async def once(attempt: Attempt) -> media.CreateImagesResponse:
            assert isinstance(attempt.request, media.CreateImagesRequest)
            return await attempt.slot.provider.create_images(attempt.request, call)

        return await self._until_done(Operation("image", request, request.model, call), plan, once)

    async def transcribe(self, request: media.CreateTranscriptionRequest, call: Call) -> media.Transcription:
        """Errors: as complete()."""
        plan = self.planner.media_plan("transcription", request)

        async def once(attempt: Attempt) -> media.Transcription:
            assert isinstance(attempt.request, media.CreateTranscriptionRequest)
            return await attempt.slot.provider.transcribe(attempt.request, call)

        return await self._until_done(Operation("transcription", request, request.model, call), plan, once)

    async def create_speech(
        self, request: media.CreateSpeechRequest, call: Call
    ) -> AsyncGenerator[media.SpeechChunk]:
        """Sound as it comes; one more chunk at the end has units and cost. Errors: as complete()."""
        plan = self.planner.media_plan("speech", request)
        operation = Operation("speech", request, request.model, call, streamed=True)
        failover = Failover(plan, self.upstreams, call, self.retries)
        while True:
            slot = await failover.next_slot()
            try:
                with slot:
                    attempt = await self._attempt(operation, slot)
                    try:
                        asked = attempt.request
                        assert isinstance(asked, media.CreateSpeechRequest)
                        async with aclosing(
                            attempt.stream_speech(slot.provider.create_speech(asked, call))
                        ) as chunks:
                            async for chunk in chunks:
                                yield chunk
                        yield await attempt.finish_speech()
                        return
                    except BaseException as error:
                        await _end(attempt, error)
                        raise
            except SpineError as error:
                await failover.on_error(slot, error)

    async def _plan(self, request: pb.CreateCompletionRequest) -> list[Route]:
        """The candidates whose context the input may fit. Errors: CandidatePlanner.plan()'s, ContextLengthExceeded."""
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

    async def _complete(self, operation: Operation, plan: list[Route]) -> pb.Completion:
        try:
            return await self._answer(operation, plan)
        except SchemaMismatch as error:
            schema_violation, request = operation.schema_violation, operation.request
            assert isinstance(request, pb.CreateCompletionRequest)
            if schema_violation is None or not answers.can_be_repaired(request, error):
                raise
            again = schema_repair.repair_operation(operation, schema_violation, error)
            return schema_repair.repaired(
                schema_violation, await self._answer(again, [schema_violation.route])
            )

    async def _answer(self, operation: Operation, plan: list[Route]) -> pb.Completion:
        wanted = operation.request
        assert isinstance(wanted, pb.CreateCompletionRequest)

        async def once(attempt: Attempt) -> pb.Completion:
            request = attempt.request
            assert isinstance(request, pb.CreateCompletionRequest)
            completion = await attempt.slot.provider.complete(request, operation.call)
            if not completion.HasField("usage"):
                completion.usage.CopyFrom(_estimated(request, completion))
            if completion.id:
                attempt.execution.provider_response_id = completion.id
            completion.id = attempt.answer_id("comp_")
            if answers.wants_json(wanted):
                await schema_repair.check(attempt, completion)
            return completion

        return await self._until_done(operation, plan, once)

    async def _stream(self, operation: Operation, plan: list[Route]) -> AsyncGenerator[pb.CompletionChunk]:
        failover = Failover(plan, self.upstreams, operation.call, self.retries)
        while True:
            slot = await failover.next_slot()
            try:
                with slot:
                    attempt = await self._attempt(operation, slot)
                    request = attempt.request
                    assert isinstance(request, pb.CreateCompletionRequest)
                    collected = _collected(attempt)
                    try:
                        stream = slot.provider.stream(request, operation.call)
                        async with aclosing(attempt.stream_chunks(stream)) as chunks:
                            async for chunk in chunks:
                                if collected is not None:
                                    collected.add(chunk)
                                yield chunk
                        if collected is not None and (deltas := await asyncio.to_thread(collected.checked)):
                            yield attempt.stamped(pb.CompletionChunk(choices=deltas))
                        yield await attempt.finish_stream()
                        return
                    except BaseException as error:
                        await _end(attempt, error)
                        raise
            except SpineError as error:
                await failover.on_error(slot, error)

    async def _until_done(
        self, operation: Operation, plan: list[Route], once: Callable[[Attempt], Awaitable[T]]
    ) -> T:
        failover = Failover(plan, self.upstreams, operation.call, self.retries)
        while True:
            slot = await failover.next_slot()
            try:
                with slot:
                    attempt = await self._attempt(operation, slot)
                    try:
                        return await attempt.settle(await once(attempt))
                    except BaseException as error:
                        await _end(attempt, error)
                        raise
            except SpineError as error:
                await failover.on_error(slot, error)

    async def _attempt(self, operation: Operation, slot: Slot) -> Attempt:
        """Opens the call's execution, with the request as the provider whose turn it is gets it."""
        request = _aimed(operation.request, slot.route)
        if isinstance(request, pb.CreateCompletionRequest):
            if request.truncation:
                request = await self._truncated(request)
            if slot.provider.schema is None and request.response_format.HasField("json_schema"):
                request = with_instruction(request, slot.provider.options)
        return Attempt(self.ledger, self.prices, operation, slot, request)

    async def _truncated(self, request: pb.CreateCompletionRequest) -> pb.CreateCompletionRequest:
        length = self.prices.context_length(request.provider, request.model)
        if request.truncation != pb.TRUNCATION_OLDEST_MESSAGES or length is None:
            return request
        shorter = pb.CreateCompletionRequest()
        shorter.CopyFrom(request)
        await truncate(shorter, length)
        return shorter


def _order(request: pb.CreateCompletionRequest, call: Call, *, streamed: bool = False) -> Operation:
    """Errors: InvalidFields when the request's schema is none."""
    if answers.wants_json(request):
        answers.check(request)
    return Operation("completion", request, request.model, call, streamed)


def _collected(attempt: Attempt) -> answers.StreamedAnswer | None:
    """What gathers a stream for the check at its end; None when there is nothing to check."""
    request = attempt.operation.request
    assert isinstance(request, pb.CreateCompletionRequest)
    if not answers.wants_json(request):
        return None
    return answers.StreamedAnswer(request, attempt.slot.provider.schema)


def _aimed(request: R, route: Route) -> R:
    """The request, which from then on names the provider and the upstream's model."""
    request.provider, request.model = route.provider.name, route.model
    return request


def _wanted(operation: Operation, plan: list[Route]) -> DeliveryRequest:
    """From here on the request names the first candidate."""
    request = _aimed(operation.request, plan[0])
    assert isinstance(request, pb.CreateCompletionRequest | pb.CreateEmbeddingsRequest)
    return DeliveryRequest(operation.operation, request, operation.call, operation.successful_routes)


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
