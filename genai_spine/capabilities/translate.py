"""Translate: a text in another language, whose own language is found where it was not given."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from genai_spine.capabilities import full_text
from genai_spine.capabilities.answer_schemas import TEXT, record
from genai_spine.capabilities.base import Capability, ChunkResult
from genai_spine.capabilities.context import Answer, Context
from genai_spine.errors import InvalidFields
from genai_spine.text import answer_parsing
from genai_spine.text.chunking import TextChunk
from genai_spine.text.languages import is_unknown_code, language
from genai_spine.v1 import capability_service_pb2 as pb

KEYS = ("translation", "translated_text", "translated")
WITH_SOURCE = record(source_language=TEXT, translation=TEXT)


class Translate(Capability[pb.TranslateRequest, pb.TranslateResponse]):
    """Translation, with detection of the source language where it is not given."""

    NAME = "translate"
    METHOD = "Translate"
    REQUEST = pb.TranslateRequest
    RESPONSE = pb.TranslateResponse
    TEMPERATURE = 0.2
    ECHOES = True

    def apply_defaults(self, request: pb.TranslateRequest) -> None:
        problems = []
        for name in ("target_language", "source_language"):
            name_or_code = getattr(request, name).strip()
            if name_or_code and is_unknown_code(name_or_code):
                problems.append((name, f"is no code of ISO 639-1: {name_or_code!r}"))
        if not request.target_language.strip():
            problems.append(("target_language", "is required"))
        if problems:
            raise InvalidFields(problems)

    def shape(self, request: pb.TranslateRequest) -> Mapping[str, Any] | None:
        """A given language need not be found: then the answer is the translation alone."""
        return None if request.source_language.strip() else WITH_SOURCE

    def variables(self, request: pb.TranslateRequest, chunk: TextChunk) -> dict[str, Any]:
        return {
            "content": chunk.text,
            "target_language": _language_for_prompt(request.target_language),
            "source_language": _language_for_prompt(request.source_language),
            "preserve_formatting": request.preserve_formatting or not request.HasField("preserve_formatting"),
            "part": f"part {chunk.number} of {chunk.total}" if chunk.total > 1 else "",
        }

    def read(self, answer: Answer, request: pb.TranslateRequest, chunk: TextChunk) -> pb.TranslateResponse:
        source = request.source_language.strip()
        if source:
            return _response(full_text.full_text(answer, chunk, *KEYS), source, request)
        given = answer_parsing.first_object(answer.text, *KEYS) or {}
        translation = answer_parsing.text_of(given, *KEYS)
        if not translation:
            raise answer_parsing.UnreadableAnswer("the answer holds no JSON object with a translation")
        named = answer_parsing.text_of(given, "source_language", "source", "language", "detected_language")
        if not named:
            raise answer_parsing.UnreadableAnswer("the answer does not name the language of the text")
        found = language(named)
        return _response(translation, found.code if found else named, request)

    async def join(
        self, results: list[ChunkResult], request: pb.TranslateRequest, context: Context
    ) -> pb.TranslateResponse:
        """The chunks one after another; the language is that of most of the text."""
        sizes: Counter[str] = Counter()
        for result in results:
            sizes[result.response.source_language] += len(result.chunk.text)
        text = full_text.rejoined((result.chunk, result.response.translation) for result in results)
        return _response(text, sizes.most_common(1)[0][0], request)


def _response(text: str, source: str, request: pb.TranslateRequest) -> pb.TranslateResponse:
    return pb.TranslateResponse(
        translation=text, source_language=source, target_language=request.target_language
    )


def _language_for_prompt(name_or_code: str) -> str:
    """A language as the model is told of it: a code with its name, a name as it is."""
    name_or_code = name_or_code.strip()
    found = language(name_or_code)
    is_code = found is not None and name_or_code.casefold().replace("_", "-").split("-")[0] == found.code
    return f"{found.name} ({name_or_code})" if found and is_code else name_or_code
