"""Servers that analyse a call are killed inside every step that is paid: only that step is asked again."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.pipeline_pb2 import PipelineWork
from genai_spine.v1.work_pb2 import Work
from tests.acceptance.test_pipeline_deaths import completed, log
from tests.acceptance.test_run_deaths import LEASE_S, servers
from tests.contract.test_deepgram import MONO, base64_of
from tests.service.test_predefined_pipelines import ANSWERS, SPOKEN
from tests.upstreams import deepgram
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

STEPS = ["transcribe", "redact_pii", "summarize", "sentiment", "coaching"]
PAID = ["transcribe", "summarize", "sentiment", "coaching"]
LATE_S = 30.0  # of the answer whose caller dies before it


@pytest.fixture
def deepgram_upstream() -> Iterator[UpstreamProcess]:
    with UpstreamProcess("deepgram") as found:
        yield found


@pytest.fixture
def variables(openai_upstream: UpstreamProcess, deepgram_upstream: UpstreamProcess) -> dict[str, str]:
    late = Reply(headers_delay_s=LATE_S)
    deepgram_upstream.script(late, Reply(SPOKEN))
    openai_upstream.script(*(reply for answer in ANSWERS for reply in (late, answer)))
    return {
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_DEEPGRAM_BASE_URL": deepgram_upstream.base_url,
        "GENAI_DEEPGRAM_API_KEY": deepgram.KEY,
        "GENAI_LEASE_TTL": str(LEASE_S),
        "GENAI_DRAIN_DELAY": "0",
        "GENAI_DRAIN_TIMEOUT": "0.5",
    }


def request() -> pb.CreateRunRequest:
    work = PipelineWork(pipeline_name="call_analysis")
    json_format.ParseDict({"data": base64_of(MONO), "filename": "call.wav"}, work.input_data)
    return pb.CreateRunRequest(work=Work(pipeline=work))


async def test_whoever_dies_inside_a_step_only_that_step_is_asked_again(
    variables: dict[str, str],
    database_url: str,
    tmp_path: Path,
    openai_upstream: UpstreamProcess,
    deepgram_upstream: UpstreamProcess,
) -> None:
    def asked() -> int:
        return len(deepgram_upstream.bill()) + len(openai_upstream.bill())

    async with AsyncExitStack() as stack:
        living = list(await stack.enter_async_context(servers(2, tmp_path, variables, database_url)))
        run_id = (await living[0].runs.CreateRun(request())).run_id
        for number in range(len(PAID)):
            expected = 2 * number + 1  # the step before was asked twice, and answered once
            await until(partial(_reached, asked, expected))
            run = await living[-1].get(run_id)
            making: Any = next(one for one in living if run.worker_id.partition(".")[0] == one.id)
            making.process.kill()
            living.remove(making)
            living += await stack.enter_async_context(servers(1, tmp_path, variables, database_url))
        run = await living[0].wait(run_id)
        assert (run.status, run.attempt) == ("completed", 1), run.error
        assert list(run.response.pipeline.completed_steps) == STEPS
        events = await log(living[0], run_id)
        assert completed(events) == STEPS
        types = Counter(event.event_type for event in events)
        assert (types["workflow.started"], types["workflow.completed"]) == (1, 1)
        assert types["reconciled"] == len(PAID)
    assert asked() == 2 * len(PAID)
    assert json.loads(openai_upstream.bill()[-1].raw)["messages"]


def _reached(asked: Callable[[], int], count: int) -> bool:
    return asked() == count
