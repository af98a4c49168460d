"""Missing operation: an upstream that lacks what is asked, as opposed to one that lacks the model.

Servers say both with 404. Their words for a path, 2026-11-29: llama.cpp "File Not Found", vLLM and FastAPI
"Not Found", Ollama (gin) "404 page not found", OpenAI "Invalid URL (POST /v1/x)", Azure "Resource not found",
LM Studio "Unexpected endpoint or method", Express "Cannot POST /v1/x"; llama.cpp answers 501 for what a flag
of its start switches on.
"""

import re
from http import HTTPStatus

from genai_spine.errors import UnsupportedOperation

STATUSES = (HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)
PATH_WORDS = re.compile(
    r"(404 )?((page|file|resource|path|route|url|endpoint|the requested url) )?(was )?not found\W*"
    r"|(invalid url|unexpected endpoint|unknown (url|path|route|endpoint|request)"
    r"|cannot (get|post|put|delete)"
    r"|no (such )?(route|path|endpoint)\b(?! found for)|unrecognized request url).*",
    re.IGNORECASE | re.DOTALL,
)
HTML = re.compile(r"\s*<(!doctype|html)", re.IGNORECASE)


def missing_operation(provider: str, status: int, message: str, model: str) -> UnsupportedOperation | None:
    """Error of an answer that says that the upstream lacks the operation; None: it says something else.

    message: of the answer's body, or the body itself.
    """
    if status not in STATUSES and not (status == HTTPStatus.NOT_FOUND and _is_of_path(message, model)):
        return None
    said = (
        f"HTTP {status}" if HTML.match(message) or not message.strip() else f"HTTP {status}, {message[:300]}"
    )
    return UnsupportedOperation(
        provider=provider, operation=f"this operation: it answers {said}", provider_code=str(status)
    )


def _is_of_path(message: str, model: str) -> bool:
    text = message.strip()
    if model and model in text:
        return False
    return bool(PATH_WORDS.fullmatch(text) or HTML.match(text))
