"""Errors in OpenAI's shape, from OpenAI, Azure and the servers that are compatible with them.

Sources: https://platform.openai.com/docs/guides/error-codes, and for Azure
https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter, for OpenRouter
https://openrouter.ai/docs/api/reference/errors-and-debugging, 2026-11-28; the codes of a failed response:
`ResponseError` of the official SDK (openai 3.52.0).
"""

from http import HTTPStatus

from genai_spine import errors
from genai_spine.providers.http import error_body
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

    model: for the hint of ModelNotFound. The message goes to the caller without our key, and with nothing of
    the answer that an error came in.
    """
    name, fault = http.endpoint.name, error_body.read(reply.body)
    # Gateways say the status in the body of an answer that had begun as a good one.
    in_answer = reply.status == HTTPStatus.OK
    status = (fault.status or reply.status) if in_answer else reply.status
    code = fault.code or fault.type or str(status)
    message = http.public(fault.message or error_body.text_of(reply.status, reply.body))
    if code not in NO_MODEL and (missing := missing_operation(name, status, message, model)):
        return missing
    if status == HTTPStatus.NOT_FOUND or code in NO_MODEL:
        return errors.ModelNotFound(model=model, hint=f"{name} says: {message[:500]}", provider=name)
    kind = (
        CODES.get(code)
        or CODES.get(fault.type)
        or CODES.get(fault.inner)
        or STATUSES.get(status, errors.ProviderUnavailable)
    )
    if fault.flagged:
        kind = errors.ContentFiltered
    if kind is errors.ProviderRejected and "context length" in message.lower():
        kind = errors.ContextLengthExceeded  # compatible servers send no code
    return kind(
        provider=name,
        provider_code=code,
        provider_message=message,
        retry_after_s=retry_after_s(reply.headers),
    )
