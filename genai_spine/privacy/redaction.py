"""Redaction: what stands in the place of PII."""

import hmac
from collections.abc import Callable, Iterable, Mapping

from genai_spine.privacy.spans import Span

HASH_CHARS = 16  # hexadecimal; 64 bits

Replacement = Callable[[str, Span], str]  # of the value and its place: what is written instead


def redacted(text: str, spans: Iterable[Span], replacement: Replacement) -> str:
    """Text with a replacement for each span; spans: in order, without overlaps, as detect() returns them."""
    parts, end = [], 0
    for span in spans:
        parts += [text[end : span.start], replacement(text[span.start : span.end], span)]
        end = span.end
    return "".join([*parts, text[end:]])


def mask(value: str, span: Span) -> str:
    """Asterisks, as many as characters; white space stays."""
    return "".join(char if char.isspace() else "*" for char in value)


def replace(value: str, span: Span) -> str:
    """The type in brackets."""
    return f"[{span.type}]"


def remove(value: str, span: Span) -> str:
    """Empty text."""
    return ""


def hashing(key: bytes) -> Replacement:
    """The type with a keyed hash (HMAC-SHA256): equal values get equal ones.

    The key must be secret: without one all phone numbers can be tried.
    """

    def hashed(value: str, span: Span) -> str:
        digest = hmac.digest(key, f"{span.type}\0{value}".encode(), "sha256")
        return f"[{span.type}:{digest.hex()[:HASH_CHARS]}]"

    return hashed


METHODS: Mapping[str, Replacement] = {"mask": mask, "replace": replace, "remove": remove}
