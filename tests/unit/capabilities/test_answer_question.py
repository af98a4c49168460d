from typing import Any

import pytest

from genai_spine.errors import ContextLengthExceeded, InvalidFields, ProviderError
from genai_spine.v1 import capability_service_pb2 as pb
from tests.unit.capabilities.working import SMALL, Replying, scripted, work

TEXT = "🚋 The tram was built in 1894. It was closed in 1960, and opened again in 1999."


async def asked(answer: Any, **fields: Any) -> pb.AnswerQuestionResponse:
    request = pb.AnswerQuestionRequest(context=TEXT, question="When was it built?", **fields)
    return await work(request, answer)


def given(**fields: Any) -> dict[str, Any]:
    return {"answerable": True, "evidence": "built in 1894", "answer": "In 1894.", "confidence": 0.9} | fields


async def test_evidence_stands_at_its_place_in_characters() -> None:
    found = await asked(given())
    assert (found.answer, found.answerable, found.confidence) == ("In 1894.", True, 0.9)
    assert (found.evidence.start, found.evidence.end) == (15, 28)
    assert TEXT[found.evidence.start : found.evidence.end] == found.evidence.text == "built in 1894"
    assert found.evidence.verified


@pytest.mark.parametrize(
    "evidence",
    [
        "“Built in 1894”",
        '"built in  1894"',
        {"text": "built in 1894", "start": 3},
        [{"quote": "built in 1894"}, "closed"],
    ],
)
async def test_evidence_is_read_in_every_form(evidence: Any) -> None:
    assert (await asked(given(evidence=evidence))).evidence.text == "built in 1894"


async def test_evidence_that_does_not_stand_there_is_marked() -> None:
    found = await asked(given(evidence="erected in 1894"))
    assert (found.evidence.text, found.evidence.verified) == ("erected in 1894", False)
    assert not found.evidence.HasField("start")
    assert (found.answer, found.answerable) == ("In 1894.", True)


@pytest.mark.parametrize("evidence", ["erected in 1894", None, "", []])
async def test_with_require_evidence_an_answer_without_proof_is_none(evidence: Any) -> None:
    found = await asked(given(evidence=evidence), require_evidence=True)
    assert (found.answer, found.answerable) == ("", False)
    assert found.HasField("evidence") == bool(evidence)


async def test_with_require_evidence_a_proven_answer_counts() -> None:
    assert (await asked(given(), require_evidence=True)).answer == "In 1894."


@pytest.mark.parametrize("answerable", [False, "false", "No"])
async def test_what_the_context_does_not_hold_is_not_answered(answerable: Any) -> None:
    found = await asked(given(answerable=answerable, evidence=None, answer="The text does not say."))
    assert (found.answer, found.answerable) == ("", False)
    assert not found.HasField("evidence")


async def test_an_empty_answer_is_none() -> None:
    assert not (await asked(given(answer=""))).answerable


async def test_plain_words_are_an_answer_without_evidence() -> None:
    found = await asked("It was built in 1894.")
    assert (found.answer, found.answerable) == ("It was built in 1894.", True)
    assert not (await asked("It was built in 1894.", require_evidence=True)).answerable


@pytest.mark.parametrize("answer", ['{"answer": "In 18', '{"reply": "In 1894"}', '["In 1894"]'])
async def test_broken_or_foreign_json_is_a_provider_error(answer: str) -> None:
    with pytest.raises(ProviderError):
        await asked(answer)


@pytest.mark.parametrize("name", ["context", "question"])
async def test_a_blank_field_is_refused(name: str) -> None:
    request = pb.AnswerQuestionRequest(**{"context": "x", "question": "y", name: " \n"})
    with pytest.raises(InvalidFields, match=f"{name}: is required"):
        await work(request, given())


LONG = "".join(f"In {1000 + number} nothing happened.\n" for number in range(500)) + TEXT


async def test_a_long_context_is_refused_before_anything_is_spent() -> None:
    model = scripted(given())
    with pytest.raises(ContextLengthExceeded):
        await work(pb.AnswerQuestionRequest(context=LONG, question="?"), model, SMALL)
    assert not model.requests


def reply(_: str, text: str) -> dict[str, Any]:
    if "built in 1894" in text:
        return given()
    return given(answerable=False, evidence=None, answer="", confidence=0.7)


async def test_the_one_piece_that_answers_is_heard_and_its_evidence_placed() -> None:
    request = pb.AnswerQuestionRequest(
        context=LONG, question="When was it built?", long_input=pb.LONG_INPUT_MAP_REDUCE
    )
    found = await work(request, Replying(reply), SMALL)
    assert found.result.context.pieces > 2
    assert found.answer == "In 1894."
    assert LONG[found.evidence.start : found.evidence.end] == "built in 1894"


async def test_no_piece_that_answers_means_no_answer() -> None:
    request = pb.AnswerQuestionRequest(context=LONG, question="Why?", long_input=pb.LONG_INPUT_MAP_REDUCE)
    model = Replying(lambda *_: given(answerable=False, evidence=None, answer="", confidence=0.7))
    found = await work(request, model, SMALL)
    assert (found.answer, found.answerable, found.confidence) == ("", False, 0.7)


async def test_different_answers_of_pieces_are_brought_together() -> None:
    def several(_: str, text: str) -> dict[str, Any]:
        if "(In 1000.)" in text:
            return given(answer="In 1000 and in 1400.", evidence="In 1400 nothing happened.")
        for year in ("1000", "1400"):
            if f"In {year} nothing" in text:
                return given(answer=f"In {year}.", evidence=f"In {year} nothing happened.")
        return given(answerable=False, evidence=None, answer="")

    request = pb.AnswerQuestionRequest(
        context=LONG, question="When?", long_input=pb.LONG_INPUT_MAP_REDUCE, require_evidence=True
    )
    found = await work(request, Replying(several), SMALL)
    assert found.answer == "In 1000 and in 1400."
    assert LONG[found.evidence.start : found.evidence.end] == "In 1400 nothing happened."


async def test_a_truncated_context_keeps_true_places() -> None:
    request = pb.AnswerQuestionRequest(
        context=LONG, question="When was it built?", long_input=pb.LONG_INPUT_TRUNCATE
    )
    found = await work(request, Replying(reply), SMALL)
    assert found.result.context.omitted_characters > 0
    assert LONG[found.evidence.start : found.evidence.end] == "built in 1894"
