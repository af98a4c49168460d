"""Rules of pipelines: providers, retries, conditions, failures, undoing, time and cancellation."""

from typing import Any

import pytest

from tests.service.pipeline_calls import OPENAI, made, said, step, work
from tests.service.run_calls import RunCalls, provider_calls
from tests.service.running import Running
from tests.upstreams.reply import Reply
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

BUSY = Reply(status=503, body={"error": {"message": "busy"}})
BROKEN = Reply(status=400, body={"error": {"message": "no", "type": "invalid_request_error"}})
QUICK = {"max_attempts": 3, "initial_delay_ms": 1}
UNDO: dict[str, Any] = {"work": {**OPENAI, "options": {"prompt": "undo"}}}


async def test_retries_are_counted_and_their_delays_double(booked: Running) -> None:
    calls = RunCalls(booked.channel)
    booked.openai.script(BUSY, BUSY, Reply(["fine"]))
    run, result = await made(calls, work(step("only", retry=QUICK)))
    assert (result.step_results["only"].retries, result.output["only"]["text"]) == (2, "fine")
    events = await calls.events(run)
    assert [one["delay_ms"] for one in said(events, "step.retrying")] == [1, 2]
    assert len(said(events, "provider.called")) == 3
    assert len(said(events, "provider.failed")) == 2
    assert [one["provider"] for one in said(events, "provider.succeeded")] == ["openai"]


async def test_codes_that_are_not_on_the_list_are_not_retried(booked: Running) -> None:
    booked.openai.script(BUSY)
    retry = {**QUICK, "retryable_codes": ["TIMEOUT"]}
    _, result = await made(RunCalls(booked.channel), work(step("only", retry=retry)))
    assert (result.success, result.error_code) == (False, "PROVIDER_UNAVAILABLE")
    assert len(booked.openai.bill.entries) == 1


async def test_attempts_used_up_end_with_their_own_code(booked: Running) -> None:
    booked.openai.script(BUSY, BUSY, BUSY)
    run, result = await made(RunCalls(booked.channel), work(step("only", retry=QUICK)))
    assert (run.status, result.error_code, result.failed_step) == ("failed", "MAX_RETRIES", "only")
    assert run.error.type == "MAX_RETRIES"
    assert len(booked.openai.bill.entries) == 3


async def test_another_provider_answers_where_the_first_one_fails(booked: Running) -> None:
    calls = RunCalls(booked.channel)
    booked.openai.script(BROKEN)
    asked = step("only", preferred_providers=["openai", "ollama"], fallback={"max_fallbacks": 1})
    run, result = await made(calls, work(asked))
    found = result.step_results["only"]
    assert (found.provider_used, list(found.fallbacks_attempted)) == ("ollama", ["openai"])
    (fallback,) = said(await calls.events(run), "provider.fallback")
    assert (fallback["from_provider"], fallback["to_provider"]) == ("openai", "ollama")
    assert [row.provider for row in await provider_calls(booked, run.run_id)] == ["openai", "ollama"]


async def test_no_provider_of_a_capability_fails_the_step_by_name(booked: Running) -> None:
    _, result = await made(
        RunCalls(booked.channel), work({"name": "a", "capability": "embedding_multimodal"})
    )
    assert (result.error_code, result.step_results["a"].status) == ("NO_PROVIDERS", "failed")
    assert "embedding_multimodal" in result.error


async def test_only_providers_of_the_required_tier_are_asked(booked: Running) -> None:
    asked = step("a", preferred_providers=["ollama"], quality="economy", fallback={"max_fallbacks": 9})
    _, result = await made(RunCalls(booked.channel), work(asked))
    assert result.step_results["a"].provider_used == "builtin"


async def test_a_condition_that_is_not_met_skips_the_step(booked: Running) -> None:
    calls = RunCalls(booked.channel)
    long = {"cel": "size(context.text) > 500"}
    missing = {"comparison": {"path": "nobody.knows", "operator": "gt", "value": 3}}
    run, result = await made(calls, work(step("a", when=long), step("b", when=missing), step("c")))
    assert [result.step_results[name].status for name in "abc"] == ["skipped", "skipped", "completed"]
    assert result.success
    events = said(await calls.events(run), "step.skipped")
    assert [one["reason"] for one in events] == ["condition not met"] * 2
    assert events[0]["condition_evaluated"] == "size(context.text) > 500"
    assert len(booked.openai.bill.entries) == 1


async def test_an_optional_step_that_fails_fails_nothing(booked: Running) -> None:
    calls = RunCalls(booked.channel)
    booked.openai.script(BROKEN, BROKEN, Reply(["fine"]))
    steps = (step("a", optional=True), step("b", continue_on_failure=True), step("c"))
    run, result = await made(calls, work(*steps))
    assert (run.status, result.success, list(result.completed_steps)) == ("completed", True, ["c"])
    assert [one["continue_pipeline"] for one in said(await calls.events(run), "step.failed")] == [True, True]


async def test_a_required_step_that_fails_ends_the_pipeline_unless_it_does_not_fail_fast(
    booked: Running,
) -> None:
    calls = RunCalls(booked.channel)
    for fail_fast, left in ((True, []), (False, ["b"])):
        booked.openai.script(BROKEN)
        run, result = await made(calls, work(step("a"), step("b"), fail_fast=fail_fast))
        assert (run.status, result.success, result.failed_step) == ("failed", False, "a")
        assert list(result.completed_steps) == left


async def test_completed_steps_are_undone_in_reverse_order(booked: Running) -> None:
    calls = RunCalls(booked.channel)
    booked.openai.script(Reply(["1"]), Reply(["2"]), Reply(["3"]), BROKEN)
    steps = (step("a", compensation=UNDO), step("b", compensation=UNDO), step("c"), step("d"))
    run, result = await made(calls, work(*steps))
    assert (run.status, list(result.compensated_steps)) == ("failed", ["b", "a"])
    assert [result.step_results[name].status for name in "abcd"] == [
        *("compensated", "compensated", "completed", "failed")
    ]
    texts = [entry.body["messages"][-1]["content"] for entry in booked.openai.bill.entries[-2:]]
    assert texts == ["undo\n\n2", "undo\n\n1"]
    events = await calls.events(run)
    assert said(events, "compensation.started")[0]["steps_to_compensate"] == ["b", "a"]
    assert [one["step_name"] for one in said(events, "compensation.step")] == ["b", "a"]
    assert said(events, "compensation.completed")[0]["full_rollback"] is True
    assert said(events, "workflow.failed")[0]["failed_step"] == "d"
    assert run.cost.cost_ticks == result.total_cost.cost_ticks


async def test_undoing_that_fails_is_recorded_and_the_others_still_run(booked: Running) -> None:
    calls = RunCalls(booked.channel)
    booked.openai.script(Reply(["1"]), Reply(["2"]), BROKEN)
    private = {"webhook_url": "https://127.0.0.1:9/undo"}  # which is told nothing
    steps = (step("a", compensation=UNDO), step("b", compensation=private), step("d"))
    run, result = await made(calls, work(*steps))
    assert list(result.compensated_steps) == ["a"]
    assert list(result.failed_compensations) == ["b"]
    (end,) = said(await calls.events(run), "compensation.failed")
    assert end["full_rollback"] is False


async def test_nothing_is_undone_without_compensation(booked: Running) -> None:
    booked.openai.script(Reply(["1"]), BROKEN)
    steps = (step("a", compensation=UNDO), step("b"))
    _, result = await made(RunCalls(booked.channel), work(*steps, compensation=False))
    assert not result.compensation_performed
    assert len(booked.openai.bill.entries) == 2


async def test_an_attempt_that_takes_too_long_is_a_timeout(booked: Running) -> None:
    booked.openai.script(Reply(["late"], first_delay_s=20.0), Reply(["in time"]))
    retry = {**QUICK, "retryable_codes": ["TIMEOUT"]}
    _, result = await made(RunCalls(booked.channel), work(step("a", timeout_s=2.0, retry=retry)))
    assert (result.output["a"]["text"], result.step_results["a"].retries) == ("in time", 1)


async def test_the_time_of_the_whole_is_a_limit(booked: Running) -> None:
    calls = RunCalls(booked.channel)
    booked.openai.script(Reply(["late"], first_delay_s=5.0))
    run, result = await made(calls, work(step("a"), step("b"), timeout_s=0.5))
    assert (run.status, run.error.type, result.error_code) == ("failed", "timeout", "TIMEOUT")
    assert [result.step_results["a"].status, "b" in result.step_results] == ["failed", False]
    assert said(await calls.events(run), "workflow.failed")[0]["retryable"] is True


async def test_a_cancellation_takes_effect_at_the_next_boundary(booked: Running) -> None:
    calls = RunCalls(booked.channel)
    booked.openai.script(Reply(["1"], first_delay_s=0.7))
    run = await calls.submit(work(step("a"), step("b")))
    await calls.reached(run, "running")
    await until(lambda: bool(booked.openai.bill.entries))
    await calls.cancel(run, reason="enough")
    run = await calls.ended(run)
    result = run.response.pipeline
    assert (run.status, list(result.completed_steps), result.success) == ("cancelled", ["a"], False)
    (event,) = said(await calls.events(run), "workflow.cancelled")
    assert (event["reason"], event["completed_steps"]) == ("enough", ["a"])
    assert len(booked.openai.bill.entries) == 1


async def test_independent_steps_run_at_once_and_a_join_waits_for_them(booked: Running) -> None:
    booked.openai.default = Reply(["x"], first_delay_s=0.4)
    steps = (step("join", depends_on=["a", "b"]), step("a"), step("b"))
    _, result = await made(RunCalls(booked.channel), work(*steps, max_concurrent=2))
    first, second, last = booked.openai.bill.entries
    assert first.started_at < second.started_at < (first.ended_at or 0) < last.started_at
    assert list(result.completed_steps)[-1] == "join"


async def test_transforms_shape_what_goes_in_and_what_comes_out(booked: Running) -> None:
    booked.openai.script(Reply(["one"]), Reply(["two"]), Reply(["three"]))
    steps = (
        step("a", output_as="first", output_transform={"map": {"fields": {"said": "text"}}}),
        step("b", input_from="first", input_transform={"extract": "said"}),
        step("c", input_transform={"cel": '"all: " + context.first.said + "," + context.b.text'}),
    )
    _, result = await made(RunCalls(booked.channel), work(*steps))
    texts = [entry.body["messages"][-1]["content"] for entry in booked.openai.bill.entries]
    assert texts == ["Hello", "one", "all: one,two"]
    assert dict(result.output["first"]) == {"said": "one"}


async def test_progress_has_weights_and_never_falls(booked: Running) -> None:
    calls = RunCalls(booked.channel)
    steps = (step("a", progress_weight=3), step("b"))
    run, _ = await made(calls, work(*steps, checkpoints=["a"]))
    events = await calls.events(run)
    points = [one["progress_percent"] for one in said(events, "progress.update")]
    assert points == sorted(points)
    assert {75.0, 100.0} <= set(points)
    (checkpoint,) = said(events, "checkpoint.reached")
    assert (checkpoint["percent"], checkpoint["data_snapshot_keys"]) == (75.0, ["a", "text"])
    assert run.progress == 1.0


async def test_a_call_that_is_waited_for_tells_of_its_progress(booked: Running) -> None:
    calls = RunCalls(booked.channel)
    booked.openai.script(Reply(["late"], first_delay_s=2.2))
    run, _ = await made(calls, work(step("a")))
    points = [one["progress_percent"] for one in said(await calls.events(run), "progress.update")]
    assert len(points) >= 3
    assert points == sorted(points)
