from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.capabilities.analyze_sentiment import mean_mood, parties
from genai_spine.errors import ProviderError
from genai_spine.v1 import capability_service_pb2 as pb
from tests.unit.capabilities.working import SMALL, Replying, said, scripted, work

TEXT = "The room was lovely. The breakfast was awful! The room was lovely."


async def judged(answer: Any, content: str = TEXT, **fields: Any) -> pb.AnalyzeSentimentResponse:
    return await work(pb.AnalyzeSentimentRequest(content=content, **fields), answer)


@pytest.mark.parametrize(
    ("answer", "label", "score"),
    [
        ({"sentiment": {"label": "positive", "score": 0.8, "confidence": 0.9}}, "positive", 0.8),
        ({"label": "Negative", "score": 0.8}, "negative", -0.8),
        ({"label": "negative", "score": "-80"}, "negative", -0.8),
        ({"sentiment": "very positive"}, "positive", 0.5),
        ({"sentiment": "POS", "score": True}, "positive", 0.5),
        ({"score": -0.1}, "neutral", -0.1),
        ({"score": 0.9}, "positive", 0.9),
        ({"score": -7e200}, "negative", -1.0),
        ('```json\n{"label": "mixed", "score": 0.1}\n```', "mixed", 0.1),
        ("The sentiment is clearly negative.", "negative", -0.5),
    ],
)
async def test_a_mood_is_read_in_every_form(answer: Any, label: str, score: float) -> None:
    mood = (await judged(answer)).sentiment
    assert (mood.label, mood.score) == (label, score)


@pytest.mark.parametrize("answer", ["I cannot tell.", {"sentiment": {"score": "high"}}, [1, 2]])
async def test_an_answer_without_a_mood_is_a_provider_error(answer: Any) -> None:
    with pytest.raises(ProviderError, match="names no sentiment"):
        await judged(answer)


def sentence(text: str, label: str = "positive", score: float = 0.5) -> dict[str, Any]:
    return {"text": text, "label": label, "score": score, "confidence": 0.9}


async def test_sentences_stand_where_it_is_said_also_when_they_are_alike() -> None:
    answer = {
        "sentiment": {"label": "mixed", "score": 0.2, "confidence": 0.9},
        "sentences": [
            sentence("The room was lovely."),
            sentence("The breakfast was  awful!", "negative"),
            sentence("The room was lovely."),
            sentence("The pool was closed.", "negative"),
        ],
    }
    found = (await judged(answer, granularity="sentence")).sentences
    assert [(one.start, one.end) for one in found[:3]] == [(0, 20), (21, 45), (46, 66)]
    assert [one.text for one in found[:3]] == [TEXT[one.start : one.end] for one in found[:3]]
    assert found[3].text == "The pool was closed."
    assert not found[3].HasField("start")
    assert not found[3].HasField("end")


async def test_a_bare_list_of_sentences_gives_the_mean_as_the_whole() -> None:
    answer = [sentence("The room was lovely.", score=1), sentence("The breakfast was awful!", "negative", -1)]
    mood = (await judged(answer, granularity="sentence")).sentiment
    assert (mood.label, mood.score) == ("mixed", 0.0)


@pytest.mark.parametrize("granularity", ["sentence", "aspect"])
async def test_a_missing_list_is_a_provider_error(granularity: str) -> None:
    with pytest.raises(ProviderError, match="no JSON list of"):
        await judged({"sentiment": {"label": "neutral"}}, granularity=granularity)


async def test_aspects_are_those_that_were_asked_for_in_their_order() -> None:
    answer = {
        "sentiment": {"label": "mixed", "score": 0, "confidence": 0.9},
        "aspects": [
            {"aspect": "breakfast", "label": "negative", "score": -0.9, "evidence": "breakfast was AWFUL"},
            {"aspect": "room", "label": "positive", "score": 0.9, "evidence": "a very nice room"},
            {"aspect": "pool", "label": "positive", "score": 0.9, "evidence": None},
            {"aspect": "Room", "label": "negative", "score": -0.9},
        ],
    }
    found = (await judged(answer, aspects=["Room", "Breakfast", "Room"])).aspects
    assert [(one.aspect, one.sentiment.label) for one in found] == [
        ("Room", "positive"),
        ("Breakfast", "negative"),
    ]
    assert not found[0].HasField("evidence")
    assert found[1].evidence == "breakfast was awful"


async def test_without_given_aspects_the_models_are_taken() -> None:
    answer = {"aspects": [{"aspect": "room", "sentiment": {"label": "positive", "score": 1}}]}
    response = await judged(answer, granularity="aspect")
    assert response.aspects[0].aspect == "room"
    assert response.sentiment.label == "positive"


async def test_the_model_is_asked_for_the_granularity_and_the_aspects() -> None:
    model = scripted({"aspects": [{"aspect": "room", "label": "positive", "score": 1}]})
    await work(pb.AnalyzeSentimentRequest(content=TEXT, aspects=["room"]), model)
    assert "- room" in said(model.requests[0])[0]
    assert '"enum": ["room"]' in model.requests[0].response_format.json_schema.schema_json


async def test_a_long_text_is_judged_in_pieces_by_their_weight() -> None:
    content = "".join(f"Room {number} was lovely.\n" for number in range(400))

    def reply(_: str, text: str) -> dict[str, Any]:
        lines = [line for line in text.splitlines() if line.startswith("Room")]
        mood = {"label": "positive", "score": 0.8, "confidence": 0.9}
        return {"sentiment": mood, "sentences": [sentence(line) for line in lines]}

    request = pb.AnalyzeSentimentRequest(
        content=content, granularity="sentence", long_input=pb.LONG_INPUT_MAP_REDUCE
    )
    response = await work(request, Replying(reply), 2 * SMALL)
    assert response.result.context.pieces > 1
    assert response.sentiment.score == 0.8
    assert [content[one.start : one.end] for one in response.sentences] == content.splitlines()
    assert all(one.HasField("start") for one in response.sentences)


async def test_an_aspect_of_several_pieces_is_one_aspect() -> None:
    content = "The room was lovely.\n" * 400

    def reply(_: str, text: str) -> dict[str, Any]:
        mood = {"label": "positive", "score": 0.8, "confidence": 0.9}
        return {"sentiment": mood, "aspects": [{"aspect": "room", **mood, "evidence": "room was lovely"}]}

    request = pb.AnalyzeSentimentRequest(
        content=content, granularity="aspect", long_input=pb.LONG_INPUT_MAP_REDUCE
    )
    response = await work(request, Replying(reply), 2 * SMALL)
    (aspect,) = response.aspects
    assert (aspect.aspect, aspect.evidence, aspect.sentiment.score) == ("room", "room was lovely", 0.8)


moods = st.builds(
    pb.Sentiment,
    label=st.sampled_from(["positive", "negative", "neutral", "mixed"]),
    score=st.floats(-1, 1),
    confidence=st.floats(0, 1),
)


@given(st.lists(st.tuples(st.integers(1, 10**6).map(float), moods), min_size=1, max_size=8))
def test_a_mean_stays_within_its_parts(weighed: list[tuple[float, pb.Sentiment]]) -> None:
    mean = mean_mood(weighed)
    scores = [mood.score for _, mood in weighed]
    assert min(scores) - 1e-6 <= mean.score <= max(scores) + 1e-6
    assert 0 <= mean.confidence <= 1
    assert mean.label in {mood.label for _, mood in weighed} | {"mixed"}


GOOD = {"label": "positive", "score": 0.8, "confidence": 0.9}
BAD = {"label": "negative", "score": -0.8, "confidence": 0.9}
DIALOGUE = "Speaker 0: Hello.\nSpeaker 1: I am angry.\nSpeaker 0: Sorry: my fault."


async def test_each_speaker_is_judged_by_the_label_of_the_lines() -> None:
    judged_of = [
        {"aspect": "speaker 1", **BAD},
        {"aspect": "Speaker 0", **GOOD},
        {"aspect": "Speaker 9", **BAD},
    ]
    found = await judged({"sentiment": BAD, "aspects": judged_of}, DIALOGUE, granularity="speaker")
    assert [(one.aspect, one.sentiment.label) for one in found.aspects] == [
        ("Speaker 0", "positive"),
        ("Speaker 1", "negative"),
    ]


async def test_a_text_without_speakers_is_judged_as_a_whole() -> None:
    found = await judged({"sentiment": GOOD}, "Just a text: nobody speaks.", granularity="speaker")
    assert (found.sentiment.label, len(found.aspects)) == ("positive", 0)


@pytest.mark.parametrize(
    ("text", "granularity", "labels"),
    [
        (DIALOGUE, "speaker", ["Speaker 0", "Speaker 1"]),
        ("Channel 1: a\nChannel 0: b", "channel", ["Channel 1", "Channel 0"]),
        ("Channel 0, speaker 1: a\nChannel 0, speaker 2: b", "channel", ["Channel 0"]),
        ("Channel 0, speaker 1: a", "speaker", ["Channel 0, speaker 1"]),
        (": a\nspeakers: b\nNote: Speaker 0: c", "speaker", []),
        (
            "\n".join(f"Speaker {number}: a" for number in range(99)),
            "speaker",
            [f"Speaker {number}" for number in range(50)],
        ),
    ],
)
def test_parties_are_who_lines_begin_with(text: str, granularity: str, labels: list[str]) -> None:
    assert parties(text, granularity) == labels
