"""Anthropic's errors as Replies, word for word where the words were seen in public reports.

Shapes: https://platform.claude.com/docs/en/api/errors (2026-11-28).
"""

import math
from typing import Any

from tests.upstreams.reply import Reply

STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def error(kind: str, message: str, /, **rest: Any) -> Reply:
    """rest: status, headers of the response, more keys of the error object."""
    status, headers = rest.pop("status", STATUSES[kind]), rest.pop("headers", {})
    body = {"type": kind, "message": message, **rest}
    whole = {"type": "error", "error": body, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}
    return Reply(status=status, body=whole, headers=headers)


def invalid(message: str) -> Reply:
    return error("invalid_request_error", message)


def rate_limited(retry_after_s: float = 1) -> Reply:
    message = (
        "This request would exceed your organization's rate limit of 30,000 input tokens per minute. For "
        "details, refer to: https://docs.claude.com/en/api/rate-limits."
    )
    return error("rate_limit_error", message, headers={"retry-after": str(math.ceil(retry_after_s))})


def spend_limit() -> Reply:
    details = {"error_code": "enforced_spend_limit_reached"}
    return error(
        "rate_limit_error", "Your organization has reached its monthly API usage threshold.", details=details
    )


def credit_too_low() -> Reply:
    return invalid(
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade "
        "or purchase credits."
    )


def usage_limit() -> Reply:
    return invalid(
        "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."
    )


def invalid_key() -> Reply:
    return error("authentication_error", "invalid x-api-key")


def missing_key() -> Reply:
    return error("authentication_error", "x-api-key header is required")


def permission() -> Reply:
    return error("permission_error", "Your API key does not have permission to use the specified resource.")


def model_not_found(model: str) -> Reply:
    return error("not_found_error", f"model: {model}")


def prompt_too_long(used: int = 210_000, limit: int = 200_000) -> Reply:
    return invalid(f"prompt is too long: {used} tokens > {limit} maximum")


def context_limit() -> Reply:
    return invalid(
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length "
        "or `max_tokens` and try again"
    )


def too_large() -> Reply:
    return error("request_too_large", "Request exceeds the maximum size")


def content_filter() -> Reply:
    return invalid("Output blocked by content filtering policy")


def api_error() -> Reply:
    return error("api_error", "Internal server error")


def overloaded() -> Reply:
    return error("overloaded_error", "Overloaded")


def timed_out() -> Reply:
    return error("timeout_error", "Request timed out")
