"""One batch from its first prompt to its last event. It is done when every symbol has its outcome."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic

import structlog

from genai_spine.billing.ledger import watched
from genai_spine.call import Call
from genai_spine.costs import cost_of
from genai_spine.errors import InternalError, SpineError
from genai_spine.symbols import events
from genai_spine.symbols.events import Envelopes
from genai_spine.symbols.prompt import Prompt, built
from genai_spine.symbols.question import Complete, JobRules, Question, on_behalf
from genai_spine.tokens.tokenizer import Measure
from genai_spine.v1 import symbol_service_pb2 as pb

CANCELLED = "CANCELLED"
LARGE = 20_000  # bytes; prompts of a larger batch are made in a thread

Tell = Callable[[pb.SymbolEvent], None]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Means:
    """What a job works with."""

    complete: Complete  # asks each candidate once
    rules: JobRules
    upstream_model: str
    measure: Measure
    version: str  # of this service


@dataclass(slots=True)
class Spent:
    """What all calls of a job have consumed."""

    tokens: int = 0
    ticks: int = 0
    price_known: bool = True


async def prompts(request: pb.DocumentSymbolsRequest, limit: int, measure: Measure) -> list[Prompt]:
    """Of every symbol, in their order."""

    def make() -> list[Prompt]:
        return [built(symbol.context, limit, measure) for symbol in request.symbols]

    return make() if request.ByteSize() < LARGE else await asyncio.to_thread(make)


class Job:
    def __init__(self, request: pb.DocumentSymbolsRequest, call: Call, means: Means) -> None:
        self._request, self._call, self._means = request, call, means
        self._envelopes = Envelopes(request, call, means.version)
        self._stopped = asyncio.Event()
        self._why = ""
        self._spent = Spent()
        self._outcomes: list[pb.DocumentedSymbol | None] = [None] * len(request.symbols)
        self._done = 0

    def stop(self, why: str) -> None:
        """No call is begun any more; those that run are finished, and the job ends with what there is.

        A job that is through already is as it is.
        """
        if self._done < len(self._outcomes):
            self._why = self._why or why
            self._stopped.set()

    async def run(self, tell: Tell) -> pb.DocumentSymbolsResponse:
        """tell: gets every event, in order. Errors: none of a single symbol's."""
        started = monotonic()
        asked = await prompts(self._request, self._means.rules.prompt_tokens, self._means.measure)
        tell(self._started(asked))
        waiting = iter(range(len(asked)))
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._means.rules.concurrency, len(asked))):
                group.create_task(self._work(waiting, asked, tell))
        response = self._response()
        tell(self._completed(response, int((monotonic() - started) * 1000)))
        return response

    async def _work(self, waiting: Iterator[int], asked: list[Prompt], tell: Tell) -> None:
        """One symbol after the other, until none waits or the job is stopped."""
        while not self._stopped.is_set() and (index := next(waiting, None)) is not None:
            outcome = await self._document(self._request.symbols[index].symbol_id, asked[index])
            self._outcomes[index] = outcome
            self._done += 1
            if not outcome.HasField("error"):
                payload = pb.SymbolEventPayload(symbol_id=outcome.symbol_id, token_count=outcome.tokens_used)
                tell(self._envelopes.event(events.DOCUMENTED, payload))
            if self._request.report_progress:
                payload = pb.SymbolEventPayload(done=self._done, total=len(self._outcomes))
                tell(self._envelopes.event(events.PROGRESS, payload))

    async def _document(self, symbol_id: str, prompt: Prompt) -> pb.DocumentedSymbol:
        outcome = pb.DocumentedSymbol(symbol_id=symbol_id)
        question = Question(prompt, self._means.upstream_model)
        call = on_behalf(self._call, self._request.job_id, symbol_id)
        with watched() as rows:
            try:
                outcome.summary = await question.answer(
                    self._means.complete, self._means.rules, call, self._stopped
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

    def _started(self, asked: list[Prompt]) -> pb.SymbolEvent:
        payload = pb.SymbolEventPayload(
            symbol_count=len(asked), estimated_tokens=sum(prompt.tokens for prompt in asked)
        )
        return self._envelopes.event(events.STARTED, payload)

    def _response(self) -> pb.DocumentSymbolsResponse:
        outcomes = [
            outcome or self._left_out(symbol.symbol_id)
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

    def _left_out(self, symbol_id: str) -> pb.DocumentedSymbol:
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
