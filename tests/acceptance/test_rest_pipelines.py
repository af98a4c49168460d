"""Executions of pipelines over the older REST paths under /v1/ai/pipelines, through real Envoy."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.acceptance.http import session
from tests.acceptance.stack import Stack
from tests.acceptance.test_rest import Client
from tests.acceptance.test_runs import EVENTS, ended, frames
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

BASE = "/v1/ai/pipelines"
NOBODY = "11111111-1111-4111-8111-111111111111"
TEXT = "It rained all day. The river rose. Nobody was hurt."
BRIEF = {"pipeline_name": "text_summarization", "input_data": {"text": TEXT, "max_sentences": 1}}
STEP = {"capability": "llm_generation", "preferred_providers": ["openai"], "fallback": {"enabled": False}}
SLOW = {
    "definition": {"name": "slow", "steps": [{"name": "a", **STEP}, {"name": "b", **STEP}]},
    "input_data": {"text": TEXT},
}


@pytest.fixture
async def rest(any_stack: Stack) -> AsyncIterator[Client]:
    async with session(any_stack.url) as http:
        yield Client(http)


async def put(rest: Client, path: str, body: Any) -> Any:
    async with rest.session.put(path, json=body) as response:
        return response.status, await response.json()


async def executed(rest: Client, body: dict[str, Any]) -> str:
    answer = await rest.post(f"{BASE}/execute", body)
    assert answer.status == 202, answer.body
    told = answer.json
    assert told["execution_id"] == f"exec-{told['run_id']}"
    assert told["stream_url"] == f"{BASE}/{told['execution_id']}/events"
    assert told["pipeline_version"]
    assert told["status"] in ("pending", "queued", "running", "completed")
    assert told["estimated_duration_seconds"] > 0
    assert {"created_at", "estimated_cost_usd", "pipeline_name"} <= told.keys()
    return str(told["run_id"])


async def test_an_execution_is_followed_to_its_result(rest: Client) -> None:
    run_id = await executed(rest, BRIEF)
    assert (await ended(rest, run_id))["status"] == "completed"
    told = (await rest.get(f"{BASE}/executions/{run_id}/progress")).json
    assert (told["status"], told["progress_percent"]) == ("completed", 100)
    for path in (f"executions/{run_id}/progress", f"executions/exec-{run_id}/progress", f"exec-{run_id}"):
        same = await rest.get(f"{BASE}/{path}")
        assert (same.json["execution_id"], same.json | told) == (f"exec-{run_id}", same.json), path
    assert (told["steps_completed"], told["total_steps"]) == (1, 1)
    result = (await rest.get(f"{BASE}/exec-{run_id}/result")).json
    assert (result["success"], result["execution_id"]) == (True, f"exec-{run_id}")
    assert result["output"]["summary"]["text"].endswith(TEXT)
    (step,) = result["step_results"].values()
    assert step["status"] == "completed"
    events = frames(await rest.get(f"{BASE}/{run_id}/events", headers=EVENTS))
    types = [data["event_type"] for _, data in events]
    assert {"workflow.started", "step.completed", "workflow.completed"} <= set(types)


async def test_an_execution_that_runs_has_no_result_and_is_cancelled(
    rest: Client, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(default=Reply(["fine"], first_delay_s=1.5))
    run_id = await executed(rest, SLOW)
    early = await rest.get(f"{BASE}/{run_id}/result")
    assert (early.status, early.json["error"]["code"]) == (409, "CONFLICT")
    told = (await rest.get(f"{BASE}/executions/{run_id}/progress")).json
    assert (told["total_steps"], told["progress_percent"] < 100) == (2, True)
    async with rest.session.delete(f"{BASE}/exec-{run_id}") as response:
        assert (response.status, (await response.json())["run_id"]) == (202, run_id)
    assert (await ended(rest, run_id))["status"] == "cancelled"
    result = (await rest.get(f"{BASE}/{run_id}/result")).json
    assert result["success"] is False
    async with rest.session.delete(f"{BASE}/{run_id}") as response:
        assert response.status == 409


@pytest.mark.parametrize("word", ["async_processing", "async_mode"])
async def test_an_execution_that_is_waited_for_is_200(rest: Client, word: str) -> None:
    body = {"pipeline_name": "text_summarization", "input": BRIEF["input_data"], word: False}
    answer = await rest.post(f"{BASE}/execute", body)
    assert (answer.status, answer.json["status"]) == (200, "completed")
    assert answer.json["response"]["pipeline"]["output"]["summary"]["text"]


async def test_a_budget_that_refuses_an_execution_is_402(rest: Client) -> None:
    node = {"node": "BUDGET_NODE_LABEL", "node_key": "of=refused"}
    limit = {**node, "period": "BUDGET_PERIOD_DAILY", "limit_usd": 0, "policy": "BUDGET_POLICY_HARD_BLOCK"}
    made = await rest.post(f"{BASE}/budget", limit)
    options = {"cost_labels": {"of": "refused"}, "estimate_usd": 1}
    answer = await rest.post(f"{BASE}/execute", BRIEF | {"options": options})
    assert (answer.status, answer.json["error"]["code"]) == (402, "QUOTA_EXCEEDED")
    assert {"period", "limit_usd", "used_usd"} <= answer.json["error"]["details"].keys()
    async with rest.session.delete(f"/v1/budgets/{made.json['id']}") as response:
        assert response.status == 204


async def test_an_unknown_pipeline_lists_those_that_there_are(rest: Client) -> None:
    answer = await rest.post(f"{BASE}/execute", {"pipeline_name": "nobody"})
    details = answer.json["error"]["details"]
    assert (answer.status, details["requested_pipeline"]) == (404, "nobody")
    assert "call_analysis" in details["available_pipelines"]


@pytest.mark.parametrize("path", ["{id}/result", "executions/{id}/progress", "{id}/events"])
async def test_what_is_no_execution_is_not_found(rest: Client, path: str) -> None:
    summary = {"name": "genai.summarize", "params": {"content": TEXT, "provider": "builtin"}}
    other = (await rest.post("/v1/runs", summary)).json["run_id"]
    ids = [NOBODY] if path.endswith("events") else [NOBODY, other]
    for id in ids:
        answer = await rest.get(f"{BASE}/{path.format(id=id)}")
        assert (answer.status, answer.json["error"]["code"]) == (404, "NOT_FOUND")


async def test_pipelines_capabilities_and_providers_are_listed(rest: Client) -> None:
    page = (await rest.get(BASE)).json
    listed = page["pipelines"]
    assert page["total"] == len(listed) >= 7
    analysis = next(one for one in listed if one["name"] == "call_analysis")
    assert (analysis["estimated_duration_seconds"], analysis["estimated_cost_usd"]) == (300, 0.15)
    assert "text_summarization" in [one["name"] for one in listed]
    shown = (await rest.get(f"/api{BASE}/text_summarization")).json
    assert (shown["name"], shown["step_count"]) == ("text_summarization", 1)
    offers = (await rest.get(f"{BASE}/capabilities")).json["capabilities"]
    assert "summarization" in [one["capability"] for one in offers]
    providers = (await rest.get(f"{BASE}/providers")).json["providers"]
    assert "builtin" in [one["provider_name"] for one in providers]
    assert (await rest.get(f"{BASE}/nobody")).status == 404
    assert (await rest.get(f"{BASE}/health")).status == 200
    estimate = (await rest.post(f"{BASE}/estimate", BRIEF)).json
    assert (estimate["can_execute"], estimate["budget_status"]) == (True, "allowed")


async def test_budgets_are_set_and_read(rest: Client) -> None:
    node = {"node": "BUDGET_NODE_LABEL", "node_key": "of=rest-pipelines"}
    made = await rest.post(f"{BASE}/budget", {**node, "period": "BUDGET_PERIOD_DAILY", "limit_usd": 5})
    assert made.status == 200, made.body
    status, changed = await put(
        rest, f"{BASE}/budget/limits", {**node, "period": "BUDGET_PERIOD_DAILY", "limit_usd": 7}
    )
    assert (status, changed["id"], changed["limit_usd"]) == (200, made.json["id"], 7)
    listed = (await rest.get(f"{BASE}/budget")).json["budgets"]
    assert changed["id"] in [one["id"] for one in listed]
    assert "daily" in (await rest.get(f"{BASE}/budget/status")).json
    spent = await rest.get(f"{BASE}/budget/spend")
    assert (spent.status, spent.json) == (200, (await rest.get("/v1/usage:summary")).json)
    async with rest.session.delete(f"/v1/budgets/{changed['id']}") as response:
        assert response.status == 204
