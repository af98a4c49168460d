"""How the edge chooses servers: lanes, health, what is sent again, what is not, and how it stops."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from genai_spine.supervisor import envoy
from genai_spine.v1 import health_service_pb2 as health_service
from genai_spine.v1 import health_service_pb2_grpc as health_service_grpc
from tests.acceptance.edge import CHAT, CREATE, Answer, Edge, check_both_shapes, clients, edge_with, listens
from tests.acceptance.edge_server import HOLD_S, OPTIONS, EdgeServer
from tests.waiting import until


async def lane_calls(edge: Edge, lane: str | None) -> None:
    headers = {"x-genai-lane": lane} if lane else {}
    assert (await edge.call("POST", CHAT, data=b"{}", headers=headers)).status == 200
    stub = health_service_grpc.HealthServiceStub(edge.channel)
    await stub.GetHealth(health_service.GetHealthRequest(), metadata=tuple(headers.items()))


async def healthy(edge: Edge, count: int) -> None:
    """Until this many servers of lane cpu are healthy in Envoy's eyes."""

    async def counted() -> bool:
        stats = await edge.envoy.admin("GET", "/stats?filter=spine_cpu.membership_healthy")
        return stats.strip().endswith(f": {count}")

    await until(counted)


@dataclass
class ServerProcess:
    """A server in a process of its own, which can be killed."""

    process: asyncio.subprocess.Process
    port: int
    calls: list[str] = field(default_factory=list)  # as EdgeServer's

    async def listen(self) -> None:
        while self.process.stdout and (line := await self.process.stdout.readline()):
            self.calls.append(line.decode().strip())


@asynccontextmanager
async def server_process() -> AsyncIterator[ServerProcess]:
    command = (sys.executable, "-m", "tests.acceptance.edge_server")
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout
    server = ServerProcess(process, int(await process.stdout.readline()))
    listening = asyncio.create_task(server.listen())
    try:
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await listening


async def test_each_lane_has_its_own_servers_and_cpu_is_the_default(tmp_path: Path) -> None:
    async with EdgeServer() as cpu, EdgeServer() as gpu, EdgeServer() as batch:
        async with edge_with(tmp_path, cpu=[cpu], gpu=[gpu], batch=[batch]) as edge:
            for lane in ("cpu", None, "gpu", "batch"):
                await lane_calls(edge, lane)
        assert (len(cpu.calls), len(gpu.calls), len(batch.calls)) == (4, 2, 2)


async def test_server_that_says_not_serving_gets_no_calls_until_it_serves_again(tmp_path: Path) -> None:
    async with EdgeServer() as one, EdgeServer() as other, edge_with(tmp_path, cpu=[one, other]) as edge:
        await one.serving(False)
        await healthy(edge, 1)
        one.calls.clear()
        for _ in range(10):
            assert (await edge.call("GET", "/health")).status == 200
        assert one.calls == []
        await one.serving(True)
        await healthy(edge, 2)
        while not one.calls:  # Envoy chooses by chance
            assert (await edge.call("GET", "/health")).status == 200


async def test_servers_that_stop_serving_leave_503_and_come_back(tmp_path: Path) -> None:
    async with EdgeServer() as server, edge_with(tmp_path, cpu=[server]) as edge:
        await server.serving(False)
        await healthy(edge, 0)
        said = check_both_shapes(await edge.call("GET", "/health"), 503, "SERVICE_UNAVAILABLE")
        assert said == "no server of lane cpu can be reached"
        await server.serving(True)
        await healthy(edge, 1)
        assert (await edge.call("GET", "/health")).status == 200


@pytest.mark.parametrize("script", ["abort:UNAVAILABLE", "abort:DEADLINE_EXCEEDED", "refuse:502"])
async def test_failing_provider_does_not_take_its_server_out(tmp_path: Path, script: str) -> None:
    async with EdgeServer() as server, edge_with(tmp_path, cpu=[server]) as edge:
        for _ in range(30):
            assert (await edge.call("POST", CHAT, script, data=b"{}")).status in (502, 503, 504)
        assert (await edge.call("GET", "/health")).status == 200
        assert len(server.calls) == 31  # none was sent again, none was kept away


async def test_call_refused_at_the_door_of_a_draining_server_goes_to_another(tmp_path: Path) -> None:
    async with EdgeServer() as one, EdgeServer() as other, edge_with(tmp_path, cpu=[one, other]) as edge:
        one.draining = True
        answers = [await edge.call("POST", CREATE, data=b"{}") for _ in range(20)]
        assert {answer.status for answer in answers} == {200}
        assert len(other.calls) == 20
        one.calls.clear()
        other.draining = True
        refused = await edge.call("POST", CREATE, data=b"{}")
        assert check_both_shapes(refused, 503, "SERVICE_UNAVAILABLE") == "it is stopping"
        assert "x-genai-refused" not in refused.headers


async def test_restart_of_one_of_two_servers_fails_no_call(tmp_path: Path) -> None:
    async with EdgeServer() as other, EdgeServer() as one, edge_with(tmp_path, cpu=[one, other]) as edge:
        await healthy(edge, 2)
        stopping = asyncio.Event()
        failed: list[Any] = []

        async def caller() -> None:
            while not stopping.is_set():
                answer = await edge.call("POST", CREATE, "sleep:0.02", data=b"{}")
                failed.extend([answer.body] * (answer.status != 200))

        callers = [asyncio.create_task(caller()) for _ in range(10)]
        await until(lambda: len(one.calls) > 20)
        await one.serving(False)
        await healthy(edge, 1)  # Envoy knows within 2 s; only then
        await one.server.stop(5)
        seen = len(other.calls)
        await until(lambda: len(other.calls) > seen + 20)
        stopping.set()
        await asyncio.gather(*callers)
        assert failed == []


async def test_call_that_a_server_took_is_never_sent_again(tmp_path: Path) -> None:
    async with (
        server_process() as dying,
        EdgeServer() as other,
        edge_with(tmp_path, cpu=[other, dying]) as edge,
    ):
        await healthy(edge, 2)
        calls: list[asyncio.Task[Answer]] = []
        while not (dying.calls and other.calls):  # Envoy chooses by chance, and each must have one
            calls.append(asyncio.create_task(edge.call("POST", CHAT, "hold", data=b"{}")))
            await until(lambda: len(dying.calls) + len(other.calls) == len(calls))
        taken = len(other.calls)
        dying.process.kill()
        await until(lambda: sum(call.done() for call in calls) == len(dying.calls))
        other.release.set()
        answers = await asyncio.gather(*calls)
        assert len(other.calls) == taken
        lost = [answer for answer in answers if answer.status != 200]
        assert len(lost) == len(dying.calls)
        for answer in lost:
            assert check_both_shapes(answer, 503, "SERVICE_UNAVAILABLE").startswith("upstream connect")
        # From now on, all calls go to the server that lives.
        assert {(await edge.call("GET", "/health")).status for _ in range(10)} == {200}


async def test_stream_whose_server_was_killed_is_visibly_cut(tmp_path: Path) -> None:
    async with server_process() as server, edge_with(tmp_path, cpu=[server]) as edge:
        await healthy(edge, 1)
        headers = {"x-edge-script": "hold-stream"}
        async with edge.http.post(CHAT, data=b'{"stream": true}', headers=headers) as response:
            assert await response.content.readuntil(b"\n\n") == b"data: piece 0\n\n"
            server.process.kill()
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()


@pytest.mark.parametrize("allows", [True, False])
async def test_silent_call_outlives_keepalive_pings_only_if_the_server_allows_them(
    tmp_path: Path, allows: bool
) -> None:
    options = OPTIONS if allows else [option for option in OPTIONS if "ping" not in option[0]]
    async with EdgeServer(options=options) as server:
        addresses = envoy.Addresses(port=0, lanes={"cpu": [("127.0.0.1", server.port)]})
        config = envoy.overlay(envoy.load(), addresses)
        for cluster in config["static_resources"]["clusters"]:
            if cluster["name"].endswith("_http"):
                continue
            protocol = next(iter(cluster["typed_extension_protocol_options"].values()))
            pings = protocol["explicit_http_config"]["http2_protocol_options"]["connection_keepalive"]
            pings.update(interval="0.1s", timeout="10s")
        running = envoy.Envoy(tmp_path)
        await running.launch(config)
        async with clients(running) as (http, channel):
            answer = await Edge(running, server, http, channel).call("GET", "/health", "sleep:1")
        await running.stop()
    assert (answer.status == 200) is allows
    assert (b"Too many pings" in answer.body) is not allows


async def test_stop_lets_the_stream_in_flight_end_and_takes_no_new_connection(tmp_path: Path) -> None:
    async with EdgeServer() as server, edge_with(tmp_path, cpu=[server]) as edge:
        headers = {"x-edge-script": "hold-stream"}
        async with edge.http.post(CHAT, data=b'{"stream": true}', headers=headers) as response:
            await response.content.readuntil(b"\n\n")
            stop = asyncio.create_task(edge.envoy.stop(10))
            await until(lambda: not listens(edge.envoy.port))
            server.release.set()
            assert await response.read() == b"data: piece 1\n\ndata: piece 2\n\n"
        await stop
        assert await edge.envoy.wait() == 0


async def test_stop_waits_no_longer_than_it_may(tmp_path: Path) -> None:
    async with EdgeServer() as server, edge_with(tmp_path, cpu=[server]) as edge:
        headers = {"x-edge-script": "hold-stream"}
        async with edge.http.post(CHAT, data=b'{"stream": true}', headers=headers) as response:
            await response.content.readuntil(b"\n\n")
            started = time.monotonic()
            await edge.envoy.stop(0.5)
            assert 0.4 < time.monotonic() - started < HOLD_S / 2
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()


async def test_failure_of_the_edge_is_one_json_line_and_success_is_none(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with EdgeServer() as server, edge_with(tmp_path, cpu=[server]) as edge:
        await edge.call("GET", "/health")
        await edge.call("GET", "/health", "refuse:502")
        await edge.call("GET", "/api/health", headers={"x-genai-lane": "gpu", "x-request-id": "failed-1"})
    said = capfd.readouterr()
    assert said.out == ""  # standard output is for what a program reads
    lines = [json.loads(line) for line in said.err.splitlines() if line.startswith("{")]
    assert len(lines) == 1
    expected = {"event": "edge_failure", "request_id": "failed-1", "path": "/health", "lane": "gpu"}
    assert lines[0].items() >= (expected | {"status": 503, "cause": "no_healthy_upstream"}).items()


async def test_edge_starts_and_answers_while_no_server_name_can_be_resolved(tmp_path: Path) -> None:
    config = envoy.load()
    addresses = envoy.Addresses(port=0)
    changed = envoy.overlay(config, addresses)
    changed["static_resources"]["clusters"] = config["static_resources"]["clusters"]  # spine-cpu:50051, ...
    running = envoy.Envoy(tmp_path)
    await running.launch(changed)
    async with (
        clients(running) as (http, _),
        http.post(CHAT, data=b"{}") as response,
    ):
        assert response.status == 503
        assert (await response.json())["detail"] == "no server of lane cpu can be reached"
    await running.stop()


async def test_reflection_and_health_of_the_server_are_reachable_through_the_edge(tmp_path: Path) -> None:
    async with EdgeServer() as server, edge_with(tmp_path, cpu=[server]) as edge:
        check = edge.channel.unary_unary("/grpc.health.v1.Health/Check")
        assert await check(b"") == b"\x08\x01"
        reflect = edge.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        answers = [answer async for answer in reflect(iter([b"\x3a\x00"]))]
        assert b"genai" not in answers[0]
        assert b"grpc.reflection" in answers[0]
