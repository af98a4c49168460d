"""Error of guardrails: something was found that a key or a request does not allow."""

from google.rpc import code_pb2

from genai_spine.errors.base import SpineError
from genai_spine.v1 import error_reason_pb2 as reasons


class GuardrailTriggered(SpineError):
    """guardrail {guardrail} found {what} in {where}"""

    code = code_pb2.INVALID_ARGUMENT
    reason = reasons.ERROR_REASON_GUARDRAIL_TRIGGERED
    http_status = 400
    rest_code = "GUARDRAIL_TRIGGERED"
    openai_code = "guardrail_triggered"
