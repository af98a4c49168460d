"""Errors of idempotency keys: a key that is used twice, and answers that died with their server."""

from google.rpc import code_pb2

from genai_spine.errors.base import SpineError
from genai_spine.v1 import error_reason_pb2 as reasons


class IdempotencyKeyReused(SpineError):
    """the idempotency key was used before with another request"""

    code = code_pb2.ALREADY_EXISTS
    reason = reasons.ERROR_REASON_IDEMPOTENCY_KEY_REUSED
    http_status = 409
    rest_code = "CONFLICT"
    shows_reason = True


class StreamLost(SpineError):
    """the stream is lost after {messages} messages: {cause}"""

    code = code_pb2.DATA_LOSS
    reason = reasons.ERROR_REASON_STREAM_LOST
    http_status = 409
    rest_code = "CONFLICT"
    shows_reason = True


class CallLost(SpineError):
    """the call is lost: the server that made it ended, and it may have been paid"""

    code = code_pb2.DATA_LOSS
    reason = reasons.ERROR_REASON_CALL_LOST
    http_status = 409
    rest_code = "CONFLICT"
    shows_reason = True
