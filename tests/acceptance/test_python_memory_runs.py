"""Runs in memory of the Python client, for tests of callers: names, states and errors of the service."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from genai_spine_client import SpineError, Work, errors
from genai_spine_client.gen.genai_spine.v1 import ErrorReason, SummarizeRequest, SummarizeResponse
from genai_spine_client.memory_runs import Context, MemoryRuns
from genai_spine_client.runs import Runs
from grpclib.const import Status

PARAMS = {"content": "One. Two."}


@pytest.fixture
async def runs() -> AsyncIterator[MemoryRuns]:
    async with MemoryRuns() as found:

        @found.task("summarize")
        async def summarize(params: dict[str, Any], context: Context) -> SummarizeResponse:
            context.progress(0.5, "half")
            context.progress(0.2, "it never falls")
            return SummarizeResponse(summary=params["content"])

        yield found


def busy() -> SpineError:
    return errors.RateLimited("slow down", ErrorReason.RATE_LIMITED, Status.RESOURCE_EXHAUSTED)


def test_it_has_every_call_of_a_dispatcher_but_items() -> None:
    def calls(of: type) -> set[str]:
        return {name for name in dir(of) if not name.startswith("_")}

    assert calls(Runs) - calls(MemoryRuns) == {"items", "stub"}


async def test_answer_and_log_are_those_of_a_run(runs: MemoryRuns) -> None:
    run = await runs.submit_task("genai.summarize", PARAMS, priority="high", metadata={"team": "x"})
    assert (run.status, run.priority, run.tags["team"]) == ("queued", "high", "x")
    assert (await runs.result(run.run_id, timeout_s=5)).summary == "One. Two."
    log = [event async for event in runs.events(run.run_id)]
    assert [event.sequence for event in log] == [1, 2, 3, 4, 5, 6]
    assert [event.event_type for event in log[:3]] == ["created", "queued", "started"]
    assert log[-1].event_type == "completed"
    told = [
        event.data.to_dict()["progress"] for event in log if event.event_type == "progress" and event.data
    ]
    assert told == [0.5, 0.5]
    assert [event.sequence async for event in runs.events(run.run_id, after=4)] == [5, 6]
    assert await runs.get_events(run.run_id) == log


async def test_sync_handlers_and_plain_results_do_too(runs: MemoryRuns) -> None:
    runs.register("operation", "rag", lambda params, context: {"answer": params["query"]})
    assert runs.has("pipeline", "genai.rag")
    ended = await runs.wait((await runs.submit_operation("rag", {"query": "why"})).run_id)
    assert ended.result is not None
    assert ended.result.to_dict() == {"answer": "why"}
    runs.unregister("pipeline", "rag")
    with pytest.raises(errors.NotFound, match=r"task genai\.summarize"):
        await runs.submit_pipeline("rag", {})


async def test_a_key_is_one_run_and_other_params_are_a_conflict(runs: MemoryRuns) -> None:
    first = await runs.submit_task("summarize", PARAMS, idempotency_key="k")
    again = await runs.submit_task("genai.summarize", PARAMS, idempotency_key="k")
    assert (again.run_id, again.is_existing) == (first.run_id, True)
    with pytest.raises(errors.Conflict):
        await runs.submit_task("summarize", {"content": "Three."}, idempotency_key="k")
    work = Work(summarize=SummarizeRequest(content="One. Two."))
    assert (await runs.result((await runs.submit(work)).run_id)).summary == "One. Two."


async def test_rate_limits_are_retried_and_then_it_is_dead(runs: MemoryRuns) -> None:
    left = [2]

    @runs.workflow("limited")
    def limited(params: dict[str, Any], context: Context) -> dict[str, Any]:
        left[0] -= 1
        if left[0] >= 0:
            raise busy()
        return {}

    ended = await runs.wait((await runs.submit_workflow("limited", max_retries=2)).run_id, 5)
    assert (ended.status, ended.attempt, ended.error) == ("completed", 3, None)
    left[0] = 9
    dead = await runs.wait((await runs.submit_workflow("limited", max_retries=1)).run_id, 5)
    assert (dead.status, dead.attempt) == ("dead_lettered", 2)
    with pytest.raises(errors.RunFailed):
        await runs.result(dead.run_id)
    left[0] = 0
    fresh = await runs.retry(dead.run_id)
    assert (fresh.retry_of_run_id, fresh.attempt) == (dead.run_id, 3)
    assert (await runs.wait(fresh.run_id, 5)).status == "completed"


async def test_faults_of_a_handler_are_failures_without_a_retry(runs: MemoryRuns) -> None:
    runs.register("task", "broken", lambda params, context: params["nothing"])
    ended = await runs.wait((await runs.submit_task("broken")).run_id, 5)
    assert ended.error is not None
    assert (ended.status, ended.attempt, ended.error.type) == ("failed", 1, "internal")
    runs.register("task", "odd", lambda params, context: SummarizeRequest())
    odd = await runs.wait((await runs.submit_task("odd")).run_id, 5)
    assert odd.error is not None
    assert "SummarizeRequest" in odd.error.message


async def test_cancel_stops_a_run_and_its_children(runs: MemoryRuns) -> None:
    stopped = asyncio.Event()

    async def slow(params: dict[str, Any], context: Context) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    for kind in ("task", "step"):
        runs.register(kind, "slow", slow)
    parent = await runs.submit_task("slow")
    child = await runs.submit_step("slow", {}, parent.run_id)
    assert child.correlation_id == parent.run_id
    assert [run.run_id for run in await runs.get_children(parent.run_id)] == [child.run_id]
    with pytest.raises(errors.TimedOut, match="goes on"):
        await runs.wait(parent.run_id, timeout_s=0.05)
    assert await runs.cancel(parent.run_id, "enough")
    await stopped.wait()
    assert [run.status for run in await runs.list_runs(limit=9)] == ["cancelled", "cancelled"]
    assert not await runs.cancel(parent.run_id)
    assert not await runs.cancel("nobody")
    assert await runs.get_run("nobody") is None
    with pytest.raises(errors.NotFound):
        await runs.wait("nobody")


async def test_what_a_caller_gets_is_its_own(runs: MemoryRuns) -> None:
    run = await runs.submit_task("summarize", PARAMS)
    run.status = "changed"
    assert (await runs.wait(run.run_id, 5)).status == "completed"
