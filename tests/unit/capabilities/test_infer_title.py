"""Titles: bare, and within their limits."""

import pytest

from genai_spine.errors import ProviderError
from genai_spine.v1 import capability_service_pb2 as pb
from tests.unit.capabilities.asked import asked, said, watched


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ("Oslo Votes", "Oslo Votes"),
        ('"Oslo Votes"', "Oslo Votes"),
        ("'Oslo Votes'", "Oslo Votes"),
        ("“Oslo Votes”", "Oslo Votes"),
        ("„Oslo Votes“", "Oslo Votes"),
        ("«Oslo Votes»", "Oslo Votes"),
        ('Title: "Oslo Votes"', "Oslo Votes"),
        ('"Title: Oslo Votes"', "Oslo Votes"),
        ("**Oslo Votes**", "Oslo Votes"),
        ("# Oslo Votes", "Oslo Votes"),
        ("\nOslo Votes\n\nI chose this because ...", "Oslo Votes"),
        ('"Oslo Votes', "Oslo Votes"),
        ("The Voters' Choice", "The Voters' Choice"),
        ('"Yes" and "No"', '"Yes" and "No"'),
        ("__init__ explained", "__init__ explained"),
        ("<think>short</think>Oslo Votes", "Oslo Votes"),
        ("'Tis the Season", "'Tis the Season"),
    ],
)
async def test_title_is_bare(answer: str, title: str) -> None:
    assert (await asked(pb.InferTitleRequest(content="Text."), answer)).title == title


async def test_defaults_and_limits_are_told() -> None:
    _, model = await watched(pb.InferTitleRequest(content="Text."), "Oslo")
    assert "at most 10 words" in said(model)
    assert "characters" not in said(model)
    assert (model.requests[0].temperature, model.requests[0].max_tokens) == (0.5, 50)
    _, model = await watched(pb.InferTitleRequest(content="T.", max_words=4, max_length=30), "Oslo")
    assert "at most 4 words" in said(model)
    assert "at most 30 characters" in said(model)


async def test_title_has_no_more_words_than_wanted() -> None:
    assert (await asked(pb.InferTitleRequest(content="T.", max_words=3), "a b c d e")).title == "a b c"


async def test_title_of_several_sentences_is_the_first() -> None:
    response = await asked(pb.InferTitleRequest(content="T.", max_words=4), "Oslo votes. A tram comes.")
    assert response.title == "Oslo votes"


@pytest.mark.parametrize(
    ("most", "title"), [(100, "Oslo votes, again"), (12, "Oslo votes"), (4, "Oslo"), (2, "Os")]
)
async def test_title_has_no_more_characters_than_wanted(most: int, title: str) -> None:
    assert (
        await asked(pb.InferTitleRequest(content="T.", max_length=most), "Oslo votes, again")
    ).title == title


async def test_only_the_beginning_is_read_and_the_rest_is_told() -> None:
    response, model = await watched(pb.InferTitleRequest(content="a" * 2000 + "b" * 500), "A")
    assert "a" * 2000 in said(model)
    assert "bbb" not in said(model)
    assert response.result.context.omitted_characters == 500


@pytest.mark.parametrize("answer", ['""', "Title:", "<think>so long"])
async def test_answer_without_a_title_is_a_provider_error(answer: str) -> None:
    with pytest.raises(ProviderError, match="no title"):
        await asked(pb.InferTitleRequest(content="T."), answer)
