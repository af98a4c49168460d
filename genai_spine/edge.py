"""What the edge needs from the server: the JSON body and the HTTP status of an error.

gRPC has no code for 402, 422 or 502, and a transcoder cannot write these bodies, so the server sends
both with the abort's metadata and one filter in envoy.yaml puts them in place.
"""

import math

import msgspec

from genai_spine.call import Call
from genai_spine.errors import SpineError

OPENAI_PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models")
# OpenAI's `type` of an error, by status; 5xx and what is not listed: below.
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
# Our field names to those that a client of an OpenAI-shaped path has sent.
PARAMS = {
    "choice_count": "n",
    "stop_sequences": "stop",
    "inputs": "input",
    "response_format.json_schema.schema_json": "response_format.json_schema.schema",
}
LONGEST_BODY = 3000  # bytes; more than about 8 KiB of metadata is refused by gRPC clients


def openai_shaped(path: str | None) -> bool:
    if path is None:
        return False
    plain = path.partition("?")[0]
    return plain in OPENAI_PATHS or plain.startswith("/v1/models/")


def http_status(error: SpineError, openai: bool) -> int:
    return error.openai_status if openai and error.openai_status else error.http_status


def error_body(error: SpineError, call: Call, *, openai: bool) -> dict[str, object]:
    """Both shapes in one: `error` as an object, and `detail` (rest-v1.md, section 2)."""
    message = str(error)
    body: dict[str, object] = {"code": error.rest_code, "message": message}
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
    headers = [("x-genai-http-status", str(status)), ("x-genai-error", _ascii(error, call, openai))]
    if error.retry_after_s is not None and status == 429:
        headers.append(("retry-after", str(math.ceil(error.retry_after_s))))
    if not error.retryable and (status in (409, 429) or status >= 500):
        headers.append(("x-should-retry", "false"))
    return headers


def _ascii(error: SpineError, call: Call, openai: bool) -> str:
    text = _escaped(error_body(error, call, openai=openai))
    if len(text) > LONGEST_BODY:
        short = error_body(error, call, openai=openai)
        cut = str(error)[: LONGEST_BODY // 12] + "..."  # a character may become 6, and stands in twice
        short["error"].update(message=cut, details={})  # type: ignore[attr-defined]
        text = _escaped(short | {"detail": cut})
    return text


def _escaped(body: dict[str, object]) -> str:
    """JSON in ASCII: what is not ASCII only stands in strings, where \\u escapes may."""
    text = msgspec.json.encode(body).decode()
    if text.isascii():
        return text.replace("\x7f", "\\u007f")
    utf16 = ((char, char.encode("utf-16-be")) for char in text)
    return "".join(char if char.isascii() else _escape(code) for char, code in utf16)


def _escape(utf16: bytes) -> str:
    return "".join(f"\\u{utf16[at : at + 2].hex()}" for at in range(0, len(utf16), 2))


def _param(error: SpineError) -> str | None:
    field = error.violations[0][0] if error.violations else None
    if error.reason_name == "MODEL_NOT_FOUND":
        field = "model"
    return PARAMS.get(field, field) if field else None
