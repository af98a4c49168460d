"""One provider call while it is on the books: opened by inference.py, settled exactly once here."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from time import monotonic, time
from typing import TYPE_CHECKING, TypeVar, cast

from genai_spine.billing.ledger import Ledger
from genai_spine.billing.price_book import PriceBook
from genai_spine.call import Call
from genai_spine.errors import (
    DeadlineExceeded,
    InternalError,
    ProviderError,
    ProviderTimeout,
    SchemaMismatch,
    ServiceUnavailable,
    SpineError,
)
from genai_spine.inference.failover import Turn
from genai_spine.tokens import counts
from genai_spine.tokens.tokenizer import Measure
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, usage_pb2
from genai_spine.v1 import media_service_pb2 as media

if TYPE_CHECKING:
    from genai_spine.inference.schema_repair import Flaw

T = TypeVar("T", pb.Completion, pb.CreateEmbeddingsResponse, media.CreateImagesResponse, media.Transcription)
Request = (
    pb.CreateCompletionRequest
    | pb.CreateEmbeddingsRequest
    | media.CreateImagesRequest
    | media.CreateTranscriptionRequest
    | media.CreateSpeechRequest
)


@dataclass(slots=True)
class Order:
    """What a caller asked for, as all calls that are made for it share it."""

    operation: str  # completion, embeddings, image, transcription or speech
    request: Request  # its provider and model are those of the call that is being made
    requested_model: str  # as the caller named it
    call: Call
    streamed: bool = False
    answered: list[tuple[str, str]] = field(default_factory=list)  # provider and model of good calls
    lost: bool = False  # another call was faster: what this one costs is wasted
    flaw: "Flaw | None" = None  # the answer that did not fit its schema


# Errors after which the upstream may have worked, although no answer came of it.
AT_WORK = (
    ProviderError,
    ProviderTimeout,
    DeadlineExceeded,
    InternalError,
    ServiceUnavailable,
    SchemaMismatch,
)


class Attempt:
    def __init__(self, ledger: Ledger, prices: PriceBook, order: Order, turn: Turn, request: Request) -> None:
        """Puts the intent on the books. request: as the provider whose turn it is gets it."""
        self.ledger = ledger
        self.prices = prices
        self.request = request
        self.order = order
        self.turn = turn
        self.call = order.call
        self.started = monotonic()
        self.model = ""  # as the provider reports it
        self.service_tier: str | None = None  # that the provider says it served; it has its own prices
        self._created = 0
        self._usage: usage_pb2.Usage | None = None
        self._said = counts.Said()
        self.execution = execution_pb2.Execution(
            request_id=order.call.request_id,
            caller=order.call.user_agent,
            operation=order.operation,
            provider=turn.provider.name,
            model=turn.route.model,
            requested_model=order.requested_model,
            attempt=next(order.call.attempts),
            streamed=order.streamed,
            user=request.user if request.HasField("user") else None,
        )
        if order.call.attribution is not None:
            self.execution.MergeFrom(order.call.attribution)
        ledger.begin(self.execution)

    def answer_id(self, prefix: str) -> str:
        return prefix + self.execution.id.replace("-", "")[-24:]

    async def metered(self, chunks: AsyncIterator[pb.CompletionChunk]) -> AsyncGenerator[pb.CompletionChunk]:
        """The chunks with our ids, without usage: that comes with the cost, in finished()."""
        async with aclosing(cast(AsyncGenerator[pb.CompletionChunk], chunks)) as arriving:
            async for chunk in arriving:
                if chunk.HasField("usage"):
                    self._usage = usage_pb2.Usage()
                    self._usage.CopyFrom(chunk.usage)
                    chunk.ClearField("usage")
                if not chunk.choices:
                    continue
                if not self.turn.delivered:
                    await self._first(chunk)
                self._meter(chunk)
                yield self.stamped(chunk)

    async def finished(self) -> pb.CompletionChunk:
        """Settles a stream that came to its end; the last chunk, with usage and cost."""
        usage = self._used(self._estimated(usage_pb2.PROVENANCE_ESTIMATED))
        self._succeeded()
        last = self.stamped(pb.CompletionChunk(usage=usage))
        last.cost.CopyFrom(self._price(usage))
        await self._settle()
        last.latency_ms = self.call.latency_ms
        return last

    async def spoken(self, chunks: AsyncIterator[media.SpeechChunk]) -> AsyncGenerator[media.SpeechChunk]:
        """The sound with our ids; usage and units come with the cost, in silent()."""
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
                if not self.turn.delivered:
                    self.model = chunk.model = chunk.model or execution.model
                    chunk.provider = execution.provider
                    await self._first_byte()
                chunk.request_id, chunk.execution_id = self.call.request_id, execution.id
                yield chunk

    async def silent(self) -> media.SpeechChunk:
        """Settles sound that came to its end; the last chunk, with usage, units and cost."""
        execution, usage = self.execution, self._usage or usage_pb2.Usage()
        self._succeeded()
        last = media.SpeechChunk(usage=usage, cost=self._price(usage), units=execution.units)
        last.request_id, last.execution_id = self.call.request_id, execution.id
        await self._settle()
        return last

    async def settled(self, answer: T) -> T:
        """Settles a whole answer and completes it with ids, cost and latency."""
        execution = self.execution
        self.model = answer.model or execution.model
        if isinstance(answer, pb.Completion):
            self.service_tier = answer.service_tier or None
        if isinstance(answer, pb.Completion | media.CreateImagesResponse):
            answer.created = answer.created or int(time())
        if isinstance(answer, media.CreateImagesResponse | media.Transcription):
            execution.units.CopyFrom(answer.units)
        answer.model, answer.provider = self.model, execution.provider
        answer.request_id, answer.execution_id = self.call.request_id, execution.id
        answer.cost.CopyFrom(self._price(answer.usage))
        took_ms = (monotonic() - self.started) * 1000
        self.turn.upstream.measured(self.turn.route.model, took_ms, streamed=False)
        self._succeeded()
        await self._settle()
        answer.latency_ms = self.call.latency_ms
        return answer

    def answered(self, answer: pb.Completion) -> None:
        """Takes down what an answer says of itself that is not going to be delivered."""
        self.model, self.service_tier = answer.model, answer.service_tier or None
        self._usage = answer.usage

    def _succeeded(self) -> None:
        self.execution.state = execution_pb2.EXECUTION_STATE_SUCCEEDED
        self.call.billed.add(self.execution.id)
        self.order.answered.append((self.turn.provider.name, self.turn.route.model))

    async def failed(self, error: SpineError) -> None:
        """Settles a call that went wrong. An upstream that refused has used nothing."""
        self.execution.wasted = isinstance(error, SchemaMismatch)
        self.execution.state = execution_pb2.EXECUTION_STATE_FAILED
        self.execution.error_reason, self.execution.error = error.reason_name, str(error)
        worked = self.turn.delivered or error.connection_lost or isinstance(error, AT_WORK)
        if worked:
            self.call.billed.add(self.execution.id)
        try:
            if worked and self._said and self._usage is None:  # text to be counted is worth an encoding
                await Measure.of(self.request.model)
        finally:  # also when the caller goes away meanwhile
            nothing = counts.usage(0, 0, output=usage_pb2.PROVENANCE_ESTIMATED)
            self._price(self._used(self._partial()) if worked else self._usage or nothing)
            booked = self._close()
        await booked

    def cancelled(self) -> None:
        """Settles a call whose caller went away; does not wait, because the caller's task must end."""
        self.execution.state = execution_pb2.EXECUTION_STATE_CANCELLED
        self.call.billed.add(self.execution.id)
        self.execution.wasted = self.order.lost
        self.execution.error = "another call was faster" if self.order.lost else "the caller went away"
        self._price(self._used(self._partial()))
        self._close()

    async def _first(self, chunk: pb.CompletionChunk) -> None:
        self.model = chunk.model or self.execution.model
        self._created = chunk.created or int(time())
        if chunk.id:
            self.execution.provider_response_id = chunk.id
        await self._first_byte()

    async def _first_byte(self) -> None:
        """Before it is delivered, the intent must be durable."""
        first_ms = (monotonic() - self.started) * 1000
        self.execution.first_token_ms = int(first_ms)
        self.turn.upstream.measured(self.turn.route.model, first_ms, streamed=True)
        await self.ledger.recorded(self.execution)
        self.turn.delivered = True

    def _meter(self, chunk: pb.CompletionChunk) -> None:
        if chunk.HasField("service_tier"):
            self.service_tier = chunk.service_tier
        for delta in chunk.choices:
            self._said.add(delta)

    def stamped(self, chunk: pb.CompletionChunk) -> pb.CompletionChunk:
        """The chunk with what all chunks of the answer share."""
        chunk.id, chunk.created = self.answer_id("comp_"), self._created
        chunk.model, chunk.provider = self.model, self.execution.provider
        chunk.request_id, chunk.execution_id = self.call.request_id, self.execution.id
        return chunk

    def _used(self, estimated: usage_pb2.Usage) -> usage_pb2.Usage:
        """What the provider reported; where it told only the input, the output is the estimated one."""
        if self._usage is None:
            return estimated
        if self._usage.output_provenance:
            return self._usage
        for name in ("output_tokens", "visible_output_tokens", "reasoning_tokens", "output_provenance"):
            setattr(self._usage, name, getattr(estimated, name))
        self._usage.total_tokens = self._usage.input_tokens + self._usage.output_tokens
        return self._usage

    def _estimated(self, output: usage_pb2.Provenance) -> usage_pb2.Usage:
        request = self.request
        if isinstance(request, pb.CreateEmbeddingsRequest):
            return counts.usage(counts.estimate_inputs(request), 0, output=output)
        if not isinstance(request, pb.CreateCompletionRequest):  # images and sound are not estimated
            unknown = usage_pb2.PROVENANCE_UNKNOWN
            return usage_pb2.Usage(input_provenance=unknown, output_provenance=unknown)
        measure = Measure.at_hand(request.model)
        return self._said.usage(counts.tally(request, measure).tokens, measure, output)

    def _partial(self) -> usage_pb2.Usage:
        """Of an unfinished call: the input is estimated, the output is what had arrived by then."""
        request = self.request
        if isinstance(request, media.CreateSpeechRequest) and self.turn.delivered:
            self.execution.units.characters = len(request.input)  # billed, however little was heard
        return self._estimated(
            usage_pb2.PROVENANCE_PARTIAL_STREAM if self._said else usage_pb2.PROVENANCE_UNKNOWN
        )

    def _price(self, usage: usage_pb2.Usage) -> usage_pb2.Cost:
        """Puts usage and cost on the books; by the model that answered, else by the one asked for."""
        execution = self.execution
        execution.usage.CopyFrom(usage)
        if self.model and self.model != execution.model:
            execution.answered_model = self.model
        if self.service_tier:
            execution.service_tier = self.service_tier
        cost = self.prices.rate(execution, local=self.turn.provider.local)
        if (
            usage.input_provenance == usage_pb2.PROVENANCE_UNKNOWN
            and not usage.total_tokens
            and not cost.is_free
        ):
            cost = usage_pb2.Cost(price_book=cost.price_book)  # of what nobody counted
        execution.cost.CopyFrom(cost)
        return cost

    def _close(self) -> "asyncio.Future[None]":
        self.execution.latency_ms = int((monotonic() - self.started) * 1000)
        return self.ledger.settle(self.execution)

    async def _settle(self) -> None:
        # A caller that goes away now takes only this future along; the row is booked all the same.
        await self._close()
