"""PII by patterns as a chat model: a text, or a JSON object of what is looked for in it, gets JSON."""

from typing import Any

import msgspec

from genai_spine.privacy.detection import detect

MAX_SPANS = 100_000  # of one text


def answer(text: str) -> str:
    """JSON object of entities with text, type, start, end (characters) and confidence.

    text: the last message; as a JSON object with content it may have entity_types and patterns (of RE2).
    Errors: InvalidFields.
    """
    content, types, patterns = _task(text)
    entities = [
        {**span._asdict(), "text": content[span.start : span.end]}
        for span in detect(content, types, patterns, most=MAX_SPANS)
    ]
    return msgspec.json.encode({"entities": entities}).decode()


def _task(text: str) -> tuple[str, list[str], dict[str, str]]:
    """Content, types and patterns of a message; one that is no such object is the content itself."""
    if not text.startswith("{"):
        return text, [], {}
    try:
        task: Any = msgspec.json.decode(text)
        types = msgspec.convert(task.get("entity_types", []), list[str])
        patterns = msgspec.convert(task.get("patterns", {}), dict[str, str])
    except (msgspec.DecodeError, msgspec.ValidationError, AttributeError):
        return text, [], {}
    content = task.get("content")
    return (content, types, patterns) if isinstance(content, str) else (text, [], {})
