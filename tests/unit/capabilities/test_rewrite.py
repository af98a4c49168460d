"""Rewriting: a role and a temperature for each mode, and what the model is told besides."""

import pytest
from google.protobuf.json_format import ParseDict

from genai_spine.v1 import capability_service_pb2 as pb
from tests.unit.capabilities.asked import asked, said, watched

TEMPERATURES = {
    "clean": 0.3,
    "format": 0.3,
    "organize": 0.3,
    "professional": 0.4,
    "casual": 0.6,
    "summarize": 0.2,
    "technical": 0.3,
}
CODE = "leave code blocks and inline code exactly"


@pytest.mark.parametrize("mode", TEMPERATURES)
async def test_mode_has_a_role_a_temperature_and_a_tag(mode: str) -> None:
    response, model = await watched(pb.RewriteRequest(content="Text.", mode=mode), "Better.")
    assert model.requests[0].temperature == TEMPERATURES[mode]
    purpose = model.calls[0].attribution
    assert purpose is not None
    assert purpose.capability == f"rewrite-{mode}"
    assert response.mode == mode
    assert (response.original, response.rewritten, response.content) == ("Text.", "Better.", "Better.")


async def test_roles_differ() -> None:
    roles = set()
    for mode in TEMPERATURES:
        _, model = await watched(pb.RewriteRequest(content="Text.", mode=mode), "Better.")
        roles.add(said(model).split("Keep the meaning")[0])
    assert len(roles) == len(TEMPERATURES)


async def test_style_is_another_name_for_mode() -> None:
    assert (await asked(pb.RewriteRequest(text="Text.", style="casual"), "Hi.")).mode == "casual"
    assert (await asked(pb.RewriteRequest(text="T", style="casual", mode="format"), "Hi.")).mode == "format"
    assert (await asked(pb.RewriteRequest(text="Text."), "Hi.")).mode == "clean"


async def test_temperature_of_the_caller_wins_zero_included() -> None:
    _, model = await watched(pb.RewriteRequest(content="Text.", mode="casual", temperature=0), "Hi.")
    assert model.requests[0].temperature == 0


async def test_code_blocks_are_left_alone_unless_the_caller_says_otherwise() -> None:
    for request, told in (
        (pb.RewriteRequest(content="T."), True),
        (pb.RewriteRequest(content="T.", preserve_code_blocks=True), True),
        (pb.RewriteRequest(content="T.", preserve_code_blocks=False), False),
    ):
        _, model = await watched(request, "Hi.")
        assert (CODE in said(model).lower()) is told


@pytest.mark.parametrize(
    ("context", "told"),
    [
        ("for the board", "for the board"),
        ({"n": [3, 1.5], "audience": "board"}, '{"audience": "board", "n": [3, 1.5]}'),
        (7, "7"),
    ],
)
async def test_context_is_a_text_or_anything_else(context: object, told: str) -> None:
    request = ParseDict({"content": "Text.", "context": context}, pb.RewriteRequest())
    _, model = await watched(request, "Hi.")
    assert f"know besides: {told}" in said(model)


async def test_without_context_nothing_is_told_of_it() -> None:
    for body in ({"content": "T."}, {"content": "T.", "context": None}, {"content": "T.", "context": ""}):
        _, model = await watched(ParseDict(body, pb.RewriteRequest()), "Hi.")
        assert "besides" not in said(model)


async def test_fence_around_the_answer_goes_unless_the_text_had_one() -> None:
    assert (await asked(pb.RewriteRequest(content="a"), "```markdown\n# A\n```")).rewritten == "# A"
    fenced = "```py\nx=1\n```"
    assert (await asked(pb.RewriteRequest(content=fenced), fenced)).rewritten == fenced


async def test_long_content_is_rewritten_piece_by_piece() -> None:
    content = "\n\n".join(f"Paragraph {number} of a long text about the city." for number in range(300))
    request = pb.RewriteRequest(content=content, long_input=pb.LONG_INPUT_MAP_REDUCE)
    response, model = await watched(request, "Better.\n", context_length=1500)
    assert response.context.pieces == len(model.requests) > 2
    assert response.rewritten == "\n\n".join(["Better."] * len(model.requests))
    assert f"part 1 of {len(model.requests)}" in said(model)


@pytest.mark.parametrize("context_length", [None, 1_000_000])
async def test_pieces_are_no_longer_than_what_models_answer(context_length: int | None) -> None:
    content = "\n\n".join(f"Paragraph {number} of a long text about the city." for number in range(1000))
    request = pb.RewriteRequest(content=content, long_input=pb.LONG_INPUT_MAP_REDUCE)
    response, model = await watched(request, "Better.\n", context_length)
    assert response.context.pieces == len(model.requests) > 3
    request.long_input = pb.LONG_INPUT_TRUNCATE
    _, model = await watched(request, "Better.\n", context_length)
    assert content in said(model)
