"""Errors of the service: each class is one ErrorReason with its gRPC code and HTTP status.

A class's docstring is the template of the message, and its keywords become ErrorInfo.metadata. Raise these
everywhere: edge/interceptor.py turns them into google.rpc.Status for gRPC, http_answer.py into the JSON body
for REST, and nothing else may reach a client. UNAVAILABLE says that a repeat is safe, useful and not paid
twice (AIP-194), so an answer that was paid but cannot be used is INTERNAL. `retryable` is for REST clients,
which repeat by HTTP status: another attempt can help.

SpineError
├── Unauthenticated               UNAUTHENTICATED 401
├── PermissionDenied              PERMISSION_DENIED 403
├── NotPermittedToKey             PERMISSION_DENIED 403
├── ForeignTenant                 PERMISSION_DENIED 403
├── KeyNotFound                   NOT_FOUND 404
├── TenantNotFound                NOT_FOUND 404
├── ProjectNotFound               NOT_FOUND 404
├── GuardrailTriggered            INVALID_ARGUMENT 400
├── IdempotencyKeyReused          ALREADY_EXISTS 409
├── StreamLost                    DATA_LOSS 409
├── CallLost                      DATA_LOSS 409
├── RateLimited                   RESOURCE_EXHAUSTED 429
├── ConcurrentLimitExceeded       RESOURCE_EXHAUSTED 429
├── ServerFull                    UNAVAILABLE 503
├── PipelineNotFound              NOT_FOUND 404
├── PipelineProtected             PERMISSION_DENIED 403
├── InvalidPromptVariables        INVALID_ARGUMENT 400
├── InvalidTemplate               INVALID_ARGUMENT 422
├── PromptNotFound                NOT_FOUND 404
├── PromptProtected               PERMISSION_DENIED 403
├── CollectionNotFound            NOT_FOUND 404
├── DocumentNotFound              NOT_FOUND 404
├── VectorStoreUnavailable        FAILED_PRECONDITION 503
├── DocumentUnreadable            INVALID_ARGUMENT 422
├── EmbeddingMismatch             FAILED_PRECONDITION 409
├── RunNotFound                   NOT_FOUND 404
├── NotCancellable                FAILED_PRECONDITION 409
├── WorkNotFound                  NOT_FOUND 404
├── ScheduleNotFound              NOT_FOUND 404
├── DeadLetterNotFound            NOT_FOUND 404
├── RunState                      FAILED_PRECONDITION 409
├── LaneNotServed                 UNAVAILABLE 503
├── SchedulePaused                FAILED_PRECONDITION 409
├── InternalError                 INTERNAL 500
├── InvalidFields                 INVALID_ARGUMENT 422
├── InvalidRequest                INVALID_ARGUMENT 400
├── UnsupportedOption             INVALID_ARGUMENT 400
├── UnsupportedOperation          UNIMPLEMENTED 400
├── ModelNotFound                 NOT_FOUND 404
├── ServiceUnavailable            UNAVAILABLE 503
├── DeadlineExceeded              DEADLINE_EXCEEDED 504
├── ProviderFailure
│   ├── ProviderRateLimited       RESOURCE_EXHAUSTED 429
│   ├── ContextLengthExceeded     INVALID_ARGUMENT 502
│   ├── ContentFiltered           INVALID_ARGUMENT 502
│   ├── ProviderRejected          INVALID_ARGUMENT 400
│   ├── ProviderAuthentication    FAILED_PRECONDITION 502
│   ├── ProviderQuotaExceeded     FAILED_PRECONDITION 502
│   ├── ProviderUnavailable       UNAVAILABLE 502
│   └── ProviderError             INTERNAL 502
├── ProviderTimeout               DEADLINE_EXCEEDED 504
├── SchemaMismatch                INTERNAL 502
├── CompletionNotFound            NOT_FOUND 404
├── NoCandidates                  INVALID_ARGUMENT 400
├── CircuitOpen                   UNAVAILABLE 503
├── ProviderBusy                  UNAVAILABLE 503
├── PriceNotFound                 NOT_FOUND 404
├── ProviderObjectNotFound        NOT_FOUND 404
├── Conflict                      ALREADY_EXISTS 409
├── EtagMismatch                  ABORTED 409
├── SessionNotFound               NOT_FOUND 404
├── MessageNotFound               NOT_FOUND 404
├── ExecutionNotFound             NOT_FOUND 404
├── RequestLogNotFound            NOT_FOUND 404
├── BudgetExceeded                RESOURCE_EXHAUSTED 429
├── BudgetNotFound                NOT_FOUND 404
└── PriceUnknown                  FAILED_PRECONDITION 400
"""

from collections.abc import Iterator
from typing import Any

from google.rpc import code_pb2

from genai_spine.errors.access import ForeignTenant as ForeignTenant
from genai_spine.errors.access import KeyNotFound as KeyNotFound
from genai_spine.errors.access import NotPermittedToKey as NotPermittedToKey
from genai_spine.errors.access import PermissionDenied as PermissionDenied
from genai_spine.errors.access import ProjectNotFound as ProjectNotFound
from genai_spine.errors.access import TenantNotFound as TenantNotFound
from genai_spine.errors.access import Unauthenticated as Unauthenticated
from genai_spine.errors.base import PLAIN_FIELD
from genai_spine.errors.base import SpineError as SpineError
from genai_spine.errors.guardrails import GuardrailTriggered as GuardrailTriggered
from genai_spine.errors.idempotency import CallLost as CallLost
from genai_spine.errors.idempotency import IdempotencyKeyReused as IdempotencyKeyReused
from genai_spine.errors.idempotency import StreamLost as StreamLost
from genai_spine.errors.limits import ConcurrentLimitExceeded as ConcurrentLimitExceeded
from genai_spine.errors.limits import RateLimited as RateLimited
from genai_spine.errors.limits import ServerFull as ServerFull
from genai_spine.errors.pipelines import PipelineNotFound as PipelineNotFound
from genai_spine.errors.pipelines import PipelineProtected as PipelineProtected
from genai_spine.errors.prompts import InvalidPromptVariables as InvalidPromptVariables
from genai_spine.errors.prompts import InvalidTemplate as InvalidTemplate
from genai_spine.errors.prompts import PromptNotFound as PromptNotFound
from genai_spine.errors.prompts import PromptProtected as PromptProtected
from genai_spine.errors.rag import CollectionNotFound as CollectionNotFound
from genai_spine.errors.rag import DocumentNotFound as DocumentNotFound
from genai_spine.errors.rag import DocumentUnreadable as DocumentUnreadable
from genai_spine.errors.rag import EmbeddingMismatch as EmbeddingMismatch
from genai_spine.errors.rag import VectorStoreUnavailable as VectorStoreUnavailable
from genai_spine.errors.runs import DeadLetterNotFound as DeadLetterNotFound
from genai_spine.errors.runs import LaneNotServed as LaneNotServed
from genai_spine.errors.runs import NotCancellable as NotCancellable
from genai_spine.errors.runs import RunNotFound as RunNotFound
from genai_spine.errors.runs import RunState as RunState
from genai_spine.errors.runs import ScheduleNotFound as ScheduleNotFound
from genai_spine.errors.runs import SchedulePaused as SchedulePaused
from genai_spine.errors.runs import WorkNotFound as WorkNotFound
from genai_spine.v1 import error_reason_pb2 as reasons

DOMAIN = "genai-spine.internal"


class InternalError(SpineError):
    """internal error; the server log has the cause under this request id"""


class InvalidFields(SpineError):
    """{message}"""

    may_quote = True
    code = code_pb2.INVALID_ARGUMENT
    reason = reasons.ERROR_REASON_INVALID_FIELDS
    http_status = 422
    rest_code = "UNPROCESSABLE_ENTITY"
    openai_status = 400

    def __init__(self, violations: list[tuple[str, str]]) -> None:
        """Message and metadata of violations: pairs of field path and problem, at least one."""
        self._violations = violations
        message = "; ".join(f"{field}: {problem}" for field, problem in violations)
        super().__init__(message=message, field=violations[0][0])
        del self.metadata["message"]

    @property
    def violations(self) -> list[tuple[str, str]]:
        return self._violations


class InvalidRequest(SpineError):
    """{field}: {problem}"""

    may_quote = True
    code = code_pb2.INVALID_ARGUMENT
    reason = reasons.ERROR_REASON_INVALID_REQUEST
    http_status = 400
    rest_code = "VALIDATION_ERROR"


class UnsupportedOption(SpineError):
    """{field}: provider {provider} does not support {option}"""

    code = code_pb2.INVALID_ARGUMENT
    reason = reasons.ERROR_REASON_UNSUPPORTED_OPTION
    http_status = 400
    rest_code = "VALIDATION_ERROR"


class UnsupportedOperation(SpineError):
    """provider {provider} does not offer {operation}"""

    code = code_pb2.UNIMPLEMENTED
    reason = reasons.ERROR_REASON_UNSUPPORTED_OPERATION
    http_status = 400
    rest_code = "VALIDATION_ERROR"


class ModelNotFound(SpineError):
    """model '{model}' not found: {hint}"""

    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_MODEL_NOT_FOUND
    http_status = 404
    rest_code = "MODEL_NOT_FOUND"
    openai_code = "model_not_found"


class ServiceUnavailable(SpineError):
    """this server cannot take the request now: {cause}"""

    code = code_pb2.UNAVAILABLE
    reason = reasons.ERROR_REASON_SERVICE_UNAVAILABLE
    http_status = 503
    rest_code = "SERVICE_UNAVAILABLE"
    retryable = True


class DeadlineExceeded(SpineError):
    """the caller's deadline passed before the answer was complete"""

    code = code_pb2.DEADLINE_EXCEEDED
    reason = reasons.ERROR_REASON_DEADLINE_EXCEEDED
    http_status = 504
    rest_code = "PROVIDER_TIMEOUT"


class ProviderFailure(SpineError):
    """Base class of errors of a provider; keywords provider, provider_code, provider_message."""

    code = code_pb2.INTERNAL
    http_status = 502
    rest_code = "PROVIDER_ERROR"

    def __init__(self, *, provider: str, provider_message: str, **metadata: Any) -> None:
        metadata.setdefault("provider_code", "unknown")
        shown = provider_message.strip()[:1000] or "no message"
        super().__init__(provider=provider, provider_message=shown, **metadata)


class ProviderRateLimited(ProviderFailure):
    """provider {provider} limits the rate: {provider_message}"""

    code = code_pb2.RESOURCE_EXHAUSTED
    reason = reasons.ERROR_REASON_PROVIDER_RATE_LIMITED
    http_status = 429
    rest_code = "RATE_LIMITED"
    openai_code = "rate_limit_exceeded"
    retryable = True


class ContextLengthExceeded(ProviderFailure):
    """the input is too long for the model: {provider_message}"""

    code = code_pb2.INVALID_ARGUMENT
    reason = reasons.ERROR_REASON_CONTEXT_LENGTH_EXCEEDED
    openai_status = 400
    openai_code = "context_length_exceeded"


class ContentFiltered(ProviderFailure):
    """provider {provider} refused the content: {provider_message}"""

    code = code_pb2.INVALID_ARGUMENT
    reason = reasons.ERROR_REASON_CONTENT_FILTERED
    openai_status = 400
    openai_code = "content_filter"


class ProviderRejected(ProviderFailure):
    """provider {provider} refused the request: {provider_message}"""

    code = code_pb2.INVALID_ARGUMENT
    reason = reasons.ERROR_REASON_PROVIDER_REJECTED
    http_status = 400
    rest_code = "VALIDATION_ERROR"


class ProviderAuthentication(ProviderFailure):
    """provider {provider} refused this service's key; its operator must act: {provider_message}"""

    code = code_pb2.FAILED_PRECONDITION
    reason = reasons.ERROR_REASON_PROVIDER_AUTHENTICATION


class ProviderQuotaExceeded(ProviderFailure):
    """this service's account at {provider} is out of quota; its operator must act: {provider_message}"""

    code = code_pb2.FAILED_PRECONDITION
    reason = reasons.ERROR_REASON_PROVIDER_QUOTA_EXCEEDED


class ProviderUnavailable(ProviderFailure):
    """provider {provider} cannot answer now: {provider_message}"""

    code = code_pb2.UNAVAILABLE
    reason = reasons.ERROR_REASON_PROVIDER_UNAVAILABLE
    retryable = True


class ProviderError(ProviderFailure):
    """provider {provider} answered something unusable: {provider_message}"""

    reason = reasons.ERROR_REASON_PROVIDER_ERROR
    retryable = True

    @property
    def logged(self) -> str:
        if self.metadata["provider_code"] != "invalid_json":
            return str(self)
        return f"provider {self.metadata['provider']} answered something unusable: invalid_json"


class ProviderTimeout(SpineError):
    """provider {provider} was too slow: {phase} took more than {timeout_s} s"""

    code = code_pb2.DEADLINE_EXCEEDED
    reason = reasons.ERROR_REASON_PROVIDER_TIMEOUT
    http_status = 504
    rest_code = "PROVIDER_TIMEOUT"
    retryable = True


class SchemaMismatch(SpineError):
    """the answer of model '{model}' does not match the schema: {path}: {problem}"""

    code = code_pb2.INTERNAL
    reason = reasons.ERROR_REASON_SCHEMA_MISMATCH
    http_status = 502
    rest_code = "PROVIDER_ERROR"
    may_quote = True

    @property
    def logged(self) -> str:
        path = self.metadata["path"]
        where = path if PLAIN_FIELD.fullmatch(path) else "a field"
        return f"the answer of model '{self.metadata['model']}' does not match the schema: {where}"


class CompletionNotFound(SpineError):
    """no completion is stored under '{id}'"""

    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_COMPLETION_NOT_FOUND
    http_status = 404
    rest_code = "NOT_FOUND"


class NoCandidates(SpineError):
    """{field}: no candidate is left: {problem}"""

    code = code_pb2.INVALID_ARGUMENT
    reason = reasons.ERROR_REASON_NO_CANDIDATES
    http_status = 400
    rest_code = "VALIDATION_ERROR"


class CircuitOpen(SpineError):
    """the circuit breaker of {upstream} is open for {open_s} s: {failures} calls in a row failed"""

    code = code_pb2.UNAVAILABLE
    reason = reasons.ERROR_REASON_PROVIDER_CIRCUIT_OPEN
    http_status = 503
    rest_code = "SERVICE_UNAVAILABLE"
    retryable = True


class ProviderBusy(SpineError):
    """provider {provider} is busy: {running} calls are running, which is its limit"""

    code = code_pb2.UNAVAILABLE
    reason = reasons.ERROR_REASON_PROVIDER_BUSY
    http_status = 503
    rest_code = "SERVICE_UNAVAILABLE"
    retryable = True


class PriceNotFound(SpineError):
    """no price is known for model '{model}'"""

    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_PRICE_NOT_FOUND
    http_status = 404
    rest_code = "MODEL_NOT_FOUND"


class ProviderObjectNotFound(SpineError):
    """provider {provider} has no {kind} '{id}'"""

    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_PROVIDER_OBJECT_NOT_FOUND
    http_status = 404
    rest_code = "NOT_FOUND"


class Conflict(SpineError):
    """{field}: {problem}"""

    may_quote = True
    code = code_pb2.ALREADY_EXISTS
    reason = reasons.ERROR_REASON_CONFLICT
    http_status = 409
    rest_code = "CONFLICT"


class EtagMismatch(SpineError):
    """{resource} was changed by somebody else; its etag is now '{etag}'"""

    code = code_pb2.ABORTED
    reason = reasons.ERROR_REASON_ETAG_MISMATCH
    http_status = 409
    rest_code = "CONFLICT"


class SessionNotFound(SpineError):
    """no session '{session}'"""

    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_SESSION_NOT_FOUND
    http_status = 404
    rest_code = "SESSION_NOT_FOUND"


class MessageNotFound(SpineError):
    """session '{session}' has no message '{message}'"""

    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_MESSAGE_NOT_FOUND
    http_status = 404
    rest_code = "NOT_FOUND"


class ExecutionNotFound(SpineError):
    """no execution '{execution}'"""

    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_EXECUTION_NOT_FOUND
    http_status = 404
    rest_code = "NOT_FOUND"


class RequestLogNotFound(SpineError):
    """no request log '{request_log}'"""

    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_REQUEST_LOG_NOT_FOUND
    http_status = 404
    rest_code = "NOT_FOUND"


class BudgetExceeded(SpineError):
    """the {period} budget of {node} {key!r} has no room for a call of up to {estimate_usd} USD: {used_usd} of
    {limit_usd} USD are spent or reserved"""

    code = code_pb2.RESOURCE_EXHAUSTED
    reason = reasons.ERROR_REASON_BUDGET_EXCEEDED
    http_status = 429
    rest_code = "QUOTA_EXCEEDED"
    openai_code = "insufficient_quota"
    falls_back = False  # a cheaper candidate is called in the place of the one that was refused


class BudgetNotFound(SpineError):
    """no budget '{budget}'"""

    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_BUDGET_NOT_FOUND
    http_status = 404
    rest_code = "NOT_FOUND"


class PriceUnknown(SpineError):
    """a budget that blocks applies to the call, and what model {model!r} of {provider} costs is not known"""

    code = code_pb2.FAILED_PRECONDITION
    reason = reasons.ERROR_REASON_PRICE_UNKNOWN
    http_status = 400
    rest_code = "VALIDATION_ERROR"


def revived(reason: str, message: str, metadata: dict[str, str]) -> SpineError:
    """Error rebuilt from its stored reason, message and metadata; InternalError for an unknown reason."""
    kind = next((kind for kind in _kinds(SpineError) if kind.reason_of() == reason), InternalError)
    if kind is InvalidFields:
        field = metadata.get("field", "")
        return InvalidFields([(field, message.removeprefix(f"{field}: "))])
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.metadata, error.retry_after_s, error.are_attempts_spent = dict(metadata), None, False
    return error


def _kinds(kind: type[SpineError]) -> Iterator[type[SpineError]]:
    for below in kind.__subclasses__():
        yield below
        yield from _kinds(below)
