"""HTTP answers as bytes: heads, chunks of a stream, and the body of a refusal."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from genai_spine.edge.http_server.request import Refused

LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\nserver: genai-spine\r\n"
    for status in HTTPStatus
}
CODES = {
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "PROVIDER_TIMEOUT",
    403: "FORBIDDEN",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    503: "SERVICE_UNAVAILABLE",
}


def head(status: int, headers: Mapping[str, str], size: int | None) -> bytes:
    """Status line and headers. size: bytes of the body; None: it comes in chunks.

    Raises ValueError for a header that would end its line.
    """
    fields = [f"{name}: {value}\r\n" for name, value in headers.items()]
    framing = "transfer-encoding: chunked" if size is None else f"content-length: {size}"
    text = f"{STATUS_LINES[status]}{''.join(fields)}{framing}\r\n\r\n"
    if text.count("\n") != len(fields) + 4 or text.count("\r") != len(fields) + 4:
        raise ValueError("a header of the answer has more than one line")
    return text.encode("latin-1", "replace")


def chunk(data: bytes) -> bytes:
    """Chunk of a body that comes in chunks; an empty one would end it."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def refusal(refused: Refused, request_id: str) -> tuple[dict[str, str], bytes]:
    """Headers and body of an answer to a request that no handler saw, as Envoy's filter writes them."""
    status, words = refused.status, refused.words
    kind = "api_error" if status == HTTPStatus.SERVICE_UNAVAILABLE else "invalid_request_error"
    error: dict[str, object] = {
        "code": CODES.get(status, "VALIDATION_ERROR"),
        "message": words,
        "type": kind,
        "param": None,
        "details": {},
        "request_id": request_id,
    }
    headers = {"content-type": "application/json", "x-request-id": request_id, **refused.headers}
    return headers, json.dumps({"error": error, "detail": words}).encode()
