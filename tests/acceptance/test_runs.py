"""Durable runs over REST, through real Envoy: submitted, watched, listed, cancelled, dispatched."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.acceptance.http import session
from tests.acceptance.stack import Stack
from tests.acceptance.test_rest import Answer, Client
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

TEXT = "The sky is blue. Grass is green. Snow is white."
SUMMARY = {"name": "genai.summarize", "params": {"content": TEXT, "provider": "builtin"}}
SLOW = {"name": "completion", "params": {"prompt": "Hello", "model": "gpt-4o"}}
EVENTS = {"accept": "text/event-stream"}
NOBODY = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
async def rest(any_stack: Stack) -> AsyncIterator[Client]:
    async with session(any_stack.url) as http:
        yield Client(http)


async def submitted(rest: Client, path: str = "/v1/runs", **fields: Any) -> dict[str, Any]:
    answer = await rest.post(path, SUMMARY | fields)
    assert answer.status == 202, answer.body
    return dict(answer.json)


async def ended(rest: Client, run_id: str) -> dict[str, Any]:
    answer = await rest.get(f"/v1/runs/{run_id}:wait?timeout=30s")
    assert answer.status == 200, answer.body
    return dict(answer.json)


async def running(rest: Client, run_id: str) -> None:
    """Returns when the run runs."""
    async with asyncio.timeout(20):
        while True:
            if (await rest.get(f"/v1/runs/{run_id}")).json["status"] == "running":
                return
            await asyncio.sleep(0.02)


def frames(answer: Answer) -> list[tuple[str, Any]]:
    """Id and data of each server-sent event; comments are left out."""
    found = []
    for frame in answer.body.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines.get("id", ""), json.loads(lines["data"])))
    return found


async def test_submission_is_flat_with_data_and_what_came_of_it(rest: Client) -> None:
    answer = await submitted(rest, metadata={"team": "news"}, priority="high", max_retries=1)
    assert answer["data"] == {"run_id": answer["run_id"], "dry_run": False, "would_execute": True}
    assert answer["elapsed_ms"] >= 0
    assert answer["warnings"] == []
    run = await ended(rest, answer["run_id"])
    assert run["status"] == "completed"
    assert run["response"]["summarize"]["summary"]
    assert run["params"]["content"] == TEXT
    assert (run["priority"], run["max_retries"], run["metadata"]) == ("high", 1, {"team": "news"})
    assert run["created_at"] == run["create_time"]
    assert run["completed_at"] == run["end_time"]
    assert run["cost_usd"] == 0


@pytest.mark.parametrize("path", ["/runs", "/v1/runs/task", "/runs/task", "/api/v1/runs"])
async def test_older_paths_submit_too(rest: Client, path: str) -> None:
    run = await submitted(rest, path)
    assert (run["kind"], run["name"]) == ("task", "genai.summarize")
    assert (await rest.get(f"/runs/{run['run_id']}")).json["run_id"] == run["run_id"]


async def test_dry_run_makes_nothing(rest: Client) -> None:
    answer = await submitted(rest, dry_run=True)
    assert answer["data"]["dry_run"]
    assert (await rest.get(f"/v1/runs/{answer['run_id']}")).status == 404


async def test_unknown_work_is_404_and_lists_what_there_is(rest: Client) -> None:
    answer = await rest.post("/v1/runs", {"name": "genai.nothing"})
    assert answer.status == 404
    assert "task genai.aggregate_costs" in answer.json["error"]["message"]


async def test_same_key_is_one_run_and_other_params_are_409(rest: Client) -> None:
    key = f"rest-{id(rest)}"
    first = await submitted(rest, idempotency_key=key)
    again = await submitted(rest, idempotency_key=key)
    assert again["run_id"] == first["run_id"]
    assert again["is_existing"]
    other = await rest.post("/v1/runs", SUMMARY | {"idempotency_key": key, "params": {"content": "x. y."}})
    assert other.status == 409
    assert other.headers["x-should-retry"] == "false"


async def test_list_has_numbers_links_and_summaries(rest: Client) -> None:
    mark = f"list-{id(rest)}"
    ids = [(await submitted(rest, correlation_id=mark))["run_id"] for _ in range(3)]
    page = (await rest.get(f"/v1/runs?correlation_id={mark}&limit=2")).json
    assert [run["run_id"] for run in page["data"]] == ids[:0:-1]
    assert page["page"] == {
        "total": 3,
        "limit": 2,
        "offset": 0,
        "has_more": True,
        "page": 1,
        "total_pages": 2,
        "has_prev": False,
    }
    following = (await rest.get(page["links"]["next"])).json
    assert [run["run_id"] for run in following["data"]] == ids[:1]
    assert following["page"]["has_prev"]
    assert "next" not in following["links"]
    by_token = (
        await rest.get(f"/v1/runs?correlation_id={mark}&limit=2&page_token={page['next_page_token']}")
    ).json
    assert [run["run_id"] for run in by_token["runs"]] == ids[:1]
    none = (
        await rest.get(f"/v1/runs?correlation_id={mark}&until=2020-01-01T00:00:00Z&workflow=summarize")
    ).json
    assert none["page"]["total"] == 0
    assert (await rest.get("/v1/runs?status=lost")).status in (400, 422)


async def test_events_are_a_list_or_a_stream_that_ends_with_the_run(rest: Client) -> None:
    run_id = (await submitted(rest))["run_id"]
    stream = await rest.get(f"/v1/runs/{run_id}/events", headers=EVENTS)
    assert stream.headers["content-type"] == "text/event-stream"
    durable = [(id, event) for id, event in frames(stream) if event["event_type"] != "output"]
    assert [event["event_type"] for _, event in durable] == ["created", "queued", "started", "completed"]
    assert [int(id) for id, _ in durable] == [1, 2, 3, 4]
    listed = (await rest.get(f"/v1/runs/{run_id}/events?limit=3")).json
    assert [event["sequence"] for event in listed["events"]] == [1, 2, 3]
    token = listed["next_page_token"]
    rest_of_it = (await rest.get(f"/runs/{run_id}/events?limit=3&page_token={token}")).json
    assert [event["event_type"] for event in rest_of_it["events"]] == ["completed"]
    assert rest_of_it["next_page_token"] == ""


async def test_stream_goes_on_after_the_last_event_id(rest: Client) -> None:
    run_id = (await submitted(rest))["run_id"]
    await ended(rest, run_id)
    resumed = await rest.get(f"/v1/runs/{run_id}/events", headers=EVENTS | {"last-event-id": "2"})
    assert [id for id, _ in frames(resumed)] == ["3", "4"]
    over = await rest.get(f"/v1/runs/{run_id}/events", headers=EVENTS | {"last-event-id": "4"})
    assert (over.status, over.body) == (204, b"")


async def test_stream_shows_text_while_it_is_written(rest: Client, openai_upstream: UpstreamProcess) -> None:
    openai_upstream.script(Reply(text=["one ", "two ", "three ", "four"], interval_s=0.2))
    answer = await rest.post("/v1/runs", SLOW)
    stream = await rest.get(f"/v1/runs/{answer.json['run_id']}/events", headers=EVENTS)
    shown = "".join(event["output"]["text"] for _, event in frames(stream) if event["event_type"] == "output")
    assert "one two three four".startswith(shown)
    assert shown


async def test_logs_steps_and_children_are_lists(rest: Client) -> None:
    run_id = (await submitted(rest))["run_id"]
    child = await submitted(rest, parent_run_id=run_id)
    await ended(rest, run_id)
    lines = (await rest.get(f"/v1/runs/{run_id}/logs?limit=2")).json
    assert [line["message"].split(" ")[0] for line in lines["lines"]] == ["created", "queued"]
    assert lines["next_page_token"]
    assert (await rest.get(f"/v1/runs/{run_id}/logs?level=ERROR")).json["lines"] == []
    steps = (await rest.get(f"/v1/runs/{run_id}/steps")).json["steps"]
    assert [(step["step_type"], step["status"], step["attempt"]) for step in steps] == [
        (steps[0]["step_type"], "completed", 1)
    ]
    children = (await rest.get(f"/v1/runs/{run_id}/children")).json["runs"]
    assert [(one["run_id"], one["correlation_id"]) for one in children] == [(child["run_id"], run_id)]


@pytest.mark.parametrize("path", ["/v1/runs/{}:cancel", "/v1/runs/{}/cancel", "/runs/{}/cancel"])
async def test_running_work_is_cancelled_once(
    rest: Client, openai_upstream: UpstreamProcess, path: str
) -> None:
    openai_upstream.script(Reply(text="late", headers_delay_s=30))
    run_id = (await rest.post("/v1/runs", SLOW)).json["run_id"]
    await running(rest, run_id)
    assert (await rest.post(path.format(run_id), {"reason": "enough"})).status == 200
    assert (await ended(rest, run_id))["status"] == "cancelled"
    again = await rest.post(path.format(run_id), {})
    assert (again.status, again.json["error"]["code"]) == (409, "NOT_CANCELLABLE")


async def test_only_failed_runs_are_retried(rest: Client) -> None:
    good = await submitted(rest)
    await ended(rest, good["run_id"])
    assert (await rest.post(f"/v1/runs/{good['run_id']}/retry", {})).status == 409
    bad = (await rest.post("/v1/runs", {"name": "execute_prompt", "params": {"slug": "nobody-s"}})).json
    assert (await ended(rest, bad["run_id"]))["status"] == "failed"
    again = await rest.post(f"/v1/runs/{bad['run_id']}:retry", {})
    assert again.status == 202
    assert again.json["retry_of_run_id"] == bad["run_id"]
    assert again.json["attempt"] == 2


@pytest.mark.parametrize(
    "path", ["", "/events", "/steps", "/items", "/children", "/logs", ":wait?timeout=1s", "/items:export"]
)
async def test_run_of_nobody_is_404(rest: Client, path: str) -> None:
    answer = await rest.get(f"/v1/runs/{NOBODY}{path}")
    assert (answer.status, answer.json["error"]["code"]) == (404, "NOT_FOUND")


async def test_queues_and_workers_are_shown(rest: Client) -> None:
    await ended(rest, (await submitted(rest))["run_id"])
    assert (await rest.get("/v1/runs:stats")).json["completed_24h"] > 0
    (worker,) = (await rest.get("/v1/workers")).json["workers"]
    assert worker["max_concurrency"] > 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/v1/chat/completions",
            {"model": "builtin:extractive", "messages": [{"role": "user", "content": TEXT}]},
        ),
        ("/v1/summarize", {"content": TEXT, "provider": "builtin"}),
        (
            "/v1/completions:stream",
            {"model": "builtin:extractive", "messages": [{"role": "ROLE_USER", "content": [{"text": TEXT}]}]},
        ),
        ("/v1/embeddings", {"model": "builtin:hashing", "input": TEXT}),
    ],
)
async def test_preference_for_an_asynchronous_answer_is_202_and_a_run(
    rest: Client, path: str, body: dict[str, Any]
) -> None:
    answer = await rest.post(path, body, prefer="respond-async")
    assert answer.status == 202, answer.body
    assert set(answer.json) == {"run_id", "status"}
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.headers["content-type"] == "application/json"
    assert "x-genai-body" not in answer.headers
    run = (await rest.get(answer.headers["location"])).json
    assert run["run_id"] == answer.json["run_id"]
    assert (await ended(rest, run["run_id"]))["status"] == "completed"


async def test_prompt_that_is_not_waited_for_is_202(rest: Client) -> None:
    body = {
        "prompt_slug": "summarize-article",
        "variables": {"content": TEXT},
        "options": {"model": "builtin:extractive"},
    }
    answer = await rest.post("/v1/execute-prompt", body | {"wait": False})
    assert (answer.status, set(answer.json)) == (202, {"run_id", "status"})
    run = await ended(rest, answer.json["run_id"])
    assert run["response"]["execute_prompt"]["output"]
    waited = await rest.post("/v1/execute-prompt", body | {"wait": True})
    assert waited.status == 200
    assert waited.json["output"]
    missing = await rest.post("/v1/execute-prompt", body | {"prompt_slug": "nobody-s", "wait": True})
    assert (missing.status, missing.json["error"]["code"]) == (404, "PROMPT_NOT_FOUND")


async def test_batch_by_its_older_path_is_a_run(rest: Client) -> None:
    operations = [{"id": "a", "type": "summarize", "params": {"content": TEXT, "provider": "builtin"}}]
    answer = await rest.post("/v1/batch", {"operations": operations, "priority": "low"})
    assert answer.status == 202, answer.body
    assert answer.json["priority"] == "low"
    batch_id = answer.json["batch_id"]
    await ended(rest, batch_id)
    found = (await rest.get(f"/v1/batch/{batch_id}")).json
    assert (found["status"], found["completed"], found["total"]) == ("completed", 1, 1)
    (item,) = (await rest.get(f"/v1/batch/{batch_id}/results")).json["items"]
    assert (item["item_id"], item["status"]) == ("a", "completed")
    bad = await rest.post("/v1/batch", {"operations": [{"type": "nothing"}]})
    assert bad.status == 404


async def test_schedule_lives_over_rest_with_its_older_names(rest: Client) -> None:
    body = {"name": "rest-nightly", "target_type": "task", "target_name": "genai.aggregate_costs"}
    body |= {"params": {"period": "daily"}, "cron_expression": "30 2 * * *", "timezone": "Europe/Berlin"}
    made = (await rest.post("/v1/schedules", body)).json
    assert made["next_run_at"] == made["next_run_time"]
    assert made["created_at"] == made["create_time"]
    assert (await rest.post("/v1/schedules", body)).status == 409
    path = f"/v1/schedules/{made['schedule_id']}"
    changed = (await rest._call("PUT", path, json={"interval_seconds": 3600})).json
    assert (changed["interval_seconds"], changed.get("cron_expression")) == (3600, None)
    assert (await rest.post(f"{path}:pause", {})).json["enabled"] is False
    assert (await rest.post(f"{path}:resume", {})).json["enabled"] is True
    run = (await rest.post("/v1/webhooks/trigger/rest-nightly", {})).json
    assert (await ended(rest, run["run_id"]))["status"] == "completed"
    listed = (await rest.get("/v1/schedules")).json["schedules"]
    assert "rest-nightly" in [one["name"] for one in listed]
    assert (await rest._call("DELETE", path)).status == 204
    assert (await rest.get(path)).status == 404


async def test_dead_letter_has_its_older_names(rest: Client, openai_upstream: UpstreamProcess) -> None:
    busy = {"error": {"message": "slow down", "type": "rate_limit_error"}}
    openai_upstream.script(default=Reply(status=429, body=busy))
    params = {"prompt": "Hello", "model": "gpt-4o"}
    run = await submitted(rest, name="completion", params=params, max_retries=0)
    assert (await ended(rest, run["run_id"]))["status"] == "dead_lettered"
    listed = (await rest.get("/v1/dlq")).json["dead_letters"]
    [letter] = [one for one in listed if one["execution_id"] == run["run_id"]]
    assert (letter["id"], letter["workflow"]) == (letter["dead_letter_id"], "genai.completion")
    assert (letter["retry_count"], letter["max_retries"]) == (0, 3)
    assert letter["created_at"] == letter["create_time"]
    openai_upstream.script(default=Reply(text="at last"))
    again = (await rest.post(f"/v1/dlq/{letter['id']}/replay", {})).json
    assert again["run_id"] == run["run_id"]
    assert (await ended(rest, run["run_id"]))["status"] == "completed"
    found = (await rest.get(f"/v1/dead-letters/{letter['id']}")).json
    assert (found["retry_count"], found["resolved_by"]) == (1, "replay")
    assert found["resolved_at"] == found["resolve_time"]
