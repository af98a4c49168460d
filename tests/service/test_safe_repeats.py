"""UNAVAILABLE, which gRPC clients repeat by themselves, stands only for requests that cost nothing."""

from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio

from genai_spine.inference import failover
from genai_spine.v1 import routing_pb2
from tests.service.running import Failure, Running, Upstreams, asked, failure, running
from tests.upstreams import openai_errors
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")

INTERNAL, UNAVAILABLE = grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE
METHODS = pytest.mark.parametrize("method", ["CreateCompletion", "StreamCompletion"])
DOWN = openai_errors.bad_gateway(503)
LOST = Reply(fault="reset")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def patient(all_upstreams: Upstreams, module_sqlite_url: str) -> AsyncIterator[Running]:
    async with running(all_upstreams, module_sqlite_url, provider_retries=1) as found:
        yield found


@pytest.fixture
def service(patient: Running, upstreams: Upstreams, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setattr(failover, "FIRST_DELAY_S", 0.02)
    return patient


async def failed(service: Running, method: str, *fallbacks: str) -> Failure:
    request = asked(routing=routing_pb2.Routing(fallback_models=fallbacks))
    return await failure(getattr(service.completions, method)(request))


@METHODS
async def test_provider_that_refused_every_call_may_be_asked_again(service: Running, method: str) -> None:
    service.openai.script(DOWN, DOWN)
    found = await failed(service, method)
    assert (found.reason, found.code) == ("PROVIDER_UNAVAILABLE", UNAVAILABLE)
    assert [row.usage.total_tokens for row in await service.rows(found.request_id)] == [0, 0]


@METHODS
@pytest.mark.parametrize(
    "replies", [(LOST, LOST), (LOST, DOWN), (DOWN, LOST)], ids=["lost", "lost, down", "down, lost"]
)
async def test_connection_lost_after_the_request_was_sent_may_have_been_billed(
    service: Running, method: str, replies: tuple[Reply, Reply]
) -> None:
    service.openai.script(*replies)
    found = await failed(service, method)
    assert (found.reason, found.code) == ("PROVIDER_UNAVAILABLE", INTERNAL)
    rows = await service.rows(found.request_id)
    assert [row.usage.input_tokens > 0 for row in rows] == [reply is LOST for reply in replies]


async def test_stream_that_the_provider_fails_after_its_beginning_was_billed(service: Running) -> None:
    body = openai_errors.in_stream_error()
    service.openai.script(Reply(["one ", "two"], fault="error", after=2, body=body))
    found = await failed(service, "StreamCompletion")
    assert (found.reason, found.code) == ("PROVIDER_UNAVAILABLE", INTERNAL)


@METHODS
async def test_unusable_answer_of_one_candidate_was_billed_whatever_the_next_says(
    service: Running, method: str
) -> None:
    service.openai.script(Reply("four", fault="malformed"))
    service.ollama.default = Reply(status=503)
    found = await failed(service, method, "ollama:llama3.2:latest")
    assert (found.reason, found.code) == ("PROVIDER_UNAVAILABLE", INTERNAL)
    assert found.metadata["tried"].startswith("openai:gpt-4o PROVIDER_ERROR; ollama:")
