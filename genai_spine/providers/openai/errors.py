"""Errors in OpenAI's shape, from OpenAI, Azure and the servers that are compatible with them.

Sources: https://platform.openai.com/docs/guides/error-codes, and for Azure
https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter, for OpenRouter
https://openrouter.ai/docs/api/reference/errors-and-debugging, 2026-11-28; the codes of a failed response:
`ResponseError` of the official SDK (openai 3.52.0).
"""

from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from genai_spine import errors
from genai_spine.providers.http.client import HttpClient, Reply, retry_after_s
from genai_spine.providers.http.missing_operation import missing_operation

# Error codes, or types, that decide whatever the status says.
CODES: dict[str, type[errors.ProviderFailure]] = {
    "context_length_exceeded": errors.ContextLengthExceeded,
    "string_above_max_length": errors.ContextLengthExceeded,
    "exceed_context_size_error": errors.ContextLengthExceeded,  # llama.cpp
    "content_filter": errors.ContentFiltered,
    "content_policy_violation": errors.ContentFiltered,
    "ResponsibleAIPolicyViolation": errors.ContentFiltered,  # Azure, in the inner error
    "contentFilter": errors.ContentFiltered,  # Azure, images
    "image_content_policy_violation": errors.ContentFiltered,
    "invalid_prompt": errors.ContentFiltered,  # "flagged as potentially violating our usage policy"
    "bio_policy": errors.ContentFiltered,
    "misalignment_policy_violation": errors.ContentFiltered,
    "insufficient_quota": errors.ProviderQuotaExceeded,
    "billing_hard_limit_reached": errors.ProviderQuotaExceeded,
    "rate_limit_exceeded": errors.ProviderRateLimited,
    "invalid_api_key": errors.ProviderAuthentication,
    "invalid_image": errors.ProviderRejected,
    "invalid_image_format": errors.ProviderRejected,
    "invalid_image_url": errors.ProviderRejected,
    "image_parse_error": errors.ProviderRejected,
    "image_too_large": errors.ProviderRejected,
    "failed_to_download_image": errors.ProviderRejected,
}
NO_MODEL = ("model_not_found", "DeploymentNotFound")
STATUSES: dict[int, type[errors.ProviderFailure]] = {
    400: errors.ProviderRejected,
    401: errors.ProviderAuthentication,
    402: errors.ProviderQuotaExceeded,
    403: errors.ProviderAuthentication,
    408: errors.ProviderUnavailable,
    409: errors.ProviderUnavailable,
    413: errors.ContextLengthExceeded,
    422: errors.ProviderRejected,
    429: errors.ProviderRateLimited,
}


def failure(http: HttpClient, reply: Reply, model: str) -> errors.SpineError:
    """SpineError of an upstream's error: by CODES, then STATUSES, else ProviderUnavailable.

    model: for the hint of ModelNotFound. The message goes to the caller without our key.
    """
    name, fault = http.endpoint.name, _fault(reply)
    # Gateways say the status in the body of an answer that had begun as a good one.
    status = fault.code if reply.status == HTTPStatus.OK and isinstance(fault.code, int) else reply.status
    code = str(fault.code or fault.type or reply.status)
    message = fault.message or reply.body[:300].decode("utf-8", "replace") or f"HTTP {reply.status}"
    message = http.public(message)
    if code not in NO_MODEL and (missing := missing_operation(name, status, message, model)):
        return missing
    if status == HTTPStatus.NOT_FOUND or code in NO_MODEL:
        return errors.ModelNotFound(model=model, hint=f"{name} says: {message[:500]}", provider=name)
    inner = fault.innererror.code if fault.innererror else None
    kind = (
        CODES.get(code)
        or CODES.get(fault.type or "")
        or CODES.get(inner or "")
        or STATUSES.get(status, errors.ProviderUnavailable)
    )
    if fault.metadata and fault.metadata.flagged_input is not None:
        kind = errors.ContentFiltered
    if kind is errors.ProviderRejected and "context length" in message.lower():
        kind = errors.ContextLengthExceeded  # compatible servers send no code
    return kind(
        provider=name,
        provider_code=code,
        provider_message=message,
        retry_after_s=retry_after_s(reply.headers),
    )


class _Inner(Struct):
    code: str | None = None


class _Metadata(Struct):
    flagged_input: Any = None


class Fault(Struct):
    """Error object of a body."""

    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    innererror: _Inner | None = None  # Azure
    metadata: _Metadata | None = None  # OpenRouter, whose moderation answers 403


class _Faulty(Struct):
    """Body of an error answer, in the forms that are met."""

    error: Fault | str | None = None
    message: str | None = None  # Mistral
    detail: Any = None  # vLLM before 0.5


def _fault(reply: Reply) -> Fault:
    """Error of a body; an empty one where the body is none of these forms, as of a proxy."""
    try:
        faulty = FAULTY.decode(reply.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Fault()
    if isinstance(faulty.error, Fault):
        return faulty.error
    return Fault(message=faulty.error or faulty.message or (str(faulty.detail) if faulty.detail else None))


FAULTY = msgspec.json.Decoder(_Faulty)
