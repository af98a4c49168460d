"""A server from its start to its end: health, reflection, readiness, and a stop that loses nothing."""

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from genai_spine.providers import PROVIDERS
from genai_spine.store import schema
from genai_spine.v1 import execution_pb2, health_service_pb2, health_service_pb2_grpc
from genai_spine.v1.lane_pb2 import LANE_GPU
from genai_spine.version import VERSION
from tests.service.running import Running, Upstreams, asked, failure, failure_of, running, text_of
from tests.upstreams.clients import drain
from tests.upstreams.reply import Reply
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICES = ("CompletionService", "OpenAIService", "HealthService", "DocumentService")


async def state(service: Running, name: str = "") -> int:
    stub: Any = health_pb2_grpc.HealthStub(service.channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=name))).status)


async def ready(service: Running) -> health_service_pb2.GetReadinessResponse:
    stub: Any = health_service_pb2_grpc.HealthServiceStub(service.channel)
    response: health_service_pb2.GetReadinessResponse = await stub.GetReadiness(
        health_service_pb2.GetReadinessRequest()
    )
    return response


class TestHealth:
    async def test_every_service_is_serving(self, service: Running) -> None:
        for name in ("", *(f"genai_spine.v1.{name}" for name in SERVICES)):
            assert await state(service, name) == SERVING, name
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await state(service, "genai_spine.v1.Nothing")
        assert unknown.value.code() == grpc.StatusCode.NOT_FOUND

    @pytest.mark.parametrize("version", ["v1alpha", "v1"])
    async def test_reflection_shows_the_contract(self, service: Running, version: str) -> None:
        reflect: Any = service.channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        wanted = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="genai_spine.v1.CompletionService"),
        ]
        listed, file = [response async for response in reflect(iter(wanted))]
        names = {found.name for found in listed.list_services_response.service}
        assert {f"genai_spine.v1.{name}" for name in SERVICES} < names
        assert "grpc.health.v1.Health" in names
        assert b"CreateCompletionRequest" in b"".join(file.file_descriptor_response.file_descriptor_proto)

    async def test_health_asks_nobody(self, service: Running) -> None:
        stub: Any = health_service_pb2_grpc.HealthServiceStub(service.channel)
        response = await stub.GetHealth(health_service_pb2.GetHealthRequest())
        assert (response.status, response.version) == ("healthy", VERSION)
        assert len(service.openai.bill) == 0

    async def test_readiness_names_what_does_not_work(self, service: Running) -> None:
        response = await ready(service)
        assert response.status == "degraded", "nobody listens at groq's address"
        assert set(response.providers) == set(PROVIDERS)
        assert response.providers["groq"].startswith("error: provider groq cannot answer now")
        assert response.providers["openai"] == response.providers["ollama"] == "healthy"
        assert response.providers["mistral"] == "not_configured"
        assert (response.database, response.lane) == ("healthy", "cpu")
        assert service.openai.bill.calls == []

    async def test_a_server_whose_providers_answer_is_ready(
        self, upstreams: Upstreams, sqlite_url: str
    ) -> None:
        endpoints = {name: end for name, end in upstreams.endpoints().items() if name != "groq"}
        async with running(upstreams, sqlite_url, endpoints=endpoints, lane="gpu") as service:
            response = await ready(service)
            assert (response.status, response.lane) == ("ready", "gpu")
            completion = await service.completions.CreateCompletion(asked())
            [row] = await service.rows(completion.request_id)
            assert row.lane == LANE_GPU


async def until_not_serving(service: Running) -> None:
    async def told() -> bool:
        return await state(service) == NOT_SERVING

    await until(told)


class TestStart:
    async def test_a_database_without_tables_is_refused_with_what_to_do(
        self, upstreams: Upstreams, tmp_path: Path
    ) -> None:
        with pytest.raises(ValueError, match="genai-spine migrate"):
            async with running(upstreams, f"sqlite:///{tmp_path}/empty.db"):
                pass

    async def test_a_scratch_database_needs_no_migration(self, upstreams: Upstreams) -> None:
        async with running(upstreams, "sqlite://") as service:
            completion = await service.completions.CreateCompletion(asked(model="builtin:extractive"))
            assert completion.provider == "builtin"


class TestStop:
    async def test_a_running_stream_finishes_and_new_calls_are_refused(
        self, upstreams: Upstreams, sqlite_url: str
    ) -> None:
        async with running(upstreams, sqlite_url, drain_delay=1.0) as service:
            service.openai.script(Reply(["abcd"] * 60, interval_s=0.03))
            stream = aiter(service.completions.StreamCompletion(asked()))
            seen = [await anext(stream)]
            stopping = asyncio.create_task(service.stop())
            await until_not_serving(service)
            found = await failure(service.completions.CreateCompletion(asked()))
            assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE")
            assert (await service.chat()).problem["status"] == 503
            await drain(stream, seen)
            assert text_of(seen) == "abcd" * 60
            assert seen[-1].usage.output_tokens == service.openai.bill[0].completion_tokens
            await stopping
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await service.completions.CreateCompletion(asked())
            assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
            [row] = await service.rows(seen[-1].request_id)
            assert row.state == execution_pb2.EXECUTION_STATE_SUCCEEDED
            assert len(service.openai.bill.calls) == 1

    async def test_a_stream_that_outlasts_the_drain_is_ended_and_booked(
        self, upstreams: Upstreams, sqlite_url: str
    ) -> None:
        async with running(upstreams, sqlite_url, drain_timeout=0.15) as service:
            service.openai.script(Reply([" you"] * 2000, interval_s=0.01))
            stream = aiter(service.completions.StreamCompletion(asked()))
            seen = [await anext(stream)]
            started = time.monotonic()
            stopping = asyncio.create_task(service.stop())
            with pytest.raises(grpc.aio.AioRpcError) as cut:
                await drain(stream, seen)
            assert cut.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED)
            await stopping
            assert time.monotonic() - started < 10  # of 20 s
            await service.openai.bill.until(lambda bill: bill[0].disconnected)
            [row] = await service.rows(seen[0].request_id)
            assert row.state == execution_pb2.EXECUTION_STATE_CANCELLED
            assert row.usage.output_tokens == pytest.approx(service.openai.bill[0].completion_tokens, abs=6)
            await service.idle()

    async def test_what_was_booked_is_there_for_the_next_server(
        self, upstreams: Upstreams, database_url: str
    ) -> None:
        async with running(upstreams, database_url) as first:
            completion = await first.completions.CreateCompletion(asked())
        async with running(upstreams, database_url) as second:
            [row] = await second.rows(completion.request_id)
            assert row.id == completion.execution_id
            assert await schema.current(database_url) == schema.head()


async def test_the_access_log_counts_what_runs(service: Running) -> None:
    service.openai.script(Reply(["abcd"] * 50, interval_s=0.01))
    stream = service.completions.StreamCompletion(asked())
    await stream.read()
    assert service.server.lifecycle.running == 1
    stream.cancel()
    await service.openai.bill.until(lambda bill: bill[0].disconnected)
    await failure(service.completions.CreateCompletion(asked(temperature=3)))
    await service.completions.CreateCompletion(asked())
    await service.idle()


async def test_an_unknown_method_is_unimplemented(service: Running) -> None:
    method = service.channel.unary_unary("/genai_spine.v1.CompletionService/Nothing")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await method(b"")
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("given", "kept"),
    [("my-request:1", True), ("a" * 128, True), ("a" * 129, False), ("a b", False), ("", False)],
)
async def test_a_request_id_is_taken_over_when_it_is_one(service: Running, given: str, kept: bool) -> None:
    metadata = (("x-request-id", given),)
    call = service.completions.CreateCompletion(asked(), metadata=metadata)
    completion = await call
    assert dict(await call.trailing_metadata())["x-request-id"] == completion.request_id
    assert (completion.request_id == given) == kept
    try:
        await service.completions.CreateCompletion(asked(temperature=3), metadata=metadata)
    except grpc.aio.AioRpcError as error:
        found = failure_of(error)
    assert (found.request_id == given) == kept
