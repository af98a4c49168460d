"""Summaries: form, counts, and summaries of summaries."""

import pytest

from genai_spine.errors import ContextLengthExceeded, ProviderError
from genai_spine.v1 import capability_service_pb2 as pb
from tests.contract.scripted import Scripted
from tests.unit.capabilities.asked import asked, said, watched

BULLETS = "bullet_points"
LONG = "\n\n".join(f"Paragraph {number} tells something about trams in Oslo." for number in range(200))


async def test_defaults_are_three_sentences_in_a_paragraph() -> None:
    response, model = await watched(pb.SummarizeRequest(content="One two three four."), "One two.")
    assert "one paragraph of at most 3 sentences" in said(model)
    assert model.requests[0].temperature == 0.3
    assert not model.requests[0].HasField("max_tokens")
    assert (response.word_count, response.compression_ratio) == (2, 0.5)
    assert list(response.key_points) == []


async def test_focus_format_and_number_are_told() -> None:
    request = pb.SummarizeRequest(text="Text.", focus="the money", output_format=BULLETS, max_sentences=7)
    _, model = await watched(request, "• One")
    assert "at most 7 bullet points" in said(model)
    assert "the money" in said(model)


@pytest.mark.parametrize(
    "answer",
    [
        "• First point\n• Second point",
        "- First point\n- Second point",
        "* First point\n\n* Second point\n",
        "1. First point\n2) Second point",
        "Here they are:\n• First point\n• Second point",
        "First point\nSecond point",
        "```\n• First point\n• Second point\n```",
    ],
)
async def test_bullet_points_are_read_from_any_kind_of_list(answer: str) -> None:
    response = await asked(pb.SummarizeRequest(content="Text.", output_format=BULLETS), answer)
    assert list(response.key_points) == ["First point", "Second point"]
    assert response.summary == "• First point\n• Second point"
    assert response.word_count == 4


async def test_paragraph_in_place_of_bullet_points_is_taken_apart() -> None:
    request = pb.SummarizeRequest(content="Text.", output_format=BULLETS)
    response = await asked(request, "First point. Second point!")
    assert list(response.key_points) == ["First point.", "Second point!"]


async def test_summary_that_is_longer_than_the_text_has_a_negative_ratio() -> None:
    response = await asked(pb.SummarizeRequest(content="One two."), "One two three.")
    assert response.compression_ratio == -0.5


async def test_long_content_is_summarized_in_pieces_and_the_summaries_once_more() -> None:
    request = pb.SummarizeRequest(content=LONG, long_input=pb.LONG_INPUT_MAP_REDUCE)
    model = Scripted(["Trams."] * 1)
    response, model = await watched(request, model, context_length=1500)
    assert response.result.context.pieces == len(model.requests) - 1 > 1
    assert said(model, -1).count("Trams.") == response.result.context.pieces
    assert response.result.usage.input_tokens == 100 * len(model.requests)
    assert response.result.cost.cost_ticks == 30_000 * len(model.requests)
    assert response.result.context.omitted_characters == 0
    assert response.compression_ratio == round(1 - 1 / len(LONG.split()), 3)


async def test_summaries_that_grow_are_an_error_and_no_endless_work() -> None:
    request = pb.SummarizeRequest(content=LONG, long_input=pb.LONG_INPUT_MAP_REDUCE)
    with pytest.raises(ProviderError, match="as long as the text"):
        await asked(request, LONG, context_length=1500)


async def test_middle_of_a_long_content_is_left_out_and_told() -> None:
    request = pb.SummarizeRequest(content=LONG, long_input=pb.LONG_INPUT_TRUNCATE)
    response, model = await watched(request, "Trams.", context_length=1500)
    omitted = response.result.context.omitted_characters
    assert omitted > 1000
    assert f"[... {omitted} characters left out here ...]" in said(model)
    assert "Paragraph 0 tells" in said(model)
    assert "Paragraph 199 tells" in said(model)
    assert (len(model.requests), response.result.context.pieces) == (1, 1)


@pytest.mark.parametrize("policy", [pb.LONG_INPUT_UNSPECIFIED, pb.LONG_INPUT_REFUSE])
async def test_long_content_is_refused_before_it_costs_anything(policy: pb.LongInput) -> None:
    model = Scripted("Trams.")
    with pytest.raises(ContextLengthExceeded, match="scripted-1 takes 300"):
        await watched(pb.SummarizeRequest(content=LONG, long_input=policy), model, context_length=300)
    assert model.requests == []


@pytest.mark.parametrize("policy", [pb.LONG_INPUT_TRUNCATE, pb.LONG_INPUT_MAP_REDUCE])
async def test_context_that_the_prompt_fills_is_refused(policy: pb.LongInput) -> None:
    model = Scripted("Trams.")
    with pytest.raises(ContextLengthExceeded, match="no room for the content"):
        await watched(pb.SummarizeRequest(content=LONG, long_input=policy), model, context_length=120)
    assert model.requests == []


@pytest.mark.parametrize("policy", [pb.LONG_INPUT_TRUNCATE, pb.LONG_INPUT_MAP_REDUCE])
async def test_content_that_fits_is_sent_as_it_is(policy: pb.LongInput) -> None:
    request = pb.SummarizeRequest(content=LONG, long_input=policy)
    response, model = await watched(request, "Trams.", context_length=20_000)
    assert LONG in said(model)
    assert (response.result.context.pieces, response.result.context.omitted_characters) == (1, 0)
