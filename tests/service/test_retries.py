"""Another attempt is made only here, only where it can help, and only while nothing was delivered."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from genai_spine.inference import failover
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, usage_pb2
from tests.service.running import IMPATIENT, Running, Upstreams, asked, failure, failure_of, running, text_of
from tests.upstreams import openai_errors
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")

SUCCEEDED = execution_pb2.EXECUTION_STATE_SUCCEEDED
FAILED = execution_pb2.EXECUTION_STATE_FAILED
CANCELLED = execution_pb2.EXECUTION_STATE_CANCELLED
METHODS = pytest.mark.parametrize("method", ["CreateCompletion", "StreamCompletion"])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def patient(all_upstreams: Upstreams, module_sqlite_url: str) -> AsyncIterator[Running]:
    async with running(all_upstreams, module_sqlite_url, provider_retries=3) as found:
        yield found


@pytest.fixture
def retrying(patient: Running, upstreams: Upstreams, monkeypatch: pytest.MonkeyPatch) -> Running:
    """A server that makes up to three more attempts, and does not wait long between them."""
    monkeypatch.setattr(failover, "FIRST_DELAY_S", 0.02)
    return patient


async def answered(service: Running, method: str) -> tuple[str, str]:
    """Text and request id of an answer."""
    call = getattr(service.completions, method)(asked())
    if method == "StreamCompletion":
        chunks = [chunk async for chunk in call]
        return text_of(chunks), chunks[-1].request_id
    completion = await call
    return completion.choices[0].message.content[0].text, completion.request_id


class TestAttempts:
    @METHODS
    async def test_each_attempt_is_a_row_and_a_line_of_the_upstreams_bill(
        self, retrying: Running, method: str
    ) -> None:
        retrying.openai.script(
            openai_errors.rate_limited(0.01),
            Reply(fault="reset"),
            openai_errors.bad_gateway(503),
            Reply("four"),
        )
        text, request_id = await answered(retrying, method)
        assert text == "four"
        rows = await retrying.rows(request_id)
        assert [(row.attempt, row.state) for row in rows] == [
            (1, FAILED),
            (2, FAILED),
            (3, FAILED),
            (4, SUCCEEDED),
        ]
        assert [row.error_reason for row in rows] == [
            "PROVIDER_RATE_LIMITED",
            *["PROVIDER_UNAVAILABLE"] * 2,
            "",
        ]
        assert len({row.id for row in rows}) == 4
        assert len(retrying.openai.bill.calls) == 4
        assert rows[-1].usage.output_tokens == retrying.openai.bill.completion_tokens
        assert sum(row.usage.output_tokens for row in rows[:-1]) == 0

    @METHODS
    async def test_the_last_error_is_the_callers(self, retrying: Running, method: str) -> None:
        retrying.openai.default = openai_errors.bad_gateway(503)
        found = await failure(getattr(retrying.completions, method)(asked()))
        assert found.reason == "PROVIDER_UNAVAILABLE"
        assert len(retrying.openai.bill.calls) == 4
        assert [row.attempt for row in await retrying.rows(found.request_id)] == [1, 2, 3, 4]

    @pytest.mark.parametrize(
        ("reply", "should_retry"),
        [
            (openai_errors.bad_gateway(503), "false"),
            (openai_errors.server_error(), "false"),
            (openai_errors.rate_limited(0.01), None),
            (Reply(fault="reset"), "false"),
        ],
        ids=["503", "500", "429 with a time", "reset"],
    )
    @pytest.mark.parametrize("stream", [False, True])
    async def test_our_attempts_and_those_of_an_sdk_do_not_multiply(
        self, retrying: Running, reply: Reply, should_retry: str | None, stream: bool
    ) -> None:
        retrying.openai.default = reply
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
        first = await retrying.post("/v1/chat/completions", body, x_stainless_retry_count="0")
        assert first.headers.get("x-should-retry") == should_retry
        assert len(retrying.openai.bill.calls) == 4
        again = await retrying.post("/v1/chat/completions", body, x_stainless_retry_count="1")
        assert again.headers.get("x-should-retry") == should_retry
        assert len(retrying.openai.bill.calls) == 5, "a client that repeats gets one attempt"

    async def test_embeddings_are_tried_again_too(self, retrying: Running) -> None:
        retrying.openai.script(openai_errors.rate_limited(0.01))
        request = pb.CreateEmbeddingsRequest(
            model="text-embedding-3-small", inputs=[pb.EmbeddingInput(text="x")]
        )
        response = await retrying.completions.CreateEmbeddings(request)
        assert [row.state for row in await retrying.rows(response.request_id)] == [FAILED, SUCCEEDED]

    @METHODS
    @pytest.mark.parametrize(
        "reply",
        [
            openai_errors.insufficient_quota(),
            openai_errors.invalid_key(),
            openai_errors.context_length_exceeded(),
            openai_errors.content_filter(),
            openai_errors.model_not_found("gpt-4o"),
            openai_errors.error(400, "bad"),
            Reply("four", fault="malformed"),
            Reply(fault="stall"),
        ],
    )
    async def test_what_another_attempt_cannot_help_is_tried_once(
        self, retrying: Running, method: str, reply: Reply
    ) -> None:
        retrying.openai.default = reply
        found = await failure(getattr(retrying.completions, method)(asked(model=IMPATIENT)))
        assert len(retrying.openai.bill.calls) == 1
        assert len(await retrying.rows(found.request_id)) == 1

    @pytest.mark.parametrize("fault", ["reset", "truncate", "stall", "error"])
    async def test_what_was_delivered_once_is_not_asked_for_again(
        self, retrying: Running, fault: Any
    ) -> None:
        body = openai_errors.in_stream_error()
        retrying.openai.default = Reply(
            ["one ", "two"], fault=fault, after=2, body=body if fault == "error" else None
        )
        seen = []
        try:
            async for chunk in retrying.completions.StreamCompletion(asked(model=IMPATIENT)):
                seen.append(chunk)
        except Exception as error:
            found = failure_of(error)  # type: ignore[arg-type]  # it can be nothing else
        assert text_of(seen) == "one "
        assert len(retrying.openai.bill.calls) == 1
        [row] = await retrying.rows(found.request_id)
        assert (row.state, row.usage.output_provenance) == (FAILED, usage_pb2.PROVENANCE_PARTIAL_STREAM)

    async def test_an_error_before_the_first_token_of_a_stream_is_tried_again(
        self, retrying: Running
    ) -> None:
        error = Reply(fault="error", after=0, body=openai_errors.in_stream_error())
        retrying.openai.script(error, Reply("four"))
        assert (await answered(retrying, "StreamCompletion"))[0] == "four"
        assert len(retrying.openai.bill.calls) == 2

    async def test_the_facade_makes_no_attempts_of_its_own(self, retrying: Running) -> None:
        retrying.openai.default = openai_errors.bad_gateway(503)
        assert (await retrying.chat()).problem["status"] == 502
        assert len(retrying.openai.bill.calls) == 4


class TestWaiting:
    async def test_a_provider_that_says_when_is_asked_again_then(self, retrying: Running) -> None:
        retrying.openai.script(openai_errors.rate_limited(0.3))
        await answered(retrying, "CreateCompletion")
        first, second = retrying.openai.bill
        assert second.started_at - first.started_at >= 0.3

    async def test_without_a_time_the_wait_doubles(
        self, retrying: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(failover, "FIRST_DELAY_S", 0.08)
        retrying.openai.default = openai_errors.bad_gateway(503)
        await failure(retrying.completions.CreateCompletion(asked()))
        times = [entry.started_at for entry in retrying.openai.bill]
        waits = [later - earlier for earlier, later in pairwise(times)]
        for number, wait in enumerate(waits):
            assert wait >= 0.5 * 0.08 * 2**number

    async def test_a_provider_that_asks_for_long_is_left_to_the_caller(self, retrying: Running) -> None:
        retrying.openai.default = openai_errors.rate_limited(30)
        found = await failure(retrying.completions.CreateCompletion(asked()))
        assert (found.reason, found.retry_after_s) == ("PROVIDER_RATE_LIMITED", 30.0)
        assert len(retrying.openai.bill.calls) == 1
        posted = await retrying.chat()
        assert posted.problem["status"] == 429
        assert posted.headers["retry-after"] == "30"
        assert "x-should-retry" not in posted.headers

    async def test_a_caller_that_leaves_while_we_wait_ends_it(self, retrying: Running) -> None:
        retrying.openai.default = openai_errors.rate_limited(5)
        call = retrying.completions.CreateCompletion(asked(), metadata=(("x-request-id", "left-1"),))
        waiting = asyncio.ensure_future(call)
        await retrying.openai.bill.until(lambda bill: len(bill.calls) == 1)
        [row] = await retrying.rows("left-1")  # the attempt has ended: we wait for the next one
        call.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        await retrying.idle()
        assert await retrying.rows("left-1") == [row]
        assert (row.state, row.error_reason) == (FAILED, "PROVIDER_RATE_LIMITED")
        assert len(retrying.openai.bill.calls) == 1


@pytest.mark.parametrize(
    "reply",
    [
        openai_errors.error(501, "This server does not support embeddings. Start it with `--embeddings`"),
        openai_errors.error(404, "File Not Found", type="not_found_error"),
        Reply(status=404, body={"detail": "Not Found"}),
        Reply(status=405, body={"detail": "Method Not Allowed"}),
    ],
    ids=["501", "llama.cpp", "FastAPI", "405"],
)
async def test_what_an_upstream_lacks_is_unsupported_and_asked_for_once(
    retrying: Running, reply: Reply
) -> None:
    retrying.openai.default = reply
    request = pb.CreateEmbeddingsRequest(model="text-embedding-3-small", inputs=[pb.EmbeddingInput(text="x")])
    found = await failure(retrying.completions.CreateEmbeddings(request))
    assert (found.reason, found.metadata["provider"]) == ("UNSUPPORTED_OPERATION", "openai")
    assert len(await retrying.rows(found.request_id)) == 1
    assert len(retrying.openai.bill.calls) == 1
