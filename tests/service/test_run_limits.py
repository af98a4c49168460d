"""Limits of runs that run at once, and of their answers, through the channel, on both databases."""

import asyncio

import pytest

from genai_spine.runs.execution import failures
from genai_spine.v1 import run_service_pb2 as pb
from tests.service.run_calls import RunCalls
from tests.service.running import Upstreams, running
from tests.upstreams.reply import Reply
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_full_lane_waits_is_shown_and_holds_up_no_other(upstreams: Upstreams, database_url: str):
    async with running(upstreams, database_url, run_lane_limits="gpu=1") as service:
        runs = RunCalls(service.channel)
        service.openai.default = Reply("done", first_delay_s=30.0)
        slow = [await runs.submit(lane="gpu") for _ in range(3)]
        await until(lambda: len(service.openai.bill.calls) == 1)
        service.openai.reset()
        assert (await runs.ended(await runs.submit())).status == "completed"
        [depth] = (await runs.runs.GetQueueStats(pb.GetQueueStatsRequest())).depths
        assert (depth.lane, depth.running, depth.queued) == ("gpu", 1, 2)
        assert (depth.lane_limit, depth.is_at_limit) == (1, True)
        await runs.cancel(slow[0])
        ended = await asyncio.gather(*map(runs.ended, slow))
        assert [run.status for run in ended] == ["cancelled", "completed", "completed"]
        assert ended[1].end_time.ToNanoseconds() <= ended[2].start_time.ToNanoseconds()


async def test_full_provider_waits_is_shown_and_holds_up_no_other(upstreams: Upstreams, database_url: str):
    async with running(upstreams, database_url, run_provider_limits="openai=1") as service:
        runs = RunCalls(service.channel)
        service.openai.default = Reply("done", first_delay_s=30.0)
        slow = [await runs.submit(lane=lane) for lane in ("gpu", "cpu")]
        await until(lambda: len(service.openai.bill.calls) == 1)
        service.openai.reset()
        request = pb.CreateRunRequest(name="genai.embed")
        request.params.update({"texts": ["hello"], "model": "builtin:hashing"})
        other = await runs.ended(await runs.runs.CreateRun(request))
        assert (other.status, other.provider) == ("completed", "builtin")
        waiting = await runs.get(slow[1].run_id)
        assert (waiting.provider, waiting.waiting_reason) == ("openai", "BUSY")
        [of] = (await runs.runs.GetQueueStats(pb.GetQueueStatsRequest())).providers
        assert (of.provider, of.running, of.queued) == ("openai", 1, 1)
        assert (of.provider_limit, of.is_at_limit) == (1, True)
        await runs.cancel(slow[0])
        ended = await asyncio.gather(*map(runs.ended, slow))
        assert [run.status for run in ended] == ["cancelled", "completed"]


async def test_large_answer_comes_with_its_run_alone_and_one_past_the_limit_is_an_error(
    upstreams: Upstreams, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    async with running(upstreams, database_url) as service:
        runs, text = RunCalls(service.channel), "word" * 75_000
        service.openai.script(Reply([text]))
        run = await runs.ended(await runs.submit())
        assert run.response.completion.choices[0].message.content[0].text == text
        [listed] = (await runs.runs.ListRuns(pb.ListRunsRequest())).runs
        assert not listed.HasField("response")
        monkeypatch.setattr(failures, "MAX_ANSWER_BYTES", 100_000)
        service.openai.script(Reply([text]))
        run = await runs.ended(await runs.submit())
        assert (run.status, run.error.type, run.error.is_retryable) == ("failed", "result_too_large", False)
        assert "100000" in run.error.message
        assert not run.HasField("response")
        assert run.cost.cost_usd == (await runs.get(listed.run_id)).cost.cost_usd > 0  # it is on the books
