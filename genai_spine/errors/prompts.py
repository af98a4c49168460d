"""Errors of prompts: their variables, templates and names."""

from google.rpc import code_pb2

from genai_spine.errors.base import SpineError
from genai_spine.v1 import error_reason_pb2 as reasons


class InvalidPromptVariables(SpineError):
    """{field}: {problem}"""

    may_quote = True
    code = code_pb2.INVALID_ARGUMENT
    reason = reasons.ERROR_REASON_INVALID_PROMPT_VARIABLES
    http_status = 400
    rest_code = "INVALID_PROMPT_VARIABLES"


class InvalidTemplate(SpineError):
    """{field}: {problem}"""

    may_quote = True
    code = code_pb2.INVALID_ARGUMENT
    reason = reasons.ERROR_REASON_INVALID_TEMPLATE
    http_status = 422
    rest_code = "UNPROCESSABLE_ENTITY"
    openai_status = 400


class PromptNotFound(SpineError):
    """no prompt '{prompt}'"""

    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_PROMPT_NOT_FOUND
    http_status = 404
    rest_code = "PROMPT_NOT_FOUND"


class PromptProtected(SpineError):
    """prompt '{prompt}' belongs to the service and cannot be changed"""

    code = code_pb2.PERMISSION_DENIED
    reason = reasons.ERROR_REASON_PROMPT_PROTECTED
    http_status = 403
    rest_code = "FORBIDDEN"
