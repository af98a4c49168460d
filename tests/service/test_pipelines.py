"""Pipelines as runs: each step made and paid once, in its order, with what it came to."""

import pytest

from tests.service.pipeline_calls import made, said, step, work
from tests.service.run_calls import RunCalls, provider_calls
from tests.service.running import Running
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_two_steps_are_one_run_and_each_is_paid_once(booked: Running) -> None:
    calls = RunCalls(booked.channel)
    booked.openai.script(Reply(["one"]), Reply(["two"]))
    run, result = await made(calls, work(step("first"), step("second", input_from="first")))
    assert (run.status, run.kind, run.name) == ("completed", "pipeline", "genai.two_steps")
    assert result.success
    assert list(result.completed_steps) == ["first", "second"]
    assert result.output["second"]["text"] == "two"
    rows = await provider_calls(booked, run.run_id)
    assert {row.step_id for row in rows} == {"first", "second"}
    assert result.total_cost.cost_ticks == run.cost.cost_ticks == sum(row.cost.cost_ticks for row in rows) > 0
    assert [entry.body["messages"][-1]["content"] for entry in booked.openai.bill.entries] == ["Hello", "one"]
    events = await calls.events(run)
    assert [one["step_name"] for one in said(events, "step.completed")] == ["first", "second"]
    assert said(events, "workflow.completed")[0]["output_keys"] == ["first", "second"]


async def test_personal_data_is_found_and_redacted_in_steps_that_cost_nothing(booked: Running) -> None:
    calls = RunCalls(booked.channel)
    steps = [
        {"name": "find", "capability": "pii_detection"},
        {
            "name": "hide",
            "capability": "pii_redaction",
            "options": {"method": "replace"},
            "input_from": "text",
        },
        step("tell", input_from="hide"),
    ]
    data = {"text": "Write to ann@example.org"}
    run, result = await made(calls, work(*steps, input_data=data))
    assert result.success, result
    (entity,) = result.output["find"]["entities"]
    assert (entity["type"], entity["text"]) == ("EMAIL_ADDRESS", "ann@example.org")
    assert result.output["hide"]["text"] == "Write to [EMAIL_ADDRESS]"
    (entry,) = booked.openai.bill.entries
    assert "ann@example.org" not in entry.raw
    rows = {row.step_id: row for row in await provider_calls(booked, run.run_id)}
    assert (rows["hide"].provider, rows["hide"].model) == ("builtin", "pii-patterns")
    assert rows["find"].cost.cost_ticks == rows["hide"].cost.cost_ticks == 0
