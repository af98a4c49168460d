from typing import Any

import pytest

from genai_spine.errors import ProviderError
from genai_spine.v1 import capability_service_pb2 as pb
from tests.unit.capabilities.working import SMALL, Replying, said, scripted, work


async def tagged(answer: Any, **fields: Any) -> list[Any]:
    response = await work(pb.TagRequest(content="A text.", **fields), answer)
    return [(tag.tag, tag.type, round(tag.confidence, 3), tag.existing) for tag in response.tags]


def one(tag: str, confidence: Any = 0.5, **fields: Any) -> dict[str, Any]:
    return {"tag": tag, "type": "topic", "confidence": confidence} | fields


async def test_the_surest_come_first_and_at_most_five() -> None:
    answer = {"tags": [one(f"t{number}", number / 10) for number in range(1, 9)]}
    assert [tag for tag, *_ in await tagged(answer)] == ["t8", "t7", "t6", "t5", "t4"]
    assert len(await tagged(answer, max_tags=2)) == 2


async def test_the_same_tag_is_given_once() -> None:
    answer = {"tags": [one("#Public-Transport", 0.6), one("public transport", 0.9), one("PUBLIC_TRANSPORT")]}
    assert await tagged(answer) == [("public transport", "topic", 0.9, False)]


async def test_existing_is_found_here_and_spelled_as_given() -> None:
    answer = {"tags": [one("public transport", existing=False), one("Oslo", existing=True)]}
    found = await tagged(answer, existing_tags=["Public-Transport"])
    assert found == [("Public-Transport", "topic", 0.5, True), ("Oslo", "topic", 0.5, False)]


async def test_texts_alone_are_tags() -> None:
    assert await tagged(["tram", "#Oslo"]) == [
        ("tram", "topic", 0.8, False),
        ("Oslo", "topic", 0.8, False),
    ]


async def test_types_are_those_that_were_asked_for() -> None:
    answer = {"tags": [one("Oslo", type="PLACE"), one("tram", type="vehicle"), one("city", type="")]}
    found = await tagged(answer, tag_types=["topic", "place"])
    assert [(tag, kind) for tag, kind, *_ in found] == [("Oslo", "place"), ("city", "topic")]


async def test_a_single_type_is_every_tags_type() -> None:
    found = await tagged({"tags": [one("Oslo", type="city")]}, tag_types=["place"])
    assert found[0][:2] == ("Oslo", "place")


async def test_no_tags_are_an_answer() -> None:
    assert await tagged({"tags": []}) == []


@pytest.mark.parametrize("answer", ["tram, Oslo", {"tags": "tram"}, {"tags": [{"x": 1}]}])
async def test_an_answer_without_tags_is_a_provider_error(answer: Any) -> None:
    with pytest.raises(ProviderError):
        await tagged(answer)


async def test_the_model_is_told_limits_types_and_tags_in_use() -> None:
    model = scripted({"tags": []})
    request = pb.TagRequest(content="x", max_tags=7, tag_types=["mood"], existing_tags=["calm", "calm"])
    await work(request, model)
    instructions, _ = said(model.requests[0])
    assert "at most 7 tags" in instructions
    assert "Kinds of tags: mood" in instructions
    assert instructions.count("- calm") == 1


async def test_pieces_vote_for_tags_by_their_length() -> None:
    content = "tram\n" * 2000 + "boat\n" * 100

    def reply(_: str, text: str) -> dict[str, Any]:
        tags = [name for name in ("tram", "boat") if f"\n{name}\n" in text]
        return {"tags": [one(tag, 0.9) for tag in tags]}

    request = pb.TagRequest(content=content, long_input=pb.LONG_INPUT_MAP_REDUCE)
    response = await work(request, Replying(reply), SMALL)
    assert response.result.context.pieces > 2
    assert [tag.tag for tag in response.tags] == ["tram", "boat"]
    assert response.tags[0].confidence > 0.8 > 0.5 > response.tags[1].confidence
