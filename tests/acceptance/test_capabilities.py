"""Every row of the table of capabilities over REST, through real Envoy."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.acceptance.capability_rows import (
    COMMON,
    CONTEXT,
    ENTITIES,
    EVERY,
    MODEL,
    OSLO,
    POLITICS,
    ROWS,
    TAGS,
    TEMPERATURES,
    USAGE,
    WITH_CONTENT,
    WITH_TOKENS,
    Caller,
    check_error,
)
from tests.acceptance.http import session
from tests.acceptance.stack import Stack
from tests.acceptance.test_rest import Client
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply


@pytest.fixture
async def caller(stack: Stack, openai_upstream: UpstreamProcess) -> AsyncIterator[Caller]:
    async with session(stack.url) as http:
        yield Caller(Client(http), openai_upstream)


# --- What all rows have in common


@EVERY
@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_row_answers_with_its_fields(caller: Caller, path: str, prefix: str) -> None:
    body, said, fields = ROWS[path]
    answer = await caller.post(f"{prefix}{path}", body, said)
    assert answer.status == 200, answer.body
    given = answer.json
    tokens = {"input_tokens", "output_tokens"} if path in WITH_TOKENS else set()
    assert set(given) == COMMON | set(fields) | tokens
    assert {name: given[name] for name in fields} == fields
    assert (given["provider"], given["model"]) == ("openai", MODEL)
    assert set(given["usage"]) == USAGE
    assert set(given["context"]) == CONTEXT
    assert given["request_id"] == answer.headers["x-request-id"]
    assert given["cost_usd"] == given["usage"]["cost_usd"] > 0
    assert int(given["usage"]["cost_ticks"]) == round(given["cost_usd"] * 10**10)
    assert all(given[name] == given["usage"][name] > 0 for name in tokens)


@EVERY
async def test_row_is_booked_with_its_tag(caller: Caller, stack: Stack, path: str) -> None:
    given = (await caller.row(path)).json
    (row,) = await stack.executions(given["request_id"])
    assert (row.id, row.capability) == (given["execution_id"], TAGS[path])
    assert row.cost.cost_usd == given["cost_usd"]


@pytest.mark.parametrize("path", TEMPERATURES)
async def test_row_has_its_temperature(caller: Caller, path: str) -> None:
    await caller.row(path)
    assert caller.asked["temperature"] == TEMPERATURES[path]
    assert caller.asked.get("max_tokens", caller.asked.get("max_completion_tokens")) == (
        50 if path == "/v1/infer-title" else None
    )
    assert ("response_format" in caller.asked) is (path in ("/v1/extract", "/v1/classify"))


@pytest.mark.parametrize("path", WITH_CONTENT)
async def test_text_is_another_name_for_content(caller: Caller, path: str) -> None:
    body, said, fields = ROWS[path]
    given = {"text": body["content"], **{name: value for name, value in body.items() if name != "content"}}
    answer = await caller.post(path, given, said)
    assert {name: answer.json[name] for name in fields} == fields
    assert OSLO in caller.told


@pytest.mark.parametrize("path", WITH_CONTENT)
@pytest.mark.parametrize("content", [{}, {"content": None}, {"content": ""}, {"text": "  "}], ids=json.dumps)
async def test_empty_content_is_422(caller: Caller, path: str, content: Any) -> None:
    body = {name: value for name, value in ROWS[path][0].items() if name != "content"}
    answer = await caller.post(path, {**body, **content})
    check_error(answer, 422, "UNPROCESSABLE_ENTITY", "content")
    assert caller.openai.bill() == []


@EVERY
async def test_unknown_provider_is_400(caller: Caller, path: str) -> None:
    check_error(await caller.row(path, provider="nobody"), 400, "VALIDATION_ERROR", "provider")


@EVERY
async def test_unknown_model_is_404(caller: Caller, path: str) -> None:
    check_error(await caller.row(path, model="claude-none"), 404, "MODEL_NOT_FOUND")


@EVERY
async def test_provider_chooses_the_model(caller: Caller, path: str) -> None:
    given = (await caller.row(path, provider="openai", model="")).json
    assert (given["provider"], given["model"]) == ("openai", "gpt-4o-mini")


@EVERY
async def test_domain_is_a_hint(caller: Caller, path: str) -> None:
    await caller.row(path, domain="financial-markets")
    assert "financial-markets" in caller.told


@EVERY
async def test_unknown_fields_are_ignored(caller: Caller, path: str) -> None:
    assert (await caller.row(path, unheard_of={"a": 1}, options={"unheard_of": 1})).status == 200


@EVERY
async def test_wrong_type_is_400(caller: Caller, path: str) -> None:
    answer = await caller.row(path, domain=["a"])
    assert (answer.status, answer.json["error"]["code"]) == (400, "VALIDATION_ERROR")


@EVERY
async def test_provider_failure_is_no_good_answer(caller: Caller, path: str) -> None:
    caller.openai.script(Reply(status=500, body={"error": {"message": "broken", "type": "server_error"}}))
    answer = await caller.client.post(path, {"model": MODEL, **ROWS[path][0]})
    message = check_error(answer, 502, "PROVIDER_ERROR")
    assert answer.json["error"]["details"]["provider"] == "openai"
    assert "broken" in message


@EVERY
async def test_empty_answer_is_502(caller: Caller, path: str) -> None:
    answer = await caller.post(path, ROWS[path][0], " ")
    assert "the answer is empty" in check_error(answer, 502, "PROVIDER_ERROR")


# --- Limits and options

LIMITS = [
    ("/v1/summarize", "max_sentences", [1, 10], [0, 11]),
    ("/v1/summarize", "output_format", ["paragraph", "bullet_points"], ["table"]),
    ("/v1/rewrite", "mode", ["clean", "technical"], ["poetic", ""]),
    ("/v1/rewrite", "style", ["casual"], ["poetic"]),
    ("/v1/rewrite", "temperature", [0, 2], [-0.1, 2.1]),
    ("/v1/infer-title", "max_words", [3, 20], [2, 21]),
    ("/v1/infer-title", "max_length", [1], [0]),
    ("/v1/generate-commit", "style", ["conventional", "semantic", "simple", "detailed"], ["long"]),
    ("/v1/generate-commit", "max_length", [100, 2000], [99, 2001]),
    ("/v1/compare", "comparison_type", ["semantic", "literal", "structured"], ["visual"]),
]
GOOD = [(path, field, value) for path, field, good, _ in LIMITS for value in good]
BAD = [(path, field, value) for path, field, _, bad in LIMITS for value in bad]


@pytest.mark.parametrize(("path", "field", "value"), GOOD)
@pytest.mark.parametrize("as_option", [False, True])
async def test_value_within_its_limits_is_taken(
    caller: Caller, path: str, field: str, value: Any, as_option: bool
) -> None:
    more = {field: value}
    assert (await caller.row(path, **({"options": more} if as_option else more))).status == 200


@pytest.mark.parametrize(("path", "field", "value"), BAD)
@pytest.mark.parametrize("as_option", [False, True])
async def test_value_beyond_its_limits_is_422(
    caller: Caller, path: str, field: str, value: Any, as_option: bool
) -> None:
    more = {field: value}
    answer = await caller.row(path, **({"options": more} if as_option else more))
    check_error(answer, 422, "UNPROCESSABLE_ENTITY", f"options.{field}" if as_option else field)
    assert caller.openai.bill() == []


@pytest.mark.parametrize(
    ("path", "without"),
    [("/v1/classify", "categories"), ("/v1/compare", "document_a"), ("/v1/compare", "document_b")],
)
async def test_missing_field_is_422(caller: Caller, path: str, without: str) -> None:
    body = {name: value for name, value in ROWS[path][0].items() if name != without}
    check_error(await caller.post(path, body), 422, "UNPROCESSABLE_ENTITY", without)


async def test_empty_categories_are_422(caller: Caller) -> None:
    check_error(await caller.row("/v1/classify", categories=[]), 422, "UNPROCESSABLE_ENTITY", "categories")


async def test_options_reach_the_prompt(caller: Caller) -> None:
    await caller.row("/v1/summarize", options={"max_sentences": 7, "focus": "the money"})
    assert "at most 7 sentences" in caller.told
    assert "the money" in caller.told


# --- Row by row


async def test_summary_in_bullet_points(caller: Caller) -> None:
    body = {"content": OSLO, "output_format": "bullet_points"}
    given = (await caller.post("/v1/summarize", body, "• A tram line\n• 40 million")).json
    assert given["summary"] == "• A tram line\n• 40 million"
    assert given["key_points"] == ["A tram line", "40 million"]


@pytest.mark.parametrize(
    "more", [{"entity_types": ["todos"]}, {"types": ["todos"]}, {"type": "todos"}], ids=json.dumps
)
async def test_entity_types_have_aliases(caller: Caller, more: Any) -> None:
    given = (await caller.post("/v1/extract", {"content": OSLO, **more}, '["Work starts in June"]')).json
    assert "Wanted types: todos" in caller.told
    assert [(found["text"], found["type"]) for found in given["entities"]] == [
        ("Work starts in June", "todos")
    ]


async def test_default_entity_types(caller: Caller) -> None:
    await caller.row("/v1/extract")
    assert "PERSON, ORG, LOCATION, DATE, MONEY" in caller.told


async def test_entities_with_their_context(caller: Caller) -> None:
    given = (await caller.row("/v1/extract", include_context=True)).json
    assert "council of Oslo voted" in given["entities"][0]["context"]


@pytest.mark.parametrize(
    ("unfound", "shown"),
    [({}, [("Rome", False)]), ({"unfound": "UNFOUND_ENTITY_DROP"}, [])],
    ids=["marked", "dropped"],
)
async def test_entity_that_is_not_in_the_text(caller: Caller, unfound: Any, shown: Any) -> None:
    said = '[{"text": "Rome", "type": "LOCATION", "start": 4}]'
    given = (await caller.post("/v1/extract", {"content": OSLO, **unfound}, said)).json
    assert [(found["text"], found["verified"]) for found in given["entities"]] == shown
    assert not any("start" in found for found in given["entities"])


@pytest.mark.parametrize(
    "said",
    [
        ENTITIES,
        f"```json\n{ENTITIES}\n```",
        '[{"text": "Oslo", "type": "LOCATION"}]',
        'I found: [{"text": "Oslo", "type": "LOCATION"}]',
    ],
)
async def test_entities_are_read_in_every_form(caller: Caller, said: str) -> None:
    given = (await caller.post("/v1/extract", {"content": OSLO}, said)).json
    assert [(found["text"], found["start"], found["end"]) for found in given["entities"]] == [
        ("Oslo", 15, 19)
    ]
    assert len(caller.openai.bill()) == 1


@pytest.mark.parametrize(
    ("said", "sure"),
    [
        (POLITICS, 0.9),
        (f"```json\n{POLITICS}\n```", 0.9),
        ('{"category": "politics", "confidence": 0.7}', 0.7),
        ('[{"category": "politics", "confidence": 0.7}]', 0.7),
        ("This is about Politics rather than sport.", 0.8),
    ],
)
async def test_categories_are_read_in_every_form(caller: Caller, said: str, sure: float) -> None:
    given = (await caller.post("/v1/classify", ROWS["/v1/classify"][0], said)).json
    assert given["classifications"] == [{"category": "politics", "confidence": sure}]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/extract", "Oslo."),
        ("/v1/extract", "{}"),
        ("/v1/classify", "No idea."),
        ("/v1/compare", "They differ."),
    ],
)
async def test_answer_that_cannot_be_read_is_502(caller: Caller, path: str, said: str) -> None:
    answer = await caller.post(path, ROWS[path][0], said)
    check_error(answer, 502, "PROVIDER_ERROR")
    assert answer.json["error"]["details"]["provider"] == "openai"


async def test_several_categories(caller: Caller) -> None:
    said = '[{"category": "sport", "confidence": 0.2}, {"category": "politics", "confidence": 0.6}]'
    body = ROWS["/v1/classify"][0]
    one = (await caller.post("/v1/classify", body, said)).json
    assert one["classifications"] == [{"category": "politics", "confidence": 0.6}]
    several = (await caller.post("/v1/classify", {**body, "multi_label": True}, said)).json
    assert [entry["category"] for entry in several["classifications"]] == ["politics", "sport"]
    bare = (await caller.post("/v1/classify", {**body, "include_confidence": False}, said)).json
    assert bare["classifications"] == [{"category": "politics"}]


@pytest.mark.parametrize(
    ("mode", "temperature"),
    [
        *(("clean", 0.3), ("format", 0.3), ("organize", 0.3), ("technical", 0.3)),
        *(("professional", 0.4), ("casual", 0.6), ("summarize", 0.2)),
    ],
)
async def test_rewriting_has_modes(caller: Caller, stack: Stack, mode: str, temperature: float) -> None:
    given = (await caller.row("/v1/rewrite", style=mode)).json
    assert given["mode"] == mode
    assert caller.asked["temperature"] == temperature
    (row,) = await stack.executions(given["request_id"])
    assert row.capability == f"rewrite-{mode}"


@pytest.mark.parametrize(
    ("context", "told"),
    [("for the board", "for the board"), ({"audience": "board"}, '{"audience": "board"}')],
)
async def test_rewriting_takes_a_context_of_any_kind(caller: Caller, context: Any, told: str) -> None:
    await caller.row("/v1/rewrite", context=context)
    assert told in caller.told


async def test_title_within_its_limits(caller: Caller) -> None:
    given = (await caller.post("/v1/infer-title", {"content": "b" * 3000, "max_words": 3}, "a b c d")).json
    assert given["title"] == "a b c"
    assert given["context"]["omitted_characters"] == 1000
    assert "b" * 2001 not in caller.told
    short = (await caller.post("/v1/infer-title", {"content": OSLO, "max_length": 9}, "A Tram for Oslo")).json
    assert short["title"] == "A Tram"


async def test_commit_from_a_diff_and_its_aliases(caller: Caller) -> None:
    diff = "diff --git a/docs/a.md b/docs/a.md\n--- a/docs/a.md\n+++ b/docs/a.md\n@@ -1 +1 @@\n-a\n+b\n"
    body = {"diff": diff, "diff_summary": "a letter"}
    given = (await caller.post("/v1/generate-commit", body, "docs: change a")).json
    assert given["feature_groups"] == [
        {"scope": "docs", "description": "1 modified file", "files": ["docs/a.md"]},
    ]
    assert given["suggested_tags"] == ["documentation"]
    assert "a letter" in caller.told
    aliased = await caller.post("/v1/generate-commit", {"files_changed": [{"path": "a"}]}, "chore: a")
    assert aliased.json["files_analyzed"] == 1


@pytest.mark.parametrize(
    "body", [{}, {"files": []}, {"files_changed": []}, {"files": [], "diff": ""}], ids=json.dumps
)
async def test_commit_of_nothing_is_422(caller: Caller, body: Any) -> None:
    check_error(await caller.post("/v1/generate-commit", body), 422, "UNPROCESSABLE_ENTITY", "files")


async def test_commit_of_files_without_a_path_is_422(caller: Caller) -> None:
    answer = await caller.post("/v1/generate-commit", {"files": [{"status": "added"}]})
    check_error(answer, 422, "UNPROCESSABLE_ENTITY", "files[0].path")


async def test_commit_of_an_unknown_status_is_422(caller: Caller) -> None:
    answer = await caller.post("/v1/generate-commit", {"files": [{"path": "a", "status": "eaten"}]})
    check_error(answer, 422, "UNPROCESSABLE_ENTITY", "files[0].status")


async def test_scope_of_a_commit_can_be_left_out(caller: Caller) -> None:
    given = (await caller.row("/v1/generate-commit", include_scope=False)).json
    assert given["message"] == "feat: add trams"


async def test_literal_comparison_is_computed(caller: Caller) -> None:
    given = (await caller.row("/v1/compare", comparison_type="literal", focus_areas=["dates"])).json
    assert given["changes"] == [
        {"type": "modified", "description": "'June' became 'July'", "before": "June", "after": "July"}
    ]
    assert 0.8 < given["similarity_score"] < 1
    assert "dates" in caller.told


# --- Long inputs

LONG = " ".join(f"Sentence {number} tells something about the trams of Oslo." for number in range(1500))


async def test_long_content_is_refused_before_it_costs_anything(caller: Caller) -> None:
    answer = await caller.post("/v1/summarize", {"content": LONG, "model": "gpt-4"})
    check_error(answer, 502, "PROVIDER_ERROR")
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json["error"]["details"]["provider_code"] == "context_length_exceeded"
    assert caller.openai.bill() == []


async def test_long_content_is_shortened_when_asked(caller: Caller) -> None:
    body = {"content": LONG, "model": "gpt-4", "long_input": "LONG_INPUT_TRUNCATE"}
    given = (await caller.post("/v1/summarize", body, "Trams.")).json
    omitted = given["context"]["omitted_characters"]
    assert omitted > 10_000
    assert f"[... {omitted} characters left out here ...]" in caller.told


async def test_long_content_is_worked_on_in_pieces_when_asked(caller: Caller, stack: Stack) -> None:
    caller.openai.script(*[Reply(text="Trams.")] * 20)
    body = {"content": LONG, "model": "gpt-4", "long_input": "LONG_INPUT_MAP_REDUCE"}
    given = (await caller.client.post("/v1/summarize", body)).json
    rows = await stack.executions(given["request_id"])
    assert len(rows) == given["context"]["pieces"] + 1 > 2
    assert given["summary"] == "Trams."


# --- Streams and the list


async def events(caller: Caller, body: Any, reply: Reply) -> tuple[int, list[Any]]:
    caller.openai.script(reply)
    answer = await caller.client.post("/v1/capabilities:stream", body)
    return answer.status, answer.events if answer.status == 200 else [answer.json]


async def test_stream_is_sent_as_events(caller: Caller) -> None:
    body = {"summarize": {"content": OSLO, "model": MODEL}}
    status, found = await events(caller, body, Reply(text=["A tram ", "for ", "Oslo."], interval_s=0.01))
    assert status == 200
    assert [event["sequence"] for event in found] == list(range(len(found)))
    assert "".join(event.get("text", "") for event in found) == "A tram for Oslo."
    assert found[-1]["summarize"]["summary"] == "A tram for Oslo."
    assert set(found[-1]["summarize"]) >= COMMON


async def test_error_within_a_stream_is_its_last_event(caller: Caller) -> None:
    body = {"rewrite": {"content": OSLO, "model": MODEL}}
    reply = Reply(text=["A ", "tram ", "for ", "Oslo."], interval_s=0.02, fault="close", after=3)
    status, found = await events(caller, body, reply)
    assert status == 200
    assert found[0]["text"]
    error = found[-1]["error"]
    assert (error["code"], error["details"]["provider"]) == ("PROVIDER_ERROR", "openai")
    assert error["request_id"]
    assert "rewrite" not in found[-1]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, ""),
        ({"summarize": {}}, "summarize.content"),
        ({"summarize": {"content": "x", "max_sentences": 0}}, "summarize.max_sentences"),
    ],
)
async def test_stream_of_bad_fields_is_422(caller: Caller, body: Any, field: str) -> None:
    answer = await caller.client.post("/v1/capabilities:stream", body)
    assert answer.status == 422
    assert field in answer.json["error"]["message"]


async def test_error_before_the_first_event_has_its_status(caller: Caller) -> None:
    reply = Reply(status=429, body={"error": {"message": "slow down", "type": "requests"}})
    status, found = await events(caller, {"summarize": {"content": OSLO, "model": MODEL}}, reply)
    assert (status, found[0]["error"]["code"]) == (429, "RATE_LIMITED")


async def test_capabilities_are_listed(caller: Caller) -> None:
    listed = (await caller.client.get("/v1/capabilities")).json
    paths = {info["path"]: info for info in listed["capabilities"]}
    assert set(paths) >= set(ROWS)
    assert listed["next_page_token"] == ""
    for path, (body, _, _) in ROWS.items():
        assert set(body) <= set(paths[path]["input_schema"]["properties"])
    page = (await caller.client.get("/v1/capabilities", params={"page_size": "2"})).json
    assert len(page["capabilities"]) == 2
    assert page["next_page_token"]
    assert (await caller.client.get("/v1/capabilities", params={"page_size": "0"})).status == 422
