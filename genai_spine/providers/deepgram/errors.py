"""Errors of Deepgram: {err_code, err_msg, request_id}, {category, message, details, request_id}, or text.

Source: https://developers.deepgram.com/docs/errors, 2026-11-30.
"""

from http import HTTPStatus

from genai_spine import errors
from genai_spine.providers.http import error_body, lenient_json
from genai_spine.providers.http.client import HttpClient, Reply, retry_after_s
from genai_spine.providers.http.missing_operation import missing_operation

# Codes that decide whatever the status says.
CODES: dict[str, type[errors.ProviderFailure]] = {
    "INVALID_AUTH": errors.ProviderAuthentication,
    "INSUFFICIENT_PERMISSIONS": errors.ProviderAuthentication,
    "ASR_PAYMENT_REQUIRED": errors.ProviderQuotaExceeded,
    "TOO_MANY_REQUESTS": errors.ProviderRateLimited,
    "SLOW_UPLOAD": errors.ProviderUnavailable,
}
STATUSES: dict[int, type[errors.ProviderFailure]] = {
    400: errors.ProviderRejected,
    401: errors.ProviderAuthentication,
    402: errors.ProviderQuotaExceeded,
    403: errors.ProviderAuthentication,
    411: errors.ProviderRejected,
    413: errors.ContextLengthExceeded,
    414: errors.ProviderRejected,
    415: errors.ProviderRejected,
    422: errors.ProviderRejected,
    429: errors.ProviderRateLimited,
}
# With 400: "Bad Request: No such model/language/tier combination found."; with 403 of a model that the
# project has not: "Project does not have access to the requested model."
NO_MODEL = ("no such model", "access to the requested model")


def failure(http: HttpClient, reply: Reply, model: str) -> errors.SpineError:
    """SpineError of a refusal: by its words about models, CODES, then STATUSES, else ProviderUnavailable."""
    name, found = http.endpoint.name, lenient_json.fields(reply.body)
    code = _text(found, "err_code", "category") or str(reply.status)
    said = [_text(found, "err_msg", "message"), _text(found, "details")]
    message = http.public(": ".join(part for part in said if part))
    message = message or error_body.text_of(reply.status, reply.body)
    if any(words in message.lower() for words in NO_MODEL):
        return errors.ModelNotFound(model=model, hint=f"{name} says: {message[:500]}", provider=name)
    if missing := missing_operation(name, reply.status, message, model):
        return missing
    if reply.status == HTTPStatus.NOT_FOUND:
        return errors.ModelNotFound(model=model, hint=f"{name} says: {message[:500]}", provider=name)
    kind = CODES.get(code) or STATUSES.get(reply.status, errors.ProviderUnavailable)
    return kind(
        provider=name,
        provider_code=code,
        provider_message=message,
        retry_after_s=retry_after_s(reply.headers),
    )


def _text(found: dict[str, object], *names: str) -> str:
    """First of the fields that is a text."""
    return next((value for name in names if isinstance(value := found.get(name), str) and value), "")
