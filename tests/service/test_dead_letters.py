"""Dead letters through the channel, on both databases: listed, replayed, resolved and purged."""

from typing import Any

import pytest
import sqlalchemy as sa

from genai_spine.store.runs.tables import dead_letters
from genai_spine.v1 import dead_letter_service_pb2 as pb
from genai_spine.v1 import run_pb2
from tests.service.run_calls import RunCalls
from tests.service.running import Running, failure
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")
LIMITED = Reply(status=429, body={"error": {"message": "slow down", "code": "rate_limit_exceeded"}})


@pytest.fixture
def runs(booked: Running) -> RunCalls:
    return RunCalls(booked.channel)


async def dead(booked: Running, runs: RunCalls, **options: Any) -> run_pb2.Run:
    """A run whose retries are used up."""
    booked.openai.script(LIMITED)
    run = await runs.ended(await runs.submit(max_retries=0, **options))
    assert run.status == "dead_lettered"
    return run


async def letter(runs: RunCalls, run: run_pb2.Run) -> pb.DeadLetter:
    found: pb.DeadLetter = await runs.letters.GetDeadLetter(
        pb.GetDeadLetterRequest(dead_letter_id=run.dead_letter_id)
    )
    return found


async def replayed(runs: RunCalls, run: run_pb2.Run) -> run_pb2.Run:
    request = pb.ReplayDeadLetterRequest(dead_letter_id=run.dead_letter_id)
    found: run_pb2.Run = await runs.letters.ReplayDeadLetter(request)
    return found


async def refused(runs: RunCalls, run: run_pb2.Run) -> str:
    request = pb.ReplayDeadLetterRequest(dead_letter_id=run.dead_letter_id)
    return (await failure(runs.letters.ReplayDeadLetter(request))).metadata.get("problem", "")


async def test_a_replay_that_completes_resolves_the_entry(booked: Running, runs: RunCalls):
    run = await dead(booked, runs)
    entry = await letter(runs, run)
    assert (entry.run_id, entry.name, entry.error.type) == (
        run.run_id,
        "genai.completion",
        "PROVIDER_RATE_LIMITED",
    )
    assert (entry.replay_count, entry.max_replays) == (0, 3)
    booked.openai.script(Reply("four"))
    again = await replayed(runs, run)
    assert (again.run_id, again.attempt) == (run.run_id, 2)
    again = await runs.ended(again)
    assert again.status == "completed"
    assert (await runs.log(run))[4:] == ["dead_lettered", "reprocessed", "queued", "started", "completed"]
    entry = await letter(runs, run)
    assert (entry.replay_count, entry.resolved_by) == (1, "replay")
    assert await refused(runs, run) == "it is resolved"


async def test_three_replays_are_the_most(booked: Running, runs: RunCalls):
    run = await dead(booked, runs)
    for attempt in (2, 3, 4):
        booked.openai.script(LIMITED)
        run = await runs.ended(await replayed(runs, run))
        assert (run.status, run.attempt) == ("dead_lettered", attempt)
    assert await refused(runs, run) == "it was replayed 3 times"
    assert (await letter(runs, run)).replay_count == 3


async def test_a_replay_that_waits_is_not_replayed_again(booked: Running, runs: RunCalls):
    run = await dead(booked, runs)
    booked.openai.script(Reply("late", first_delay_s=30.0))
    await runs.reached(await replayed(runs, run), "running")
    assert await refused(runs, run) == "its run is being replayed"
    await runs.cancel(run)
    await runs.ended(run)


async def test_lists_show_what_is_not_dealt_with(booked: Running, runs: RunCalls):
    first, second = await dead(booked, runs), await dead(booked, runs)
    listed = await runs.letters.ListDeadLetters(pb.ListDeadLettersRequest(page_size=1, name="completion"))
    assert [one.run_id for one in listed.dead_letters] == [second.run_id]
    assert listed.total_size >= 2
    further = pb.ListDeadLettersRequest(page_size=1, name="completion", page_token=listed.next_page_token)
    assert (await runs.letters.ListDeadLetters(further)).dead_letters[0].run_id == first.run_id
    request = pb.ResolveDeadLetterRequest(dead_letter_id=second.dead_letter_id)
    assert (await runs.letters.ResolveDeadLetter(request)).resolved_by == "anonymous"
    assert (await failure(runs.letters.ResolveDeadLetter(request))).reason == "CONFLICT"
    open_ones = (await runs.letters.ListDeadLetters(pb.ListDeadLettersRequest())).dead_letters
    all_of_them = pb.ListDeadLettersRequest(include_resolved=True)
    everything = (await runs.letters.ListDeadLetters(all_of_them)).dead_letters
    assert second.run_id not in {one.run_id for one in open_ones}
    assert second.run_id in {one.run_id for one in everything}


async def test_a_foreign_one_is_not_there(booked: Running, runs: RunCalls):
    run = await dead(booked, runs)
    request = pb.GetDeadLetterRequest(dead_letter_id=run.dead_letter_id)
    other = [("x-tenant-id", "other")]
    assert (await failure(runs.letters.GetDeadLetter(request, metadata=other))).reason == (
        "DEAD_LETTER_NOT_FOUND"
    )


async def test_only_what_was_resolved_long_ago_is_purged(booked: Running, runs: RunCalls):
    left, old, young = [await dead(booked, runs) for _ in range(3)]
    for run in (old, young):
        await runs.letters.ResolveDeadLetter(pb.ResolveDeadLetterRequest(dead_letter_id=run.dead_letter_id))
    async with booked.database.begin() as connection:
        past = sa.text("'2020-01-01 00:00:00.000000'")
        if booked.database.dialect == "postgresql":
            past = sa.text("now() - interval '91 days'")
        mine = dead_letters.c.run_id == old.run_id
        await connection.execute(sa.update(dead_letters).where(mine).values(resolved_at=past))
    assert (await runs.letters.PurgeDeadLetters(pb.PurgeDeadLettersRequest())).deleted == 1
    assert (await runs.get(old.run_id)).HasField("dead_letter_id") is False
    assert (await letter(runs, left)).run_id == left.run_id
    assert (await letter(runs, young)).run_id == young.run_id
