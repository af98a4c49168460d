"""Chat sessions and the history of calls over REST, through real Envoy: every field, limit and status."""

import io
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import jsonschema
import pytest

from tests.acceptance.http import session
from tests.acceptance.stack import Stack, genai_spine
from tests.acceptance.test_rest import BODY, Answer, Client
from tests.upstreams import openai_errors
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

MODEL = "gpt-4o"
SESSIONS = "/v1/sessions"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
SESSION = {
    "id",
    "model",
    "system_prompt",
    "metadata",
    "message_count",
    "total_tokens",
    "total_cost_usd",
    "created_at",
    "updated_at",
}
MESSAGE = {
    "id",
    "session_id",
    "role",
    "content",
    "model",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "latency_ms",
    "metadata",
    "created_at",
    "tokens",
    "cost",
}


@pytest.fixture
async def rest(any_stack: Stack, openai_upstream: UpstreamProcess) -> AsyncIterator[Client]:
    async with session(any_stack.url) as http:
        yield Client(http)


async def begun(rest: Client, **fields: Any) -> Any:
    answer = await rest.post(SESSIONS, {"model": MODEL} | fields)
    assert answer.status == 201, answer.body
    return answer.json


def failed(answer: Answer, status: int, code: str) -> Any:
    """Both shapes of an error; the object under `error`."""
    said = answer.json
    jsonschema.validate(said, BODY)
    assert (answer.status, said["error"]["code"]) == (status, code)
    assert answer.headers["x-request-id"] == said["error"]["request_id"]
    assert isinstance(said["detail"], list) == (status == 422)
    return said["error"]


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_session_begins_with_201_and_all_fields(rest: Client, prefix: str) -> None:
    body = {"model": "not-there-yet:9b", "system_prompt": "Be brief.", "metadata": {"a": 1}, "unknown": 1}
    answer = await rest.post(prefix + SESSIONS, body)
    said = answer.json
    assert answer.status == 201
    assert answer.headers["content-type"] == "application/json"
    assert said.keys() >= SESSION
    assert UUID(said["id"]).version == 4
    assert (said["model"], said["system_prompt"], said["metadata"]) == (
        "not-there-yet:9b",
        "Be brief.",
        {"a": 1},
    )
    assert (said["message_count"], said["total_tokens"], said["total_cost_usd"]) == (0, 0, 0)
    assert TIME.fullmatch(said["created_at"])
    assert said["created_at"] == said["updated_at"]
    assert (await rest.get(f"{prefix}{SESSIONS}/{said['id']}")).json == said


async def test_defaults_of_a_session_are_there(rest: Client) -> None:
    said = await begun(rest)
    assert (said["system_prompt"], said["metadata"]) == ("", {})
    assert (said["history_policy"], said["history_window"]) == ("HISTORY_POLICY_ALL", 20)


async def test_message_is_answered_flat_and_with_both_objects(rest: Client) -> None:
    made = await begun(rest, system_prompt="Be brief.")
    answer = await rest.post(f"{SESSIONS}/{made['id']}/messages", {"content": "Hello", "metadata": {"n": 1}})
    said = answer.json
    assert answer.status == 200
    assert said.keys() >= MESSAGE
    assert (said["session_id"], said["role"]) == (made["id"], "assistant")
    question, response = said["message"], said["response"]
    assert question.keys() >= MESSAGE
    assert response.keys() >= MESSAGE
    assert {name: response[name] for name in MESSAGE} == {name: said[name] for name in MESSAGE}
    assert (question["role"], question["content"], question["metadata"]) == ("user", "Hello", {"n": 1})
    assert (question["input_tokens"], question["output_tokens"], question["cost_usd"]) == (0, 0, 0)
    assert question["model"] == MODEL
    assert said["tokens"] == said["input_tokens"] + said["output_tokens"] > 0
    assert said["cost"] == said["cost_usd"] > 0
    assert said["request_id"] == answer.headers["x-request-id"]
    listed = (await rest.get(f"{SESSIONS}/{made['id']}/messages")).json
    assert [each["role"] for each in listed["messages"]] == ["system", "user", "assistant"]
    assert listed["total"] == 3
    assert all(each.keys() >= MESSAGE and each["model"] for each in listed["messages"])
    assert listed["messages"][1:] == [question, response]
    now = (await rest.get(f"{SESSIONS}/{made['id']}")).json
    assert (now["message_count"], now["total_tokens"], now["total_cost_usd"]) == (
        2,
        said["tokens"],
        said["cost_usd"],
    )


async def test_each_send_passes_the_whole_history(rest: Client, openai_upstream: UpstreamProcess) -> None:
    made = await begun(rest)
    for text in ("One", "Two", "Three"):
        await rest.post(f"{SESSIONS}/{made['id']}/messages", {"content": text})
    bodies = [entry.body["messages"] for entry in openai_upstream.bill()]
    assert [len(messages) for messages in bodies] == [1, 3, 5]
    assert bodies[2][:3] == bodies[1]


async def test_stream_of_a_message_is_events_with_the_result_last(rest: Client) -> None:
    made = await begun(rest)
    answer = await rest.post(f"{SESSIONS}/{made['id']}/messages:stream", {"content": "Hello"})
    assert answer.headers["content-type"] == "text/event-stream"
    *texts, last = answer.events
    result = last["result"]
    assert "".join(event["text"] for event in texts) == result["content"] == result["response"]["content"]
    assert (await rest.get(f"{SESSIONS}/{made['id']}")).json["message_count"] == 2


async def test_lists_page_with_limit_and_offset(rest: Client) -> None:
    mark = uuid4().hex
    made = [await begun(rest, title=f"{mark} {number}") for number in range(3)]
    await rest.post(f"{SESSIONS}/{made[0]['id']}/messages", {"content": "Hello"})
    said = (await rest.get(f"{SESSIONS}?search={mark.upper()}")).json
    assert said.keys() == {"sessions", "total", "limit", "offset"}
    assert [each["title"][-1] for each in said["sessions"]] == ["0", "2", "1"]
    assert (said["total"], said["limit"], said["offset"]) == (3, 50, 0)
    said = (await rest.get(f"{SESSIONS}?search={mark}&limit=1&offset=1")).json
    assert [each["title"][-1] for each in said["sessions"]] == ["2"]
    assert (said["total"], said["limit"], said["offset"]) == (3, 1, 1)
    messages = (await rest.get(f"{SESSIONS}/{made[0]['id']}/messages?limit=1&offset=1")).json
    assert [each["role"] for each in messages["messages"]] == ["assistant"]
    assert messages["total"] == 2


async def test_session_is_deleted_with_204_and_no_body(rest: Client) -> None:
    made = await begun(rest)
    path = f"{SESSIONS}/{made['id']}"
    await rest.post(f"{path}/messages", {"content": "Hello"})
    answer = await rest._call("DELETE", path)
    assert (answer.status, answer.body) == (204, b"")
    assert "content-type" not in answer.headers
    for method, below in (("GET", ""), ("GET", "/messages"), ("DELETE", ""), ("GET", ":export")):
        failed(await rest._call(method, path + below), 404, "SESSION_NOT_FOUND")
    failed(await rest.post(f"{path}/messages", {"content": "Hello"}), 404, "SESSION_NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "", {}, "model"),
        ("POST", "", {"model": ""}, "model"),
        ("POST", "", {"model": None}, "model"),
        ("POST", "", {"model": MODEL, "history_window": 0}, "history_window"),
        ("POST", "", {"model": "m" * 257}, "model"),
        ("POST", "", {"model": MODEL, "metadata": {"t": "x" * 70_000}}, "metadata"),
        ("POST", "/{id}/messages", {}, "content"),
        ("POST", "/{id}/messages", {"content": ""}, "content"),
        ("POST", "/{id}/messages", {"content": "c", "temperature": 3}, "temperature"),
        ("GET", "?limit=0", None, "limit"),
        ("GET", "?limit=101", None, "limit"),
        ("GET", "?offset=-1", None, "offset"),
        ("GET", "/{id}/messages?limit=501", None, "limit"),
        ("GET", "/{id}/messages?limit=0", None, "limit"),
        ("GET", "/{id}:export?format=pdf", None, "format"),
        ("POST", ":import", {"json": "{}"}, "version"),
    ],
)
async def test_request_outside_its_limits_is_422_with_its_field(
    rest: Client, openai_upstream: UpstreamProcess, method: str, path: str, body: Any, field: str
) -> None:
    path = SESSIONS + path.format(id=(await begun(rest))["id"])
    answer = await (rest.get(path) if method == "GET" else rest.post(path, body))
    error = failed(answer, 422, "UNPROCESSABLE_ENTITY")
    assert error["details"]["field"] == field
    assert answer.json["detail"][0]["loc"] == ["body", field]
    assert openai_upstream.bill() == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", b'{"model": '),
        ("", {"model": 5}),
        ("", {"model": MODEL, "metadata": "text"}),
        ("/{id}/messages", {"content": ["a"]}),
    ],
)
async def test_json_that_is_none_or_of_another_type_is_400(rest: Client, path: str, body: Any) -> None:
    answer = await rest.post(SESSIONS + path.format(id=(await begun(rest))["id"]), body)
    failed(answer, 400, "VALIDATION_ERROR")


async def test_largest_pages_are_allowed(rest: Client) -> None:
    made = await begun(rest)
    assert (await rest.get(f"{SESSIONS}?limit=100")).json["limit"] == 100
    assert (await rest.get(f"{SESSIONS}/{made['id']}/messages?limit=500")).status == 200


async def test_content_above_32_mib_is_413_and_nothing_is_stored(rest: Client) -> None:
    made = await begun(rest)
    body = io.BytesIO(json.dumps({"content": "x" * (33 << 20)}).encode())
    answer = await rest.post(f"{SESSIONS}/{made['id']}/messages", body)
    failed(answer, 413, "PAYLOAD_TOO_LARGE")
    assert (await rest.get(f"{SESSIONS}/{made['id']}")).json["message_count"] == 0


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (openai_errors.rate_limited(7), 429, "RATE_LIMITED"),
        (openai_errors.server_error(), 502, "PROVIDER_ERROR"),
        (openai_errors.context_length_exceeded(), 502, "PROVIDER_ERROR"),
        (Reply(""), 502, "PROVIDER_ERROR"),
    ],
)
async def test_provider_that_fails_is_an_error_and_leaves_no_message(
    rest: Client, openai_upstream: UpstreamProcess, reply: Reply, status: int, code: str
) -> None:
    made = await begun(rest)
    openai_upstream.script(reply)
    answer = await rest.post(f"{SESSIONS}/{made['id']}/messages", {"content": "Hello"})
    assert failed(answer, status, code)["details"]["provider"] == "openai"
    assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
    assert (await rest.get(f"{SESSIONS}/{made['id']}/messages")).json == {"messages": [], "total": 0}


async def test_session_of_an_unknown_model_fails_at_its_first_message(rest: Client) -> None:
    made = await begun(rest, model="claude-3")
    answer = await rest.post(f"{SESSIONS}/{made['id']}/messages", {"content": "Hello"})
    failed(answer, 404, "MODEL_NOT_FOUND")
    made = await begun(rest, provider="nobody")
    answer = await rest.post(f"{SESSIONS}/{made['id']}/messages", {"content": "Hello"})
    failed(answer, 400, "VALIDATION_ERROR")


async def test_session_is_renamed_branched_regenerated_exported_and_imported(rest: Client) -> None:
    made = await begun(rest)
    path = f"{SESSIONS}/{made['id']}"
    renamed = await rest._call("PATCH", path, json={"title": "Sky"})
    assert (renamed.status, renamed.json["title"]) == (200, "Sky")
    first = (await rest.post(f"{path}/messages", {"content": "One"})).json
    await rest.post(f"{path}/messages", {"content": "Two"})
    again = await rest.post(f"{path}/messages:regenerate", {})
    assert (again.status, again.json["message"]["content"]) == (200, "Two")
    branch = await rest.post(f"{path}:branch", {"message_id": first["id"]})
    assert (branch.status, branch.json["message_count"]) == (201, 2)
    assert branch.json["parent_session_id"] == made["id"]
    failed(await rest.post(f"{path}:branch", {"message_id": str(uuid4())}), 404, "NOT_FOUND")
    exported = (await rest.get(f"{path}:export")).json
    assert exported["media_type"] == "application/json"
    imported = await rest.post(f"{SESSIONS}:import", {"json": exported["text"]})
    assert (imported.status, imported.json["title"], imported.json["message_count"]) == (201, "Sky", 4)
    markdown = (await rest.get(f"{path}:export?format=markdown")).json
    assert markdown["text"].startswith("# Sky\n")
    failed(
        await rest.post(f"{SESSIONS}/{(await begun(rest))['id']}/messages:regenerate", {}), 409, "CONFLICT"
    )


# --- Executions

ENTRY = {
    "id",
    "provider",
    "model",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "latency_ms",
    "success",
    "session_id",
    "user_id",
    "request_id",
    "created_at",
}


async def test_execution_of_a_message_is_found_by_session_request_and_id(rest: Client) -> None:
    made = await begun(rest)
    body = {"content": "Hello", "user": "u1"}
    said = (await rest.post(f"{SESSIONS}/{made['id']}/messages", body)).json
    listed = (await rest.get(f"/v1/executions?session_id={made['id']}")).json
    [entry] = listed["executions"]
    assert listed["next_page_token"] == ""
    assert entry.keys() >= ENTRY
    assert (entry["id"], entry["request_id"]) == (said["execution_id"], said["request_id"])
    assert (entry["session_id"], entry["user_id"], entry["success"]) == (made["id"], "u1", True)
    assert (entry["provider"], entry["input_tokens"], entry["output_tokens"], entry["cost_usd"]) == (
        "openai",
        said["input_tokens"],
        said["output_tokens"],
        said["cost_usd"],
    )
    assert TIME.fullmatch(entry["created_at"])
    assert entry["cost"]["price_known"] is True
    assert (await rest.get(f"/v1/executions?request_id={said['request_id']}")).json == listed
    assert (await rest.get(f"/api/v1/executions/{entry['id']}")).json == entry


async def test_failed_call_is_listed_with_its_error(rest: Client, openai_upstream: UpstreamProcess) -> None:
    made = await begun(rest)
    openai_upstream.script(openai_errors.server_error())
    await rest.post(f"{SESSIONS}/{made['id']}/messages", {"content": "Hello"})
    path = f"/v1/executions?session_id={made['id']}"
    [entry] = (await rest.get(f"{path}&success=false")).json["executions"]
    assert entry["success"] is False
    assert entry["error"]
    assert (entry["cost_usd"], entry["state"]) == (0, "EXECUTION_STATE_FAILED")
    assert (await rest.get(f"{path}&success=true")).json["executions"] == []
    found = (await rest.get(f"{path}&state=EXECUTION_STATE_FAILED&provider=openai&model={MODEL}")).json
    assert [each["id"] for each in found["executions"]] == [entry["id"]]


async def test_executions_page_by_token(rest: Client) -> None:
    made = await begun(rest)
    for _ in range(3):
        await rest.post(f"{SESSIONS}/{made['id']}/messages", {"content": "Hello"})
    path = f"/v1/executions?session_id={made['id']}&limit=2"
    first = (await rest.get(path)).json
    second = (await rest.get(f"{path}&page_token={first['next_page_token']}")).json
    entries = first["executions"] + second["executions"]
    assert [len(first["executions"]), len(second["executions"])] == [2, 1]
    assert second["next_page_token"] == ""
    times = [each["created_at"] for each in entries]
    assert times == sorted(times, reverse=True)
    assert len({each["id"] for each in entries}) == 3
    last = times[0]
    assert (await rest.get(f"{path}&end_time={times[2]}")).json["executions"] == []
    found = (await rest.get(f"{path}&start_time={last}")).json["executions"]
    assert [each["created_at"] for each in found] == [last]


async def test_bad_filter_or_unknown_id_is_an_error_in_both_shapes(rest: Client) -> None:
    for query, field in (("limit=0", "limit"), ("limit=501", "limit"), ("page_token=x", "page_token")):
        error = failed(await rest.get(f"/v1/executions?{query}"), 422, "UNPROCESSABLE_ENTITY")
        assert error["details"]["field"] == field
    failed(await rest.get("/v1/executions?state=NO_STATE"), 400, "VALIDATION_ERROR")
    failed(await rest.get("/v1/executions?start_time=yesterday"), 400, "VALIDATION_ERROR")
    failed(await rest.get(f"/v1/executions/{uuid4()}"), 404, "NOT_FOUND")


# --- The command line


def said_by(stack: Stack, *arguments: str) -> str:
    done = genai_spine(*arguments, "--address", stack.address)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_conversation_in_the_terminal_is_kept(
    stack: Stack, openai_upstream: UpstreamProcess, tmp_path: Any
) -> None:
    note = tmp_path / "note.txt"
    note.write_text("Sunlight is white.")
    openai_upstream.script(Reply("First answer."))
    started = json.loads(
        said_by(stack, "sessions", "chat", "-m", MODEL, "--title", "T", "--file", str(note), "Why?", "--json")
    )
    id = started["session_id"]
    assert said_by(stack, "sessions", "chat", "--session", id, "And", "then?").strip()
    shown = json.loads(said_by(stack, "sessions", "show", id, "--json"))
    assert [each["content"] for each in shown["messages"][:3]] == ["Why?", "First answer.", "And then?"]
    assert shown["message_count"] == 4
    text = said_by(stack, "sessions", "show", id)
    assert "user (gpt-4o):\nWhy?\n[note.txt, text/plain, 18 bytes]" in text
    assert id in said_by(stack, "sessions", "list", "--search", "first ANSWER")
    listed = json.loads(said_by(stack, "sessions", "list", "--json"))
    assert id in {each["id"] for each in listed["sessions"]}
    export = tmp_path / "session.json"
    said_by(stack, "sessions", "export", id, "--output", str(export))
    copy = said_by(stack, "sessions", "import", str(export)).strip()
    assert said_by(stack, "sessions", "export", copy, "--format", "markdown").startswith("# T\n")
    calls = json.loads(said_by(stack, "executions", "list", "--session", id, "--json"))["executions"]
    assert len(calls) == 2
    table = said_by(stack, "executions", "list", "--session", id, "--limit", "1")
    assert "succeeded" in table
    entry = json.loads(said_by(stack, "executions", "show", calls[0]["id"], "--json"))
    assert entry["session_id"] == id
    assert '"EXECUTION_STATE_SUCCEEDED"' in said_by(stack, "executions", "show", calls[0]["id"])
    assert said_by(stack, "sessions", "delete", id) == f"deleted {id}\n"
    gone = genai_spine("sessions", "show", id, "--address", stack.address)
    assert (gone.returncode, gone.stderr) == (1, f"genai-spine: NOT_FOUND: no session '{id}'\n")


def test_new_session_needs_a_model(stack: Stack) -> None:
    done = genai_spine("sessions", "chat", "Hello", "--address", stack.address)
    assert done.returncode == 2
    assert "--model" in done.stderr


async def test_session_is_changed_by_mask_and_etag(rest: Client) -> None:
    made = await begun(rest, title="T", metadata={"a": 1})
    path = f"{SESSIONS}/{made['id']}"
    changed = await rest._call("PATCH", path, json={"title": "Sky", "etag": made["etag"]})
    assert (changed.status, changed.json["title"], changed.json["metadata"]) == (200, "Sky", {"a": 1})
    failed(await rest._call("PATCH", path, json={"title": "x", "etag": made["etag"]}), 409, "CONFLICT")
    cleared = (await rest._call("PATCH", f"{path}?update_mask=title,metadata", json={})).json
    assert ("title" in cleared, cleared["metadata"], cleared["model"]) == (False, {}, made["model"])
    assert (await rest._call("PATCH", path, json={})).json["model"] == made["model"]
    failed(await rest._call("DELETE", f"{path}?etag={made['etag']}"), 409, "CONFLICT")
    failed(await rest._call("DELETE", f"{path}?etag="), 409, "CONFLICT")
    assert (made["created_at"], made["updated_at"]) == (made["create_time"], made["update_time"])


async def test_session_is_changed_by_if_match(rest: Client) -> None:
    made = await begun(rest)
    path, now = f"{SESSIONS}/{made['id']}", {"if-match": f'"{made["etag"]}"'}
    changed = await rest._call("PATCH", path, json={"title": "Sky"}, headers=now)
    assert (changed.status, changed.json["title"]) == (200, "Sky")
    failed(await rest._call("PATCH", path, json={"title": "x"}, headers=now), 409, "CONFLICT")
    failed(await rest._call("DELETE", path, headers=now), 409, "CONFLICT")
    assert (await rest._call("DELETE", path, headers={"if-match": changed.json["etag"]})).status == 204
