"""Failures of runs: how they are stored, and whether a retry follows.

Inference has retried a provider already. The run layer repeats only what that cannot mend: a worker or a
database that was lost, a server that was full, and rate limits after the layer below gave up.
"""

import random
from datetime import timedelta

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
from genai_spine.store.runs.transitions import Failure
from genai_spine.v1 import run_pb2 as pb

RETRIED = (
    *(RateLimited, ConcurrentLimitExceeded, ServerFull, ServiceUnavailable),
    *(ProviderRateLimited, ProviderBusy, CircuitOpen),
)
MAX_DELAY_S = 3600.0
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


def error_of(error: SpineError) -> pb.RunError:
    """Error of a run or a step, as it is stored."""
    is_budget = isinstance(error, BudgetExceeded)
    return pb.RunError(
        type="budget" if is_budget else error.reason_name,
        message=str(error)[:2000],
        category=_category(error),
        is_retryable=isinstance(error, RETRIED),
        metadata={name: value[:500] for name, value in error.metadata.items()},
    )


def timed_out(seconds: float | None) -> pb.RunError:
    """Error of a run whose time is up."""
    of = "its deadline passed" if seconds is None else f"it took longer than {timedelta(seconds=seconds)}"
    return pb.RunError(type="timeout", message=of, category="TIMEOUT")


def missing_handler(name: str) -> pb.RunError:
    """Error of a run that no worker of its lane knows how to make."""
    message = f"this worker has no handler for {name}"
    return pb.RunError(type="missing_handler", message=message, category="CONFIGURATION")


def failure(run: pb.Run, error: pb.RunError, retry_after_s: float | None = None) -> Failure:
    """Consequence of a failed attempt: a retry, the dead letters, or nothing."""
    if not error.is_retryable:
        return Failure(error)
    if run.attempt > run.options.max_retries:
        return Failure(error, is_final=True)
    return Failure(error, retry_delay_s=max(_delay_s(run), retry_after_s or 0.0))


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
    if isinstance(error, RETRIED):
        return "TRANSIENT"
    if error.code == code_pb2.DEADLINE_EXCEEDED:
        return "TIMEOUT"
    if error.code in (code_pb2.INVALID_ARGUMENT, code_pb2.NOT_FOUND):
        return "DATA_QUALITY"
    if error.code in (code_pb2.FAILED_PRECONDITION, code_pb2.PERMISSION_DENIED, code_pb2.UNAUTHENTICATED):
        return "CONFIGURATION"
    return "DEPENDENCY" if error.metadata.get("provider") else "INTERNAL"
