"""HTTP answers for the edge: JSON body and HTTP status of an error, headers of a call.

gRPC has no code for 402, 422 or 502, and a transcoder cannot write these bodies, so the server sends
both with the abort's metadata and one filter in envoy.yaml puts them in place.
"""

import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import msgspec

from genai_spine.call import Call
from genai_spine.errors import BudgetExceeded, ProviderError, SpineError

OPENAI_PATHS = (
    *("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models"),
    *("/v1/files", "/v1/batches"),
)
OPENAI_FAMILIES = (
    *("/v1/chat/completions/", "/v1/models/", "/v1/images/", "/v1/audio/"),
    *("/v1/files/", "/v1/batches/"),
)
EXECUTIONS = "/v1/ai/pipelines/"  # older paths, where a budget that refuses is 402; elsewhere that is 429
# OpenAI's `type` of an error, by status; 5xx and what is not listed: below.
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
# Our field names to those that a client of an OpenAI-shaped path has sent.
PARAMS = {
    "choice_count": "n",
    "stop_sequences": "stop",
    "inputs": "input",
    "image_count": "n",
    "data": "file",
    "filename": "file",
    "response_format.json_schema.schema_json": "response_format.json_schema.schema",
}
MAX_CLIENT_WAIT_S = 120  # a longer retry-after is waited out by no SDK
_UNPRINTABLE = re.compile(r"[^ -~]")
MAX_BODY_BYTES = 2500  # bytes; see interceptors.py for what else must fit into 8 KiB of metadata


def openai_shaped(path: str | None) -> bool:
    """Whether a path is one of OpenAI's, however it is written: with escapes, or a slash at its end."""
    if path is None:
        return False
    plain = path.partition("?")[0]
    if plain in OPENAI_PATHS:
        return True
    plain = unquote(plain)
    return plain.rstrip("/") in OPENAI_PATHS or plain.startswith(OPENAI_FAMILIES)


def carrying(content_type: str, headers: Mapping[str, str]) -> str:
    """The content type of an answer that is bytes, with headers that the edge takes out of it again.

    As initial metadata they would be sent apart from the first message, which costs a tenth of the call.
    No value holds a "|", and no name a "=".
    """
    return "|".join([content_type, *[f"{name}={value}" for name, value in headers.items()]])


def answered(call: Call, status: int) -> None:
    """The HTTP status of a good answer that is not 200; the edge drops the body of a 204."""
    call.headers["x-genai-http-status"] = str(status)


def replaced(call: Call, body: bytes) -> None:
    """JSON of a good answer in the place of its message. body: JSON in printable ASCII."""
    call.headers["x-genai-body"] = body.decode()


def http_status(error: SpineError, openai: bool) -> int:
    return error.openai_status if openai and error.openai_status else error.http_status


def error_body(error: SpineError, call: Call, *, openai: bool) -> dict[str, Any]:
    """Both shapes in one: `error` as an object, and `detail` (rest-v1.md, section 2)."""
    message = str(error)
    body: dict[str, Any] = {"code": error.rest_code, "message": message}
    status = http_status(error, openai)
    if openai:
        body["code"] = error.openai_code or error.rest_code
        body["type"] = TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
        body["param"] = _param(error)
    body["details"] = dict(error.metadata)
    body["request_id"] = call.request_id
    detail: object = message
    if status == 422:
        detail = [
            {"loc": ["body", *field.split(".")], "msg": problem, "type": "value_error"}
            for field, problem in error.violations
        ]
    return {"error": body, "detail": detail}


def error_headers(error: SpineError, call: Call) -> list[tuple[str, str]]:
    """Trailing metadata of an abort that Envoy turns into the HTTP error."""
    openai = openai_shaped(call.path)
    status = http_status(error, openai)
    if isinstance(error, BudgetExceeded) and call.path and call.path.startswith(EXECUTIONS):
        status = HTTPStatus.PAYMENT_REQUIRED.value
    headers = [("x-genai-http-status", str(status)), ("x-genai-error", _ascii(error, call, openai))]
    if error.retry_after_s is not None:
        headers.append(("retry-after", str(math.ceil(error.retry_after_s))))
    if (status in (409, 429) or status >= 500) and not _is_worth_repeating(error, call, status):
        headers.append(("x-should-retry", "false"))
    return headers


def is_final(error: SpineError, call: Call) -> bool:
    """Whether a repeat of the request cannot help, or would be paid again."""
    if isinstance(error, ProviderError) or error.usage is not None:
        return True
    if http_status(error, openai=False) == HTTPStatus.GATEWAY_TIMEOUT or not error.retryable:
        return True
    return bool(call.billed) and not error.connection_lost  # whether that one did anything is not known


def _is_worth_repeating(error: SpineError, call: Call, status: int) -> bool:
    """Whether an SDK may send the request again: that can help, and does not multiply our own attempts.

    After those it may only where nothing was paid and it is told for how long to wait. What was answered is
    billed, and billed again with every repetition; what took too long (504) may have been.
    """
    if is_final(error, call):
        return False
    if not error.are_attempts_spent:
        return True
    told = error.retry_after_s is not None and error.retry_after_s <= MAX_CLIENT_WAIT_S
    return told and status in (429, 503) and not call.billed


def _ascii(error: SpineError, call: Call, openai: bool) -> str:
    body = error_body(error, call, openai=openai)
    text = _escaped(body)
    return text if len(text) <= MAX_BODY_BYTES else _escaped(_shortened(body))


def _shortened(body: dict[str, Any]) -> dict[str, Any]:
    """The same shape with less in it."""
    error, detail = body["error"], body["detail"]
    short = {**error, "message": _cut(error["message"], 700)}
    short["details"] = {name: _cut(value, 100) for name, value in error["details"].items()}
    if error.get("param"):
        short["param"] = _cut(error["param"], 150)
    if isinstance(detail, str):
        return {"error": short, "detail": short["message"]}
    first = {
        **detail[0],
        "loc": [_cut(part, 100) for part in detail[0]["loc"][:5]],
        "msg": _cut(detail[0]["msg"], 500),
    }
    return {"error": short, "detail": [first]}


def _cut(text: str, longest: int) -> str:
    """The beginning of a text; longest: bytes that it may take once it is escaped."""
    size = 0
    for at, char in enumerate(text):
        plain = " " <= char <= "~" and char not in '"\\'
        size += 1 if plain else 12 if char > "\uffff" else 6
        if size > longest:
            return text[:at] + "..."
    return text


def _escaped(body: dict[str, Any]) -> str:
    """JSON in printable ASCII: everything else only stands in strings, where \\u escapes may."""
    return _UNPRINTABLE.sub(_escape, msgspec.json.encode(body).decode())


def _escape(found: re.Match[str]) -> str:
    utf16 = found[0].encode("utf-16-be")
    return "".join(f"\\u{utf16[at : at + 2].hex()}" for at in range(0, len(utf16), 2))


def _param(error: SpineError) -> str | None:
    field = error.violations[0][0] if error.violations else None
    if error.reason_name == "MODEL_NOT_FOUND":
        field = "model"
    return PARAMS.get(field, field.removesuffix("_json")) if field else None  # OpenAI has no such suffix
