"""Full-text answers, as long as the content (translations, corrections): parsed and joined without loss."""

from collections.abc import Iterable

from genai_spine.capabilities.context import Answer
from genai_spine.text import answer_parsing
from genai_spine.text.chunking import TextChunk


def full_text(answer: Answer, chunk: TextChunk, *keys: str) -> str:
    """The text of a plain answer, or under one of the keys when it came as JSON. Raises Unreadable."""
    given = answer_parsing.first_object(answer.text, *keys) if chunk.text.lstrip()[:1] != "{" else None
    if given is not None:
        text = answer_parsing.text_of(given, *keys)
    else:
        text = answer_parsing.plain(answer.text)
        if not chunk.text.lstrip().startswith("```"):
            text = answer_parsing.unfenced(text)
    if not text.strip():
        raise answer_parsing.UnreadableAnswer("the answer holds no text")
    return text.strip()


def rejoined(parts: Iterable[tuple[TextChunk, str]]) -> str:
    """Concatenation of chunk texts, with the white space that stood between the chunks."""
    texts = [text + chunk.text[len(chunk.text.rstrip()) :] for chunk, text in parts]
    return "".join(texts).strip()
