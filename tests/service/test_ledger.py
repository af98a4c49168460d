"""Every call that reaches a provider is one row with what the provider's own bill says, however it ends."""

from typing import Any

import pytest

from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, message_pb2, usage_pb2
from tests.service.running import IMPATIENT, Running, asked, failure
from tests.upstreams import openai_errors
from tests.upstreams.reply import Reply, Usage
from tests.upstreams.samples import count_tokens

pytestmark = pytest.mark.asyncio(loop_scope="session")

SUCCEEDED = execution_pb2.EXECUTION_STATE_SUCCEEDED
FAILED = execution_pb2.EXECUTION_STATE_FAILED
REPORTED, ESTIMATED = usage_pb2.PROVENANCE_PROVIDER_REPORTED, usage_pb2.PROVENANCE_ESTIMATED
PARTIAL, UNKNOWN = usage_pb2.PROVENANCE_PARTIAL_STREAM, usage_pb2.PROVENANCE_UNKNOWN
COUNTS = Usage(prompt_tokens=1000, completion_tokens=300, cached_tokens=400, reasoning_tokens=100)
# gpt-4o: 2.50 USD for 1M input, 1.25 cached, 10.00 output; 1 tick is 1e-10 USD.
COUNTS_TICKS = (600 * 250 + 400 * 125 + 300 * 1000) * 100
WORDS = " you" * 100  # by every count here about as many tokens as words

Row = execution_pb2.Execution


async def only_row(service: Running, request_id: str) -> Row:
    [row] = await service.rows(request_id)
    return row


async def failed_row(service: Running, call: Any) -> Row:
    found = await failure(call)
    return await only_row(service, found.request_id)


class TestSuccess:
    async def test_a_completion_is_one_row_with_the_answers_numbers(self, booked: Running) -> None:
        booked.openai.script(Reply("four", usage=COUNTS, id="chatcmpl-9", model="gpt-4o-2024-08-06"))
        completion = await booked.completions.CreateCompletion(asked(user="ann"))
        row = await only_row(booked, completion.request_id)
        assert (row.id, row.state, row.attempt) == (completion.execution_id, SUCCEEDED, 1)
        assert (row.operation, row.provider, row.model) == ("completion", "openai", "gpt-4o")
        assert (row.requested_model, row.user, row.lane, row.streamed) == ("gpt-4o", "ann", "cpu", False)
        assert row.caller.startswith("grpc-python-asyncio/")
        assert row.provider_response_id == "chatcmpl-9"
        assert row.usage == completion.usage
        assert (row.usage.input_tokens, row.usage.output_tokens) == (1000, 300)
        assert (row.usage.cache_read_tokens, row.usage.reasoning_tokens) == (400, 100)
        assert (row.usage.input_provenance, row.usage.output_provenance) == (REPORTED, REPORTED)
        assert row.cost.cost_ticks == completion.cost.cost_ticks == COUNTS_TICKS
        assert completion.cost.cost_usd == COUNTS_TICKS / 1e10
        assert row.cost.price_known
        assert not row.HasField("error")
        assert row.create_time.ToNanoseconds() <= row.settle_time.ToNanoseconds()
        [entry] = booked.openai.bill
        assert (entry.prompt_tokens, entry.completion_tokens) == (1000, 300)

    async def test_a_stream_is_one_row_and_its_last_chunk_has_the_same_numbers(self, booked: Running) -> None:
        booked.openai.script(Reply(["fo", "ur"], usage=COUNTS, id="chatcmpl-9"))
        chunks = [chunk async for chunk in booked.completions.StreamCompletion(asked())]
        last = chunks[-1]
        assert [chunk.HasField("usage") for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
        row = await only_row(booked, last.request_id)
        assert (row.id, row.state, row.streamed) == (last.execution_id, SUCCEEDED, True)
        assert row.usage == last.usage
        assert (row.usage.input_tokens, row.usage.output_tokens) == (1000, 300)
        assert row.cost.cost_ticks == last.cost.cost_ticks == COUNTS_TICKS
        assert row.HasField("first_token_ms")
        assert row.first_token_ms <= row.latency_ms
        assert row.provider_response_id == "chatcmpl-9"
        assert {(chunk.id, chunk.created, chunk.model) for chunk in chunks} == {
            (last.id, last.created, "gpt-4o")
        }

    async def test_embeddings_are_one_row(self, booked: Running) -> None:
        request = pb.CreateEmbeddingsRequest(
            model="text-embedding-3-small", inputs=[pb.EmbeddingInput(text="x" * 400)], user="ann"
        )
        response = await booked.completions.CreateEmbeddings(request)
        row = await only_row(booked, response.request_id)
        assert (row.operation, row.state, row.user) == ("embeddings", SUCCEEDED, "ann")
        assert (row.usage.input_tokens, row.usage.output_tokens) == (101, 0)
        assert row.usage == response.usage
        assert row.cost.cost_ticks == response.cost.cost_ticks == 101 * 200  # 0.02 USD for 1M

    async def test_a_local_provider_costs_nothing_and_says_so(self, booked: Running) -> None:
        completion = await booked.completions.CreateCompletion(asked(model="llama3.2:latest"))
        row = await only_row(booked, completion.request_id)
        assert (row.provider, row.cost.cost_ticks, row.cost.is_free) == ("ollama", 0, True)
        assert row.cost.price_known
        assert row.usage.output_tokens == booked.ollama.bill[0].completion_tokens

    async def test_an_unknown_price_is_unknown_and_not_zero(self, booked: Running) -> None:
        completion = await booked.completions.CreateCompletion(asked(model="openai:brand-new"))
        assert not completion.cost.price_known
        row = await only_row(booked, completion.request_id)
        assert (row.cost.price_known, row.cost.is_free) == (False, False)
        assert (row.model, row.requested_model) == ("brand-new", "openai:brand-new")

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_without_usage_the_row_is_an_estimate_and_says_so(
        self, booked: Running, streamed: bool
    ) -> None:
        booked.openai.script(Reply("x" * 400, omit_usage=True))
        if streamed:
            answer = [chunk async for chunk in booked.completions.StreamCompletion(asked(WORDS))][-1]
        else:
            answer = await booked.completions.CreateCompletion(asked(WORDS))
        row = await only_row(booked, answer.request_id)
        assert row.usage == answer.usage
        assert (row.usage.input_provenance, row.usage.output_provenance) == (ESTIMATED, ESTIMATED)
        assert row.usage.output_tokens == pytest.approx(100, abs=60)
        assert row.usage.input_tokens == pytest.approx(100, abs=10)


REFUSALS = [
    (openai_errors.rate_limited(1), "PROVIDER_RATE_LIMITED"),
    (openai_errors.insufficient_quota(), "PROVIDER_QUOTA_EXCEEDED"),
    (openai_errors.invalid_key(), "PROVIDER_AUTHENTICATION"),
    (openai_errors.context_length_exceeded(), "CONTEXT_LENGTH_EXCEEDED"),
    (openai_errors.content_filter(), "CONTENT_FILTERED"),
    (openai_errors.model_not_found("gpt-4o"), "MODEL_NOT_FOUND"),
    (openai_errors.error(400, "bad"), "PROVIDER_REJECTED"),
    (openai_errors.bad_gateway(503), "PROVIDER_UNAVAILABLE"),
]


class TestFailure:
    @pytest.mark.parametrize("method", ["CreateCompletion", "StreamCompletion"])
    @pytest.mark.parametrize(("reply", "reason"), REFUSALS)
    async def test_an_upstream_that_refused_has_used_nothing(
        self, booked: Running, reply: Reply, reason: str, method: str
    ) -> None:
        booked.openai.script(reply)
        found = await failure(getattr(booked.completions, method)(asked("x" * 400)))
        assert found.reason == reason
        row = await only_row(booked, found.request_id)
        assert (row.state, row.error_reason, row.attempt) == (FAILED, reason, 1)
        assert row.error == found.message
        assert (row.usage.total_tokens, row.cost.cost_ticks) == (0, 0)
        assert booked.openai.bill.prompt_tokens == 0

    async def test_a_provider_that_cannot_be_reached_has_used_nothing(self, booked: Running) -> None:
        row = await failed_row(booked, booked.completions.CreateCompletion(asked(model="groq:llama")))
        assert (row.state, row.error_reason, row.provider) == (FAILED, "PROVIDER_UNAVAILABLE", "groq")
        assert row.usage.total_tokens == 0

    @pytest.mark.parametrize(
        ("reply", "reason"),
        [
            (Reply("four", fault="malformed"), "PROVIDER_ERROR"),
            (Reply("four", fault="reset", after=0), "PROVIDER_ERROR"),
            (Reply(fault="reset"), "PROVIDER_UNAVAILABLE"),
            (Reply(fault="stall"), "PROVIDER_TIMEOUT"),
        ],
    )
    @pytest.mark.parametrize("method", ["CreateCompletion", "StreamCompletion"])
    async def test_what_a_lost_answer_has_used_is_not_known(
        self, booked: Running, reply: Reply, reason: str, method: str
    ) -> None:
        """The upstream was asked and may have worked: the input is an estimate, the output unknown."""
        booked.openai.script(reply)
        asking = asked(WORDS, model=IMPATIENT)
        row = await failed_row(booked, getattr(booked.completions, method)(asking))
        assert (row.state, row.error_reason) == (FAILED, reason)
        assert (row.usage.input_provenance, row.usage.output_provenance) == (ESTIMATED, UNKNOWN)
        assert row.usage.input_tokens == pytest.approx(count_tokens(WORDS), abs=10)
        assert row.usage.output_tokens == 0

    async def test_a_stream_that_is_cut_has_used_what_it_brought(self, booked: Running) -> None:
        booked.openai.script(Reply([" you"] * 50, fault="reset", after=31))
        call = booked.completions.StreamCompletion(asked(WORDS))
        found = await failure(call)
        assert (found.reason, found.metadata["provider_code"]) == ("PROVIDER_ERROR", "cut_stream")
        row = await only_row(booked, found.request_id)
        assert (row.state, row.usage.output_provenance) == (FAILED, PARTIAL)
        assert row.usage.output_tokens == pytest.approx(booked.openai.bill[0].completion_tokens, abs=6)
        assert row.cost.cost_ticks > 0

    async def test_what_is_refused_here_reaches_no_provider_and_no_ledger(self, booked: Running) -> None:
        for request in (asked(temperature=3), asked(model="builtin:extractive", logit_bias={1: 1.0})):
            found = await failure(booked.completions.CreateCompletion(request))
            assert await booked.executions.by_request(found.request_id) == []
        assert booked.openai.bill.calls == []

    async def test_an_image_that_ollama_would_have_to_fetch_is_refused_and_used_nothing(
        self, booked: Running
    ) -> None:
        request = asked(model="llava:7b")
        request.messages[0].content.add(image=message_pb2.ImagePart(url="https://example.com/a.png"))
        row = await failed_row(booked, booked.completions.CreateCompletion(request))
        assert (row.error_reason, row.usage.total_tokens) == ("UNSUPPORTED_OPTION", 0)
        assert booked.ollama.bill.calls == []
