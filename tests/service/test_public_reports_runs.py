"""Public bug reports about durable background work of other products, each as a test of ours."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from genai_spine.store.tables import executions
from genai_spine.v1 import batch_pb2, item_work_pb2, run_pb2
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.run_pb2 import RunOptions
from genai_spine.v1.work_pb2 import Work
from tests.service.public_reports import reported
from tests.service.run_calls import RunCalls, completion, free, provider_calls
from tests.service.running import Running, asked, failure
from tests.upstreams.reply import Reply
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")
BUSY = Reply(status=429, body={"error": {"message": "slow down", "type": "rate_limit_error"}})


def batch(*texts: str) -> Work:
    items = [
        batch_pb2.BatchItem(work=item_work_pb2.ItemWork(completion=asked(text, model="gpt-4o")))
        for text in texts
    ]
    return Work(batch=batch_pb2.Batch(items=items))


def in_s(seconds: float) -> Timestamp:
    at = Timestamp()
    at.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
    return at


@reported("R1", "celery/celery#2599, celery/kombu#337")
async def test_a_run_that_waits_longer_than_a_lease_starts_once(booked: Running, report: str) -> None:
    calls, due = RunCalls(booked.channel), datetime.now(UTC) + timedelta(seconds=1)
    request = pb.CreateRunRequest(work=completion(report, model="gpt-4o"))
    request.options.not_before.FromDatetime(due)
    run = await calls.runs.CreateRun(request)
    assert run.status == "pending"
    ended = await calls.ended(run)
    assert ended.start_time.ToDatetime(UTC) >= due
    assert (await calls.log(run)).count("started") == 1
    assert len(await provider_calls(booked, run.run_id)) == 1


@reported("R2", "procrastinate-org/procrastinate#1131")
async def test_a_run_that_was_asked_to_end_is_not_retried(booked: Running, report: str) -> None:
    calls = RunCalls(booked.channel)
    booked.openai.script(*[Reply(status=429, headers_delay_s=1.0, body=BUSY.body)] * 8)
    run = await calls.submit(completion(report, model="gpt-4o"), max_retries=3, retry_delay_seconds=0.1)
    await until(lambda: any(report in entry.raw for entry in booked.openai.bill))
    await calls.cancel(run, mode="boundary")
    ended = await calls.ended(run)
    assert ended.status == "cancelled"
    assert "retry_scheduled" not in await calls.log(run)
    booked.openai.reset()


@reported("R3", "triggerdotdev/trigger.dev#2965")
async def test_equal_items_of_a_batch_all_end(booked: Running, report: str) -> None:
    calls = RunCalls(booked.channel)
    ended = await calls.ended(await calls.submit(batch(report, report, report)))
    assert (ended.status, ended.item_counts.completed) == ("completed", 3)


@reported("R4", "triggerdotdev/trigger.dev#4819, inngest/inngest#875")
async def test_a_key_names_one_run_also_when_that_has_failed(booked: Running, report: str) -> None:
    calls, key = RunCalls(booked.channel), f"{report} {uuid4()}"
    booked.openai.script(Reply(status=400, body={"error": {"message": "no"}}))
    work = completion(report, model="gpt-4o")
    first = await calls.submit(work, idempotency_key=key)
    assert (await calls.ended(first)).status == "failed"
    again = await asyncio.gather(*(calls.submit(work, idempotency_key=key) for _ in range(3)))
    assert {run.run_id for run in again} == {first.run_id}
    assert {run.status for run in again} == {"failed"}, "it says so, in the place of a run that never ends"
    fresh = await calls.runs.RetryRun(pb.RetryRunRequest(run_id=first.run_id))
    assert fresh.run_id != first.run_id
    assert (await calls.ended(fresh)).status == "completed"


@reported("R5", "BerriAI/litellm#12084, BerriAI/litellm#37050")
async def test_reading_a_batch_again_and_again_books_nothing(booked: Running, report: str) -> None:
    calls = RunCalls(booked.channel)
    run = await calls.ended(await calls.submit(batch(report, f"{report} too")))
    query = sa.select(sa.func.count(), sa.func.sum(executions.c.cost_ticks)).where(
        executions.c.run_id == run.run_id
    )
    for _ in range(5):
        assert (await calls.get(run.run_id)).cost == run.cost
        await calls.runs.ListRunItems(pb.ListRunItemsRequest(run_id=run.run_id))
        async with booked.database.connect() as connection:
            assert tuple((await connection.execute(query)).one()) == (2, run.cost.cost_ticks)


@reported("R6", "langchain-ai/langgraph#7778")
async def test_a_watcher_that_joins_anywhere_sees_the_same_rest(booked: Running, report: str) -> None:
    calls = RunCalls(booked.channel)
    run = await calls.ended(await calls.submit(batch(*(f"{report} {number}" for number in range(5)))))
    whole = await calls.events(run)
    for after in range(len(whole) + 1):
        request = pb.WatchRunRequest(run_id=run.run_id, after_sequence=after)
        seen = [event.sequence async for event in calls.runs.WatchRun(request)]
        assert seen == list(range(after + 1, len(whole) + 1))


@reported("R7", "lmstudio-ai/lmstudio-bug-tracker#1203")
async def test_a_run_that_is_cancelled_at_once_stops_its_provider(booked: Running, report: str) -> None:
    calls = RunCalls(booked.channel)
    booked.openai.script(Reply(["word "] * 200, interval_s=0.1))
    run = await calls.submit(completion(report, model="gpt-4o"))
    assert (await calls.cancel(run)).run_id == run.run_id
    assert (await calls.ended(run)).status == "cancelled"
    entries = [entry for entry in booked.openai.bill if report in entry.raw]
    await until(lambda: all(entry.disconnected or entry.ended_at for entry in entries))
    assert not any(entry.finished for entry in entries)
    booked.openai.reset()


@reported("R8", "pydantic/pydantic-ai#7164, temporalio/features#723")
async def test_large_work_ends_at_its_first_attempt(booked: Running, report: str) -> None:
    calls = RunCalls(booked.channel)
    run = await calls.ended(await calls.submit(free(report + " word" * (1 << 19))))
    assert (run.attempt, run.status) in {(1, "completed"), (1, "failed")}
    assert "retry_scheduled" not in await calls.log(run)


@reported("R9", "riverqueue/river#357")
async def test_a_key_of_an_ended_run_does_not_block_other_work(booked: Running, report: str) -> None:
    calls, key = RunCalls(booked.channel), f"{report} {uuid4()}"
    run = await calls.ended(await calls.submit(free(report), idempotency_key=key))
    request = pb.CreateRunRequest(work=free(f"{report} again"), options=RunOptions(idempotency_key=key))
    refused = await failure(calls.runs.CreateRun(request))
    assert refused.reason == "IDEMPOTENCY_KEY_REUSED"
    other: run_pb2.Run = await calls.submit(free(report), idempotency_key=f"{key} 2")
    assert (await calls.ended(other)).run_id != run.run_id


@reported("R10", "hatchet-dev/hatchet#4900")
async def test_a_run_that_is_cancelled_between_two_attempts_never_begins_again(
    booked: Running, report: str
) -> None:
    calls = RunCalls(booked.channel)
    booked.openai.script(*[BUSY] * 8)
    run = await calls.submit(completion(report, model="gpt-4o"), max_retries=3, retry_delay_seconds=0.5)
    waiting = await calls.reached(run, "pending")
    assert (waiting.waiting_reason, waiting.attempt) == ("RETRY", 2)
    assert (await calls.cancel(run)).status == "cancelled"
    after = await calls.ended(await calls.submit(free(f"{report} later"), not_before=in_s(1.5)))
    assert after.status == "completed"
    assert (await calls.log(run)).count("started") == 1
    assert (await calls.get(run.run_id)).status == "cancelled"
    booked.openai.reset()


@reported("R11", "hatchet-dev/hatchet#1996")
async def test_a_batch_whose_items_are_all_cancelled_has_ended(booked: Running, report: str) -> None:
    calls = RunCalls(booked.channel)
    booked.openai.script(*[Reply("late", headers_delay_s=20.0)] * 3)
    run = await calls.submit(batch(*(f"{report} {number}" for number in range(3))))
    await until(lambda: len([entry for entry in booked.openai.bill if report in entry.raw]) == 3)
    await calls.cancel(run)
    ended = await calls.ended(run)
    counts = ended.item_counts
    assert (ended.status, counts.running, counts.pending, counts.skipped) == ("cancelled", 0, 0, 3)
    items = (await calls.runs.ListRunItems(pb.ListRunItemsRequest(run_id=run.run_id))).items
    assert {item.status for item in items} == {"skipped"}
    booked.openai.reset()


@reported("R12", "hatchet-dev/hatchet#2573")
async def test_text_that_a_database_does_not_take_hangs_no_run(booked: Running, report: str) -> None:
    calls, words = RunCalls(booked.channel), ["a\x00b", "\ud7ff\U0001f600", "c\x00"]
    for _ in range(2):
        booked.openai.script(Reply(words, interval_s=0.1))
    streamed = await calls.submit(completion(f"{report} streamed", model="gpt-4o"))
    request = pb.WatchRunRequest(run_id=streamed.run_id, include_output=True)
    watched = [event async for event in calls.runs.WatchRun(request)]
    assert watched[-1].event_type == "completed"
    shown = "".join(event.output.text for event in watched if event.HasField("output"))
    assert shown
    assert "".join(words).startswith(shown)
    ended = await calls.ended(streamed)
    assert (ended.status, ended.attempt) == ("completed", 1)
    assert ended.response.completion.choices[0].message.content[0].text == "".join(words)
    items = await calls.ended(await calls.submit(batch(f"{report} item")))
    assert (items.status, items.item_counts.completed) == ("completed", 1)
    body = {"error": {"message": "no\x00thing", "type": "invalid\x00"}}
    booked.openai.script(Reply(status=400, body=body), Reply(status=400, body=body))
    failed = await calls.ended(await calls.submit(completion(f"{report} failed", model="gpt-4o")))
    assert (failed.status, failed.error.type) == ("failed", "PROVIDER_REJECTED")
    one = await calls.ended(await calls.submit(batch(f"{report} failed item")))
    assert (one.status, one.item_counts.failed) == ("completed", 1)
    assert (await calls.log(failed))[-1] == "failed"


@reported("R13", "dbos-inc/dbos-transact-py#759")
async def test_an_empty_name_of_anything_is_refused(booked: Running, report: str) -> None:
    calls = RunCalls(booked.channel)
    for options in ({"idempotency_key": ""}, {"correlation_id": ""}, {"lane": ""}, {"priority": ""}):
        refused = await failure(calls.submit(free(report), **options))
        assert refused.fields == [f"options.{next(iter(options))}"]
    requests = {
        "GetRun": pb.GetRunRequest(),
        "WaitRun": pb.WaitRunRequest(),
        "CancelRun": pb.CancelRunRequest(),
        "RetryRun": pb.RetryRunRequest(),
    }
    for method, request in requests.items():
        assert (await failure(getattr(calls.runs, method)(request))).fields == ["run_id"]


@reported("R14", "riverqueue/river#1258")
async def test_a_run_whose_upstream_never_answers_ends_with_its_timeout(booked: Running, report: str) -> None:
    calls = RunCalls(booked.channel)
    booked.openai.script(Reply("never", headers_delay_s=60.0))
    run = await calls.submit(completion(report, model="gpt-4o"), timeout=Duration(seconds=1))
    ended = await calls.ended(run)
    assert (ended.status, ended.error.type) == ("failed", "timeout")
    assert (await calls.log(run))[-2:] == ["timed_out", "failed"]
    await until(lambda: all(entry.disconnected for entry in booked.openai.bill if report in entry.raw))
    booked.openai.reset()
