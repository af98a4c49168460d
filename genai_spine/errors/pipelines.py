"""Errors of pipelines."""

from google.rpc import code_pb2

from genai_spine.errors.base import SpineError
from genai_spine.v1 import error_reason_pb2 as reasons


class PipelineNotFound(SpineError):
    """no pipeline '{requested_pipeline}'; there are: {available_pipelines}"""

    may_quote = True
    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_PIPELINE_NOT_FOUND
    http_status = 404
    rest_code = "NOT_FOUND"


class PipelineProtected(SpineError):
    """pipeline '{pipeline}' comes with the service and cannot be changed; create one under another name"""

    may_quote = True
    code = code_pb2.PERMISSION_DENIED
    reason = reasons.ERROR_REASON_PIPELINE_PROTECTED
    http_status = 403
    rest_code = "FORBIDDEN"
