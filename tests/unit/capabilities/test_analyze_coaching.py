import json
from typing import Any

import pytest

from genai_spine.errors import SpineError
from genai_spine.v1 import capability_service_pb2 as pb
from tests.unit.capabilities.working import SMALL, Replying, work

TEXT = "Speaker 0: Hello, how can I help?\nSpeaker 1: I was charged twice.\nSpeaker 0: I will refund it."
GOOD = {"point": "Greets warmly", "evidence": "Hello, how can I help?"}
BETTER = {"point": "Gives no date", "suggestion": "Say when", "evidence": "I will refund it."}


async def coached(answer: Any, content: str = TEXT, **fields: Any) -> pb.AnalyzeCoachingResponse:
    found: pb.AnalyzeCoachingResponse = await work(
        pb.AnalyzeCoachingRequest(content=content, **fields), answer
    )
    return found


async def test_points_have_their_words_in_the_text() -> None:
    found = await coached({"score": 70, "strengths": [GOOD], "improvements": [BETTER], "advice": "Say when."})
    assert (found.score, found.advice) == (70, "Say when.")
    assert found.strengths[0] == pb.CoachingPoint(point=GOOD["point"], evidence=GOOD["evidence"])
    assert (found.improvements[0].suggestion, found.improvements[0].evidence) == (
        "Say when",
        "I will refund it.",
    )


async def test_words_that_were_not_said_are_left_out() -> None:
    found = await coached({"strengths": [GOOD | {"evidence": "I love you"}], "advice": "x"})
    assert not found.strengths[0].HasField("evidence")


@pytest.mark.parametrize(
    ("given", "score"),
    [(70, 70), ("70", 70), (-5, 0), (1e300, 100), (None, 0), ("good", 0), (True, 1), ([], 0), (69.6, 70)],
)
async def test_a_score_is_from_0_to_100(given: Any, score: int) -> None:
    assert (await coached({"score": given, "advice": "x"})).score == score


async def test_points_that_say_the_same_are_one_and_there_are_not_too_many() -> None:
    many = [f"point {number}" for number in range(50)]
    found = await coached({"strengths": ["Same", "same ", *many], "improvements": "none", "advice": "x"})
    assert [one.point for one in found.strengths[:2]] == ["Same", "point 0"]
    assert len(found.strengths) == 10
    assert not found.improvements


@pytest.mark.parametrize("answer", ["no idea", {}, {"score": 50}, {"strengths": [], "advice": ""}])
async def test_an_answer_without_coaching_is_unreadable(answer: Any) -> None:
    with pytest.raises(SpineError):
        await coached(answer)


async def test_the_model_is_told_what_is_known() -> None:
    told: list[str] = []

    def reply(instructions: str, text: str) -> str:
        told.extend((instructions, text))
        return json.dumps({"score": 1, "advice": "x"})

    request = pb.AnalyzeCoachingRequest(
        content=TEXT, agent="Speaker 0", summary="Charged twice", sentiment="negative", focus="dates"
    )
    await work(request, Replying(reply))
    assert all(words in told[0] for words in ("Speaker 0", "Charged twice", "negative", "dates"))
    assert TEXT in told[1]


async def test_a_long_conversation_is_judged_in_chunks() -> None:
    line = "Speaker 0: " + "word " * 60
    text = "\n".join(line for _ in range(40))
    answers = iter(range(0, 10_000, 10))

    def reply(instructions: str, chunk: str) -> dict[str, Any]:
        return {"score": min(100, next(answers)), "strengths": ["Same"], "advice": "x"}

    request = pb.AnalyzeCoachingRequest(content=text, long_input=pb.LONG_INPUT_MAP_REDUCE)
    found = await work(request, Replying(reply), 2 * SMALL)
    assert len(found.strengths) == 1
    assert 0 < found.score < 100
    assert len(found.advice.splitlines()) > 1
