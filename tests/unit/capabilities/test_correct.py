import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.capabilities import CAPABILITIES
from genai_spine.capabilities.context import Answer
from genai_spine.errors import ProviderError
from genai_spine.text.chunking import TextChunk
from genai_spine.v1 import capability_service_pb2 as pb
from tests.unit.capabilities.working import SMALL, Replying, said, scripted, work

TEXT = "🚋 I ate a apple in the tram, and a pear."


async def corrected(answer: Any, content: str = TEXT, **fields: Any) -> pb.CorrectResponse:
    return await work(pb.CorrectRequest(content=content, **fields), answer)


def mended(*pairs: tuple[str, str], text: str) -> dict[str, Any]:
    listed = [{"original": a, "corrected": b, "explanation": "Why."} for a, b in pairs]
    return {"corrected": text, "corrections": listed}


def of(response: pb.CorrectResponse) -> list[tuple[str, str, int | None]]:
    return [
        (one.original, one.corrected, one.position if one.HasField("position") else None)
        for one in response.corrections
    ]


async def test_a_word_that_stands_often_is_placed_where_it_was_mended() -> None:
    """Not within "ate" or "tram", and not before "pear"."""
    answer = mended(("a", "an"), text=TEXT.replace("a apple", "an apple"))
    assert of(await corrected(answer)) == [("a", "an", 8)]
    content = "a pear, a pear, a apple"
    answer = mended(("a", "an"), text="a pear, a pear, an apple")
    assert of(await corrected(answer, content)) == [("a", "an", 16)]


async def test_equal_mistakes_have_places_of_their_own() -> None:
    answer = mended(("teh", "the"), ("teh", "the"), text="the cat, the dog")
    assert of(await corrected(answer, "teh cat, teh dog")) == [("teh", "the", 0), ("teh", "the", 9)]


async def test_they_come_in_the_order_of_the_text_and_unfound_ones_last() -> None:
    answer = mended(("gone", "went"), ("dogg", "dog"), ("teh", "the"), text="the dog")
    found = of(await corrected(answer, "teh dogg"))
    assert found == [("teh", "the", 0), ("dogg", "dog", 4), ("gone", "went", None)]


async def test_other_blanks_and_quotation_marks_are_found_too() -> None:
    content = "He said “its  late”."
    answer = mended(('"its late"', '"it is late"'), text="He said “it is late”.")
    assert of(await corrected(answer, content)) == [("“its  late”", '"it is late"', 8)]


async def test_what_changed_nothing_is_left_out() -> None:
    assert of(await corrected(mended(("apple", "apple"), text=TEXT))) == []


@pytest.mark.parametrize("answer", ["I saw the dog.", {"corrected": "I saw the dog."}])
async def test_corrections_that_the_model_does_not_tell_are_found_here(answer: Any) -> None:
    response = await corrected(answer, "I saw teh dogg.")
    assert response.corrected == "I saw the dog."
    assert of(response) == [("teh dogg.", "the dog.", 6)]


async def test_a_text_without_mistakes_has_no_corrections() -> None:
    assert of(await corrected(mended(text=TEXT))) == []


@pytest.mark.parametrize("wanted", [True, False])
async def test_why_is_told_when_it_is_asked_for(wanted: bool) -> None:
    model = scripted(mended(("teh", "the"), text="the dog"))
    response = await corrected(model, "teh dog", explain_corrections=wanted)
    assert response.corrections[0].HasField("explanation") is wanted
    assert ("Say why" in said(model.requests[0])[0]) is wanted
    assert ("explanation" in model.requests[0].response_format.json_schema.schema_json) is wanted


@pytest.mark.parametrize("answer", ['{"corrected": "the d', {"corrections": []}, {"corrected": ""}])
async def test_an_answer_without_the_text_is_a_provider_error(answer: Any) -> None:
    with pytest.raises(ProviderError):
        await corrected(answer)


async def test_places_in_pieces_are_those_of_the_whole() -> None:
    content = "".join(f"Line {number} has teh word.\n" for number in range(300))

    def reply(_: str, text: str) -> dict[str, Any]:
        inner = text.removeprefix("Correct this text:").strip()
        return mended(*[("teh", "the")] * inner.count("teh"), text=inner.replace("teh", "the"))

    request = pb.CorrectRequest(content=content, long_input=pb.LONG_INPUT_MAP_REDUCE)
    response = await work(request, Replying(reply), 2 * SMALL)
    assert response.context.pieces > 2
    assert response.corrected == content.replace("teh", "the").strip()
    positions = [one.position for one in response.corrections]
    assert positions == [at for at in range(len(content)) if content.startswith("teh", at)]


words = st.text(st.sampled_from("ab 🚋é.\n“"), min_size=1, max_size=6)


@given(words.map(lambda word: word * 3), st.lists(st.tuples(words, words), max_size=4))
def test_what_has_a_position_stands_there(content: str, pairs: list[tuple[str, str]]) -> None:
    answer = Answer(json.dumps(mended(*pairs, text="mended")), "p", "m", was_cut=False)
    response: Any = CAPABILITIES["correct"].read(
        answer, pb.CorrectRequest(content=content), TextChunk(content)
    )
    for one in response.corrections:
        if one.HasField("position"):
            assert content[one.position :].startswith(one.original)
        else:
            assert one.original not in content or not one.original
