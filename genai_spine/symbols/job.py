"""Symbol documentation job: one batch from its first prompt to its last event.

A job is done when every symbol has its outcome; failures of single symbols do not fail it.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic

import structlog

from genai_spine.billing.ledger.ledger import watched
from genai_spine.call import Call
from genai_spine.costs import cost_of
from genai_spine.errors import InternalError, SpineError
from genai_spine.symbols import events
from genai_spine.symbols.events import Envelopes
from genai_spine.symbols.prompt import Prompt, built
from genai_spine.symbols.question import Complete, JobRules, Question, on_behalf
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1 import symbol_service_pb2 as pb

CANCELLED = "CANCELLED"
THREAD_THRESHOLD_BYTES = 20_000  # bytes; prompts of a larger batch are made in a thread

EventSink = Callable[[pb.SymbolEvent], None]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class JobDependencies:
    """Dependencies of a job."""

    complete: Complete  # asks each candidate once
    rules: JobRules
    upstream_model: str
    measure: Tokenizer
    version: str  # of this service


@dataclass(slots=True)
class JobUsage:
    """Usage (tokens) and cost (ticks) of all calls of a job."""

    tokens: int = 0
    ticks: int = 0
    price_known: bool = True


async def prompts(request: pb.DocumentSymbolsRequest, limit: int, measure: Tokenizer) -> list[Prompt]:
    """Prompts of all symbols, in their order, each of at most `limit` tokens."""

    def make() -> list[Prompt]:
        return [built(symbol.context, limit, measure) for symbol in request.symbols]

    return make() if request.ByteSize() < THREAD_THRESHOLD_BYTES else await asyncio.to_thread(make)


class Job:
    """Job of one batch; its calls run concurrently up to the rules' limit."""

    def __init__(self, request: pb.DocumentSymbolsRequest, call: Call, dependencies: JobDependencies) -> None:
        self._request, self._call, self._dependencies = request, call, dependencies
        self._envelopes = Envelopes(request, call, dependencies.version)
        self._stopped = asyncio.Event()
        self._why = ""
        self._spent = JobUsage()
        self._outcomes: list[pb.DocumentedSymbol | None] = [None] * len(request.symbols)
        self._done = 0

    def stop(self, why: str) -> None:
        """Cancellation: no call is begun any more, running ones finish, and the job ends with what there is.

        A job that is through already stays as it is.
        """
        if self._done < len(self._outcomes):
            self._why = self._why or why
            self._stopped.set()

    async def run(self, emit: EventSink) -> pb.DocumentSymbolsResponse:
        """Response with all outcomes. emit: gets every event, in order. Errors: none of a single symbol's."""
        started = monotonic()
        symbol_prompts = await prompts(
            self._request, self._dependencies.rules.prompt_tokens, self._dependencies.measure
        )
        emit(self._started(symbol_prompts))
        waiting = iter(range(len(symbol_prompts)))
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._dependencies.rules.concurrency, len(symbol_prompts))):
                group.create_task(self._work(waiting, symbol_prompts, emit))
        response = self._response()
        emit(self._completed(response, int((monotonic() - started) * 1000)))
        return response

    async def _work(self, waiting: Iterator[int], symbol_prompts: list[Prompt], emit: EventSink) -> None:
        """Worker: one symbol after the other, until none waits or the job is stopped."""
        while not self._stopped.is_set() and (index := next(waiting, None)) is not None:
            outcome = await self._document(self._request.symbols[index].symbol_id, symbol_prompts[index])
            self._outcomes[index] = outcome
            self._done += 1
            if not outcome.HasField("error"):
                payload = pb.SymbolEventPayload(symbol_id=outcome.symbol_id, token_count=outcome.tokens_used)
                emit(self._envelopes.event(events.DOCUMENTED, payload))
            if self._request.report_progress:
                payload = pb.SymbolEventPayload(done=self._done, total=len(self._outcomes))
                emit(self._envelopes.event(events.PROGRESS, payload))

    async def _document(self, symbol_id: str, prompt: Prompt) -> pb.DocumentedSymbol:
        """Outcome of one symbol, with the usage of all its calls."""
        outcome = pb.DocumentedSymbol(symbol_id=symbol_id)
        question = Question(prompt, self._dependencies.upstream_model)
        call = on_behalf(self._call, self._request.job_id, symbol_id)
        with watched() as rows:
            try:
                outcome.summary = await question.answer(
                    self._dependencies.complete, self._dependencies.rules, call, self._stopped
                )
            except SpineError as error:
                if isinstance(error, InternalError):
                    cause = error.__cause__ or error
                    log.error("internal_error", request_id=call.request_id, symbol=symbol_id, exc_info=cause)
                outcome.error.code, outcome.error.message = error.rest_code, str(error)
        for row in rows.values():
            tokens = row.usage.input_tokens + row.usage.output_tokens
            outcome.tokens_used += tokens
            outcome.execution_id = row.id
            self._spent.tokens += tokens
            self._spent.ticks += row.cost.cost_ticks
            self._spent.price_known &= row.cost.price_known or not tokens
        return outcome

    def _started(self, symbol_prompts: list[Prompt]) -> pb.SymbolEvent:
        payload = pb.SymbolEventPayload(
            symbol_count=len(symbol_prompts), estimated_tokens=sum(prompt.tokens for prompt in symbol_prompts)
        )
        return self._envelopes.event(events.STARTED, payload)

    def _response(self) -> pb.DocumentSymbolsResponse:
        outcomes = [
            outcome or self._unprocessed(symbol.symbol_id)
            for symbol, outcome in zip(self._request.symbols, self._outcomes, strict=True)
        ]
        failed = [outcome for outcome in outcomes if outcome.HasField("error")]
        warnings = [f"{outcome.symbol_id}: {outcome.error.message}" for outcome in failed]
        if self._stopped.is_set():
            left = f"{len(outcomes) - self._done} of {len(outcomes)} symbols were not asked about"
            warnings.append(f"the job was cancelled: {self._why}; {left}")
        return pb.DocumentSymbolsResponse(
            documented_symbols=outcomes,
            total_tokens=self._spent.tokens,
            cost=cost_of(self._spent.ticks, price_known=self._spent.price_known),
            warnings=warnings,
            job_id=self._request.job_id,
            request_id=self._call.request_id,
        )

    def _unprocessed(self, symbol_id: str) -> pb.DocumentedSymbol:
        """Outcome of a symbol that was cancelled before its call."""
        error = pb.SymbolError(code=CANCELLED, message=f"the job was cancelled: {self._why}")
        return pb.DocumentedSymbol(symbol_id=symbol_id, error=error)

    def _completed(self, response: pb.DocumentSymbolsResponse, duration_ms: int) -> pb.SymbolEvent:
        outcomes = response.documented_symbols
        nothing = bool(outcomes) and all(outcome.HasField("error") for outcome in outcomes)
        payload = pb.SymbolEventPayload(
            total_tokens=response.total_tokens,
            total_cost=response.cost.cost_usd,
            duration_ms=duration_ms,
            warnings=response.warnings,
        )
        status = events.FAILED if nothing or self._stopped.is_set() else events.SUCCESS
        event = self._envelopes.event(events.COMPLETED, payload, status)
        event.result.CopyFrom(response)
        return event
