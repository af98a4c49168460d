"""Errors of limits: the rate of a key or a tenant, and what a server can do at once. Nothing was done."""

from google.rpc import code_pb2

from genai_spine.errors.base import SpineError
from genai_spine.v1 import error_reason_pb2 as reasons


class RateLimited(SpineError):
    """{of} {id!r} has a limit of {limit} {kind} a minute: {used} are used, and the call asks for {asked}"""

    code = code_pb2.RESOURCE_EXHAUSTED
    reason = reasons.ERROR_REASON_RATE_LIMITED
    http_status = 429
    rest_code = "RATE_LIMITED"
    openai_code = "rate_limit_exceeded"
    retryable = True
    shows_reason = True


class ConcurrentLimitExceeded(SpineError):
    """{of} {id!r} has a limit of {limit} calls at the same time, and {used} are running"""

    code = code_pb2.RESOURCE_EXHAUSTED
    reason = reasons.ERROR_REASON_CONCURRENT_LIMIT_EXCEEDED
    http_status = 429
    rest_code = "RATE_LIMITED"
    openai_code = "concurrent_limit_exceeded"
    retryable = True
    shows_reason = True


class ServerFull(SpineError):
    """this server is full: {running} calls are running, and {waiting} wait"""

    code = code_pb2.UNAVAILABLE
    reason = reasons.ERROR_REASON_SERVER_FULL
    http_status = 503
    rest_code = "SERVICE_UNAVAILABLE"
    retryable = True
    shows_reason = True
