"""What the edge makes of headers: deadlines, gRPC's own, too many of them, and two hosts."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from genai_spine.edge.channel_options import CHANNEL_OPTIONS
from genai_spine.supervisor import envoy
from tests.acceptance.edge import CHAT, CREATE, PAGE, Edge, check_both_shapes, edge_with, grpc_web
from tests.acceptance.edge_server import EdgeServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LARGE_HEADERS = "the request headers are larger than 32768 bytes"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    """Envoy in front of a scripted server with the limits of a real one."""
    folder = tmp_path_factory.mktemp("edge")
    async with EdgeServer(CHANNEL_OPTIONS) as server, edge_with(folder, cpu=[server]) as running:
        yield running
        await running.check_lua()


async def metadata(edge: Edge, **headers: str) -> dict[str, Any]:
    """What the server is told, of a chat that has these headers, with _ for -."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await edge.call("POST", CHAT, data=b"{}", headers=sent)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json["metadata"]
    return found


# --- Deadlines


@pytest.mark.parametrize(
    "headers",
    [
        {"grpc_timeout": "200m"},
        {"x_request_timeout": "0.2"},
        {"grpc_timeout": "1H", "x_request_timeout": "0.2"},
        {"grpc_timeout": "200m", "x_request_timeout": "86400"},
        {"grpc_timeout": "zzz", "x_request_timeout": "0.2"},
        {"grpc_timeout": "200000u", "x_request_timeout": "3600.5"},
    ],
)
@pytest.mark.parametrize("path", [CHAT, CREATE])
async def test_smallest_deadline_ends_the_call(edge: Edge, path: str, headers: dict[str, str]) -> None:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await edge.call("POST", path, "hold", data=b"{}", headers=sent)
    assert check_both_shapes(answer, 504, "PROVIDER_TIMEOUT") == "the caller's deadline passed"


@pytest.mark.parametrize(
    "headers",
    [
        {"grpc_timeout": "zzz"},
        {"grpc_timeout": "", "grpc_encoding": "zip"},
        {"grpc_timeout": "-5S"},
        {"grpc_timeout": "0S"},
        {"grpc_timeout": "5s"},
        {"grpc_timeout": "123456789S"},
        {"grpc_timeout": "1.5S", "grpc_accept_encoding": "zip, tar"},
        {"grpc_encoding": "gzip", "grpc_status": "13", "grpc_message": "no", "grpc_tags_bin": "AAAA"},
        {"grpc_previous_rpc_attempts": "x", "grpc_": "1", "GRPC_TIMEOUT": "soon"},
    ],
)
async def test_what_is_grpcs_and_no_deadline_is_left_out(edge: Edge, headers: dict[str, str]) -> None:
    told = await metadata(edge, **headers)
    assert [name for name in told if name.startswith("grpc-")] == []


@pytest.mark.parametrize(
    "seconds", ["soon", "0", "-1", "86400.1", "1e3", "5s", "", " ", "0x10", "nan", "inf", "1,5", "9" * 40]
)
async def test_time_that_is_none_is_refused_by_name(edge: Edge, seconds: str) -> None:
    answer = await edge.call("POST", CHAT, data=b"{}", headers={"x-request-timeout": seconds})
    said = check_both_shapes(answer, 400, "VALIDATION_ERROR")
    assert said == "x-request-timeout: must be a number of seconds above 0, at most 86400"
    assert edge.server.calls == []


async def test_time_of_an_sdk_and_its_trace_reach_the_server(edge: Edge) -> None:
    told = await metadata(
        edge,
        x_stainless_timeout="600",
        x_stainless_read_timeout="20",
        traceparent=PARENT,
        tracestate="a=1,b=2",
    )
    assert (told["x-stainless-timeout"], told["x-stainless-read-timeout"]) == ("600", "20")
    assert (told["traceparent"], told["tracestate"]) == (PARENT, "a=1,b=2")


async def test_grpc_web_keeps_its_own_headers(edge: Edge) -> None:
    answer = await grpc_web(edge, grpc_timeout="200m", x_edge_script="hold")
    assert answer.headers["grpc-status"] in ("4", "14")


# --- Sizes


@pytest.mark.parametrize("size_kib", [33, 41, 50, 60, 80])
@pytest.mark.parametrize("count", [1, 8])
async def test_headers_that_are_too_large_are_431(edge: Edge, size_kib: int, count: int) -> None:
    headers = {f"x-{number}": "a" * (size_kib * 1024 // count) for number in range(count)}
    answer = await edge.call("POST", CHAT, data=b"{}", headers=headers)
    assert check_both_shapes(answer, 431, "VALIDATION_ERROR") == LARGE_HEADERS


@pytest.mark.parametrize("size_kib", [8, 20, 31])
@pytest.mark.parametrize("count", [1, 8])
async def test_headers_that_the_edge_lets_in_are_taken_by_the_server(
    edge: Edge, size_kib: int, count: int
) -> None:
    told = await metadata(edge, **{f"x_{at}": "a" * (size_kib * 1024 // count) for at in range(count)})
    assert sum(len(value) for name, value in told.items() if name[2:].isdigit()) == size_kib * 1024


async def test_long_path_counts_once(edge: Edge) -> None:
    answer = await edge.call("POST", f"{CHAT}?{'q' * 6000}", data=b"{}", headers={"x-a": "a" * 20_000})
    assert answer.status == 200


# --- Hosts, and requests that never end


async def test_two_hosts_are_refused_where_all_names_are_served(edge: Edge, tmp_path: Path) -> None:
    async with edge_with(tmp_path, host="0.0.0.0", cpu=[edge.server]) as running:
        for hosts in ("a.test\r\nhost: b.test", "a.test\r\nhost: a.test", "a.test,b.test"):
            said = await running.raw(f"GET /health HTTP/1.1\r\nhost: {hosts}\r\n\r\n".encode())
            assert said.startswith("HTTP/1.1 400 ")
            assert "host: must be one name" in said
        assert (await running.raw(b"GET /health HTTP/1.1\r\nhost: a.test\r\n\r\n")).startswith(
            "HTTP/1.1 200 "
        )


@pytest.mark.parametrize("line", [b"x\ra: b", b"x-a: b\rhost: evil.test\r\rx: y"])
async def test_lone_carriage_return_ends_no_line(edge: Edge, line: bytes) -> None:
    said = await edge.raw(b"GET /health HTTP/1.1\r\nhost: localhost\r\n" + line + b"\r\n\r\n")
    assert said.startswith(("HTTP/1.1 400 ", "HTTP/1.1 200 "))
    assert "evil.test" not in said or '\\"x-a\\": \\"bhost: evil.testx: y\\"' in said


async def test_requests_that_never_end_do(edge: Edge, tmp_path: Path) -> None:
    config = envoy.overlay(
        envoy.load(), envoy.Addresses(port=0, lanes={"cpu": [("127.0.0.1", edge.server.port)]})
    )
    (listener,) = config["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert (manager["request_headers_timeout"], manager["request_timeout"]) == ("15s", "300s")
    assert manager["common_http_protocol_options"]["idle_timeout"] == "300s"
    manager |= {"request_headers_timeout": "0.2s", "request_timeout": "0.4s"}
    manager["common_http_protocol_options"]["idle_timeout"] = "0.3s"
    running = envoy.Envoy(tmp_path)
    await running.launch(config)
    try:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n"
        for begun, status in ((b"", b""), (head, b"HTTP/1.1 408 "), (head + b"\r\n{", b"HTTP/1.1 408 ")):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(begun)
            async with asyncio.timeout(20):
                assert (await reader.read()).startswith(status)
            writer.close()
            await writer.wait_closed()
    finally:
        await running.stop()


async def test_page_is_told_what_is_wrong_with_its_headers(edge: Edge) -> None:
    headers = {**PAGE, "content-type": "application/json", "x-request-timeout": "soon"}
    answer = await edge.call("POST", CHAT, data=b"{}", headers=headers)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (400, PAGE["origin"])
