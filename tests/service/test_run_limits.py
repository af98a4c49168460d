"""Limits of runs that run at once, through the channel, on both databases."""

import asyncio

import pytest

from genai_spine.v1 import run_service_pb2 as pb
from tests.service.run_calls import RunCalls
from tests.service.running import Upstreams, running
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_full_lane_waits_is_shown_and_holds_up_no_other(upstreams: Upstreams, database_url: str):
    async with running(upstreams, database_url, run_lane_limits="gpu=1") as service:
        runs = RunCalls(service.channel)
        service.openai.default = Reply("done", first_delay_s=30.0)
        slow = [await runs.submit(lane="gpu") for _ in range(3)]
        await runs.reached(slow[0], "running")
        service.openai.reset()
        assert (await runs.ended(await runs.submit())).status == "completed"
        [depth] = (await runs.runs.GetQueueStats(pb.GetQueueStatsRequest())).depths
        assert (depth.lane, depth.running, depth.queued) == ("gpu", 1, 2)
        assert (depth.lane_limit, depth.is_at_limit) == (1, True)
        await runs.cancel(slow[0])
        ended = await asyncio.gather(*map(runs.ended, slow))
        assert [run.status for run in ended] == ["cancelled", "completed", "completed"]
        assert ended[1].end_time.ToNanoseconds() <= ended[2].start_time.ToNanoseconds()
