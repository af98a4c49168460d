from typing import Any

import pytest

from genai_spine.errors import InvalidFields, ProviderError
from genai_spine.v1 import capability_service_pb2 as pb
from tests.unit.capabilities.working import SMALL, Replying, said, scripted, work

DOCUMENTS = (
    pb.SourceDocument(content="The tram costs 40 million euros."),
    pb.SourceDocument(id="council", title='The "minutes"', content="The council voted for it by 31 to 28."),
    pb.SourceDocument(id="b-3", content="Work starts in June."),
)


async def drawn(answer: Any, documents: Any = DOCUMENTS, **fields: Any) -> pb.SynthesizeResponse:
    request = pb.SynthesizeRequest(documents=documents, **{"query": "What of the tram?", **fields})
    return await work(request, answer)


def cited(response: pb.SynthesizeResponse) -> list[tuple[str, str | None, int]]:
    return [
        (one.document_id, one.quote if one.HasField("quote") else None, one.count)
        for one in response.citations
    ]


async def test_citations_are_resolved_counted_and_their_passages_checked() -> None:
    answer = {
        "synthesis": "It was voted for [council], costs 40 million [1][council], and starts soon [b-3, 9].",
        "citations": [
            {"id": "council", "quote": "voted for it  by 31 to 28"},
            {"id": "1", "quote": "costs 50 million"},
            {"id": "1", "quote": "40 million euros"},
            {"id": "b-3", "quote": None},
            {"id": "9", "quote": "nowhere"},
        ],
    }
    response = await drawn(answer)
    assert response.synthesis == answer["synthesis"]
    assert cited(response) == [
        ("council", "voted for it by 31 to 28", 2),
        ("1", "40 million euros", 1),
        ("b-3", None, 1),
    ]
    assert list(response.unknown_citations) == ["9"]
    assert [one.title for one in response.citations if one.HasField("title")] == ['The "minutes"']


async def test_plain_words_are_read_with_their_citations() -> None:
    response = await drawn("It costs 40 million [1]. It starts in June [document B-3; council].")
    assert cited(response) == [("1", None, 1), ("b-3", None, 1), ("council", None, 1)]


async def test_words_and_links_in_brackets_are_no_citations() -> None:
    text = "He said [sic] that [the tram] is [late](http://x) [...] but [1]."
    response = await drawn({"synthesis": text, "citations": []})
    assert cited(response) == [("1", None, 1)]
    assert not response.unknown_citations


async def test_without_citations_the_answer_is_plain() -> None:
    model = scripted("It costs 40 million euros.")
    response = await drawn(model, cite_sources=False)
    assert response.synthesis == "It costs 40 million euros."
    assert not response.citations
    assert not model.requests[0].HasField("response_format")
    assert "Do not cite" in said(model.requests[0])[0]


@pytest.mark.parametrize("kind", ["summary", "comparison", "timeline", "answer"])
async def test_the_kind_the_query_and_the_documents_are_told_to_the_model(kind: str) -> None:
    model = scripted({"synthesis": "x"})
    await drawn(model, synthesis_type=kind)
    instructions, text = said(model.requests[0])
    words = {
        "summary": "Write a summary",
        "comparison": "Compare",
        "timeline": "timeline",
        "answer": "Answer the",
    }
    assert words[kind] in instructions
    assert "What of the tram?" in text
    assert '<document id="1">\nThe tram costs 40 million euros.\n</document>' in text
    assert '<document id="council" title="The \'minutes\'">' in text


@pytest.mark.parametrize("answer", ['{"synthesis": "It', {"citations": []}, {"synthesis": " "}])
async def test_an_answer_without_text_is_a_provider_error(answer: Any) -> None:
    with pytest.raises(ProviderError):
        await drawn(answer)


@pytest.mark.parametrize(
    ("second", "field"),
    [
        ({"id": "1", "content": "x"}, "documents[1].id"),
        ({"id": "a]", "content": "x"}, "documents[1].id"),
        ({"content": " \n"}, "documents[1].content"),
    ],
)
async def test_documents_that_cannot_be_cited_are_refused(second: Any, field: str) -> None:
    model = scripted("x")
    with pytest.raises(InvalidFields) as caught:
        await drawn(model, [{"content": "x"}, second])
    assert [path for path, _ in caught.value.violations] == [field]
    assert not model.requests


async def test_a_blank_query_is_refused() -> None:
    with pytest.raises(InvalidFields, match="query: is required"):
        await drawn("x", query=" ")


LONG = [
    pb.SourceDocument(content="".join(f"Day {day} of year {year} was calm.\n" for day in range(60)))
    for year in range(12)
] + [pb.SourceDocument(id="short", content="On day 7 the tram came.")]


async def test_truncation_cuts_the_long_documents_alone() -> None:
    model = scripted({"synthesis": "It came [short]."})
    response = await drawn(model, LONG, long_input=pb.LONG_INPUT_TRUNCATE)
    assert response.result.context.omitted_characters == 0
    request = pb.SynthesizeRequest(documents=LONG, query="When?", long_input=pb.LONG_INPUT_TRUNCATE)
    model = scripted({"synthesis": "It came [short]."})
    response = await work(request, model, 3 * SMALL)
    assert response.result.context.omitted_characters > 0
    _, text = said(model.requests[0])
    assert "On day 7 the tram came." in text
    assert all(f"year {year} was calm" in text for year in range(12))


async def test_a_long_text_is_drawn_part_by_part_and_keeps_its_citations() -> None:
    whole = pb.SourceDocument(id="whole", content="word " * 3000)
    seen: list[str] = []

    def reply(instructions: str, text: str) -> Any:
        if "part by part" in instructions:
            assert "It came [short]." in text
            return "It came on day 7 [short]; else all was calm [1, whole]."
        seen.append(text)
        if "the tram came" in text:
            quote = {"id": "short", "quote": "On day 7"}
            return {"synthesis": "It came [short].", "citations": [quote]}
        return {"synthesis": "All was calm [1].", "citations": []}

    request = pb.SynthesizeRequest(
        documents=[*LONG, whole], query="When?", long_input=pb.LONG_INPUT_MAP_REDUCE
    )
    response = await work(request, Replying(reply), 2 * SMALL)
    assert response.result.context.pieces == len(seen) > 3
    assert cited(response) == [("short", "On day 7", 1), ("1", None, 1), ("whole", None, 1)]
    assert "".join(seen).count("word ") >= 2990
    assert all(f"year {year} was calm" in "".join(seen) for year in range(12))
