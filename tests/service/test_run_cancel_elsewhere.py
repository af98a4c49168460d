"""Cancellation that is asked of one server and made by another one, on both databases."""

import asyncio
import time

import pytest

from genai_spine.store.database import Database
from genai_spine.store.runs.news import RunNews
from genai_spine.store.runs.transitions import Transitions
from tests.service.run_calls import RunCalls
from tests.service.running import Running
from tests.upstreams.reply import Reply
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_call_ends_although_another_process_was_asked(booked: Running):
    """The other process is another connection to the database, which has nothing but that in common."""
    runs, other = RunCalls(booked.channel), Database(booked.database_url)
    booked.openai.script(Reply(["never ", "read"], first_delay_s=30.0))
    RunNews.of(booked.server.database).is_alone = False  # with SQLite it looks by itself
    try:
        run = await runs.submit()
        await until(lambda: len(booked.openai.bill.calls) == 1)
        begun = time.monotonic()
        assert await Transitions(other).ask_to_cancel(run.run_id, "immediate", "from elsewhere")
        await until(lambda: booked.openai.bill.calls[0].disconnected)
        print(f"ended after {time.monotonic() - begun:.3f} s")
        run = await runs.ended(run)
        assert run.status == "cancelled"
        assert (await runs.events(run))[-1].data["reason"] == "from elsewhere"
    finally:
        await RunNews.of(other).close()
        await other.close()


async def test_children_end_with_their_parent(booked: Running):
    runs = RunCalls(booked.channel)
    booked.openai.default = Reply(["never ", "read"], first_delay_s=30.0)
    parent = await runs.submit(hold=True)
    children = await asyncio.gather(*(runs.submit(parent_run_id=parent.run_id) for _ in range(20)))
    await runs.reached(children[0], "running")
    await runs.cancel(parent, reason="all of it")
    for child in children:
        assert (await runs.ended(child)).status == "cancelled"
    booked.openai.reset()
