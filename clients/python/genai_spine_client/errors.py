"""What a call raises: one class for each kind of reaction, with the service's reason and metadata."""

from collections.abc import Iterator
from contextlib import contextmanager

from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from genai_spine_client.details import Details
from genai_spine_client.gen.genai_spine.v1 import ErrorReason, Run


class SpineError(Exception):
    """A call failed. Raised itself for faults of the service, and as one of the classes below."""

    def __init__(
        self, message: str, reason: ErrorReason, code: Status, details: Details | None = None
    ) -> None:
        details = details or Details()
        super().__init__(message)
        self.reason = reason
        self.code = code  # the gRPC status; only UNAVAILABLE is safe to repeat at once: nothing was paid
        self.metadata = (
            details.metadata
        )  # what the reason is about: model, field, provider, provider_code, ...
        self.request_id = details.request_id  # empty when no server answered
        self.retry_after_s = details.retry_after_s


class InvalidRequest(SpineError):
    """The request cannot be used as it is; metadata["field"] names the field to blame, if one is."""


class NotFound(SpineError):
    """There is no such model, prompt, session, message, price, execution, budget or stored answer."""


class Conflict(SpineError):
    """Something of that name is there already, or it was changed by somebody else."""


class Forbidden(SpineError):
    """The key may not do that, or it belongs to the service and cannot be changed."""


class Unauthenticated(SpineError):
    """No valid key came with the call."""


class BudgetExceeded(SpineError):
    """A budget has no room for the call; a repeat cannot help before it is raised or its period ends."""


class RateLimited(SpineError):
    """The provider, or the service for a key or tenant, limits the rate; retry_after_s: how long to wait."""


class ProviderFailed(SpineError):
    """The provider failed, or answered something unusable; metadata["provider"] names it."""


class TimedOut(SpineError):
    """The provider, or the whole call, or what was waited for, took too long."""


class RunFailed(SpineError):
    """A run whose answer was waited for failed or was cancelled; `run` is the run."""

    def __init__(self, run: Run) -> None:
        error = run.error
        reason = ErrorReason.__members__.get(error.type if error else "", ErrorReason.INTERNAL_ERROR)
        details = Details(metadata=dict(error.metadata)) if error else None
        message = f"run {run.run_id} is {run.status}" + (f": {error.message}" if error else "")
        super().__init__(message, reason, Status.ABORTED, details)
        self.run = run


class Unavailable(SpineError):
    """No server or provider can take the request now: not reached, stopping, circuit open, or busy."""


CLASSES: dict[ErrorReason, type[SpineError]] = {
    ErrorReason.INVALID_FIELDS: InvalidRequest,
    ErrorReason.INVALID_REQUEST: InvalidRequest,
    ErrorReason.UNSUPPORTED_OPTION: InvalidRequest,
    ErrorReason.UNSUPPORTED_OPERATION: InvalidRequest,
    ErrorReason.CONTEXT_LENGTH_EXCEEDED: InvalidRequest,
    ErrorReason.CONTENT_FILTERED: InvalidRequest,
    ErrorReason.GUARDRAIL_TRIGGERED: InvalidRequest,
    ErrorReason.PROVIDER_REJECTED: InvalidRequest,
    ErrorReason.MODEL_NOT_FOUND: NotFound,
    ErrorReason.PROVIDER_RATE_LIMITED: RateLimited,
    ErrorReason.PROVIDER_AUTHENTICATION: ProviderFailed,
    ErrorReason.PROVIDER_QUOTA_EXCEEDED: ProviderFailed,
    ErrorReason.PROVIDER_UNAVAILABLE: ProviderFailed,
    ErrorReason.PROVIDER_ERROR: ProviderFailed,
    ErrorReason.PROVIDER_TIMEOUT: TimedOut,
    ErrorReason.DEADLINE_EXCEEDED: TimedOut,
    ErrorReason.SERVICE_UNAVAILABLE: Unavailable,
    ErrorReason.INTERNAL_ERROR: SpineError,
    ErrorReason.SCHEMA_MISMATCH: ProviderFailed,
    ErrorReason.COMPLETION_NOT_FOUND: NotFound,
    ErrorReason.NO_CANDIDATES: InvalidRequest,
    ErrorReason.PROVIDER_CIRCUIT_OPEN: Unavailable,
    ErrorReason.PROVIDER_BUSY: Unavailable,
    ErrorReason.PRICE_NOT_FOUND: NotFound,
    ErrorReason.PROVIDER_OBJECT_NOT_FOUND: NotFound,
    ErrorReason.INVALID_PROMPT_VARIABLES: InvalidRequest,
    ErrorReason.INVALID_TEMPLATE: InvalidRequest,
    ErrorReason.PROMPT_NOT_FOUND: NotFound,
    ErrorReason.PROMPT_PROTECTED: Forbidden,
    ErrorReason.CONFLICT: Conflict,
    ErrorReason.ETAG_MISMATCH: Conflict,
    ErrorReason.SESSION_NOT_FOUND: NotFound,
    ErrorReason.MESSAGE_NOT_FOUND: NotFound,
    ErrorReason.EXECUTION_NOT_FOUND: NotFound,
    ErrorReason.REQUEST_LOG_NOT_FOUND: NotFound,
    ErrorReason.UNAUTHENTICATED: Unauthenticated,
    ErrorReason.PERMISSION_DENIED: Forbidden,
    ErrorReason.NOT_PERMITTED_TO_KEY: Forbidden,
    ErrorReason.FOREIGN_TENANT: Forbidden,
    ErrorReason.KEY_NOT_FOUND: NotFound,
    ErrorReason.TENANT_NOT_FOUND: NotFound,
    ErrorReason.PROJECT_NOT_FOUND: NotFound,
    ErrorReason.BUDGET_EXCEEDED: BudgetExceeded,
    ErrorReason.BUDGET_NOT_FOUND: NotFound,
    ErrorReason.PRICE_UNKNOWN: InvalidRequest,
    ErrorReason.RATE_LIMITED: RateLimited,
    ErrorReason.CONCURRENT_LIMIT_EXCEEDED: RateLimited,
    ErrorReason.SERVER_FULL: Unavailable,
    ErrorReason.LANE_NOT_SERVED: Unavailable,
    ErrorReason.IDEMPOTENCY_KEY_REUSED: Conflict,
    ErrorReason.STREAM_LOST: Conflict,
    ErrorReason.CALL_LOST: Conflict,
    ErrorReason.PIPELINE_NOT_FOUND: NotFound,
    ErrorReason.PIPELINE_PROTECTED: Forbidden,
    ErrorReason.COLLECTION_NOT_FOUND: NotFound,
    ErrorReason.DOCUMENT_NOT_FOUND: NotFound,
    ErrorReason.DOCUMENT_UNREADABLE: InvalidRequest,
    ErrorReason.EMBEDDING_MISMATCH: Conflict,
    ErrorReason.VECTOR_STORE_UNAVAILABLE: Unavailable,
    ErrorReason.RUN_NOT_FOUND: NotFound,
    ErrorReason.NOT_CANCELLABLE: Conflict,
    ErrorReason.WORK_NOT_FOUND: NotFound,
    ErrorReason.SCHEDULE_NOT_FOUND: NotFound,
    ErrorReason.DEAD_LETTER_NOT_FOUND: NotFound,
    ErrorReason.RUN_STATE: Conflict,
    ErrorReason.SCHEDULE_PAUSED: Conflict,
}
# For a status that comes without the service's details: from Envoy, or from grpclib itself.
WITHOUT_DETAILS = {
    Status.UNAVAILABLE: ErrorReason.SERVICE_UNAVAILABLE,
    Status.DEADLINE_EXCEEDED: ErrorReason.DEADLINE_EXCEEDED,
}


@contextmanager
def typed() -> Iterator[None]:
    """Turns what grpclib raises inside into SpineErrors."""
    try:
        yield
    except GRPCError as error:
        raise _of_status(error) from error
    except TimeoutError as error:  # before OSError, which it is a kind of
        late = "the call took longer than its timeout"
        raise TimedOut(late, ErrorReason.DEADLINE_EXCEEDED, Status.DEADLINE_EXCEEDED) from error
    except (OSError, StreamTerminatedError) as error:
        raise Unavailable(str(error), ErrorReason.SERVICE_UNAVAILABLE, Status.UNAVAILABLE) from error


def _of_status(error: GRPCError) -> SpineError:
    details = error.details if isinstance(error.details, Details) else None
    if details and details.reason in ErrorReason.__members__:
        reason = ErrorReason[details.reason]
    else:
        reason = WITHOUT_DETAILS.get(error.status, ErrorReason.UNSPECIFIED)
    made = CLASSES.get(reason, SpineError)
    return made(error.message or error.status.name, reason, error.status, details)
