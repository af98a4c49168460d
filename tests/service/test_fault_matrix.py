"""Each provider with each fault, whole and streamed, through the whole server: error, rows, upstream calls.

How often an upstream was asked is read off the simulators' own bills. What the server may repeat, it does:
up to two times.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import grpc
import pytest
import pytest_asyncio

from genai_spine.inference import failover
from genai_spine.providers.base import Timeouts
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, routing_pb2, usage_pb2
from tests.service.faults import OLLAMA, OPENAI, PEERS, RETRY_AFTER_S, Peer
from tests.service.running import Posted, Running, Upstreams, asked, failure_of, running, text_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

RETRIES = 2
SLOW_S = 0.3
PROMPT = "Hello"
BY_REST = (("x-envoy-original-path", "/v1/completions:create"),)  # so that the HTTP status is told
FAILED, SUCCEEDED = execution_pb2.EXECUTION_STATE_FAILED, execution_pb2.EXECUTION_STATE_SUCCEEDED
ESTIMATED, UNKNOWN = usage_pb2.PROVENANCE_ESTIMATED, usage_pb2.PROVENANCE_UNKNOWN
PARTIAL, REPORTED = usage_pb2.PROVENANCE_PARTIAL_STREAM, usage_pb2.PROVENANCE_PROVIDER_REPORTED
Code = grpc.StatusCode
METHODS = pytest.mark.parametrize("method", ["CreateCompletion", "StreamCompletion"])


@dataclass(frozen=True, slots=True)
class Outcome:
    reason: str
    code: grpc.StatusCode
    status: int  # of HTTP, on the native paths
    openai_status: int
    openai_code: str
    repeated: bool = False  # the same upstream is asked again
    passed_on: bool = True  # another provider is asked
    worked: bool = False  # the upstream may have done its work, and bill it
    said: str | None = None  # provider_code, where it does not come from the upstream


UNAVAILABLE = Outcome("PROVIDER_UNAVAILABLE", Code.UNAVAILABLE, 502, 502, "PROVIDER_ERROR", repeated=True)
UNUSABLE = Outcome("PROVIDER_ERROR", Code.INTERNAL, 502, 502, "PROVIDER_ERROR", worked=True)
OUTCOMES = {
    "rate limit": Outcome(
        "PROVIDER_RATE_LIMITED", Code.RESOURCE_EXHAUSTED, 429, 429, "rate_limit_exceeded", repeated=True
    ),
    "server error": UNAVAILABLE,
    "overloaded": UNAVAILABLE,
    "slow": Outcome(
        "PROVIDER_TIMEOUT", Code.DEADLINE_EXCEEDED, 504, 504, "PROVIDER_TIMEOUT", worked=True, said=""
    ),
    "cut stream": replace(UNUSABLE, said="cut_stream"),
    "bad json": replace(UNUSABLE, said="invalid_json"),
    "content filter": Outcome(
        "CONTENT_FILTERED", Code.INVALID_ARGUMENT, 502, 400, "content_filter", passed_on=False
    ),
    "context overflow": Outcome(
        "CONTEXT_LENGTH_EXCEEDED", Code.INVALID_ARGUMENT, 502, 400, "context_length_exceeded"
    ),
}
UNFILTERED = ("ollama",)  # has no filter of contents


def cells(*given: str) -> list[Any]:
    return [
        pytest.param(peer, fault, id=f"{peer}-{fault}")
        for peer in PEERS
        for fault in given
        if not (peer.name in UNFILTERED and fault in ("content filter", "filtered answer"))
    ]


FAULTS = pytest.mark.parametrize(("peer", "fault"), cells(*OUTCOMES))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def module_server(all_upstreams: Upstreams, module_sqlite_url: str) -> AsyncIterator[Running]:
    endpoints = all_upstreams.one_of_each()
    async with running(
        all_upstreams, module_sqlite_url, endpoints=endpoints, provider_retries=RETRIES
    ) as found:
        yield found


@pytest.fixture
def server(module_server: Running, upstreams: Upstreams, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setattr(failover, "FIRST_DELAY_S", 0.02)
    return module_server


@asynccontextmanager
async def faulty(server: Running, peer: Peer, fault: str, streamed: bool) -> AsyncIterator[Running]:
    """A server whose upstream answers everything with the fault; one that waits briefly, when it is slow."""
    getattr(server.upstreams, peer.name).default = peer.reply(fault, streamed=streamed)
    if fault != "slow":
        yield server
        return
    endpoints = server.upstreams.one_of_each()
    impatient = Timeouts(connect_s=5, first_token_s=SLOW_S, between_tokens_s=5)
    endpoints[peer.name] = replace(endpoints[peer.name], timeouts=impatient)
    async with running(
        server.upstreams, server.database_url, endpoints=endpoints, provider_retries=RETRIES
    ) as found:
        yield found


def calls(server: Running, peer: Peer) -> int:
    return len(getattr(server.upstreams, peer.name).bill.calls)


async def answer(
    server: Running, method: str, *, begun: bool = False, **fields: Any
) -> tuple[str, pb.Completion | pb.CompletionChunk]:
    """The text, and the completion or the last chunk.

    begun: it fails after its first chunk, when a REST client is told in the last chunk; gRPC has a status.
    """
    metadata = () if begun else BY_REST
    call = getattr(server.completions, method)(asked(PROMPT, **fields), metadata=metadata)
    if method == "StreamCompletion":
        chunks = [chunk async for chunk in call]
        return text_of(chunks), chunks[-1]
    whole = await call
    return "".join(part.text for part in whole.choices[0].message.content), whole


def code_of(peer: Peer, fault: str, streamed: bool) -> str | None:
    """The provider_code that a caller sees; None: a provider that was too slow said nothing."""
    expected = OUTCOMES[fault]
    if expected.said is None:
        return peer.faults[fault][1]
    if fault == "bad json" and peer.name == "bedrock" and streamed:
        return "broken_event"  # its events have checksums
    return expected.said or None


def check_usage(row: execution_pb2.Execution, peer: Peer, fault: str, delivered: bool) -> None:
    usage, worked = row.usage, OUTCOMES[fault].worked
    if not worked:
        assert (usage.total_tokens, row.cost.cost_ticks) == (0, 0)
    elif delivered:
        reported = peer.name == "anthropic"  # tells the input when it begins
        assert usage.input_provenance == (REPORTED if reported else ESTIMATED)
        assert usage.output_provenance == PARTIAL
        assert min(usage.input_tokens, usage.output_tokens) > 0
    else:
        assert (usage.input_provenance, usage.output_provenance) == (ESTIMATED, UNKNOWN)
        assert usage.input_tokens > 0
        assert usage.output_tokens == 0
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    local = peer.name == "ollama"
    assert row.cost.is_free == local
    assert row.cost.price_known
    assert (row.cost.cost_ticks > 0) == (worked and not local)


@FAULTS
@METHODS
async def test_the_error_the_rows_and_the_bill_agree(
    server: Running, peer: Peer, fault: str, method: str
) -> None:
    expected, streamed = OUTCOMES[fault], method == "StreamCompletion"
    begun = fault == "cut stream" and streamed
    async with faulty(server, peer, fault, streamed) as serving:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await answer(serving, method, begun=begun, model=peer.asked)
        found = failure_of(raised.value)
        assert (found.reason, found.code) == (expected.reason, expected.code)
        assert found.code is not Code.UNAVAILABLE or not expected.worked, "a repeat would be paid twice"
        assert found.metadata["provider"] == peer.name
        assert found.metadata.get("provider_code") == code_of(peer, fault, streamed)
        trailing = dict(raised.value.trailing_metadata() or ())
        assert trailing.get("x-genai-http-status") == (None if begun else str(expected.status))
        assert found.retry_after_s == (RETRY_AFTER_S if fault == "rate limit" else None)
        rows = await serving.rows(found.request_id)
    assert calls(server, peer) == len(rows) == (1 + RETRIES if expected.repeated else 1)
    for row in rows:
        assert (row.state, row.error_reason, row.wasted) == (FAILED, expected.reason, False)
        assert (row.provider, row.model, row.streamed) == (peer.name, peer.model, streamed)
        check_usage(row, peer, fault, delivered=begun)


@FAULTS
@METHODS
async def test_another_provider_is_asked_where_that_can_help_and_nothing_was_delivered(
    server: Running, peer: Peer, fault: str, method: str
) -> None:
    other = OPENAI if peer is OLLAMA else OLLAMA
    streamed = method == "StreamCompletion"
    delivered = fault == "cut stream" and streamed
    routing = routing_pb2.Routing(fallback_models=[other.asked])
    async with faulty(server, peer, fault, streamed) as serving:
        if OUTCOMES[fault].passed_on and not delivered:
            text, last = await answer(serving, method, model=peer.asked, routing=routing)
            assert PROMPT in text
            assert (last.provider, last.model) == (other.name, other.model)
            rows = await serving.rows(last.request_id)
            assert [(row.provider, row.attempt, row.state) for row in rows] == [
                (peer.name, 1, FAILED),
                (other.name, 2, SUCCEEDED),
            ]
            assert (rows[1].usage, rows[1].cost) == (last.usage, last.cost)
            assert rows[0].error_reason == OUTCOMES[fault].reason
            assert (calls(server, peer), calls(server, other)) == (1, 1)
            return
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await answer(serving, method, begun=delivered, model=peer.asked, routing=routing)
        assert failure_of(raised.value).reason == OUTCOMES[fault].reason
    assert (calls(server, peer), calls(server, other)) == (1, 0)


def problem_of(posted: Posted) -> dict[str, Any]:
    """The error of the answer, or of a stream that had begun; that has no status of its own."""
    if posted.error is not None:
        return posted.problem
    event = posted.events[-1]
    assert isinstance(event, dict), "a stream that failed says no [DONE]"
    return {"status": None, **event["error"]}


@FAULTS
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_of_openais_paths_sees_the_error_in_openais_words(
    server: Running, peer: Peer, fault: str, stream: bool
) -> None:
    expected = OUTCOMES[fault]
    async with faulty(server, peer, fault, stream) as serving:
        posted = await serving.chat(stream=stream, model=peer.asked)
    problem, begun = problem_of(posted), fault == "cut stream" and stream
    assert problem["status"] == (None if begun else expected.openai_status)
    assert problem["code"] == expected.openai_code
    assert problem["details"]["provider"] == peer.name
    assert problem["details"].get("provider_code") == code_of(peer, fault, stream)
    assert posted.headers.get("retry-after") == ("1" if fault == "rate limit" else None)


@pytest.mark.parametrize("peer", PEERS, ids=str)
@METHODS
async def test_missing_usage_is_estimated_and_says_so(server: Running, peer: Peer, method: str) -> None:
    getattr(server.upstreams, peer.name).default = peer.reply(
        "missing usage", streamed=method == "StreamCompletion"
    )
    text, last = await answer(server, method, model=peer.asked)
    assert text == "four words are here"
    [row] = await server.rows(last.request_id)
    assert (row.state, row.usage, row.cost) == (SUCCEEDED, last.usage, last.cost)
    assert (row.usage.input_provenance, row.usage.output_provenance) == (ESTIMATED, ESTIMATED)
    assert min(row.usage.input_tokens, row.usage.output_tokens) > 0
    assert row.cost.price_known
    assert calls(server, peer) == 1


@pytest.mark.parametrize(("peer", "fault"), cells("filtered answer"))
@METHODS
async def test_an_answer_that_a_filter_ended_is_an_answer_and_is_paid(
    server: Running, peer: Peer, fault: str, method: str
) -> None:
    getattr(server.upstreams, peer.name).default = peer.reply(fault)
    call = getattr(server.completions, method)(asked(PROMPT, model=peer.asked))
    parts = [part async for part in call] if method == "StreamCompletion" else [await call]
    reasons = {choice.finish_reason for part in parts for choice in part.choices if choice.finish_reason}
    assert reasons == {pb.FINISH_REASON_CONTENT_FILTER}
    [row] = await server.rows(parts[-1].request_id)
    assert row.state == SUCCEEDED
    assert row.usage.output_provenance == REPORTED
    assert calls(server, peer) == 1
