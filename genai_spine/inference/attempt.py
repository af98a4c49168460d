"""Attempt: one provider call in the ledger, from its intent to its settlement, whatever becomes of it.

An attempt is an async context manager around the provider's call. Its end settles the ledger row, gives the
key back and asks Failover whether another attempt may follow; `async with` then ends without the error.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from time import monotonic, time
from types import TracebackType
from typing import Generic, TypeVar, cast

from genai_spine.access.provider_objects import ObjectOwners
from genai_spine.access.rate_limits import RateLimiter
from genai_spine.behaviour import warning_header
from genai_spine.billing.budget_counters import Applied
from genai_spine.billing.budgets import Budgets, blocks
from genai_spine.billing.ledger.ledger import Ledger
from genai_spine.billing.price_book import PriceBook
from genai_spine.chunks import ChunkBuilder
from genai_spine.delivery import chunk_stamp
from genai_spine.errors import (
    InternalError,
    PriceUnknown,
    SchemaMismatch,
    ServiceUnavailable,
    SpineError,
)
from genai_spine.inference import budget_fallback
from genai_spine.inference.estimate import (
    InputCount,
    ReserveRules,
    at_least_reserve,
    call_size,
    most_ticks,
)
from genai_spine.inference.failover import MAY_HAVE_BILLED, Failover, Slot
from genai_spine.inference.operation import OPERATIONS, Answer, Operation, R
from genai_spine.inference.stop_sequences import StopCutter
from genai_spine.inference.stream_reserve import StreamReserve
from genai_spine.inference.streamed_text import StreamedText
from genai_spine.store.booking.rates import RateReservation
from genai_spine.tokens import counts
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, usage_pb2
from genai_spine.v1 import media_service_pb2 as media

T = TypeVar("T", pb.Completion, pb.CreateEmbeddingsResponse, media.CreateImagesResponse, media.Transcription)
TERMS = ("service_tier", "speed", "inference_geo")  # by the same names in answers and executions
# Answers by what they have; made once, since each `A | B` makes a type.
DATED = (pb.Completion, media.CreateImagesResponse)
MEASURED = (media.CreateImagesResponse, media.Transcription)  # in units of their own


@dataclass(frozen=True, slots=True)
class Accounting:
    """Ledger that attempts are booked in, their prices and budgets, and whose the files are."""

    ledger: Ledger
    prices: PriceBook
    owners: ObjectOwners
    budgets: Budgets
    reserve: ReserveRules
    limits: RateLimiter


class Attempt(Generic[R]):
    """One call of one provider for an operation, once open() has put its intent on the books."""

    def __init__(
        self, accounting: Accounting, operation: Operation[R], failover: Failover, slot: Slot, request: R
    ) -> None:
        """request: as the provider gets it."""
        self.accounting = accounting
        self.operation = operation
        self.failover = failover
        self.slot = slot
        self.request = request
        self.route = slot.route
        self.provider = slot.key_slot.provider
        self.call = operation.call
        self.started = monotonic()
        self.model = ""  # as the provider reports it
        self._stamp = b""  # of a stream's chunks, as chunk_stamp makes it
        self._usage: usage_pb2.Usage | None = None
        self._text = StreamedText()
        self._stream_reserve: StreamReserve | None = None  # None: no budget counts what is streamed
        self.execution = self._intent()
        self.warnings = self.route.adaptation.warnings if self.route.adaptation else ()
        if operation.budget_refusal is not None:
            refusal = operation.budget_refusal
            self.warnings = (*self.warnings, budget_fallback.warning(refusal, operation, self.route))
        if self.warnings:
            self.execution.warnings.extend(self.warnings)

    def _intent(self) -> execution_pb2.Execution:
        """Row of the ledger, as far as it is known before the call."""
        operation, call, request = self.operation, self.call, self.request
        execution = execution_pb2.Execution()  # fields given by name cost more
        execution.request_id, execution.user_agent = call.request_id, call.user_agent
        execution.operation = OPERATIONS[operation.kind]
        execution.provider, execution.model = self.provider.name, self.route.model
        execution.requested_model = operation.request.model
        execution.attempt, execution.streamed = next(call.attempts), operation.streamed
        if request.HasField("user"):
            execution.end_user = request.user
        call.charge(execution)
        if call.cost_labels:
            execution.cost_labels.update(call.cost_labels)
        if call.attribution is not None:
            execution.MergeFrom(call.attribution)
        return execution

    async def open(self) -> "Attempt[R]":
        """Puts the intent on the books, with the most that it may cost; only then may the provider be called.

        What costs nothing is not worth waiting for. Errors: ServiceUnavailable, when the ledger takes no
        intent; BudgetExceeded and PriceUnknown, RateLimited and ConcurrentLimitExceeded.
        """
        accounting, execution = self.accounting, self.execution
        budgets = accounting.budgets
        run = self.call.run_nodes
        applied = budgets.applying(execution, run) if budgets.any or run is not None else ()
        may_refuse = bool(applied) and blocks(applied)
        if may_refuse:
            self._bound_answer()
        rules, prices = accounting.reserve, accounting.prices
        count = InputCount(self.request, self.route.model)
        most = most_ticks(self.request, self.route, prices, rules, count if applied else None)
        if most is not None:
            execution.reserved_ticks = most
        elif may_refuse and not rules.allows_unknown_price:
            raise PriceUnknown(provider=execution.provider, model=execution.model)
        counted = applied if most or may_refuse else ()
        if self.call.rate_admission is not None:
            tokens = self._most_tokens(count)
            await accounting.limits.book(self.call, tokens, partial(self._book_intent, counted))
        elif most == 0 and not counted:
            accounting.ledger.begin(execution)
        else:
            await self._book_intent(counted)
        if counted:
            self._meter()
        return self

    def _meter(self) -> None:
        """Begins to meter a stream for which something is reserved in budgets."""
        request: object = self.request
        accounting, execution = self.accounting, self.execution
        if (
            isinstance(request, pb.CreateCompletionRequest)
            and execution.streamed
            and execution.reserved_ticks
        ):
            tokens = accounting.reserve.answer_tokens(request)
            self._stream_reserve = StreamReserve(accounting.budgets, execution, tokens, self.route.model)

    def _most_tokens(self, count: InputCount) -> int:
        """Most tokens that the call uses; 0 where no rate limit counts them."""
        if not self.call.principal.limits_tokens:
            return 0
        size = call_size(self.request, self.route.model, self.accounting.reserve, count)
        return size.input_tokens + size.output_tokens

    async def _book_intent(self, applied: Sequence[Applied], rates: RateReservation | None = None) -> None:
        if applied:
            await self.accounting.budgets.reserve(self.execution, applied, rates, self.call.run_nodes)
        else:
            await self.accounting.ledger.reserve(self.execution, rates)

    def _bound_answer(self) -> None:
        """Bounds an answer whose request does not say how long it may be, so that its reserve is enough."""
        request: object = self.request
        if isinstance(request, pb.CreateCompletionRequest) and not request.HasField("max_tokens"):
            bounded = pb.CreateCompletionRequest()
            bounded.CopyFrom(request)
            bounded.max_tokens = self.accounting.reserve.max_answer_tokens
            if self.call.pass_through is not None:
                self.call.pass_through.note_copy(request, bounded)
            self.request = cast(R, bounded)

    async def __aenter__(self) -> "Attempt[R]":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Settles what did not end well and gives the key back; True when another attempt may follow.

        Raises InternalError in the place of a fault of ours.
        """
        if error is None:
            self.slot.release(None)
            return False
        outcome = error
        try:
            if isinstance(error, Exception):
                outcome = error if isinstance(error, SpineError) else InternalError()
                await self.fail(outcome)
            else:
                self.cancel()  # the caller went away, or another call was faster
        except BaseException as later:
            outcome = later
            raise
        finally:
            self.slot.release(outcome)
        if outcome is not error:
            raise outcome from error
        if not isinstance(error, SpineError):
            return False
        await self.failover.on_error(self.slot, outcome)
        return True

    def answer_id(self, prefix: str) -> str:
        """Id of the answer, made of the ledger row's: the same in every chunk."""
        return chunk_stamp.answer_id(self.execution, prefix)

    async def stream_chunks(
        self, chunks: AsyncIterator[pb.CompletionChunk]
    ) -> AsyncGenerator[pb.CompletionChunk]:
        """Chunks with our ids, and without usage: that comes with the cost, in finish_stream()."""
        cutter, text, metered = self._cutter(), self._text, self._stream_reserve
        async with aclosing(cast(AsyncGenerator[pb.CompletionChunk], chunks)) as arriving:
            async for chunk in arriving:
                if chunk.HasField("usage"):
                    self._take_usage(chunk)
                if not (deltas := chunk.choices):
                    continue
                if cutter is not None:
                    cutter.chunk(chunk)
                if not self.slot.delivered:
                    await self._begin_stream(chunk)
                if tier := chunk.service_tier:
                    self.execution.service_tier = tier
                if len(deltas) == 1:  # going through them costs more than the rest
                    text.add(deltas[0])
                else:
                    for delta in deltas[:]:
                        text.add(delta)
                yield self.stamp(chunk)
                if metered is not None:
                    await metered.add(deltas[:])

    async def finish_stream(self, whole: ChunkBuilder | None = None) -> pb.CompletionChunk:
        """Settles a stream at its end; returns the last chunk, with usage and cost. whole: of a run."""
        usage = self._reported_usage() or self._estimate(usage_pb2.PROVENANCE_ESTIMATED)
        self._succeed()
        cost = self._price(usage)
        last = self.stamp(pb.CompletionChunk(usage=usage, cost=cost))
        last.warnings.extend(self.warnings)
        self._add_terms(last)
        if whole is not None:
            whole.add(last)
        await self._book(None if whole is None else whole.completion())
        last.latency_ms = self.call.latency_ms
        if whole is not None:
            whole.chunk.latency_ms = last.latency_ms
        return last

    async def stream_speech(
        self, chunks: AsyncIterator[media.SpeechChunk]
    ) -> AsyncGenerator[media.SpeechChunk]:
        """Sound with our ids; usage and units come with the cost, in finish_speech()."""
        execution = self.execution
        async with aclosing(cast(AsyncGenerator[media.SpeechChunk], chunks)) as arriving:
            async for chunk in arriving:
                if chunk.HasField("units"):
                    execution.units.CopyFrom(chunk.units)
                if chunk.HasField("usage"):
                    self._usage = usage_pb2.Usage()
                    self._usage.CopyFrom(chunk.usage)
                if not chunk.data:
                    continue
                if not self.slot.delivered:
                    self.model = chunk.model = chunk.model or execution.model
                    chunk.provider = execution.provider
                    await self._begin_delivery()
                chunk.request_id, chunk.execution_id = self.call.request_id, execution.id
                yield chunk

    async def finish_speech(self, whole: media.SpeechChunk | None = None) -> media.SpeechChunk:
        """Settles sound that came to its end, whole or not; returns the last chunk, with usage and cost."""
        execution, usage = self.execution, self._usage or usage_pb2.Usage()
        self._succeed()
        last = media.SpeechChunk(usage=usage, cost=self._price(usage), units=execution.units)
        last.request_id, last.execution_id = self.call.request_id, execution.id
        if whole is not None:
            whole.MergeFrom(last)
        await self._book(whole)
        return last

    async def settle(self, answer: T) -> T:
        """Settles a unary answer and completes it with ids, cost and latency."""
        execution = self.execution
        self.model = answer.model or self.route.model
        if isinstance(answer, pb.Completion):
            self._take_terms(answer)
            if self.warnings:
                answer.warnings.extend(self.warnings)
                self._set_header()
            if (cutter := self._cutter()) is not None:
                cutter.completion(answer)
        elif isinstance(answer, MEASURED) and answer.HasField("units"):  # else nobody knows what it costs
            execution.units.CopyFrom(answer.units)
        if isinstance(answer, DATED) and not answer.create_time.seconds:
            answer.create_time.seconds = int(time())
        answer.model, answer.provider = self.model, self.provider.name
        answer.request_id, answer.execution_id = self.call.request_id, execution.id
        answer.cost.CopyFrom(self._price(answer.usage))
        self._record_latency()
        self._succeed()
        await self._book(answer)
        answer.latency_ms = self.call.latency_ms
        return answer

    def _record_latency(self) -> None:
        """Tells routing how long the whole answer took."""
        took_ms = (monotonic() - self.started) * 1000
        self.slot.upstream.record_latency(self.route.model, took_ms, streamed=False)

    def record_undelivered(self, answer: pb.Completion) -> None:
        """Records model, tier and usage of an answer that is not going to be delivered."""
        self.model = answer.model
        self._take_terms(answer)
        self._usage = answer.usage

    async def fail(self, error: SpineError) -> None:
        """Settles a call that went wrong. An upstream that refused has used nothing."""
        self.execution.discarded = isinstance(error, SchemaMismatch)
        self.execution.state = execution_pb2.EXECUTION_STATE_FAILED
        self.execution.error_reason, self.execution.error = error.reason_name, error.logged
        if error.usage is not None:
            self._usage = usage_pb2.Usage()
            self._usage.CopyFrom(error.usage)
        may_have_billed = self.slot.delivered or error.connection_lost or isinstance(error, MAY_HAVE_BILLED)
        if may_have_billed:
            self.call.billed.add(self.execution.id)
        try:
            if may_have_billed and self._text and self._usage is None:
                await Tokenizer.of(self.route.model)  # text to be counted is worth loading an encoding
        finally:  # also when the caller goes away meanwhile
            self._price(self._partial_usage() if may_have_billed else self._usage or _nothing())
            booked = self._close()
        if not isinstance(error, ServiceUnavailable):  # who has waited for the ledger in vain waits no more
            await booked

    def cancel(self) -> None:
        """Settles a call whose caller went away; does not wait, because the caller's task must end."""
        superseded = self.operation.superseded
        self.execution.state = execution_pb2.EXECUTION_STATE_CANCELLED
        self.call.billed.add(self.execution.id)
        self.execution.discarded = superseded
        self.execution.error = "another call was faster" if superseded else "the caller went away"
        self._price(self._partial_usage())
        self._close()

    def stamp(self, chunk: pb.CompletionChunk) -> pb.CompletionChunk:
        """The chunk with what all chunks of the answer share."""
        chunk.MergeFromString(self._stamp or chunk_stamp.made(self.execution, self.model, 0))
        return chunk

    def _take_usage(self, chunk: pb.CompletionChunk) -> None:
        """Takes usage and units out of a chunk: they come with the cost."""
        self._usage = usage_pb2.Usage()
        self._usage.CopyFrom(chunk.usage)
        chunk.ClearField("usage")
        self._take_terms(chunk)
        chunk.ClearField("units")

    def _take_terms(self, answer: pb.Completion | pb.CompletionChunk) -> None:
        """Enters what decides the price beside the tokens, as the provider reports it."""
        execution = self.execution
        if tier := answer.service_tier:
            execution.service_tier = tier
        if speed := answer.speed:
            execution.speed = speed
        if place := answer.inference_geo:
            execution.inference_geo = place
        if answer.HasField("units"):
            execution.units.CopyFrom(answer.units)

    def _add_terms(self, last: pb.CompletionChunk) -> None:
        """Adds to the last chunk of a stream what came with its usage."""
        for name in TERMS:
            if said := getattr(self.execution, name):
                setattr(last, name, said)
        if self.execution.HasField("units"):
            last.units.CopyFrom(self.execution.units)

    async def _begin_stream(self, chunk: pb.CompletionChunk) -> None:
        self.model = chunk.model or self.execution.model
        created_s = chunk.create_time.seconds or int(time())
        self._stamp = chunk_stamp.made(self.execution, self.model, created_s)
        self._set_header()
        if chunk.id:
            self.execution.provider_response_id = chunk.id
        await self._begin_delivery()

    def _cutter(self) -> StopCutter | None:
        """Cutter at stop sequences that the model does not take; None: there are none."""
        adaptation = self.route.adaptation
        return StopCutter(adaptation.stop_sequences) if adaptation and adaptation.stop_sequences else None

    def _set_header(self) -> None:
        if self.warnings:
            self.call.headers[warning_header.NAME] = warning_header.text(self.warnings)

    async def _begin_delivery(self) -> None:
        """Waits until the intent is durable: nothing is delivered before that."""
        first_ms = (monotonic() - self.started) * 1000
        self.execution.first_token_ms = int(first_ms)
        self.slot.upstream.record_latency(self.route.model, first_ms, streamed=True)
        await self.accounting.ledger.recorded(self.execution)
        self.slot.delivered = True

    def _succeed(self) -> None:
        self.execution.state = execution_pb2.EXECUTION_STATE_SUCCEEDED
        self.call.billed.add(self.execution.id)
        self.operation.successful_routes.append(self.route)

    def _reported_usage(self) -> usage_pb2.Usage | None:
        """Usage as the provider reported it, output included; None when it did not."""
        return self._usage if self._usage is not None and self._usage.output_provenance else None

    def _estimate(self, output: "usage_pb2.Provenance") -> usage_pb2.Usage:
        """Estimated usage, but for what the provider reported of the input. output: its provenance."""
        estimated, reported = self._estimated_usage(output), self._usage
        if reported is None:
            return estimated
        for name in ("output_tokens", "visible_output_tokens", "reasoning_tokens", "output_provenance"):
            setattr(reported, name, getattr(estimated, name))
        reported.total_tokens = reported.input_tokens + reported.output_tokens
        return reported

    def _estimated_usage(self, output: "usage_pb2.Provenance") -> usage_pb2.Usage:
        request: object = self.request
        if isinstance(request, pb.CreateEmbeddingsRequest):
            return counts.usage(counts.estimate_inputs(request, self.route.model), 0, output=output)
        if not isinstance(request, pb.CreateCompletionRequest):  # images and sound are not estimated
            unknown = usage_pb2.PROVENANCE_UNKNOWN
            return usage_pb2.Usage(input_provenance=unknown, output_provenance=unknown)
        tokenizer = Tokenizer.if_loaded(self.route.model)
        return self._text.usage(counts.tally(request, tokenizer).tokens, tokenizer, output)

    def _partial_usage(self) -> usage_pb2.Usage:
        """Usage of an unfinished call: the input is estimated, the output is what had arrived by then."""
        request: object = self.request
        if isinstance(request, media.CreateSpeechRequest) and self.slot.delivered:
            self.execution.units.characters = len(request.input)  # billed, however little was heard
        partial = usage_pb2.PROVENANCE_PARTIAL_STREAM if self._text else usage_pb2.PROVENANCE_UNKNOWN
        return self._reported_usage() or self._estimate(partial)

    def _price(self, usage: usage_pb2.Usage) -> usage_pb2.Cost:
        """Enters usage and cost; by the price of the model that answered, else of the one asked for."""
        execution = self.execution
        if usage.HasField("reported_json"):  # for the books, and not for the caller
            execution.usage_json = usage.reported_json
            usage.ClearField("reported_json")
        execution.usage.CopyFrom(usage)
        if self.model and self.model != self.route.model:
            execution.answered_model = self.model
        cost = self.accounting.prices.rate(execution, local=self.provider.local)
        if (
            usage.input_provenance == usage_pb2.PROVENANCE_UNKNOWN
            and not usage.total_tokens
            and not cost.is_free
        ):
            cost = usage_pb2.Cost(price_book=cost.price_book)  # of what nobody counted
        if execution.reserved_ticks and execution.budget_counters and not cost.is_free:
            cost = at_least_reserve(execution, cost)
        execution.cost.CopyFrom(cost)
        return cost

    def _close(self) -> "asyncio.Future[None]":
        self._clock()
        return self.accounting.ledger.settle(self.execution)

    async def _book(self, answer: Answer | None) -> None:
        """Settles a call that ended well, whatever becomes of the caller that waits for it."""
        self._clock()
        paid = None if answer is None else self.operation.paid(answer)
        await self.accounting.ledger.finish(self.execution, paid)

    def _clock(self) -> None:
        self.execution.latency_ms = int((monotonic() - self.started) * 1000)


def _nothing() -> usage_pb2.Usage:
    return counts.usage(0, 0, output=usage_pb2.PROVENANCE_ESTIMATED)
