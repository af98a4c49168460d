from typing import Any

import pytest

from genai_spine.errors import ProviderError
from genai_spine.v1 import capability_service_pb2 as pb
from tests.unit.capabilities.working import SMALL, Replying, said, scripted, work


async def worded(answer: Any, variations: int | None = None, **fields: Any) -> pb.ParaphraseResponse:
    request = pb.ParaphraseRequest(content="It rains.", variations=variations, **fields)
    return await work(request, answer)


@pytest.mark.parametrize(
    "answer", ["Rain falls.", "```\nRain falls.\n```", {"paraphrase": "Rain falls."}, {"text": "Rain falls."}]
)
async def test_one_way_is_read_in_every_form(answer: Any) -> None:
    response = await worded(answer)
    assert (response.paraphrase, list(response.variations)) == ("Rain falls.", ["Rain falls."])


@pytest.mark.parametrize(
    "answer",
    [
        {"paraphrases": ["A.", "B.", "C."]},
        {"variations": [{"text": "A."}, {"text": "B."}, {"text": "C."}]},
        ["A.", "B.", "C."],
        ["A.", "A.", "B.", "C.", "D."],
        "1. A.\n2. B.\n3. C.",
        "Here you are:\n- A.\n- B.\n- C.",
    ],
)
async def test_there_are_exactly_as_many_as_wanted(answer: Any) -> None:
    response = await worded(answer, 3)
    assert (response.paraphrase, list(response.variations)) == ("A.", ["A.", "B.", "C."])


@pytest.mark.parametrize(
    ("answer", "count"), [({"paraphrases": ["A.", "B."]}, 2), (["A.", "A.", "A."], 1), ("A.\nB.\nC.", 0)]
)
async def test_too_few_are_a_provider_error(answer: Any, count: int) -> None:
    with pytest.raises(ProviderError, match=f"holds {count} different texts in place of 3"):
        await worded(answer, 3)


async def test_style_and_number_are_told_to_the_model() -> None:
    model = scripted(["A.", "B."])
    await worded(model, 2, style="formal")
    instructions, _ = said(model.requests[0])
    assert "Tone: formal" in instructions
    assert "exactly 2 wordings" in instructions
    assert '"minItems": 2' in model.requests[0].response_format.json_schema.schema_json


async def test_each_way_of_a_long_text_is_that_way_of_all_pieces() -> None:
    content = "\n\n".join(f"Paragraph {number} says that all is well." for number in range(200))

    def reply(_: str, text: str) -> list[str]:
        inner = text.removeprefix("Say this text in other words:").strip()
        return [inner.replace("Paragraph", word) for word in ("Section", "Part", "Bit")]

    request = pb.ParaphraseRequest(content=content, variations=3, long_input=pb.LONG_INPUT_MAP_REDUCE)
    response = await work(request, Replying(reply), 3 * SMALL)
    assert response.result.context.pieces > 2
    words = ("Section", "Part", "Bit")
    assert list(response.variations) == [content.replace("Paragraph", word) for word in words]
