"""Failures of runs: how they are stored, and whether a retry follows.

Inference has retried a provider already. The run layer repeats only what that cannot mend: a worker or a
database that was lost, a server that was full, and rate limits after the layer below gave up. A circuit that
is open counts as one of those only where no provider was called: so a dead provider is called no more often
than inference calls it for one request.
"""

import random
from datetime import UTC, datetime, timedelta

from google.rpc import code_pb2

from genai_spine.errors import (
    BudgetExceeded,
    CircuitOpen,
    ConcurrentLimitExceeded,
    ProviderBusy,
    ProviderRateLimited,
    RateLimited,
    ServerFull,
    ServiceUnavailable,
    SpineError,
)
from genai_spine.store.runs.events import PendingEvent
from genai_spine.store.runs.transitions import Failure
from genai_spine.v1 import run_pb2 as pb

OWN_LIMITS = (RateLimited, ConcurrentLimitExceeded)  # a run waits for room in them however often
RETRIED = (*OWN_LIMITS, ServerFull, ServiceUnavailable, ProviderRateLimited, ProviderBusy)
MAX_DELAY_S = 3600.0
MAX_ANSWER_BYTES = 64 << 20
JITTER = 0.25  # of an exponential delay, either way
WORKER_LOST = pb.RunError(
    type="worker_lost",
    message="the workers that made the run ended again and again",
    category="INTERNAL",
    is_retryable=True,
)
INTERNAL = pb.RunError(
    type="internal",
    message="internal error; the server log has the cause under the run's id",
    category="INTERNAL",
)


def error_of(error: SpineError, *, was_sent: bool = True) -> pb.RunError:
    """Error of a run or a step, as it is stored. was_sent: a provider was called."""
    is_budget = isinstance(error, BudgetExceeded)
    return pb.RunError(
        type="budget" if is_budget else error.reason_name,
        message=str(error)[:2000],
        category=_category(error),
        is_retryable=isinstance(error, RETRIED) or (isinstance(error, CircuitOpen) and not was_sent),
        metadata={name: value[:500] for name, value in error.metadata.items()},
    )


def timed_out(run: pb.Run) -> Failure:
    """Failure of an attempt whose time is up, by the run's deadline or by its own timeout."""
    options = run.options
    message = "its deadline passed"
    if options.HasField("timeout"):
        is_past = options.HasField("deadline") and options.deadline.ToDatetime(UTC) <= datetime.now(UTC)
        message = message if is_past else f"it took longer than {options.timeout.ToTimedelta()}"
    error = pb.RunError(type="timeout", message=message, category="TIMEOUT")
    return Failure(error, [PendingEvent("timed_out", {"reason": message})])


def too_large(response_bytes: int) -> Failure:
    """Failure of a run whose answer is larger than any that is kept; what its calls cost is booked."""
    message = f"its answer has {response_bytes} bytes; the most that is kept is {MAX_ANSWER_BYTES}"
    return Failure(pb.RunError(type="result_too_large", message=message, category="DATA_QUALITY"))


def missing_handler(name: str) -> pb.RunError:
    """Error of a run that no worker of its lane knows how to make."""
    message = f"this worker has no handler for {name}"
    return pb.RunError(type="missing_handler", message=message, category="CONFIGURATION")


def failure(run: pb.Run, error: SpineError, *, was_sent: bool = True) -> Failure:
    """Consequence of a failed attempt: a retry, the dead letters, or nothing.

    A retry that would begin after the deadline is none: the run fails at once, with what went wrong.
    """
    stored = error_of(error, was_sent=was_sent)
    if not stored.is_retryable:
        return Failure(stored)
    waits_for_room = isinstance(error, OWN_LIMITS) and error.retry_after_s is not None
    if run.attempt > run.options.max_retries and not waits_for_room:
        return Failure(stored, is_final=True)
    delay_s = max(_delay_s(run), error.retry_after_s or 0.0)
    if run.options.HasField("deadline"):
        start = datetime.now(UTC) + timedelta(seconds=delay_s)
        if start >= run.options.deadline.ToDatetime(UTC):
            return Failure(stored)
    return Failure(stored, retry_delay_s=delay_s)


def _delay_s(run: pb.Run) -> float:
    """Seconds before the next attempt."""
    options, attempt = run.options, run.attempt
    base = options.retry_delay_seconds
    if options.backoff == "none":
        return 0.0
    if options.backoff == "linear":
        return min(base * attempt, MAX_DELAY_S)
    if options.backoff == "exponential":
        grown: float = base * 2 ** min(attempt - 1, 30)
        return min(grown, MAX_DELAY_S) * random.uniform(1 - JITTER, 1 + JITTER)
    return base


def _category(error: SpineError) -> str:
    if isinstance(error, (*RETRIED, CircuitOpen)):
        return "TRANSIENT"
    if error.code == code_pb2.DEADLINE_EXCEEDED:
        return "TIMEOUT"
    if error.code in (code_pb2.INVALID_ARGUMENT, code_pb2.NOT_FOUND):
        return "DATA_QUALITY"
    if error.code in (code_pb2.FAILED_PRECONDITION, code_pb2.PERMISSION_DENIED, code_pb2.UNAUTHENTICATED):
        return "CONFIGURATION"
    return "DEPENDENCY" if error.metadata.get("provider") else "INTERNAL"
