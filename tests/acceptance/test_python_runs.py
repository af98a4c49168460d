"""Durable runs through the Python client, over real Envoy."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from genai_spine_client import Run, Spine, Work, errors
from genai_spine_client.gen.genai_spine.v1 import SummarizeRequest

from tests.acceptance.cutting_proxy import cutting_proxy
from tests.acceptance.stack import Stack
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

PARAMS = {
    "content": "The sky is blue. Grass is green. Snow is white.",
    "provider": "builtin",
    "max_sentences": 1,
}
SLOW = {"prompt": "Hello", "model": "gpt-4o"}


@pytest.fixture
async def spine(stack: Stack) -> AsyncIterator[Spine]:
    async with Spine(port=stack.port, timeout_s=20) as client:
        yield client


async def test_task_is_submitted_by_name_and_its_answer_waited_for(spine: Spine) -> None:
    run = await spine.runs.submit_task("genai.summarize", PARAMS, priority="high", metadata={"team": "x"})
    assert run.status in ("queued", "running", "completed")
    assert (await spine.runs.result(run.run_id, timeout_s=30)).summary
    found = await spine.runs.get(run.run_id)
    assert found is not None
    assert (found.priority, found.options.metadata if found.options else {}) == ("high", {"team": "x"})


async def test_work_as_it_is_and_a_step_are_submitted_too(spine: Spine) -> None:
    work = Work(summarize=SummarizeRequest(content="One. Two.", provider="builtin"))
    parent = await spine.runs.submit(work, idempotency_key="python-once")
    again = await spine.runs.submit(work, idempotency_key="python-once")
    assert again.run_id == parent.run_id
    other = Work(summarize=SummarizeRequest(content="Three.", provider="builtin"))
    with pytest.raises(errors.Conflict):
        await spine.runs.submit(other, idempotency_key="python-once")
    with pytest.raises(errors.NotFound):
        await spine.runs.submit_pipeline("nothing", {})


async def test_list_is_read_page_by_page(spine: Spine) -> None:
    runs = [await spine.runs.submit_task("summarize", PARAMS, correlation_id="python-list") for _ in range(3)]
    ids = [run.run_id async for run in spine.runs.list(correlation_id="python-list")]
    assert ids == [run.run_id for run in reversed(runs)]
    two: list[Run] = [run async for run in spine.runs.list(correlation_id="python-list", limit=2)]
    assert [run.run_id for run in two] == ids[:2]


async def test_names_of_a_dispatcher_answer_with_lists(spine: Spine) -> None:
    parent = await spine.runs.submit_task("summarize", PARAMS)
    ended = await spine.runs.wait(parent.run_id, timeout_s=30)
    steps = [await spine.runs.submit_step("summarize", PARAMS, parent.run_id) for _ in range(2)]
    children = await spine.runs.get_children(parent.run_id)
    assert [run.run_id for run in children] == [run.run_id for run in steps]
    assert {run.correlation_id for run in children} == {parent.run_id}
    log = await spine.runs.get_events(parent.run_id)
    assert [event.event_type for event in log] == ["created", "queued", "started", "completed"]
    found = await spine.runs.get_run(parent.run_id)
    assert found is not None
    assert found.status == ended.status
    listed = await spine.runs.list_runs(parent_run_id=parent.run_id, limit=1)
    assert [run.run_id for run in listed] == [steps[1].run_id]


async def test_events_come_in_order_with_the_text(spine: Spine, openai_upstream: UpstreamProcess) -> None:
    openai_upstream.script(Reply(text=["one ", "two ", "three"], interval_s=0.2))
    run = await spine.runs.submit_task("completion", SLOW)
    events = [event async for event in spine.runs.events(run.run_id)]
    assert [event.sequence for event in events if event.output is None] == [1, 2, 3, 4]
    shown = "".join(event.output.text for event in events if event.output is not None)
    assert shown
    assert "one two three".startswith(shown)
    events_after = spine.runs.events(run.run_id, after=3, include_output=False)
    rest = [event.event_type async for event in events_after]
    assert rest == ["completed"]


async def test_failed_run_raises_with_the_run(spine: Spine) -> None:
    run = await spine.runs.submit_task("execute_prompt", {"slug": "nobody-s"})
    with pytest.raises(errors.RunFailed) as raised:
        await spine.runs.result(run.run_id, timeout_s=30)
    assert (raised.value.reason.name, raised.value.run.status) == ("PROMPT_NOT_FOUND", "failed")
    again = await spine.runs.retry(run.run_id)
    assert again.retry_of_run_id == run.run_id


async def test_waiting_has_an_end_and_cancelling_says_whether_it_took_effect(
    spine: Spine, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(text="late", headers_delay_s=30))
    run = await spine.runs.submit_task("completion", SLOW)
    with pytest.raises(errors.TimedOut, match="goes on"):
        await spine.runs.wait(run.run_id, timeout_s=0.3)
    async with aclosing(spine.runs.events(run.run_id)) as events:
        assert (await anext(events)).event_type == "created"
    assert await spine.runs.cancel(run.run_id, "enough")
    assert (await spine.runs.wait(run.run_id, timeout_s=20)).status == "cancelled"
    assert not await spine.runs.cancel(run.run_id)
    assert not await spine.runs.cancel("11111111-1111-4111-8111-111111111111")
    assert await spine.runs.get("11111111-1111-4111-8111-111111111111") is None


async def test_events_go_on_over_connections_that_are_cut(
    stack: Stack, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(text=["one ", "two ", "three"], interval_s=0.5))
    seen: list[int] = []
    async with cutting_proxy(stack.port) as proxy, Spine(port=proxy.port) as spine:
        run = await spine.runs.submit_task("completion", SLOW)
        async for event in spine.runs.events(run.run_id, include_output=False):
            seen.append(event.sequence)
            if event.event_type != "completed":
                proxy.cut()
    assert seen == [1, 2, 3, 4]


async def test_command_line_goes_on_over_connections_that_are_cut(
    stack: Stack, spine: Spine, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(text="late", first_delay_s=4.0))
    run = await spine.runs.submit_task("completion", SLOW)
    async with cutting_proxy(stack.port) as proxy:
        watch = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "genai_spine", "runs", "watch", run.run_id),
            *("--address", f"127.0.0.1:{proxy.port}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert watch.stdout is not None
        for _ in range(3):
            await watch.stdout.readline()
        proxy.cut()
        out, err = await watch.communicate()
    assert b"the connection is lost; trying again" in err
    assert [line.split()[2] for line in out.decode().splitlines()[:-1]] == ["completed"]
    assert watch.returncode == 0
