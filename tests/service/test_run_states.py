"""States of runs through the channel, on both databases: keys, cancellation, deadlines, retries, approval."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import grpc
import pytest

from genai_spine.runs import worker
from genai_spine.store.runs.orphans import Served
from genai_spine.v1 import execution_pb2
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.run_pb2 import RunOptions
from tests.service.run_calls import RunCalls, completion, free, provider_calls
from tests.service.running import Running, failure, failure_of
from tests.upstreams.reply import Reply
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")
numbers = count(1)
SLOW = Reply(["never ", "read"], first_delay_s=30.0)
LIMITED = Reply(status=429, body={"error": {"message": "slow down", "code": "rate_limit_exceeded"}})


@pytest.fixture
def runs(booked: Running) -> RunCalls:
    return RunCalls(booked.channel)


def in_time(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def new_key() -> str:
    return f"key-{next(numbers)}"


async def sent(booked: Running, number: int) -> None:
    """Returns once the upstream has got so many calls."""
    await until(lambda: len(booked.openai.bill.calls) >= number)


class TestStart:
    async def test_run_starts_although_nobody_looks_at_a_queue_that_was_empty(
        self, runs: RunCalls, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(worker, "CLAIM_S", 600.0)
        await runs.ended(await runs.submit(free()))  # what is there is empty from now on
        await asyncio.sleep(2 * worker.PROMOTE_S)
        await runs.ended(await runs.submit(free()))


class TestIdempotencyKey:
    async def test_a_hundred_callers_at_once_get_one_run(self, booked: Running, runs: RunCalls):
        key = new_key()
        found = await asyncio.gather(*(runs.submit(free(), idempotency_key=key) for _ in range(100)))
        assert len({run.run_id for run in found}) == 1
        assert sorted(run.is_existing for run in found) == [False] + [True] * 99
        run = await runs.ended(found[0])
        assert await runs.log(run) == ["created", "queued", "started", "completed"]

    async def test_other_work_is_refused_for_good(self, booked: Running, runs: RunCalls):
        key = new_key()
        await runs.submit(free(), idempotency_key=key)
        over_rest = RunCalls(booked.channel, [("x-envoy-original-path", "/v1/runs")])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await over_rest.submit(free("Something else"), idempotency_key=key)
        found = failure_of(caught.value)
        assert (found.code, found.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED")
        trailing = {str(name): str(value) for name, value in caught.value.trailing_metadata() or ()}
        assert trailing["x-genai-http-status"] == "409"
        assert trailing["x-should-retry"] == "false"

    async def test_each_tenant_has_its_own(self, booked: Running, runs: RunCalls):
        key = new_key()
        other = RunCalls(booked.channel, [("x-tenant-id", "other")])
        mine, theirs = (
            await runs.submit(free(), idempotency_key=key),
            await other.submit(free(), idempotency_key=key),
        )
        assert mine.run_id != theirs.run_id
        assert not theirs.is_existing


class TestCancel:
    async def test_a_running_call_ends_at_once_and_stays_on_the_books(self, booked: Running, runs: RunCalls):
        booked.openai.script(SLOW)
        run = await runs.submit()
        await sent(booked, 1)
        await runs.cancel(run, reason="no longer needed")
        run = await runs.ended(run)
        assert run.status == "cancelled"
        assert (await runs.events(run))[-1].data["reason"] == "no longer needed"
        entry = booked.openai.bill.calls[0]
        await until(lambda: entry.disconnected)
        rows = await provider_calls(booked, run.run_id)
        assert [row.state for row in rows] == [execution_pb2.EXECUTION_STATE_CANCELLED]
        assert run.cost.cost_ticks == sum(row.cost.cost_ticks for row in rows)

    async def test_a_boundary_lets_the_call_end(self, booked: Running, runs: RunCalls):
        booked.openai.script(Reply("done", first_delay_s=0.5))
        run = await runs.submit()
        await sent(booked, 1)
        assert (await runs.cancel(run, "boundary")).is_cancelling
        run = await runs.ended(run)
        assert run.status == "completed"  # it had no further step
        assert run.response.completion.choices[0].message.content[0].text == "done"

    async def test_what_waits_never_starts_and_its_children_neither(self, booked: Running, runs: RunCalls):
        parent = await runs.submit(hold=True)
        child = await runs.submit(parent_run_id=parent.run_id, hold=True)
        grandchild = await runs.submit(parent_run_id=child.run_id, not_before=in_time(3600))
        assert (await runs.cancel(parent)).status == "cancelled"
        for run in (parent, child, grandchild):
            assert (await runs.log(run)) == ["created", "cancelled"]
            assert not (await runs.get(run.run_id)).HasField("start_time")
        assert booked.openai.bill.calls == []

    @pytest.mark.parametrize("status", ["completed", "cancelled"])
    async def test_what_has_ended_cannot_be_cancelled(self, booked: Running, runs: RunCalls, status: str):
        run = await runs.submit(free(), hold=status == "cancelled")
        if status == "cancelled":
            await runs.cancel(run)
        run = await runs.ended(run)
        found = await failure(runs.runs.CancelRun(pb.CancelRunRequest(run_id=run.run_id)))
        assert (found.reason, found.metadata["status"]) == ("NOT_CANCELLABLE", status)

    async def test_no_retry_follows_a_cancellation(self, booked: Running, runs: RunCalls):
        """The attempt fails for a reason that is retried, after somebody asked for a boundary."""
        booked.openai.script(Reply(status=429, body=LIMITED.body, headers_delay_s=0.5))
        run = await runs.submit(retry_delay_seconds=0.0)
        await sent(booked, 1)
        await runs.cancel(run, "boundary", "enough")
        run = await runs.ended(run)
        assert run.status == "cancelled"
        assert (await runs.log(run))[-2:] == ["started", "cancelled"]

    async def test_a_retry_that_waits_can_be_cancelled(self, booked: Running, runs: RunCalls):
        booked.openai.script(LIMITED)
        run = await runs.submit(retry_delay_seconds=3600.0)
        run = await runs.reached(run, "pending")
        assert (run.waiting_reason, run.attempt) == ("RETRY", 2)
        assert (await runs.cancel(run)).status == "cancelled"
        assert len(booked.openai.bill.calls) == 1

    async def test_of_a_race_with_the_end_one_wins(self, booked: Running, runs: RunCalls):
        async def race(pause_s: float) -> str:
            run = await runs.submit(free())
            await asyncio.sleep(pause_s)
            refused = await asyncio.gather(runs.cancel(run), return_exceptions=True)
            run = await runs.ended(run)
            for error in refused:
                if isinstance(error, grpc.aio.AioRpcError):
                    assert (failure_of(error).reason, run.status) == ("NOT_CANCELLABLE", "completed")
            ends = {"completed", "cancelled"}.intersection(await runs.log(run))
            assert ends == {run.status}
            return run.status

        await asyncio.gather(*(race(number * 0.002) for number in range(30)))


class TestDeadline:
    async def test_a_running_attempt_is_ended(self, booked: Running, runs: RunCalls):
        booked.openai.script(SLOW)
        run = await runs.ended(await runs.submit(deadline=in_time(0.7)))
        assert (run.status, run.error.type, run.attempt) == ("failed", "timeout", 1)
        assert (await runs.log(run))[-2:] == ["timed_out", "failed"]
        rows = await provider_calls(booked, run.run_id)
        assert len(rows) == 1

    async def test_so_is_one_that_takes_too_long(self, booked: Running, runs: RunCalls):
        booked.openai.script(SLOW)
        run = await runs.ended(await runs.submit(timeout=timedelta(seconds=0.4)))
        assert (run.status, run.error.type) == ("failed", "timeout")
        assert "longer than 0:00:00.4" in run.error.message

    @pytest.mark.parametrize(
        "options", [{"hold": True}, {"not_before": 3600}, {"lane": "nobody"}], ids=["held", "early", "lane"]
    )
    async def test_it_holds_while_a_run_waits(self, booked: Running, runs: RunCalls, options: Any):
        given = dict(options)
        if "not_before" in given:
            given["not_before"] = in_time(given["not_before"])
        worker = booked.server.foundation.runs.worker
        if given.get("lane") == "nobody":  # no worker takes it
            object.__setattr__(worker.rules, "serves_others", False)
            worker._served = Served(("cpu",))
        try:
            run = await runs.ended(await runs.submit(free(), deadline=in_time(0.3), **given))
        finally:
            object.__setattr__(worker.rules, "serves_others", True)
            worker._served = Served((), is_all_but=True)
        assert (run.status, run.error.type) == ("failed", "timeout")
        assert await runs.log(run) == ["created", "queued", "timed_out", "failed"]

    async def test_no_retry_is_begun_behind_it(self, booked: Running, runs: RunCalls):
        booked.openai.script(LIMITED)
        run = await runs.submit(retry_delay_seconds=60.0, deadline=in_time(30))
        run = await runs.ended(run)
        assert (run.status, run.error.type) == ("failed", "PROVIDER_RATE_LIMITED")
        assert len(booked.openai.bill.calls) == 1


class TestRetry:
    async def test_a_rate_limit_is_retried_on_the_same_run(self, booked: Running, runs: RunCalls):
        booked.openai.script(LIMITED, Reply("four"))
        run = await runs.ended(await runs.submit(retry_delay_seconds=0.01))
        assert (run.status, run.attempt) == ("completed", 2)
        assert not run.HasField("error")
        events = await runs.events(run)
        assert [event.event_type for event in events] == [
            *("created", "queued", "started", "failed", "retry_scheduled"),
            *("queued", "started", "completed"),
        ]
        assert dict(events[4].data) == {"delay": 0.01, "attempt": 2}

    async def test_the_provider_says_when(self, booked: Running, runs: RunCalls):
        limited = Reply(status=429, body=LIMITED.body, headers={"retry-after": "1234"})
        booked.openai.script(limited)
        run = await runs.reached(await runs.submit(retry_delay_seconds=1.0), "pending")
        [delay] = [e.data["delay"] for e in await runs.events(run) if e.event_type == "retry_scheduled"]
        assert delay == pytest.approx(1234, abs=1)
        await runs.cancel(run)

    async def test_used_up_retries_end_among_the_dead_letters(self, booked: Running, runs: RunCalls):
        booked.openai.script(*[LIMITED] * 3)
        run = await runs.ended(await runs.submit(max_retries=2, backoff="none"))
        assert (run.status, run.attempt, run.error.type) == ("dead_lettered", 3, "PROVIDER_RATE_LIMITED")
        assert run.HasField("dead_letter_id")
        assert (await runs.log(run))[-2:] == ["failed", "dead_lettered"]
        assert len(booked.openai.bill.calls) == 3

    async def test_a_dead_provider_is_called_as_often_as_without_a_run(self, booked: Running, runs: RunCalls):
        dead = Reply(status=503, body={"error": {"message": "down"}})
        booked.openai.script(*[dead] * 9)
        await failure(booked.completions.CreateCompletion(completion().completion))
        once = len(booked.openai.bill.calls)
        booked.openai.reset()
        booked.openai.script(*[dead] * 9)
        run = await runs.ended(await runs.submit(max_retries=5, backoff="none"))
        assert (run.status, run.attempt) == ("failed", 1)
        assert not run.error.is_retryable
        assert len(booked.openai.bill.calls) == once
        booked.openai.reset()

    async def test_by_hand_it_is_a_new_run(self, booked: Running, runs: RunCalls):
        key = new_key()
        booked.openai.script(Reply(status=400, body={"error": {"message": "no"}}), Reply("yes"))
        first = await runs.ended(await runs.submit(idempotency_key=key, metadata={"a": "b"}))
        assert first.status == "failed"
        second = await runs.runs.RetryRun(pb.RetryRunRequest(run_id=first.run_id))
        assert (second.retry_of_run_id, second.attempt) == (first.run_id, 2)
        assert (second.options.trigger_source, dict(second.options.metadata)) == ("retry", {"a": "b"})
        assert not second.HasField("idempotency_key")
        assert (await runs.ended(second)).status == "completed"
        last = (await runs.events(first))[-1]
        assert (last.event_type, dict(last.data)) == ("retried", {"new_run_id": second.run_id})
        assert (await runs.get(first.run_id)).status == "failed"

    async def test_only_of_what_failed(self, booked: Running, runs: RunCalls):
        run = await runs.ended(await runs.submit(free()))
        found = await failure(runs.runs.RetryRun(pb.RetryRunRequest(run_id=run.run_id)))
        assert (found.reason, found.metadata["status"]) == ("RUN_STATE", "completed")


class TestWaiting:
    async def test_a_held_run_starts_with_its_approval(self, booked: Running, runs: RunCalls):
        run = await runs.submit(free(), hold=True)
        assert (run.status, run.waiting_reason) == ("pending", "APPROVAL")
        await runs.runs.ApproveRun(pb.ApproveRunRequest(run_id=run.run_id))
        run = await runs.ended(run)
        assert await runs.log(run) == ["created", "approved", "queued", "started", "completed"]
        found = await failure(runs.runs.ApproveRun(pb.ApproveRunRequest(run_id=run.run_id)))
        assert found.reason == "RUN_STATE"

    async def test_a_run_starts_no_earlier_than_asked(self, booked: Running, runs: RunCalls):
        at = in_time(1.0)
        run = await runs.submit(free(), not_before=at)
        assert (run.status, run.waiting_reason) == ("pending", "NOT_BEFORE")
        run = await runs.ended(run)
        assert run.start_time.ToDatetime(UTC) >= at - timedelta(milliseconds=5)

    async def test_a_child_has_its_parents_id_user_and_root(self, booked: Running, runs: RunCalls):
        parent = await runs.submit(free(), hold=True, user="ann")
        child = await runs.submit(free(), parent_run_id=parent.run_id)
        below = await runs.submit(free(), parent_run_id=child.run_id, correlation_id="mine", user="eve")
        assert (child.correlation_id, child.root_run_id, child.options.user) == (
            parent.run_id,
            parent.run_id,
            "ann",
        )
        assert (below.correlation_id, below.root_run_id, below.options.user) == ("mine", parent.run_id, "eve")
        await runs.cancel(parent)

    async def test_a_child_needs_a_parent_of_its_tenant(self, booked: Running, runs: RunCalls):
        parent = await runs.submit(free(), hold=True)
        other = RunCalls(booked.channel, [("x-tenant-id", "other")])
        for parent_id in (parent.run_id, "00000000-0000-0000-0000-000000000000"):
            request = pb.CreateRunRequest(work=free(), options=RunOptions(parent_run_id=parent_id))
            found = await failure(other.runs.CreateRun(request, metadata=other.metadata))
            assert found.reason == "RUN_NOT_FOUND"
        await runs.cancel(parent)
