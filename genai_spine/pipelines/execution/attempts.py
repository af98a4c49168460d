"""Attempts of one step: provider after provider, each with retries, until one answers."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2

from genai_spine.costs import sum_costs
from genai_spine.errors import BudgetExceeded, InvalidFields, SpineError
from genai_spine.pipelines.definition import DEFAULT_ATTEMPTS, DEFAULT_DELAY_MS, MAX_DELAY_MS
from genai_spine.pipelines.execution.journal import Event, Journal, Tools
from genai_spine.pipelines.provider_order import Action, Candidate
from genai_spine.pipelines.step_requests import CAPABILITIES, built
from genai_spine.v1 import pipeline_pb2 as pb
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.usage_pb2 import Cost

NO_PROVIDERS, TIMEOUT, MAX_RETRIES, EXCEPTION = "NO_PROVIDERS", "TIMEOUT", "MAX_RETRIES", "EXCEPTION"
UNSUPPORTED, INVALID_INPUT = "UNSUPPORTED_CAPABILITY", "INVALID_INPUT"
BUDGET = "budget_exceeded"
RETRYABLE = (
    code_pb2.UNAVAILABLE,
    code_pb2.RESOURCE_EXHAUSTED,
    code_pb2.DEADLINE_EXCEEDED,
    code_pb2.ABORTED,
)

log = structlog.get_logger()


class StepError(Exception):
    """Error of an attempt. is_final: no other provider would do better."""

    def __init__(
        self, code: str, message: str, *, is_retryable: bool = False, is_final: bool = False
    ) -> None:
        super().__init__(message)
        self.code, self.message = code, message
        self.is_retryable, self.is_final = is_retryable, is_final


@dataclass(slots=True)
class Attempted:
    """Outcome of the attempts of a step."""

    answer: Message | None = None
    error: StepError | None = None
    provider: str = ""
    fallbacks: list[str] = field(default_factory=list)  # providers that were asked before
    retries: int = 0
    rows: dict[str, Execution] = field(default_factory=dict)  # of the ledger, by id

    @property
    def cost(self) -> Cost:
        """Cost of all its calls."""
        return sum_costs(row.cost for row in self.rows.values())


@dataclass(slots=True)
class Attempts:
    """Attempts of one piece of work; events of them are queued in the journal."""

    tools: Tools
    journal: Journal
    step_id: str
    name: str  # of the step, in events
    timeout_s: float

    async def make(self, action: Action, value: Any) -> Attempted:
        """Asks one provider after the other. Errors: none but those of the journal and of a cancellation."""
        made = Attempted()
        member = CAPABILITIES[action.capability].member
        candidates = self.tools.order.candidates(action, self.journal.caller)
        if not candidates:
            made.error = StepError(NO_PROVIDERS, f"no provider offers {action.capability}")
            return made
        given = json_format.MessageToDict(action.options) if action.HasField("options") else {}
        options = {**CAPABILITIES[action.capability].fields, **given}
        with self.tools.watched() as rows:
            try:
                for candidate in candidates:
                    if await self._ask(made, action, candidate, (member, options, value)):
                        break
            finally:
                made.rows = dict(rows)
        return made

    async def _ask(
        self, made: Attempted, action: Action, candidate: Candidate, work: tuple[str, Mapping[str, Any], Any]
    ) -> bool:
        """Asks one provider as often as its step allows; True: nobody else is to be asked."""
        if made.provider:
            made.fallbacks.append(made.provider)
            said = {
                "from_provider": made.provider,
                "to_provider": candidate.provider,
                "error": str(made.error),
            }
            self._say("provider.fallback", **said)
        made.provider = candidate.provider or "default"
        retry = action.retry if isinstance(action, pb.PipelineStep) else pb.PipelineRetry(max_attempts=1)
        most = retry.max_attempts if retry.HasField("max_attempts") else DEFAULT_ATTEMPTS
        for attempt in range(1, most + 1):
            try:
                made.answer = await self._attempt(action, candidate, work)
            except StepError as error:
                made.error = error
            else:
                made.error = None
                return True
            codes = retry.retryable_codes
            is_repeated = made.error.is_retryable and (not codes or made.error.code in codes)
            if not is_repeated:
                return made.error.is_final
            if attempt == most:
                break
            await self._wait(made, retry, attempt, most)
        if most > 1:
            last = made.error
            made.error = StepError(MAX_RETRIES, f"{most} attempts; the last one: {last}", is_retryable=True)
        return False

    async def _wait(self, made: Attempted, retry: pb.PipelineRetry, attempt: int, most: int) -> None:
        delay_ms = delay_of(retry, attempt)
        said = {"attempt": attempt + 1, "max_attempts": most, "delay_ms": delay_ms}
        self._say("step.retrying", **said, previous_error=str(made.error))
        made.retries += 1
        await asyncio.sleep(delay_ms / 1000)

    async def _attempt(
        self, action: Action, candidate: Candidate, work: tuple[str, Mapping[str, Any], Any]
    ) -> Message:
        """Answer of a provider. Raises StepError."""
        member, options, value = work
        about = {"provider": candidate.provider or "default", "capability": action.capability}
        self._say("provider.called", **about)
        try:
            answer, took_ms = await self._answer(member, built(member, options, value, *candidate))
        except StepError as error:
            self._say("provider.failed", **about, error=error.message, error_code=error.code)
            raise
        except SpineError as error:
            found = step_error(error)
            self._say("provider.failed", **about, error=found.message, error_code=found.code)
            raise found from None
        except Exception as error:
            log.exception("pipeline_step_failed", run_id=self.journal.run.run_id, step=self.name)
            self._say("provider.failed", **about, error=type(error).__name__, error_code=EXCEPTION)
            raise StepError(EXCEPTION, "internal error; the server log has the cause") from None
        self._say("provider.succeeded", **about, latency_ms=took_ms)
        return answer

    async def _answer(self, member: str, request: Message) -> tuple[Message, int]:
        """Answer, and the milliseconds that it took. Raises StepError when the time is up."""
        call = self.journal.call(self.step_id, request, self.timeout_s)
        try:
            async with asyncio.timeout(self.timeout_s) as limit:
                return await self.tools.do(member, request, call), call.latency_ms
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._late() from None
        except SpineError as error:
            if error.code == code_pb2.DEADLINE_EXCEEDED and call.latency_ms >= self.timeout_s * 1000 - 50:
                raise self._late() from None
            raise

    def _late(self) -> StepError:
        return StepError(TIMEOUT, f"no answer within {self.timeout_s:g} s", is_retryable=True)

    def _say(self, event_type: str, **data: Any) -> None:
        self.journal.event(Event(event_type, {"step_name": self.name, **data}))


def step_error(error: SpineError) -> StepError:
    """Error of a provider, as a step has it."""
    if isinstance(error, BudgetExceeded):
        return StepError(BUDGET, str(error), is_final=True)
    is_input = isinstance(error, InvalidFields)
    code = INVALID_INPUT if is_input else error.reason_name
    return StepError(code, str(error)[:2000], is_retryable=error.code in RETRYABLE, is_final=is_input)


def delay_of(retry: pb.PipelineRetry, attempt: int) -> int:
    """Milliseconds after an attempt, from 1."""
    first = retry.initial_delay_ms if retry.HasField("initial_delay_ms") else DEFAULT_DELAY_MS
    grows = retry.exponential_backoff or not retry.HasField("exponential_backoff")
    return min(MAX_DELAY_MS, first * 2 ** min(attempt - 1, 20) if grows else first)
