"""The capabilities that have no row in the older service's table, over REST, through real Envoy."""

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from tests.acceptance.capability_rows import COMMON, CONTEXT, OSLO, USAGE, Caller, check_error
from tests.acceptance.http import session
from tests.acceptance.stack import Stack
from tests.acceptance.test_rest import Answer, Client
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply


class Row(NamedTuple):
    tag: str
    body: dict[str, Any]  # the smallest one
    said: str  # by the model
    fields: dict[str, Any]  # the response's own
    temperature: float


GOOD = {"label": "positive", "score": 0.9, "confidence": 0.8}
SCHEMA: Any = {
    "type": "object",
    "properties": {"zone": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["zone", "age"],
}
TAGS = '{"tags": [{"tag": "tram", "type": "topic", "confidence": 0.9}]}'
ANSWER = (
    '{"answerable": true, "evidence": "costs 40 million", "answer": "40 million euros", "confidence": 0.9}'
)
DATA = '{"zone": "A", "age": 36}'

ROWS = {
    "/v1/analyze/sentiment": Row(
        "analyze-sentiment",
        {"content": OSLO},
        json.dumps({"sentiment": GOOD}),
        {"sentiment": GOOD, "aspects": [], "sentences": []},
        0.1,
    ),
    "/v1/qa": Row(
        "answer-question",
        {"context": OSLO, "question": "What does it cost?"},
        ANSWER,
        {
            "answer": "40 million euros",
            "confidence": 0.9,
            "evidence": {
                "text": "costs 40 million",
                "start": OSLO.index("costs"),
                "end": OSLO.index(" euros"),
                "verified": True,
            },
            "answerable": True,
        },
        0.1,
    ),
    "/v1/tag": Row(
        "tag",
        {"content": OSLO},
        TAGS,
        {"tags": [{"tag": "tram", "type": "topic", "confidence": 0.9, "existing": False}]},
        0.2,
    ),
    "/v1/detect/language": Row(
        "detect-language",
        {"content": OSLO},
        '{"language": "en", "confidence": 0.9, "alternatives": [{"language": "de", "confidence": 0.1}]}',
        {
            "language": "en",
            "language_name": "English",
            "confidence": 0.9,
            "alternatives": [{"language": "de", "language_name": "German", "confidence": 0.1}],
        },
        0.0,
    ),
    "/v1/translate": Row(
        "translate",
        {"content": "Good morning.", "target_language": "de"},
        '{"source_language": "English", "translation": "Guten Morgen."}',
        {"translation": "Guten Morgen.", "source_language": "en", "target_language": "de"},
        0.2,
    ),
    "/v1/paraphrase": Row(
        "paraphrase",
        {"content": OSLO},
        "Oslo gets a tram.",
        {"paraphrase": "Oslo gets a tram.", "variations": ["Oslo gets a tram."]},
        0.7,
    ),
    "/v1/correct": Row(
        "correct",
        {"content": "I saw 🚋 and teh boat."},
        '{"corrected": "I saw 🚋 and the boat.", "corrections": [{"original": "teh", "corrected": "the"}]}',
        {
            "corrected": "I saw 🚋 and the boat.",
            "corrections": [{"original": "teh", "corrected": "the", "position": 12}],
        },
        0.1,
    ),
    "/v1/extract-structured": Row(
        "extract-structured",
        {"content": "Ada, 36, zone A.", "schema_json": json.dumps(SCHEMA)},
        DATA,
        {"data_json": DATA, "data": {"zone": "A", "age": 36}},
        0.1,
    ),
    "/v1/synthesize": Row(
        "synthesize",
        {"documents": [{"content": OSLO}, {"id": "b", "title": "B", "content": "Trams."}], "query": "Why?"},
        '{"synthesis": "So [1, b][7].", "citations": [{"id": "1", "quote": "voted for a tram line"}]}',
        {
            "synthesis": "So [1, b][7].",
            "citations": [
                {"document_id": "1", "quote": "voted for a tram line", "count": 1},
                {"document_id": "b", "title": "B", "count": 1},
            ],
            "unknown_citations": ["7"],
        },
        0.3,
    ),
}
EVERY = pytest.mark.parametrize("path", ROWS)
WITH_CONTENT = [path for path, row in ROWS.items() if "content" in row.body]
PLAIN = {"/v1/paraphrase"}


@pytest.fixture
async def caller(stack: Stack, openai_upstream: UpstreamProcess) -> AsyncIterator[Caller]:
    async with session(stack.url) as http:
        yield Caller(Client(http), openai_upstream)


async def row(caller: Caller, path: str, **more: Any) -> Answer:
    """The smallest body with more fields; None takes a field away."""
    body = {name: value for name, value in {**ROWS[path].body, **more}.items() if value is not None}
    return await caller.post(path, body, ROWS[path].said)


# --- What all have in common


@EVERY
@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_row_answers_with_its_fields(caller: Caller, path: str, prefix: str) -> None:
    answer = await caller.post(f"{prefix}{path}", ROWS[path].body, ROWS[path].said)
    assert answer.status == 200, answer.body
    given = answer.json
    assert {name: value for name, value in given.items() if name not in COMMON} == ROWS[path].fields
    assert set(given) == COMMON | set(ROWS[path].fields)
    assert (set(given["usage"]), set(given["context"])) == (USAGE, CONTEXT)
    assert given["request_id"] == answer.headers["x-request-id"]
    assert given["cost_usd"] == given["usage"]["cost_usd"] > 0


@EVERY
async def test_row_is_booked_with_its_tag(caller: Caller, stack: Stack, path: str) -> None:
    given = (await row(caller, path)).json
    (booked,) = await stack.executions(given["request_id"])
    assert (booked.id, booked.capability) == (given["execution_id"], ROWS[path].tag)
    assert booked.cost.cost_usd == given["cost_usd"]


@EVERY
async def test_row_has_its_temperature_and_its_schema(caller: Caller, path: str) -> None:
    await row(caller, path)
    assert caller.asked["temperature"] == ROWS[path].temperature
    assert ("response_format" in caller.asked) is (path not in PLAIN)


@pytest.mark.parametrize("path", WITH_CONTENT)
async def test_text_is_another_name_for_content(caller: Caller, path: str) -> None:
    answer = await row(caller, path, content=None, text=ROWS[path].body["content"])
    assert {name: answer.json[name] for name in ROWS[path].fields} == ROWS[path].fields


@pytest.mark.parametrize("path", WITH_CONTENT)
@pytest.mark.parametrize("content", [None, "", " \n"])
async def test_empty_content_is_422(caller: Caller, path: str, content: str | None) -> None:
    check_error(await row(caller, path, content=content), 422, "UNPROCESSABLE_ENTITY", "content")
    assert caller.openai.bill() == []


@EVERY
async def test_unknown_provider_is_400(caller: Caller, path: str) -> None:
    check_error(await row(caller, path, provider="nobody"), 400, "VALIDATION_ERROR", "provider")


@EVERY
async def test_unknown_model_is_404(caller: Caller, path: str) -> None:
    check_error(await row(caller, path, model="claude-none"), 404, "MODEL_NOT_FOUND")


@EVERY
async def test_domain_is_a_hint_also_as_an_option(caller: Caller, path: str) -> None:
    await row(caller, path, options={"domain": "financial-markets"}, unheard_of=1)
    assert "financial-markets" in caller.told


@EVERY
async def test_provider_failure_is_502(caller: Caller, path: str) -> None:
    caller.openai.script(Reply(status=500, body={"error": {"message": "broken", "type": "server_error"}}))
    answer = await caller.client.post(path, {"model": "gpt-4o", **ROWS[path].body})
    check_error(answer, 502, "PROVIDER_ERROR")


@pytest.mark.parametrize("path", sorted(set(ROWS) - PLAIN))
async def test_unreadable_answer_is_502(caller: Caller, path: str) -> None:
    caller.openai.script(Reply('{"x": ['), Reply('{"x": ['))
    answer = await caller.client.post(path, {"model": "gpt-4o", **ROWS[path].body})
    check_error(answer, 502, "PROVIDER_ERROR")
    assert answer.json["error"]["details"]["provider"] == "openai"


@EVERY
async def test_row_streams(caller: Caller, path: str) -> None:
    said = ROWS[path].said
    caller.openai.script(Reply([said[:5], said[5:]]))
    member = ROWS[path].tag.replace("-", "_")
    body = {member: {"model": "gpt-4o", **ROWS[path].body}}
    answer = await caller.client.post("/v1/capabilities:stream", body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *texts, last = answer.events
    assert "".join(event["text"] for event in texts) == said
    assert {name: last[member][name] for name in ROWS[path].fields} == ROWS[path].fields


async def test_all_are_listed_with_their_paths(caller: Caller) -> None:
    listed = (await caller.client.get("/v1/capabilities")).json["capabilities"]
    paths = {entry["name"]: entry["path"] for entry in listed}
    assert {paths[row.tag]: row.tag for row in ROWS.values()} == {path: row.tag for path, row in ROWS.items()}


# --- Fields, defaults and limits of each


LIMITS: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/analyze/sentiment", {"granularity": "word"}, "granularity"),
    ("/v1/analyze/sentiment", {"aspects": ["x"] * 51}, "aspects"),
    ("/v1/qa", {"context": None}, "context"),
    ("/v1/qa", {"question": None}, "question"),
    ("/v1/qa", {"question": " "}, "question"),
    ("/v1/qa", {"question": "x" * 10_001}, "question"),
    ("/v1/tag", {"max_tags": 0}, "max_tags"),
    ("/v1/tag", {"max_tags": 51}, "max_tags"),
    ("/v1/tag", {"options": {"max_tags": 51}}, "options.max_tags"),
    ("/v1/tag", {"existing_tags": ["x"] * 1001}, "existing_tags"),
    ("/v1/translate", {"target_language": None}, "target_language"),
    ("/v1/translate", {"target_language": "xx"}, "target_language"),
    ("/v1/translate", {"source_language": "xx-DE"}, "source_language"),
    ("/v1/paraphrase", {"variations": 0}, "variations"),
    ("/v1/paraphrase", {"variations": 11}, "variations"),
    ("/v1/paraphrase", {"style": "x" * 65}, "style"),
    ("/v1/extract-structured", {"schema_json": None}, "schema_json"),
    ("/v1/extract-structured", {"schema": SCHEMA}, "schema"),
    ("/v1/extract-structured", {"schema_json": "{"}, "schema_json"),
    ("/v1/extract-structured", {"schema_json": '{"type": "strnig"}'}, "schema_json"),
    ("/v1/extract-structured", {"schema_json": None, "schema": {"type": "strnig"}}, "schema"),
    ("/v1/extract-structured", {"instructions": "x" * 10_001}, "instructions"),
    ("/v1/synthesize", {"documents": []}, "documents"),
    ("/v1/synthesize", {"documents": [{"content": "x"}] * 201}, "documents"),
    ("/v1/synthesize", {"documents": [{"title": "x"}]}, "documents[0].content"),
    ("/v1/synthesize", {"documents": [{"id": "a", "content": "x"}] * 2}, "documents[1].id"),
    ("/v1/synthesize", {"query": None}, "query"),
    ("/v1/synthesize", {"synthesis_type": "poem"}, "synthesis_type"),
]


@pytest.mark.parametrize(("path", "more", "field"), LIMITS)
async def test_field_out_of_its_limits_is_422(
    caller: Caller, path: str, more: dict[str, Any], field: str
) -> None:
    check_error(await row(caller, path, **more), 422, "UNPROCESSABLE_ENTITY", field)
    assert caller.openai.bill() == []


async def test_sentences_and_aspects_come_with_their_places(caller: Caller) -> None:
    sentence = {"text": "It costs 40 million euros.", **GOOD}
    said = json.dumps({"sentiment": GOOD, "sentences": [sentence]})
    answer = await caller.post("/v1/analyze/sentiment", {"text": OSLO, "granularity": "sentence"}, said)
    (found,) = answer.json["sentences"]
    assert OSLO[found["start"] : found["end"]] == found["text"] == sentence["text"]
    aspect = {"aspect": "Price", **GOOD, "evidence": "40 million"}
    said = json.dumps({"sentiment": GOOD, "aspects": [aspect]})
    answer = await caller.post("/v1/analyze/sentiment", {"text": OSLO, "aspects": ["price"]}, said)
    assert answer.json["aspects"] == [{"aspect": "price", "sentiment": GOOD, "evidence": "40 million"}]


async def test_an_answer_without_proof_is_none_where_proof_is_required(caller: Caller) -> None:
    said = '{"answerable": true, "evidence": "costs 50 million", "answer": "50 million", "confidence": 0.9}'
    body = ROWS["/v1/qa"].body
    given = (await caller.post("/v1/qa", body, said)).json
    assert (given["answer"], given["answerable"]) == ("50 million", True)
    assert given["evidence"] == {"text": "costs 50 million", "verified": False}
    given = (await caller.post("/v1/qa", {**body, "require_evidence": True}, said)).json
    assert (given["answer"], given["answerable"]) == ("", False)


async def test_at_most_five_tags_unless_another_number_is_given(caller: Caller) -> None:
    said = json.dumps({"tags": [f"tag {number}" for number in range(9)]})
    assert len((await caller.post("/v1/tag", {"content": "x"}, said)).json["tags"]) == 5
    assert len((await caller.post("/v1/tag", {"content": "x", "max_tags": 7}, said)).json["tags"]) == 7


async def test_as_many_paraphrases_as_wanted_or_502(caller: Caller) -> None:
    said = '{"paraphrases": ["A.", "B.", "C."]}'
    answer = await caller.post("/v1/paraphrase", {"content": "x", "variations": 2}, said)
    assert (answer.json["paraphrase"], answer.json["variations"]) == ("A.", ["A.", "B."])
    answer = await caller.post("/v1/paraphrase", {"content": "x", "variations": 4}, said)
    check_error(answer, 502, "PROVIDER_ERROR")


async def test_a_given_language_is_kept_and_the_translation_is_plain(caller: Caller) -> None:
    body = {"content": "Good morning.", "target_language": "German", "source_language": "English"}
    answer = await caller.post("/v1/translate", body, "Guten Morgen.")
    assert answer.json["translation"] == "Guten Morgen."
    assert (answer.json["source_language"], answer.json["target_language"]) == ("English", "German")


async def test_explanations_come_when_they_are_asked_for(caller: Caller) -> None:
    said = json.dumps(
        {
            "corrected": "the tram",
            "corrections": [{"original": "teh", "corrected": "the", "explanation": "Swapped."}],
        }
    )
    body = {"content": "teh tram", "explain_corrections": True}
    (found,) = (await caller.post("/v1/correct", body, said)).json["corrections"]
    assert found == {"original": "teh", "corrected": "the", "explanation": "Swapped.", "position": 0}


async def test_a_schema_can_be_an_object(caller: Caller) -> None:
    answer = await row(caller, "/v1/extract-structured", schema_json=None, schema=SCHEMA)
    assert answer.json["data"] == {"zone": "A", "age": 36}


async def test_data_that_do_not_fit_are_repaired_once_and_then_502(caller: Caller, stack: Stack) -> None:
    body = {"model": "gpt-4o", **ROWS["/v1/extract-structured"].body}
    bad = '{"zone": "A", "age": -1}'
    caller.openai.script(Reply(bad), Reply(DATA))
    given = (await caller.client.post("/v1/extract-structured", body)).json
    assert given["data_json"] == DATA
    assert len(await stack.executions(given["request_id"])) == 2
    caller.openai.script(Reply(bad), Reply(bad))
    answer = await caller.client.post("/v1/extract-structured", body)
    check_error(answer, 502, "PROVIDER_ERROR")
    assert answer.json["error"]["details"]["path"] == "$.age"


async def test_without_sources_a_synthesis_is_plain_text(caller: Caller) -> None:
    body = {**ROWS["/v1/synthesize"].body, "cite_sources": False, "synthesis_type": "timeline"}
    given = (await caller.post("/v1/synthesize", body, "2024: a vote.")).json
    assert given["synthesis"] == "2024: a vote."
    assert given["citations"] == given["unknown_citations"] == []
    assert "timeline" in caller.told


@pytest.mark.parametrize("path", ["/v1/redact", "/v1/pii:redact", "/api/v1/redact"])
async def test_personal_data_is_redacted_without_a_provider(caller: Caller, path: str) -> None:
    body = {"content": "Zoë 👩‍👩‍👧: AB-1234, ann@example.org", "patterns": {"ORDER": "[A-Z]{2}-[0-9]{4}"}}
    answer = await caller.client.post(path, {**body, "methods": {"ORDER": "replace"}})
    assert answer.json["redacted"] == "Zoë 👩‍👩‍👧: [ORDER], ***************"
    assert [entity["type"] for entity in answer.json["entities"]] == ["ORDER", "EMAIL_ADDRESS"]
    assert (answer.json["provider"], answer.json["cost_usd"]) == ("builtin", 0)
    assert b"ann@example.org" not in answer.body


@pytest.mark.parametrize("path", ["/v1/detect/pii", "/v1/pii:detect"])
async def test_personal_data_is_found_with_its_places(caller: Caller, path: str) -> None:
    content = "Zoë 👩‍👩‍👧: ann@example.org"
    answer = await caller.client.post(path, {"text": content, "entity_types": ["EMAIL_ADDRESS"]})
    (found,) = answer.json["entities"]
    assert content[found["start"] : found["end"]] == found["text"] == "ann@example.org"
    answer = await caller.client.post(path, {"text": content, "entity_types": ["PERSON"]})
    check_error(answer, 422, "UNPROCESSABLE_ENTITY", "entity_types[0]")


async def test_guard_of_a_request_hides_personal_data_from_the_provider(caller: Caller) -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "I am ann@example.org"}]}
    answer = await caller.client.post("/v1/chat/completions", body, x_genai_pii="redact_reversible")
    assert answer.json["choices"][0]["message"]["content"] == "You said: I am ann@example.org"
    answer = await caller.client.post("/v1/chat/completions", body, x_genai_pii="block")
    assert answer.status == 400
    assert answer.json["error"]["code"] == "guardrail_triggered"
    assert "messages[0].content[0].text" in answer.json["error"]["message"]
