"""OpenAI's errors as Replies, word for word where the words were seen in public reports.

Shapes: https://platform.openai.com/docs/guides/error-codes (2026-11-21).
"""

import email.utils
import http
import math
import time
from typing import Any

from tests.upstreams.reply import Reply

DOCS = "https://platform.openai.com/docs/api-reference"


def error(status: int, message: str, /, *, type: str | None = "invalid_request_error", **rest: Any) -> Reply:
    """rest: param, code (null unless given), headers of the response, more keys of the error object."""
    headers = rest.pop("headers", {})
    body = {"message": message, "type": type, "param": None, "code": None, **rest}
    return Reply(status=status, body={"error": body}, headers=headers)


def rate_limited(retry_after_s: float = 1, *, as_date: bool = False) -> Reply:
    """429 with Retry-After in seconds, or as an HTTP date; with seconds, retry-after-ms says them exactly."""
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1s"}
    if as_date:
        headers["retry-after"] = email.utils.formatdate(time.time() + retry_after_s, usegmt=True)
    else:
        headers["retry-after"] = str(math.ceil(retry_after_s))
        headers["retry-after-ms"] = f"{retry_after_s * 1000:g}"
    message = (
        "Rate limit reached for gpt-4o in organization org-simulated on tokens per min (TPM): Limit 30000, "
        f"Used 29500, Requested 900. Please try again in {retry_after_s:g}s. "
        "Visit https://platform.openai.com/account/rate-limits to learn more."
    )
    return error(429, message, type="tokens", code="rate_limit_exceeded", headers=headers)


def insufficient_quota() -> Reply:
    message = (
        "You exceeded your current quota, please check your plan and billing details. For more information "
        "on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
    )
    return error(429, message, type="insufficient_quota", code="insufficient_quota")


def invalid_key(key: str = "sk-wrong") -> Reply:
    message = (
        f"Incorrect API key provided: {key}. "
        "You can find your API key at https://platform.openai.com/account/api-keys."
    )
    return error(401, message, code="invalid_api_key")


def missing_key() -> Reply:
    message = (
        "You didn't provide an API key. You need to provide your API key in an Authorization header using "
        "Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
    )
    return error(401, message)


def model_not_found(model: str) -> Reply:
    message = f"The model `{model}` does not exist or you do not have access to it."
    return error(404, message, code="model_not_found")


def context_length_exceeded(limit: int = 8192, used: int = 9000) -> Reply:
    message = (
        f"This model's maximum context length is {limit} tokens. However, your messages resulted in {used} "
        "tokens. Please reduce the length of the messages."
    )
    return error(400, message, param="messages", code="context_length_exceeded")


def content_filter() -> Reply:
    """As Azure's content filter answers, inner error included."""
    message = (
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. "
        "Please modify your prompt and retry. To learn more about our content filtering policies please read "
        "our documentation: https://go.microsoft.com/fwlink/?linkid=2198766"
    )
    found = {
        "violence": {"filtered": True, "severity": "medium"},
        "hate": {"filtered": False, "severity": "safe"},
    }
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": found}
    return error(400, message, type=None, param="prompt", code="content_filter", status=400, innererror=inner)


def server_error() -> Reply:
    message = "The server had an error while processing your request. Sorry about that!"
    return error(500, message, type="server_error")


def bad_gateway(status: int = 503) -> Reply:
    """An HTML page, as a proxy in front of the API answers."""
    title = f"{status} {http.HTTPStatus(status).phrase}"
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body><h1>{title}</h1></body>\r\n</html>\r\n"
    return Reply(status=status, body=page, content_type="text/html")


def in_stream_error() -> Any:
    """The `body` of a Reply with fault "error"."""
    return server_error().body
