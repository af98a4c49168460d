from typing import Any

import pytest

from genai_spine.errors import InvalidFields, ProviderError
from genai_spine.v1 import capability_service_pb2 as pb
from tests.unit.capabilities.working import SMALL, Replying, said, scripted, work


async def translated(answer: Any, content: str = "Good morning.", **fields: Any) -> pb.TranslateResponse:
    request = pb.TranslateRequest(content=content, **{"target_language": "de", **fields})
    return await work(request, answer)


@pytest.mark.parametrize(
    ("named", "found"),
    [("en", "en"), ("English", "en"), ("en-GB", "en"), ("eng", "en"), ("Klingon", "Klingon")],
)
async def test_the_language_of_the_text_is_found(named: str, found: str) -> None:
    response = await translated({"source_language": named, "translation": "Guten Morgen."})
    assert (response.translation, response.source_language) == ("Guten Morgen.", found)
    assert response.target_language == "de"


async def test_other_names_of_the_fields_are_read() -> None:
    response = await translated({"detected_language": "en", "translated_text": "Guten Morgen."})
    assert (response.translation, response.source_language) == ("Guten Morgen.", "en")


async def test_a_given_language_is_kept_and_the_answer_is_plain() -> None:
    model = scripted("Guten Morgen.")
    request = pb.TranslateRequest(content="Good morning.", target_language="German", source_language="en-GB")
    response = await work(request, model)
    assert (response.translation, response.source_language) == ("Guten Morgen.", "en-GB")
    assert not model.requests[0].HasField("response_format")
    assert "from English (en-GB) into German." in said(model.requests[0])[0]


@pytest.mark.parametrize(
    "answer", ["Guten Morgen.", "```\nGuten Morgen.\n```", '{"translation": "Guten Morgen."}']
)
async def test_a_plain_answer_is_read_in_every_form(answer: str) -> None:
    assert (await translated(answer, source_language="en")).translation == "Guten Morgen."


async def test_json_and_fences_of_the_text_itself_are_kept() -> None:
    fenced, braces = "```\nHallo\n```", '{"translation": "Hallo"}'
    assert (await translated(fenced, "```\nHello\n```", source_language="en")).translation == fenced
    content = '{"translation": "Hello"}'
    assert (await translated(braces, content, source_language="en")).translation == braces


@pytest.mark.parametrize(
    "answer",
    ["Guten Morgen.", {"translation": "Guten Morgen."}, {"source_language": "en", "translation": " "}],
)
async def test_an_answer_without_language_or_translation_is_a_provider_error(answer: Any) -> None:
    with pytest.raises(ProviderError):
        await translated(answer)


@pytest.mark.parametrize("name", ["target_language", "source_language"])
async def test_an_unknown_code_is_refused_before_anything_is_spent(name: str) -> None:
    model = scripted("x")
    with pytest.raises(InvalidFields, match=f"{name}: is no code of ISO 639-1: 'xx'"):
        await translated(model, **{name: "xx"})
    assert not model.requests


async def test_blank_target_is_refused() -> None:
    with pytest.raises(InvalidFields, match="target_language: is required"):
        await translated("x", target_language=" ")


@pytest.mark.parametrize(
    ("given", "words"), [(None, "Keep line breaks"), (True, "Keep line"), (False, "running")]
)
async def test_formatting_is_kept_unless_it_need_not(given: bool | None, words: str) -> None:
    model = scripted({"source_language": "en", "translation": "x"})
    request = pb.TranslateRequest(content="x", target_language="de", preserve_formatting=given)
    await work(request, model)
    assert words in said(model.requests[0])[0]


async def test_pieces_are_put_together_with_the_blanks_between_them() -> None:
    content = "\n\n".join(f"Paragraph {number} says that all is well." for number in range(200))

    def reply(instructions: str, text: str) -> dict[str, Any]:
        assert "of a longer text" in instructions
        inner = text.removeprefix("Translate this text:").strip()
        source = "da" if "Paragraph 3 " in inner else "en"
        return {"source_language": source, "translation": inner.replace("Paragraph", "Absatz")}

    request = pb.TranslateRequest(content=content, target_language="de", long_input=pb.LONG_INPUT_MAP_REDUCE)
    response = await work(request, Replying(reply), 2 * SMALL)
    assert response.result.context.pieces > 2
    assert response.translation == content.replace("Paragraph", "Absatz")
    assert response.source_language == "en"
