"""DetectLanguage: in which language of ISO 639-1 a text is written."""

from typing import Any

from genai_spine.capabilities.answer_schemas import NUMBER, TEXT, record, several
from genai_spine.capabilities.base import Capability
from genai_spine.capabilities.context import Answer
from genai_spine.text import answer_parsing
from genai_spine.text.chunking import TextChunk
from genai_spine.text.languages import LANGUAGES, Language, language
from genai_spine.v1 import capability_service_pb2 as pb

MAX_READ_CHARS = 4_000  # of the content; a language shows in its first sentences
MIN_NAME_CHARS = 4  # characters of a name that is looked for in prose; "Ido" is too often something else
GUESS = record(language=TEXT, confidence=NUMBER)

Request = pb.DetectLanguageRequest
Response = pb.DetectLanguageResponse


class DetectLanguage(Capability[Request, Response]):
    """Language identification, with alternatives and confidences from 0 to 1."""

    NAME = "detect-language"
    METHOD = "DetectLanguage"
    REQUEST = Request
    RESPONSE = Response
    TEMPERATURE = 0.0
    SHAPE = record(language=TEXT, confidence=NUMBER, alternatives=several(GUESS))

    def full_content(self, request: Request) -> TextChunk:
        return TextChunk(request.content[:MAX_READ_CHARS])

    def unread_characters(self, request: Request) -> int:
        return max(0, len(request.content) - MAX_READ_CHARS)

    def variables(self, request: Request, chunk: TextChunk) -> dict[str, Any]:
        return {"content": chunk.text}

    def read(self, answer: Answer, request: Request, chunk: TextChunk) -> Response:
        given = answer_parsing.first_object(answer.text, "language", "language_code", "code", "language_name")
        best = _guess(given) if given else _named(answer_parsing.prose(answer.text))
        if best is None:
            raise answer_parsing.UnreadableAnswer("the answer names no language of ISO 639-1")
        others = given.get("alternatives") if given else None
        return Response(
            language=best.language,
            language_name=best.language_name,
            confidence=best.confidence,
            alternatives=_alternatives(others if isinstance(others, list) else [], best.language),
        )


def _guess(item: Any) -> pb.LanguageGuess | None:
    """Detected language of an entry. None: it names no language of ISO 639-1."""
    if isinstance(item, str):
        item = {"language": item}
    if not isinstance(item, dict):
        return None
    for key in ("language", "language_code", "code", "language_name", "name"):
        found = language(answer_parsing.text_of(item, key))
        if found:
            return _guessed(found, answer_parsing.share(item.get("confidence")))
    return None


def _guessed(found: Language, sure: float) -> pb.LanguageGuess:
    return pb.LanguageGuess(language=found.code, language_name=found.name, confidence=sure)


def _named(words: str) -> pb.LanguageGuess | None:
    """Language named by a code or name alone, or by the first name in a sentence."""
    names = (known.name for known in LANGUAGES.values() if len(known.name) >= MIN_NAME_CHARS)
    found = language(words) or language(answer_parsing.first_named(words, names) or "")
    return _guessed(found, answer_parsing.DEFAULT_CONFIDENCE) if found else None


def _alternatives(given: list[Any], best: str) -> list[pb.LanguageGuess]:
    """The likeliest first, each once and without the best one."""
    found: dict[str, pb.LanguageGuess] = {}
    for guess in (_guess(item) for item in given):
        if guess and guess.language != best and guess.confidence > 0:
            found.setdefault(guess.language, guess)
    return sorted(found.values(), key=lambda guess: -guess.confidence)
