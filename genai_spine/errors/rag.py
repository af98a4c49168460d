"""Errors of collections, their documents and their vectors."""

from google.rpc import code_pb2

from genai_spine.errors.base import SpineError
from genai_spine.v1 import error_reason_pb2 as reasons


class CollectionNotFound(SpineError):
    """no collection '{collection}'"""

    may_quote = True
    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_COLLECTION_NOT_FOUND
    http_status = 404
    rest_code = "NOT_FOUND"


class DocumentNotFound(SpineError):
    """no document '{document}'"""

    may_quote = True
    code = code_pb2.NOT_FOUND
    reason = reasons.ERROR_REASON_DOCUMENT_NOT_FOUND
    http_status = 404
    rest_code = "NOT_FOUND"


class VectorStoreUnavailable(SpineError):
    """collections need PostgreSQL's extension pgvector: install it, and run `genai-spine migrate`"""

    code = code_pb2.FAILED_PRECONDITION
    reason = reasons.ERROR_REASON_VECTOR_STORE_UNAVAILABLE
    http_status = 503
    rest_code = "SERVICE_UNAVAILABLE"
    shows_reason = True


class DocumentUnreadable(SpineError):
    """{document} cannot be read: {problem}"""

    may_quote = True
    code = code_pb2.INVALID_ARGUMENT
    reason = reasons.ERROR_REASON_DOCUMENT_UNREADABLE
    http_status = 422
    rest_code = "DOCUMENT_UNREADABLE"


class EmbeddingMismatch(SpineError):
    """collection '{collection}' has vectors of {expected} dimensions, and the model answered with {got}"""

    code = code_pb2.FAILED_PRECONDITION
    reason = reasons.ERROR_REASON_EMBEDDING_MISMATCH
    http_status = 409
    rest_code = "CONFLICT"
    shows_reason = True
