"""Error bodies of upstreams and of what stands before them, read in all the forms that are met.

Forms: {"error": {...}} and {"error": "text"} (OpenAI, Anthropic, Ollama), a list of one of these (Google),
{"object": "error", "message": ...} (Mistral, older vLLM: mistralai/client-js#69), {"detail": ...} (FastAPI),
{"message": ..., "code": ...} (AWS, proxies), {"errors": [...]} (Cloudflare), HTML pages and plain text.
"""

import re
from dataclasses import dataclass
from html import unescape
from http import HTTPStatus
from typing import Any

from genai_spine.providers.http import lenient_json

MAX_TEXT = 300  # characters of a body that is no JSON
NO_ERROR = (b"null", b'""', b"{}", b"[]", b"false", b"0")  # values of `error` where there is none
# Fields of a body that is an error and says so by nothing but them.
WORDS = ("message", "detail", "msg", "error_message", "error_msg", "errorMessage", "Message", "title")
ANSWERS = ("choices", "output", "content", "embeddings", "usage", "message_id")  # of a body that is an answer
_TITLE = re.compile(rb"<(title|h1)[^>]*>(.*?)</\1", re.IGNORECASE | re.DOTALL)
_TAGS = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """Error that a body tells of. status: an HTTP status that stands in the body; 0: none does."""

    message: str = ""
    code: str = ""
    type: str = ""
    status: int = 0
    inner: str = ""  # code of an error within (Azure), or in the details (Anthropic)
    flagged: bool = False  # OpenRouter's moderation


def read(body: bytes) -> ErrorBody:
    """Error of a body; one without words where the body is empty."""
    found = lenient_json.fields(body)
    if not found:
        return ErrorBody(page_text(body))
    error = _error_of(found)
    codes = [error.get("code"), error.get("status"), error.get("status_code"), error.get("statusCode")]
    code = next((code for code in codes if code not in (None, "")), None)
    details = error.get("details")
    inner = [_object(error.get("innererror")).get("code"), _object(details).get("error_code")]
    return ErrorBody(
        message=_words(error),
        code="" if code is None else str(code),
        type=_text(error.get("type")),
        status=next((status for status in map(_status, codes) if status), 0),
        inner=next((_text(code) for code in inner if code), ""),
        flagged=_object(error.get("metadata")).get("flagged_input") is not None,
    )


def is_error(body: bytes) -> bool:
    """Whether a body without an answer is an error that does not say so in `error`."""
    found = lenient_json.fields(body)
    if found.get("object") == "error" or found.get("type") == "error" or found.get("error"):
        return True
    if any(name in found for name in ANSWERS):
        return False
    return any(isinstance(found.get(name), str | list | dict) and found[name] for name in (*WORDS, "errors"))


def text_of(status: int, body: bytes) -> str:
    """Text of a refusal in a form that is not known; nothing of a body that came as an answer."""
    text = "" if status == HTTPStatus.OK else body[:MAX_TEXT].decode("utf-8", "replace").strip()
    return text or f"HTTP {status}"


def page_text(body: bytes) -> str:
    """Text of a body that is no JSON; of a page its title, which says more than its first characters."""
    if body.lstrip()[:1] in (b"{", b"["):
        return ""  # JSON that is broken or says nothing: perhaps an answer, which is nobody else's
    if title := _TITLE.search(body):
        words = unescape(_TAGS.sub("", title[2].decode("utf-8", "replace")))
        return " ".join(words.split())[:MAX_TEXT]
    if is_page(body):
        return "an HTML page"
    return body[:MAX_TEXT].decode("utf-8", "replace").strip()


def is_page(body: bytes) -> bool:
    """Whether a body is HTML or XML."""
    return body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"


def _error_of(found: dict[str, Any]) -> dict[str, Any]:
    """Object that holds message and code."""
    for name in ("error", "errors", "detail"):
        error = found.get(name)
        if isinstance(error, list) and error:
            error = error[0]
        if isinstance(error, dict) and error:
            return {**{name: found[name] for name in ("code", "status", "message") if name in found}, **error}
        if isinstance(error, str) and error:
            return {**found, "message": error}
    return found


def _words(error: dict[str, Any]) -> str:
    for name in (*WORDS, "reason", "error", "type"):
        value = error.get(name)
        if isinstance(value, list | dict) and value:
            return lenient_json.text(value)[:MAX_TEXT]
        if text := _text(value):
            return text
    return ""


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _status(code: Any) -> int:
    """HTTP status that a code is, as a number or as text; 0 where it is none."""
    text = str(code)
    return int(text) if text.isascii() and text.isdigit() and 400 <= int(text[:6]) < 600 else 0
