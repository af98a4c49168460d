"""Inference: the only caller of the providers. Route, book the intent, call, fail over, price, settle.

Each provider call is one execution in the ledger, whatever becomes of it. Another call is made only while
nothing was delivered, and only as Failover says: no layer below or above repeats a call.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar, cast

from genai_spine.access.object_references import MODEL, references
from genai_spine.call import Call
from genai_spine.chunks import ChunkBuilder, unfold
from genai_spine.delivery.delivery import Delivery, DeliveryRequest
from genai_spine.errors import BudgetExceeded, ContextLengthExceeded, InternalError, SchemaMismatch
from genai_spine.inference import budget_fallback, choices, hedging, schema_repair
from genai_spine.inference.attempt import Accounting, Attempt, T
from genai_spine.inference.failover import Failover, Slot
from genai_spine.inference.operation import Completing, Operation, R
from genai_spine.json_schema import answers
from genai_spine.json_schema.describe import with_instruction
from genai_spine.media.audio_url import AudioUrls
from genai_spine.providers.base import Route
from genai_spine.routing.candidates import CandidatePlanner, MediaRequest
from genai_spine.routing.default_options import completed
from genai_spine.routing.quality_tiers import Tiers
from genai_spine.routing.router import Router
from genai_spine.routing.strategies import RoutingContext
from genai_spine.routing.upstream import Upstream
from genai_spine.tokens import counts
from genai_spine.tokens.context_window import check_context, truncated
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import usage_pb2

Chunks = AsyncGenerator[pb.CompletionChunk]
ANSWERS: Mapping[str, type[Any]] = {
    "completion": pb.Completion,
    "embeddings": pb.CreateEmbeddingsResponse,
    "image": media.CreateImagesResponse,
    "transcription": media.Transcription,
}
D = TypeVar("D", pb.Completion, pb.CreateEmbeddingsResponse)


@dataclass(frozen=True, slots=True)
class RetryRules:
    """Rules of calls: how often they are repeated, who is asked last, and from where sound is fetched."""

    retries: int = 3  # calls after the first one, per request
    fallback_chain: tuple[str, ...] = ()
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of one model each
    strict_options: bool = False  # of requests that do not say themselves
    tiers: Tiers = field(default_factory=Tiers)
    audio_urls: AudioUrls = field(default_factory=AudioUrls)


class Inference:
    """Operations of the providers, as services, capabilities and sessions call them.

    Requests are not written into. Errors of every operation: those of routing, ProviderFailure,
    ProviderTimeout, DeadlineExceeded, and ServiceUnavailable while the ledger cannot take an intent.
    """

    def __init__(
        self,
        router: Router,
        upstreams: Mapping[str, Upstream],
        accounting: Accounting,
        delivery: Delivery,
        rules: RetryRules,
    ) -> None:
        """upstreams: by the names of the router's providers."""
        self.router = router
        self.upstreams = upstreams
        self.accounting = accounting
        self.ledger, self.prices = accounting.ledger, accounting.prices
        self.delivery = delivery
        self.retries = rules.retries
        self.audio_urls = rules.audio_urls
        context = RoutingContext(self.prices, upstreams, rules.tiers)
        self.planner = CandidatePlanner(
            router, context, rules.fallback_chain, rules.fallbacks, strict_options=rules.strict_options
        )

    async def complete(self, request: pb.CreateCompletionRequest, call: Call) -> pb.Completion:
        """One whole answer: from the cache, shared with an equal request, or of a new call."""
        operation = self.planned(request, call)
        if self.may_not_fit(operation):
            await self._drop_too_short(operation)
        return await self._unary(operation, pb.Completion, self._completer(operation))

    def stream(
        self, request: pb.CreateCompletionRequest, call: Call, whole: ChunkBuilder | None = None
    ) -> Chunks:
        """Chunks as they come; the last one has usage and cost. Errors of routing are raised at once.

        whole: gets all of them, for a caller who wants the answer whole too: a stream of one call is folded
        for its settlement anyway.
        """
        if call.read_timeout_s is not None:
            call = replace(call, read_timeout_s=None)  # of a stream it is counted from one event to the next
        operation = self.planned(request, call, streamed=True)
        operation.whole = whole
        if self.may_not_fit(operation):
            return self._stream_fitting(operation)
        return self._stream_delivered(operation)

    async def ask(self, request: pb.CreateCompletionRequest, route: Route, call: Call) -> pb.Completion:
        """One call of one route, with the request as it is: no other candidate, no repeat, no cache."""
        failover = Failover([route], self.upstreams, call, 0)
        operation = Operation("completion", request, call, [route])
        async with await self._attempt(operation, failover) as attempt:
            return await attempt.settle(await _complete(attempt))
        raise InternalError  # an attempt that failed raises, for no other may follow

    async def embed(self, request: pb.CreateEmbeddingsRequest, call: Call) -> pb.CreateEmbeddingsResponse:
        """Vectors of all inputs, in order."""
        plan = self.router.permitted(self.planner.embedding_plan(request), request.model, call)
        operation = Operation("embeddings", request, call, plan)
        embed = partial(self._call, ask=_embed)
        return await self._unary(operation, pb.CreateEmbeddingsResponse, embed)

    async def create_images(
        self, request: media.CreateImagesRequest, call: Call
    ) -> media.CreateImagesResponse:
        """Images, as bytes or addresses."""
        plan = self._media_plan("image", request, call)
        return await self._call(Operation("image", request, call, plan), _create_images)

    async def transcribe(self, request: media.CreateTranscriptionRequest, call: Call) -> media.Transcription:
        """Text of a recording, which is fetched where the request has its address."""
        request = await self.audio_urls.with_sound(request)
        plan = self._media_plan("transcription", request, call)
        return await self._call(Operation("transcription", request, call, plan), _transcribe)

    async def create_speech(
        self, request: media.CreateSpeechRequest, call: Call
    ) -> AsyncGenerator[media.SpeechChunk]:
        """Sound as it comes; one more chunk at the end has units and cost."""
        plan = self._media_plan("speech", request, call)
        operation = Operation("speech", request, call, plan, streamed=True)
        if (paid := operation.paid_before(media.SpeechChunk)) is not None:
            yield paid
            return
        failover, sound = self._failover(operation), bytearray()
        whole = media.SpeechChunk() if call.paid_answers is not None else None
        while True:
            async with await self._attempt(operation, failover) as attempt:
                speech = attempt.provider.create_speech(attempt.request, attempt.route, call)
                async with aclosing(attempt.stream_speech(speech)) as chunks:
                    async for chunk in chunks:
                        if whole is not None:
                            sound += chunk.data
                            whole.MergeFrom(chunk)
                        yield chunk
                if whole is not None:
                    whole.data = bytes(sound)
                yield await attempt.finish_speech(whole)
                return

    def planned(
        self, request: pb.CreateCompletionRequest, call: Call, *, streamed: bool = False
    ) -> Completing:
        """Operation of a request, with who may answer it.

        Errors: CandidatePlanner.plan()'s, NotPermittedToKey; InvalidFields when its schema is none.
        """
        if request.HasField("response_format") and answers.wants_json(request):
            answers.check(request)
        plan = self.router.permitted(self.planner.plan(request), request.model, call)
        return Operation("completion", request, call, plan, streamed)

    def _media_plan(self, kind: str, request: MediaRequest, call: Call) -> list[Route]:
        return self.router.permitted(self.planner.media_plan(kind, request), request.model, call)

    def may_not_fit(self, operation: Completing) -> bool:
        """Whether the input has more bytes than some candidate's context has tokens: it must be counted."""
        if operation.request.truncation == pb.TRUNCATION_OLDEST_MESSAGES:
            return False
        size = operation.request.ByteSize()
        for route in operation.routes:
            length = self.prices.context_length(route.provider.name, route.model)
            if length is not None and size > length:
                return True
        return False

    async def _drop_too_short(self, operation: Completing) -> None:
        """Drops candidates whose context is certainly too short. Errors: ContextLengthExceeded."""
        fitting: list[Route] = []
        failure: ContextLengthExceeded | None = None
        for route in operation.routes:
            try:
                length = self._context_length(route)
                await check_context(operation.request, route.provider.name, route.model, length)
                fitting.append(route)
            except ContextLengthExceeded as error:
                failure = failure or error
        if failure is not None and not fitting:
            raise failure
        operation.routes = fitting

    def _context_length(self, route: Route) -> int | None:
        return self.prices.context_length(route.provider.name, route.model)

    def _unary(
        self, operation: Operation[Any], kind: type[D], make: Callable[[Operation[Any]], Awaitable[D]]
    ) -> Awaitable[D]:
        """The answer of make, or one that is there already where the request allows that."""
        if is_plain(operation.request, operation.call):
            return make(operation)
        return self.delivery.unary(
            _delivery_request(operation), kind, lambda call: make(replace(operation, call=call))
        )

    def _completer(self, operation: Completing) -> Callable[[Completing], Awaitable[pb.Completion]]:
        """Way of making an operation: one call, several at once, or two of which the faster one counts."""
        if operation.request.choice_count > 1 and choices.must_be_gathered(operation):
            return partial(choices.gather, complete=self._complete_repaired)
        if operation.request.routing.hedge_after_ms:
            return partial(hedging.first_answer, start=self._complete_repaired)
        if not operation.request.HasField("response_format"):  # there is nothing to repair
            return partial(self._call, ask=_complete)
        return self._complete_repaired

    async def _complete_repaired(self, operation: Completing) -> pb.Completion:
        """Completion whose JSON fits the caller's schema, after at most one repair."""
        try:
            return await self._call(operation, _complete)
        except SchemaMismatch as error:
            return await self.repaired(operation, error)

    async def repaired(self, operation: Completing, error: SchemaMismatch) -> pb.Completion:
        """Answer of an operation whose answer did not fit, corrected by one more call.

        Errors: the given one where that cannot help, and those of the call.
        """
        violation, repairing = operation.schema_violation, schema_repair.repairing(operation, error)
        if violation is None or repairing is None:
            raise error
        try:
            return schema_repair.repaired(violation, await self._call(repairing, _complete))
        except BudgetExceeded:  # the repair was not made
            raise error from None

    async def _call(self, operation: Operation[R], ask: Callable[[Attempt[R]], Awaitable[T]]) -> T:
        """Answer of the first attempt that ends well, or one that its run has paid for before."""
        if (paid := operation.paid_before(ANSWERS[operation.kind])) is not None:
            return cast(T, paid)
        failover = self._failover(operation)
        while True:
            async with await self._attempt(operation, failover) as attempt:
                return await attempt.settle(await ask(attempt))

    async def _stream_fitting(self, operation: Completing) -> Chunks:
        await self._drop_too_short(operation)
        async with aclosing(self._stream_delivered(operation)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _stream_delivered(self, operation: Completing) -> Chunks:
        """The chunks of a new call, or of an answer that is there already where the request allows that."""
        stream, whole = self._streamer(operation), operation.whole
        if is_plain(operation.request, operation.call):
            if whole is None or stream == self._stream:
                return stream(operation)
            return added(stream(replace(operation, whole=None)), whole)
        made = self.delivery.stream(
            _delivery_request(operation), lambda call: stream(replace(operation, call=call, whole=None))
        )
        return made if whole is None else added(made, whole)

    def _streamer(self, operation: Completing) -> Callable[[Completing], Chunks]:
        """The same as _completer(), for a stream."""
        if operation.request.choice_count > 1 and choices.must_be_gathered(operation):
            return partial(choices.gather_stream, stream=self._stream)
        if operation.request.routing.hedge_after_ms:
            return partial(hedging.first_stream, start=self._stream)
        return self._stream

    async def _stream(self, operation: Completing) -> Chunks:
        """Chunks of the first attempt that delivers any; no other attempt follows after the first chunk."""
        whole = operation.whole
        if (paid := operation.paid_before(pb.Completion)) is not None:
            for chunk in unfold(paid):
                if whole is not None:
                    whole.add(chunk)
                yield chunk
            return
        failover = self._failover(operation)
        if whole is None and operation.call.paid_answers is not None:
            whole = ChunkBuilder()
        while True:
            async with await self._attempt(operation, failover) as attempt:
                collected = _collected(attempt)
                stream = attempt.provider.stream(attempt.request, attempt.route, operation.call)
                async with aclosing(attempt.stream_chunks(stream)) as chunks:
                    async for chunk in chunks:
                        if collected is None or collected.take(chunk):
                            if whole is not None:
                                whole.add(chunk)
                            yield chunk
                if collected is not None and (deltas := await asyncio.to_thread(collected.checked)):
                    last = attempt.stamp(pb.CompletionChunk(choices=deltas))
                    if whole is not None:
                        whole.add(last)
                    yield last
                yield await attempt.finish_stream(whole)
                return

    def _failover(self, operation: Operation[Any]) -> Failover:
        return Failover(operation.routes, self.upstreams, operation.call, self.retries)

    async def _attempt(self, operation: Operation[R], failover: Failover) -> Attempt[R]:
        """The next attempt, with its intent in the ledger. Errors: the last one, when none may follow."""
        while True:
            slot = await failover.next_slot()
            try:
                request = await self.prepared(operation.request, slot, operation.call)
                return await Attempt(self.accounting, operation, failover, slot, request).open()
            except BaseException as error:
                slot.release(error)
                if isinstance(error, BudgetExceeded) and self._falls_back(operation, failover, slot, error):
                    continue
                await failover.on_error(slot, error)

    def _falls_back(
        self, operation: Operation[R], failover: Failover, slot: Slot, error: BudgetExceeded
    ) -> bool:
        """Whether a cheaper candidate is called in the place of one for which a budget has no room."""
        if not error.falls_back or operation.budget_refusal is not None:
            return False
        accounting = self.accounting
        routes = budget_fallback.cheaper(operation, slot.route, accounting.prices, accounting.reserve)
        if not failover.restrict(routes):
            return False
        operation.budget_refusal = error
        return True

    async def prepared(self, request: R, slot: Slot, call: Call) -> R:
        """The request as the slot's provider gets it: itself, or a shortened or extended copy.

        Errors: ProviderObjectNotFound for a file or another stored object that is not the caller's,
        NotPermittedToKey for a model among the provider's own options.
        """
        provider, route = slot.key_slot.provider, slot.route
        if request.provider_options_json:
            named = references(request.provider_options_json)
            self.router.permissions.check_models(route, (id for kind, id in named if kind == MODEL), call)
            await self.accounting.owners.check_references(provider.name, named, call)
        if not isinstance(request, pb.CreateCompletionRequest):
            return request
        if route.file_ids and provider.stores_files:
            await self.accounting.owners.check_files(provider.name, route.file_ids, call)
        prepared: pb.CreateCompletionRequest = completed(request, route)
        if route.adaptation is not None:
            prepared = route.adaptation.applied(prepared)
        if request.truncation == pb.TRUNCATION_OLDEST_MESSAGES:
            length = self._context_length(route) or await provider.context_length(route.model, call)
            prepared = prepared if length is None else await truncated(prepared, route.model, length)
        if provider.schema is None and request.response_format.HasField("json_schema"):
            prepared = with_instruction(prepared, provider.options, provider.name)
        return cast(R, prepared)


def is_plain(request: pb.CreateCompletionRequest | pb.CreateEmbeddingsRequest, call: Call) -> bool:
    """Whether a request asks for no cache, no shared call and no answer that outlives its caller or call."""
    if call.cache_control is not None:
        return False
    if isinstance(request, pb.CreateEmbeddingsRequest):
        return True
    cancels = request.disconnect_policy <= pb.DISCONNECT_POLICY_CANCEL_UPSTREAM
    return cancels and not (request.HasField("cache_max_age_s") or request.coalesce or request.store)


def _delivery_request(operation: Operation[Any]) -> DeliveryRequest:
    route, call = operation.routes[0], operation.call
    return DeliveryRequest(operation.kind, operation.request, route, call, operation.successful_routes)


def _collected(attempt: Attempt[pb.CreateCompletionRequest]) -> answers.StreamedAnswer | None:
    """Collector of a stream that is checked at its end; None when there is nothing to check."""
    request = attempt.operation.request
    if request.HasField("response_format") and answers.wants_json(request):
        return answers.StreamedAnswer(schema_repair.expected(attempt))
    return None


async def added(chunks: Chunks, whole: ChunkBuilder) -> Chunks:
    """The same chunks, each of which is added to a builder."""
    async with aclosing(chunks):
        async for chunk in chunks:
            whole.add(chunk)
            yield chunk


async def _complete(attempt: Attempt[pb.CreateCompletionRequest]) -> pb.Completion:
    completion = await attempt.provider.complete(attempt.request, attempt.route, attempt.call)
    return await finished(attempt, completion)


async def finished(attempt: Attempt[pb.CreateCompletionRequest], completion: pb.Completion) -> pb.Completion:
    """The provider's answer with usage and our id, checked against the caller's schema.

    Errors: SchemaMismatch.
    """
    request, route = attempt.request, attempt.route
    if not completion.HasField("usage"):
        completion.usage.CopyFrom(_estimated(request, route.model, completion))
    if completion.id:
        attempt.execution.provider_response_id = completion.id
    completion.id = attempt.answer_id("comp_")
    asked = attempt.operation.request
    if asked.HasField("response_format") and answers.wants_json(asked):
        await schema_repair.check(attempt, completion)
    return completion


async def _embed(attempt: Attempt[pb.CreateEmbeddingsRequest]) -> pb.CreateEmbeddingsResponse:
    response = await attempt.provider.embed(attempt.request, attempt.route, attempt.call)
    if not response.HasField("usage"):
        tokens = counts.estimate_inputs(attempt.request, attempt.route.model)
        response.usage.CopyFrom(counts.usage(tokens, 0, output=usage_pb2.PROVENANCE_ESTIMATED))
    return response


async def _create_images(attempt: Attempt[media.CreateImagesRequest]) -> media.CreateImagesResponse:
    return await attempt.provider.create_images(attempt.request, attempt.route, attempt.call)


async def _transcribe(attempt: Attempt[media.CreateTranscriptionRequest]) -> media.Transcription:
    answer = await attempt.provider.transcribe(attempt.request, attempt.route, attempt.call)
    attempt.execution.provider_response_id = answer.provider_response_id
    return answer


def _estimated(request: pb.CreateCompletionRequest, model: str, completion: pb.Completion) -> usage_pb2.Usage:
    return counts.usage(
        counts.estimate_input(request, model),
        counts.estimate_answer(completion),
        counts.estimate_reasoning(completion),
        output=usage_pb2.PROVENANCE_ESTIMATED,
    )
