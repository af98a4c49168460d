"""What becomes of the provider's call when its caller goes away: as the request says, and always booked."""

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, usage_pb2
from tests.service.running import Failure, Running, Upstreams, asked, failure, failure_of, running, text_of
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")

SUCCEEDED = execution_pb2.EXECUTION_STATE_SUCCEEDED
FAILED = execution_pb2.EXECUTION_STATE_FAILED
CANCELLED = execution_pb2.EXECUTION_STATE_CANCELLED
DRAIN, CONTINUE = pb.DISCONNECT_POLICY_DRAIN_FOR_USAGE, pb.DISCONNECT_POLICY_CONTINUE
REPORTED = usage_pb2.PROVENANCE_PROVIDER_REPORTED
NOTICED_S = 2.0  # tests/acceptance measures how fast
WORD = " you"  # one token
WORDS = 60
PACED = Reply([WORD] * WORDS, interval_s=0.01)
FOREVER = Reply([WORD] * 5000, interval_s=0.01)


def metadata(request_id: str) -> tuple[tuple[str, str], ...]:
    return (("x-request-id", request_id),)


async def leave(service: Running, request: pb.CreateCompletionRequest, request_id: str) -> str:
    """Cancels a stream after some chunks; the id of its answer."""
    call = service.completions.StreamCompletion(request, metadata=metadata(request_id))
    said, id = "", ""
    async for chunk in call:
        said, id = said + text_of([chunk]), chunk.id
        if len(said) >= 20:
            break
    call.cancel()
    return id


async def stored(service: Running, id: str) -> pb.Completion:
    """Once it is there."""
    async with asyncio.timeout(5):
        while True:
            try:
                return await service.completions.GetCompletion(pb.GetCompletionRequest(id=id))
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.NOT_FOUND:
                    raise
            await asyncio.sleep(0.01)


async def missing(service: Running, id: str) -> Failure:
    return await failure(service.completions.GetCompletion(pb.GetCompletionRequest(id=id)))


def said(answer: pb.Completion) -> str:
    return "".join(part.text for part in answer.choices[0].message.content)


class TestDrain:
    async def test_stream_goes_on_without_its_caller_and_its_use_is_the_providers_own_report(
        self, booked: Running
    ) -> None:
        booked.openai.script(PACED)
        await leave(booked, asked(disconnect_policy=DRAIN), "drained-1")
        await booked.openai.bill.until(lambda bill: bill[0].finished)
        [row] = await booked.rows("drained-1")
        [entry] = booked.openai.bill
        assert (row.state, row.usage.output_provenance) == (SUCCEEDED, REPORTED)
        assert row.usage.output_tokens == entry.completion_tokens
        assert not entry.disconnected
        assert (await missing(booked, "drained-1")).reason == "COMPLETION_NOT_FOUND"

    async def test_whole_answer_goes_on_too(self, booked: Running) -> None:
        booked.openai.script(Reply("late", headers_delay_s=1.0))
        call = booked.completions.CreateCompletion(
            asked(disconnect_policy=DRAIN), timeout=0.5, metadata=metadata("drained-2")
        )
        with pytest.raises(grpc.aio.AioRpcError):
            await call
        [row] = await booked.rows("drained-2")
        assert (row.state, row.usage.output_provenance) == (SUCCEEDED, REPORTED)

    async def test_server_that_stops_waits_for_it(
        self, upstreams: Upstreams, sqlite_template: Path, tmp_path: Path
    ) -> None:
        shutil.copy(sqlite_template, tmp_path / "spine.db")
        async with running(upstreams, f"sqlite:///{tmp_path}/spine.db") as stopping:
            upstreams.openai.script(PACED)
            await leave(stopping, asked(disconnect_policy=DRAIN), "drained-3")
            await stopping.stop()
            [row] = await stopping.rows("drained-3")
            assert row.state == SUCCEEDED
        assert upstreams.openai.bill[0].finished

    async def test_server_that_stops_does_not_wait_for_ever_and_books_what_was_used(
        self, upstreams: Upstreams, sqlite_template: Path, tmp_path: Path
    ) -> None:
        shutil.copy(sqlite_template, tmp_path / "spine.db")
        url = f"sqlite:///{tmp_path}/spine.db"
        async with running(upstreams, url, drain_timeout=0.2) as stopping:
            upstreams.openai.script(FOREVER)
            await leave(stopping, asked(disconnect_policy=DRAIN), "drained-4")
            await stopping.stop()
            [row] = await stopping.rows("drained-4")
            assert (row.state, row.usage.output_tokens > 0) == (CANCELLED, True)


class TestContinue:
    async def test_answer_is_fetched_by_its_id_and_by_its_requests(self, booked: Running) -> None:
        booked.openai.script(Reply([WORD] * WORDS, interval_s=0.03))
        id = await leave(booked, asked(disconnect_policy=CONTINUE), "continued-1")
        for name in (id, "continued-1"):
            found = await missing(booked, name)
            assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "COMPLETION_NOT_FOUND")
            assert found.metadata == {"id": name, "hint": "still running"}
        answer = await stored(booked, id)
        assert (said(answer), answer.id, answer.request_id) == (WORD * WORDS, id, "continued-1")
        assert await stored(booked, "continued-1") == answer
        [row] = await booked.rows("continued-1")
        assert (row.state, row.id) == (SUCCEEDED, answer.execution_id)
        assert (answer.usage, answer.cost) == (row.usage, row.cost)

    async def test_whole_answer_of_a_caller_without_patience_is_fetched(self, booked: Running) -> None:
        booked.openai.script(Reply("late", headers_delay_s=1.0))
        call = booked.completions.CreateCompletion(
            asked(disconnect_policy=CONTINUE), timeout=0.5, metadata=metadata("continued-2")
        )
        with pytest.raises(grpc.aio.AioRpcError):
            await call
        assert said(await stored(booked, "continued-2")) == "late"
        assert len(booked.openai.bill.calls) == 1

    async def test_caller_who_stays_can_fetch_it_again(self, booked: Running) -> None:
        answer = await booked.completions.CreateCompletion(asked(disconnect_policy=CONTINUE))
        request = pb.GetCompletionRequest(id=answer.id)
        assert await booked.completions.GetCompletion(request) == answer

    async def test_error_that_it_ended_with_is_fetched_too(self, booked: Running) -> None:
        booked.openai.script(Reply([WORD] * WORDS, interval_s=0.01, fault="truncate", after=40))
        await leave(booked, asked(disconnect_policy=CONTINUE), "continued-3")
        [row] = await booked.rows("continued-3")
        assert row.state == FAILED
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stored(booked, "continued-3")
        found = failure_of(raised.value)
        assert (found.reason, found.message) == (row.error_reason, row.error)
        assert found.metadata["provider"] == "openai"

    async def test_answer_outlives_the_server_that_made_it(
        self, upstreams: Upstreams, sqlite_template: Path, tmp_path: Path
    ) -> None:
        shutil.copy(sqlite_template, tmp_path / "spine.db")
        url = f"sqlite:///{tmp_path}/spine.db"
        async with running(upstreams, url) as first:
            upstreams.openai.script(PACED)
            await leave(first, asked(disconnect_policy=CONTINUE), "continued-4")
        async with running(upstreams, url) as second:
            assert said(await stored(second, "continued-4")) == WORD * WORDS

    async def test_answer_that_the_server_could_not_wait_for_is_said_to_be_lost(
        self, upstreams: Upstreams, sqlite_template: Path, tmp_path: Path
    ) -> None:
        shutil.copy(sqlite_template, tmp_path / "spine.db")
        url = f"sqlite:///{tmp_path}/spine.db"
        async with running(upstreams, url, drain_timeout=0.1) as first:
            upstreams.openai.script(FOREVER)
            await leave(first, asked(disconnect_policy=CONTINUE), "continued-5")
        async with running(upstreams, url) as second:
            found = await missing(second, "continued-5")
            assert "ended during the call" in found.metadata["hint"]

    async def test_unknown_id_is_not_found(self, booked: Running) -> None:
        found = await missing(booked, "comp_nobody")
        assert (found.reason, found.metadata) == ("COMPLETION_NOT_FOUND", {"id": "comp_nobody"})


class TestCancel:
    @pytest.mark.parametrize("fields", [{}, {"coalesce": True}])
    async def test_last_caller_who_leaves_stops_the_upstream_at_once(
        self, booked: Running, fields: dict[str, Any]
    ) -> None:
        booked.openai.script(FOREVER)
        request_id = f"left-{len(fields)}"
        await leave(booked, asked(f"leaving {fields}", **fields), request_id)
        left = time.monotonic()
        await booked.openai.bill.until(lambda bill: bill[0].disconnected)
        assert booked.openai.bill[0].disconnected_at - left < NOTICED_S
        [row] = await booked.rows(request_id)
        assert (row.state, row.usage.output_tokens > 0) == (CANCELLED, True)

    async def test_shared_call_goes_on_as_long_as_one_caller_stays(self, booked: Running) -> None:
        booked.openai.script(PACED)
        request = asked("shared leaving", coalesce=True)
        leaving = asyncio.create_task(leave(booked, request, "left-3"))
        await booked.openai.bill.until(lambda bill: len(bill) == 1)
        chunks = [chunk async for chunk in booked.completions.StreamCompletion(request)]
        await leaving
        assert text_of(chunks) == WORD * WORDS
        assert chunks[-1].cache_status == pb.CACHE_STATUS_COALESCED
        assert len(booked.openai.bill) == 1
        [row] = await booked.rows("left-3")
        assert row.state == SUCCEEDED

    async def test_strongest_policy_of_the_callers_holds(self, booked: Running) -> None:
        booked.openai.script(PACED)
        keeping = asked("two policies", coalesce=True, disconnect_policy=CONTINUE)
        plain = asked("two policies", coalesce=True)
        await asyncio.gather(leave(booked, keeping, "left-4"), leave(booked, plain, "left-5"))
        assert said(await stored(booked, "left-4")) == WORD * WORDS
        assert len(booked.openai.bill) == 1
