from typing import Any

import pytest

from genai_spine.capabilities.detect_language import MAX_READ_CHARS
from genai_spine.errors import ProviderError
from genai_spine.v1 import capability_service_pb2 as pb
from tests.unit.capabilities.working import said, scripted, work


async def detected(answer: Any, content: str = "Trikken er blå.") -> pb.DetectLanguageResponse:
    return await work(pb.DetectLanguageRequest(content=content), answer)


@pytest.mark.parametrize(
    "answer",
    [
        {"language": "de", "confidence": 0.9},
        {"language": "German"},
        {"language": "de-AT"},
        {"language": "ger"},
        {"language": "deu", "language_name": "Deutsch"},
        {"language": "Deutsch", "code": "de"},
        "de",
        "German.",
        "The text is written in German.",
        '```json\n{"language": "DE"}\n```',
    ],
)
async def test_a_language_is_read_in_every_form(answer: Any) -> None:
    found = await detected(answer)
    assert (found.language, found.language_name) == ("de", "German")


async def test_alternatives_are_codes_of_others_the_likeliest_first() -> None:
    answer = {
        "language": "no",
        "confidence": 0.6,
        "alternatives": [
            {"language": "sv", "confidence": 0.1},
            {"language": "Danish", "confidence": "30%"},
            {"language": "no", "confidence": 0.9},
            {"language": "da", "confidence": 0.2},
            {"language": "tlh", "confidence": 0.2},
            {"language": "fi", "confidence": 0},
            "nn",
            7,
        ],
    }
    found = await detected(answer)
    assert [(one.language, one.language_name) for one in found.alternatives] == [
        ("nn", "Norwegian Nynorsk"),
        ("da", "Danish"),
        ("sv", "Swedish"),
    ]
    assert [one.confidence for one in found.alternatives] == [0.8, 0.3, 0.1]


@pytest.mark.parametrize("answer", [{"language": "xx"}, {"language": "und"}, "I do not know.", {"a": 1}])
async def test_what_is_no_language_of_the_standard_is_a_provider_error(answer: Any) -> None:
    with pytest.raises(ProviderError):
        await detected(answer)


async def test_the_beginning_of_a_long_text_is_enough() -> None:
    model = scripted({"language": "en"})
    await work(pb.DetectLanguageRequest(content="word " * 100_000), model, 10_000)
    assert MAX_READ_CHARS <= len(said(model.requests[0])[1]) < MAX_READ_CHARS + 100
