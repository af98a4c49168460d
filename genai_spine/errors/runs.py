"""Errors of durable runs, their schedules and dead letters."""

from google.rpc import code_pb2

from genai_spine.errors.base import SpineError
from genai_spine.v1 import error_reason_pb2 as reasons


class RunNotFound(SpineError):
    """no run '{run}'"""

    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_RUN_NOT_FOUND
    http_status = 404
    rest_code = "NOT_FOUND"


class NotCancellable(SpineError):
    """run '{run}' is {status}, and cannot be cancelled"""

    code = code_pb2.FAILED_PRECONDITION
    reason = reasons.ERROR_REASON_NOT_CANCELLABLE
    http_status = 409
    rest_code = "NOT_CANCELLABLE"


class WorkNotFound(SpineError):
    """no {kind} '{name}'; there are: {known}"""

    may_quote = True
    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_WORK_NOT_FOUND
    http_status = 404
    rest_code = "NOT_FOUND"


class ScheduleNotFound(SpineError):
    """no schedule '{schedule}'"""

    may_quote = True
    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_SCHEDULE_NOT_FOUND
    http_status = 404
    rest_code = "NOT_FOUND"


class DeadLetterNotFound(SpineError):
    """no dead letter '{dead_letter}'"""

    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_DEAD_LETTER_NOT_FOUND
    http_status = 404
    rest_code = "NOT_FOUND"


class RunState(SpineError):
    """run '{run}' is {status}: {problem}"""

    code = code_pb2.FAILED_PRECONDITION
    reason = reasons.ERROR_REASON_RUN_STATE
    http_status = 409
    rest_code = "CONFLICT"
    shows_reason = True


class LaneNotServed(SpineError):
    """no worker serves lane '{lane}'"""

    code = code_pb2.UNAVAILABLE
    reason = reasons.ERROR_REASON_LANE_NOT_SERVED
    http_status = 503
    rest_code = "SERVICE_UNAVAILABLE"
    retryable = True


class SchedulePaused(SpineError):
    """schedule '{schedule}' is paused: {problem}; whoever resumes it is its maker"""

    may_quote = True
    code = code_pb2.FAILED_PRECONDITION
    reason = reasons.ERROR_REASON_SCHEDULE_PAUSED
    http_status = 409
    rest_code = "CONFLICT"
    shows_reason = True
