"""Errors of access: who calls, what its key may do, and keys, tenants and projects that are not there."""

from google.rpc import code_pb2

from genai_spine.errors.base import SpineError
from genai_spine.v1 import error_reason_pb2 as reasons


class Unauthenticated(SpineError):
    """a valid key is needed: send it as Authorization: Bearer gs_live_..."""

    code = code_pb2.UNAUTHENTICATED
    reason = reasons.ERROR_REASON_UNAUTHENTICATED
    http_status = 401
    rest_code = "UNAUTHORIZED"
    openai_code = "invalid_api_key"


class PermissionDenied(SpineError):
    """the key lacks the scope {scope}"""

    code = code_pb2.PERMISSION_DENIED
    reason = reasons.ERROR_REASON_PERMISSION_DENIED
    http_status = 403
    rest_code = "FORBIDDEN"


class NotPermittedToKey(SpineError):
    """the key may not use {kind} {name}"""

    may_quote = True
    code = code_pb2.PERMISSION_DENIED
    reason = reasons.ERROR_REASON_NOT_PERMITTED_TO_KEY
    http_status = 403
    rest_code = "FORBIDDEN"


class ForeignTenant(SpineError):
    """the key is not of tenant '{tenant}', and has no scope tenants:act"""

    may_quote = True
    code = code_pb2.PERMISSION_DENIED
    reason = reasons.ERROR_REASON_FOREIGN_TENANT
    http_status = 403
    rest_code = "FORBIDDEN"


class KeyNotFound(SpineError):
    """no key '{key}'"""

    may_quote = True
    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_KEY_NOT_FOUND
    http_status = 404
    rest_code = "NOT_FOUND"


class TenantNotFound(SpineError):
    """no tenant '{tenant}'"""

    may_quote = True
    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_TENANT_NOT_FOUND
    http_status = 404
    rest_code = "NOT_FOUND"


class ProjectNotFound(SpineError):
    """no project '{project}'"""

    may_quote = True
    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_PROJECT_NOT_FOUND
    http_status = 404
    rest_code = "NOT_FOUND"
