"""A caller that goes away, or has no more time: the upstream stops at once and the row says what was used."""

import asyncio
import time
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody

from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, usage_pb2
from tests.service.running import Running, asked, text_of
from tests.upstreams import openai_errors
from tests.upstreams.clients import drain
from tests.upstreams.ollama import OllamaUpstream
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")

CANCELLED = execution_pb2.EXECUTION_STATE_CANCELLED
FAILED = execution_pb2.EXECUTION_STATE_FAILED
PARTIAL, UNKNOWN = usage_pb2.PROVENANCE_PARTIAL_STREAM, usage_pb2.PROVENANCE_UNKNOWN
NOTICED_S = 2.0  # of 9 s and more; tests/acceptance measures how fast it is
# One token each by OpenAI's encoding, by our estimate nearly so; the simulator counts a quarter of the
# characters, plus one.
WORD = " you"
LONG = Reply([WORD] * 2000, interval_s=0.005)


def metadata(request_id: str) -> tuple[tuple[str, str], ...]:
    return (("x-request-id", request_id),)


async def noticed(service: Running, left: float, model: str = "gpt-4o") -> Any:
    """The upstream's entry, once it knows that the caller went away; in time."""
    up = service.ollama if model.startswith("llama") else service.openai
    await up.bill.until(lambda bill: bool(bill.calls) and bill.calls[0].disconnected)
    entry = up.bill.calls[0]
    assert entry.disconnected_at is not None
    assert entry.disconnected_at - left < NOTICED_S
    return entry


class TestCancel:
    @pytest.mark.parametrize("model", ["gpt-4o", "llama3.2"])
    async def test_a_cancelled_stream_stops_the_upstream_and_books_what_it_sent(
        self, booked: Running, model: str
    ) -> None:
        up = booked.ollama if model.startswith("llama") else booked.openai
        up.script(LONG)
        asking = asked(WORD * 40, model=model if up is booked.openai else f"ollama:{model}")
        call = booked.completions.StreamCompletion(asking)
        said, request_id = "", ""
        async for chunk in call:
            said += "".join(delta.content for delta in chunk.choices)
            request_id = chunk.request_id
            if len(said) >= 80:
                break
        call.cancel()
        entry = await noticed(booked, time.monotonic(), model)
        [row] = await booked.rows(request_id)
        assert (row.state, row.streamed, row.error) == (CANCELLED, True, "the caller went away")
        assert row.usage.output_provenance == PARTIAL
        assert Tokenizer.if_loaded(row.model).count(said) <= row.usage.output_tokens
        assert row.usage.output_tokens == pytest.approx(entry.completion_tokens, abs=5)
        assert row.usage.input_tokens == pytest.approx(entry.prompt_tokens, abs=8)  # it counts no roles
        assert not entry.finished
        if isinstance(up, OllamaUpstream):
            assert row.cost.is_free
        else:
            assert row.cost.cost_ticks > 0

    async def test_a_cancelled_stream_of_events_is_the_same(self, booked: Running) -> None:
        booked.openai.script(LONG)
        body = b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Hi"}]}'
        call = booked.facade.CreateChatCompletion(HttpBody(data=body), metadata=metadata("cancelled-1"))
        for _ in range(10):
            await call.read()
        call.cancel()
        entry = await noticed(booked, time.monotonic())
        [row] = await booked.rows("cancelled-1")
        assert (row.state, row.usage.output_provenance) == (CANCELLED, PARTIAL)
        assert row.usage.output_tokens == pytest.approx(entry.completion_tokens, abs=5)

    @pytest.mark.parametrize("method", ["CreateCompletion", "StreamCompletion"])
    async def test_leaving_before_the_first_token_stops_the_upstream_too(
        self, service: Running, method: str
    ) -> None:
        service.openai.script(Reply("late", headers_delay_s=9))
        request_id = f"early-{method}"
        call = getattr(service.completions, method)(asked(), metadata=metadata(request_id))
        waiting = asyncio.ensure_future(call.read() if method.startswith("Stream") else call)
        await service.openai.bill.until(lambda bill: len(bill.calls) == 1)
        call.cancel()
        await noticed(service, time.monotonic())
        await asyncio.wait([waiting])
        assert waiting.cancelled() or waiting.exception()
        [row] = await service.rows(request_id)
        assert (row.state, row.usage.output_provenance, row.usage.output_tokens) == (CANCELLED, UNKNOWN, 0)

    async def test_leaving_while_a_prompt_is_one_of_many_stops_all_of_them(self, service: Running) -> None:
        service.openai.default = Reply("late", headers_delay_s=9)
        body = b'{"model":"gpt-4o","prompt":["a","b","c"]}'
        call = service.facade.CreateTextCompletion(HttpBody(data=body), metadata=metadata("many-1"))
        waiting = asyncio.ensure_future(call.read())
        await service.openai.bill.until(lambda bill: len(bill.calls) == 3)
        call.cancel()
        await service.openai.bill.until(lambda bill: all(entry.disconnected for entry in bill.calls))
        await asyncio.wait([waiting])
        assert waiting.cancelled() or waiting.exception()
        assert [row.state for row in await service.rows("many-1")] == [CANCELLED] * 3

    async def test_a_channel_that_closes_cancels_what_runs_on_it(self, service: Running) -> None:
        service.openai.script(LONG)
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{service.server.port}", [("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            stream = channel.unary_stream(
                "/genai_spine.v1.CompletionService/StreamCompletion",
                request_serializer=pb.CreateCompletionRequest.SerializeToString,
                response_deserializer=pb.CompletionChunk.FromString,
            )
            call = stream(asked(), metadata=metadata("closed-1"))
            await call.read()
        await noticed(service, time.monotonic())
        [row] = await service.rows("closed-1")
        assert row.state == CANCELLED

    async def test_a_caller_that_reads_nothing_holds_the_upstream_back(self, service: Running) -> None:
        """Flow control reaches from the client to the upstream; nothing is piled up in between."""
        service.openai.script(Reply(["x" * 10_000] * 6000, events_per_write=20))
        call = service.completions.StreamCompletion(asked())
        await call.read()
        [entry] = service.openai.bill
        for _ in range(20):
            held = entry.chunks
            await asyncio.sleep(0.2)
            if entry.chunks == held:
                break
        assert entry.chunks == held < 5800, "60 MB fit nowhere on the way"
        call.cancel()
        await service.openai.bill.until(lambda bill: bill[0].disconnected)


class TestDeadline:
    @pytest.mark.parametrize("method", ["CreateCompletion", "StreamCompletion"])
    async def test_the_callers_deadline_ends_the_upstream_call(self, service: Running, method: str) -> None:
        service.openai.script(Reply("late", headers_delay_s=9))
        request_id = f"deadline-{method}"
        call = getattr(service.completions, method)(asked(), timeout=0.5, metadata=metadata(request_id))
        started = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await (call.read() if method.startswith("Stream") else call)
        assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        await noticed(service, started + 0.5)
        [row] = await service.rows(request_id)
        # Whichever clock is first, ours or grpc's that cancels us.
        assert (row.state, row.error_reason) in ((FAILED, "DEADLINE_EXCEEDED"), (CANCELLED, ""))
        assert (row.usage.output_provenance, row.usage.output_tokens) == (UNKNOWN, 0)

    async def test_a_deadline_within_a_stream_keeps_what_came_before_it(self, service: Running) -> None:
        service.openai.script(LONG)
        call = service.completions.StreamCompletion(asked(), timeout=2.0, metadata=metadata("deadline-3"))
        seen: list[pb.CompletionChunk] = []
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await drain(call, seen)
        assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert len(text_of(seen)) > 20
        [row] = await service.rows("deadline-3")
        assert row.usage.output_provenance == PARTIAL
        # What was on its way when grpc ended the call is on the upstream's bill, and was not delivered.
        billed, delivered = service.openai.bill[0].completion_tokens, text_of(seen).count(WORD)
        assert 0.8 * delivered <= row.usage.output_tokens <= 1.2 * billed

    async def test_no_attempt_is_made_that_could_not_end_in_time(self, service: Running) -> None:
        service.openai.default = openai_errors.rate_limited(5)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await service.completions.CreateCompletion(asked(), timeout=2, metadata=metadata("deadline-4"))
        assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(service.openai.bill) == 1
