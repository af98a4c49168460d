"""Processes that make a pipeline are killed within a step and between two: nothing is made again."""

import signal
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.pipeline_pb2 import PipelineDefinition, PipelineWork
from genai_spine.v1.run_pb2 import RunEvent
from genai_spine.v1.work_pb2 import Work
from tests.acceptance.test_deaths import ended
from tests.acceptance.test_run_deaths import LEASE_S, Server, servers
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

STEPS = ("one", "two", "three")
ASKED = {"capability": "llm_generation", "preferred_providers": ["openai"], "fallback": {"enabled": False}}


@pytest.fixture
def variables(openai_upstream: UpstreamProcess) -> dict[str, str]:
    openai_upstream.script(default=Reply(["fine"], first_delay_s=0.5))
    return {
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_LEASE_TTL": str(LEASE_S),
        "GENAI_DRAIN_DELAY": "0",
        "GENAI_DRAIN_TIMEOUT": "0.5",
    }


def request() -> pb.CreateRunRequest:
    steps = [{"name": name, **ASKED, "retry": {"max_attempts": 1}} for name in STEPS]
    definition = json_format.ParseDict({"name": "mortal", "steps": steps}, PipelineDefinition())
    work = PipelineWork(definition=definition)
    work.input_data.update({"text": "Hello"})
    return pb.CreateRunRequest(work=Work(pipeline=work))


async def log(server: Server, run_id: str) -> list[RunEvent]:
    listed = await server.runs.ListRunEvents(pb.ListRunEventsRequest(run_id=run_id, page_size=1000))
    assert [event.sequence for event in listed.events] == list(range(1, len(listed.events) + 1))
    return list(listed.events)


def completed(events: list[RunEvent]) -> list[Any]:
    return [event.data["step_name"] for event in events if event.event_type == "step.completed"]


async def test_steps_that_have_ended_are_not_paid_again_whoever_dies(
    variables: dict[str, str], database_url: str, tmp_path: Path, openai_upstream: UpstreamProcess
) -> None:
    async with AsyncExitStack() as stack:
        living = list(await stack.enter_async_context(servers(3, tmp_path, variables, database_url)))
        run_id = (await living[-1].runs.CreateRun(request())).run_id

        async def makers() -> list[Server]:
            """The living server that makes the run, also under another id once it has lost its lease."""
            run = await living[0].get(run_id)
            return [server for server in living if run.worker_id.partition(".")[0] == server.id]

        async def kill_maker() -> None:
            await until(makers)
            [making] = await makers()
            making.process.kill()
            living.remove(making)

        async def has_ended(count: int) -> bool:
            return len(completed(await log(living[0], run_id))) >= count

        await until(lambda: len(openai_upstream.bill()) == 1)  # inside the first step
        await kill_maker()
        await until(lambda: has_ended(1))  # behind the first, or inside the second
        await kill_maker()
        run = await living[0].wait(run_id)
        assert (run.status, run.attempt) == ("completed", 1)
        assert list(run.response.pipeline.completed_steps) == list(STEPS)
        events = await log(living[0], run_id)
        assert completed(events) == list(STEPS)
        types = Counter(event.event_type for event in events)
        assert (types["workflow.started"], types["workflow.completed"], types["reconciled"]) == (1, 1, 2)
        assert len(openai_upstream.bill()) <= len(STEPS) + 2


async def test_process_that_retires_leaves_a_pipeline_at_the_end_of_its_step(
    variables: dict[str, str], database_url: str, tmp_path: Path, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(default=Reply(["fine"], is_held=True))
    async with servers(2, tmp_path, variables, database_url) as living:
        run_id = (await living[0].runs.CreateRun(request())).run_id
        await until(lambda: len(openai_upstream.bill()) == 1)  # inside the first step
        maker = (await living[0].get(run_id)).worker_id
        [retiring] = [server for server in living if maker.partition(".")[0] == server.id]
        [other] = [server for server in living if server is not retiring]
        retiring.process.send_signal(signal.SIGUSR2)
        await until(lambda: b'"retiring"' in (tmp_path / "log").read_bytes())
        openai_upstream.script(default=Reply(["fine"]))
        openai_upstream.release()
        assert await ended(retiring.process) == 0  # without a word to it
        run = await other.wait(run_id)
        assert (run.status, run.attempt) == ("completed", 1)
        assert run.worker_id.partition(".")[0] == other.id
        assert completed(await log(other, run_id)) == list(STEPS)
        assert len(openai_upstream.bill()) == len(STEPS)
